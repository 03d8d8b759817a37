"""Labels as people write them become classes, and a task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scanwright.core import CohortError, Guess, InputError, Label, Task
from scanwright.core.cohort import TASKS
from scanwright.intake.layouts.reading import RawLabel, Reading
from scanwright.intake.words import (
    DEGREES,
    MISSING_WORDS,
    NEGATIVE_WORDS,
    NUMBER_COLUMNS,
    ORDER_COLUMNS,
    WORSENING,
    plain,
    tokens,
)
from scanwright.io.clip import natural

_MOST_CLASSES = 50
_MOST_WHOLE_NUMBERS = 20
_JOINED = re.compile(r"\s*[|;]\s*")


@dataclass(frozen=True)
class Encoded:
    """Labels as numbers.

    Args:
        task: What is predicted.
        classes: Names in order of the index.
        labels: One per row; None where missing.
        guesses: What was inferred.
    """

    task: Task
    classes: tuple[str, ...]
    labels: list[Label]
    guesses: list[Guess]


def encode(reading: Reading, task: str | None = None) -> Encoded:
    """Turn the labels of a reading into class indices, numbers or 1 / 0 / missing.

    Args:
        reading: Rows with labels as written.
        task: Task that was asked for, or None to infer it.

    Returns:
        Task, classes, one label a row, and the guesses.

    Raises:
        InputError: The task is unknown, or the labels cannot serve it.
        CohortError: There are no labels, or only one class.
    """
    if task is not None and task not in TASKS:
        raise InputError(
            f"The task {task!r} is unknown.",
            "A task is one of " + ", ".join(TASKS) + ".",
            "Write --task multiclass, say.",
        )
    raw = [row.label for row in reading.rows]
    if all(_missing(value) for value in raw):
        raise CohortError(
            f"None of the {len(raw)} cases has a label.",
            "Learning needs a class or a number for each case.",
            "Name the label column with --labels, or sort the images into one folder per class.",
        )
    if reading.label_names:
        return _several(reading, raw, task)
    values = [None if _missing(v) else tidy(str(v)) for v in raw]
    joined = _lists(values) if task in (None, "multilabel") else None
    if joined is not None:
        return _listed(reading, joined, task)
    values, merged = merge_spellings(values)
    guesses = [Guess("spelling", merged, "they differ only in case or blanks")] if merged else []
    wanted = _wanted(task, reading)
    chosen, why = (wanted, "") if wanted else infer_task(values, reading.label_name, reading.class_names)
    if task is None:
        guesses.append(Guess("task", chosen, why or "the kind of labels tells", "--task"))
    if chosen == "regress":
        return Encoded("regress", (reading.label_name,), _numbers(values, reading.label_name), guesses)
    if chosen == "multilabel":
        return _listed(reading, [None if v is None else (v,) for v in values], task)
    return _classes(values, chosen, reading, guesses)


def tidy(text: str) -> str:
    """One spelling of a cell: no stray blanks, whole numbers without a decimal point.

    Example:
        >>> tidy(" 3.0 "), tidy("No  finding"), tidy("1.5")
        ('3', 'No finding', '1.5')
    """
    text = " ".join(text.split())
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", text)


def merge_spellings(values: Sequence[str | None]) -> tuple[list[str | None], str]:
    """Give labels that differ only in case or separators the commonest spelling.

    Args:
        values: Tidy labels.

    Returns:
        The labels, and a sentence that names what was merged (empty if nothing).
    """
    counts = Counter(v for v in values if v is not None)
    groups: dict[str, list[str]] = {}
    for value in counts:
        groups.setdefault(
            re.sub(r"[\s_-]+", " ", value.casefold()).strip() if not _number(value) else value, []
        ).append(value)
    chosen = {v: max(group, key=lambda g: (counts[g], g)) for group in groups.values() for v in group}
    several = [
        "; ".join(repr(v) for v in g if v != chosen[v]) + f" read as {chosen[g[0]]!r}"
        for g in groups.values()
        if len(g) > 1
    ]
    return [None if v is None else chosen[v] for v in values], ", ".join(several)


def infer_task(values: Sequence[str | None], name: str, names: Mapping[str, str] | None = None) -> tuple[Task, str]:
    """Guess what is to be predicted from the labels and the column's name.

    Args:
        values: Tidy labels, None where missing.
        name: Name of the column, or of what the labels are.
        names: Readable names of label values, if known.

    Returns:
        The task, and the evidence in words.
    """
    distinct = {v for v in values if v is not None}
    words = set(tokens(plain(name)))
    if len(distinct) <= 2:
        return "binary", f"{name!r} has {len(distinct)} values"
    if all(_number(v) for v in distinct):
        whole = all(float(v).is_integer() for v in distinct)
        if not whole:
            return "regress", f"{name!r} holds numbers with decimals"
        if len(distinct) > _MOST_WHOLE_NUMBERS or words & set(NUMBER_COLUMNS):
            return "regress", f"{name!r} holds {len(distinct)} different whole numbers"
        if words & set(ORDER_COLUMNS):
            return "ordinal", f"{name!r} holds grades {', '.join(sorted(distinct, key=float))}"
        return "multiclass", f"{name!r} has {len(distinct)} different whole numbers"
    if _degrees(distinct) is not None:
        return "ordinal", "the classes rise in degree: " + ", ".join(order(distinct, "ordinal"))
    return "multiclass", f"{name!r} has {len(distinct)} values"


def order(distinct: set[str], task: str) -> list[str]:
    """Class names in the order of their index.

    Args:
        distinct: The names.
        task: Binary tasks put the name that means "not there" first, ordinal ones rise in degree.

    Returns:
        Numbers by value, degrees by degree, known severities by severity, else by name.
    """
    if all(_number(v) for v in distinct):
        return sorted(distinct, key=float)
    ranks = _degrees(distinct)
    if ranks is not None:
        return sorted(distinct, key=lambda v: ranks[v])
    worsening = {v: WORSENING.get(v.casefold()) for v in distinct}
    if None not in worsening.values() and len(set(worsening.values())) == len(distinct):
        return sorted(distinct, key=lambda v: worsening[v] or 0)
    if task == "binary":
        return sorted(distinct, key=lambda v: (not is_negative(v), natural(v)))
    return sorted(distinct, key=natural)


def is_negative(name: str) -> bool:
    """Whether a class name says that the disease is not there."""
    words = tokens(name)
    return plain(name) in NEGATIVE_WORDS or (bool(words) and words[0] in ("no", "non", "not", "without", "normal"))


def _wanted(task: str | None, reading: Reading) -> Task | None:
    if task is not None:
        return task  # type: ignore[return-value]
    return reading.task


def _missing(value: RawLabel) -> bool:
    if isinstance(value, tuple):
        return all(_missing(v) for v in value)
    return value is None or value.strip().casefold() in MISSING_WORDS


def _number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False


def _degrees(distinct: set[str]) -> dict[str, int] | None:
    """Rank of each name when all stand on one ladder (``mild`` .. ``severe``, ``grade 2``, ``BI-RADS 4a``)."""
    if len(distinct) < 3:
        return None
    lowered = {v: v.casefold() for v in distinct}
    for ladder in DEGREES:
        places = {
            v: [i for i, word in enumerate(ladder) if word in re.split(r"[^a-z]+", low)] for v, low in lowered.items()
        }
        first = {v: p[0] for v, p in places.items() if p}
        if len(first) == len(distinct) and len(set(first.values())) == len(distinct):
            return first
    found = {v: re.fullmatch(r"([a-z][a-z _-]*?)[ _-]*(\d+)([a-d]?)", low) for v, low in lowered.items()}
    matches = {v: m for v, m in found.items() if m}
    if len(matches) == len(distinct) and len({m[1] for m in matches.values()}) == 1:
        word = plain(next(iter(matches.values()))[1])
        if set(word.split("_")) & set(ORDER_COLUMNS) or "rads" in word:
            ranked = sorted(matches, key=lambda v: (int(matches[v][2]), matches[v][3]))
            return {v: i for i, v in enumerate(ranked)}
    return None


def _numbers(values: Sequence[str | None], name: str) -> list[Label]:
    wrong = next((v for v in values if v is not None and not _number(v)), None)
    if wrong is not None:
        raise InputError(
            f"The column {name!r} holds {wrong!r}.",
            "Regression needs a number in every row that has a label.",
            "Correct the cell, empty it, or name another task with --task.",
        )
    return [None if v is None else float(v) for v in values]


def _classes(values: Sequence[str | None], task: Task, reading: Reading, guesses: list[Guess]) -> Encoded:
    distinct = {v for v in values if v is not None}
    names = {v: reading.class_names.get(v, v) for v in distinct}
    if len(distinct) == 1:
        raise CohortError(
            f"Every labelled case has the class {names[next(iter(distinct))]!r}.",
            "Learning needs at least two classes.",
            "Add cases of another class, or name another label column with --labels.",
        )
    if len(distinct) == sum(v is not None for v in values):
        raise CohortError(
            f"Each of the {len(distinct)} labelled cases has a class of its own.",
            "Learning needs several cases of each class.",
            "Name another label column with --labels, or the folder above.",
        )
    if len(distinct) > _MOST_CLASSES and len(distinct) > len(values) / 3:
        raise InputError(
            f"The label {reading.label_name!r} has {len(distinct)} different values in {len(values)} cases.",
            "A class needs several cases.",
            "Name another label column with --labels, or write --task regress if it is a number.",
        )
    if task == "binary" and len(distinct) > 2:
        raise InputError(
            f"The label {reading.label_name!r} has {len(distinct)} values.",
            "A binary task has two.",
            "Write --task multiclass, or name another column with --labels.",
        )
    known = {v: names[v] for v in distinct}
    ordered = (
        order(distinct, task)
        if all(_number(v) for v in distinct)
        else sorted(distinct, key=order(distinct, task).index)
    )
    classes = tuple(known[v] for v in ordered)
    if task == "binary":
        why = f"{classes[0]!r} reads as its absence" if is_negative(classes[0]) else "it comes second"
        guesses.append(Guess("positive class", classes[1], why))
    elif task == "ordinal":
        guesses.append(Guess("order of the classes", " < ".join(classes), "from the lowest to the highest degree"))
    index = {v: i for i, v in enumerate(ordered)}
    return Encoded(task, classes, [None if v is None else index[v] for v in values], guesses)


def _lists(values: Sequence[str | None]) -> list[tuple[str, ...] | None] | None:
    """Cells such as ``Effusion|Mass`` taken apart, when there are such cells and their parts recur."""
    apart = [None if v is None else tuple(p for p in _JOINED.split(v) if p) for v in values]
    joined = [a for a in apart if a and len(a) > 1]
    if not joined:
        return None
    alone = {a[0] for a in apart if a and len(a) == 1}
    names = {p for a in apart if a for p in a}
    recurring = sum(p in alone for a in joined for p in a) / sum(len(a) for a in joined)
    return apart if len(names) <= _MOST_CLASSES and (recurring > 0.5 or len(joined) > len(names)) else None


def _listed(reading: Reading, lists: list[tuple[str, ...] | None], task: str | None) -> Encoded:
    names = sorted({p for cell in lists if cell for p in cell if not is_negative(p)}, key=natural)
    if not names:
        raise CohortError(
            "Every case is negative.", "Learning needs at least one finding.", "Name another column with --labels."
        )
    labels: list[Label] = [None if cell is None else tuple(int(n in cell) for n in names) for cell in lists]
    guesses = (
        []
        if task
        else [Guess("task", "multilabel", f"cells of {reading.label_name!r} name several findings", "--task")]
    )
    return Encoded("multilabel", tuple(names), labels, guesses)


def _several(reading: Reading, raw: Sequence[RawLabel], task: str | None) -> Encoded:
    if task not in (None, "multilabel"):
        raise InputError(
            f"The labels are {len(reading.label_names)} columns and the task is {task}.",
            "Several label columns make a multilabel task.",
            "Name one column with --labels, or leave --task out.",
        )
    labels: list[Label] = []
    for row, value in zip(reading.rows, raw, strict=True):
        cells = value if isinstance(value, tuple) else ()
        labels.append(
            None
            if _missing(value)
            else tuple(_yes(c, row.source, n) for c, n in zip(cells, reading.label_names, strict=True))
        )
    for i, name in enumerate(reading.label_names):
        seen = {x[i] for x in labels if isinstance(x, tuple)} - {None}
        if len(seen) < 2 and len(reading.label_names) == 1:
            raise CohortError(
                f"The label {name!r} has one value.", "Learning needs two.", "Name another column with --labels."
            )
    guesses = (
        [] if task else [Guess("task", "multilabel", f"{len(reading.label_names)} label columns of 1 and 0", "--task")]
    )
    names = tuple(reading.class_names.get(n, n) for n in reading.label_names)
    return Encoded("multilabel", names, labels, guesses)


_YES = {
    "1": 1,
    "true": 1,
    "yes": 1,
    "positive": 1,
    "present": 1,
    "y": 1,
    "0": 0,
    "false": 0,
    "no": 0,
    "negative": 0,
    "absent": 0,
    "n": 0,
}


def _yes(cell: str, source: str, name: str) -> int | None:
    text = tidy(cell).casefold()
    if text in MISSING_WORDS or text == "-1":  # -1: uncertain (CheXpert)
        return None
    if text not in _YES:
        raise InputError(
            f"The column {name!r} holds {cell!r} at {source}.",
            "A column of a multilabel task holds 1, 0 or nothing.",
            "Correct the cell, or name another column with --labels.",
        )
    return _YES[text]
