"""One self-contained HTML page: no script, no request, no file beside it."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from scanwright.core import PARTS, Cohort, Evaluation, ResourceError, Task
from scanwright.report.contents import ReportContents
from scanwright.report.detect_view import detect_view
from scanwright.report.phrases import PART_WORDS, RESEARCH_USE
from scanwright.report.pictures import embed, is_film
from scanwright.report.sections import sections_of
from scanwright.report.segment_views import segment_view
from scanwright.report.views import (
    classes_table,
    comparison,
    confusion_table,
    examination_figure,
    learning_figures,
    quality_figures,
    race_table,
    tiles,
)
from scanwright.report.words import (
    examined,
    faithfulness,
    lights,
    limits,
    verdict_sentences,
)

if TYPE_CHECKING:
    from jinja2 import Template

MAX_SAMPLES = 36
MAX_PAIRS = 6
MAX_ERRORS = 12
_TEMPLATES = Path(__file__).with_name("template")
_TASK_WORDS = {
    "binary": "yes or no",
    "multiclass": "one of several classes",
    "multilabel": "several findings, each yes or no",
    "ordinal": "one of several ordered grades",
    "regress": "a number",
    "segment": "the outline of each structure",
    "detect": "a box around each thing",
}
_SCORE_WORDS = {
    "segment": "How well the outlines overlap the truth on validation cases, as training goes on; 1 would be perfect.",
    "detect": "Mean average precision on validation cases, as training goes on; 1 would be perfect.",
}


def write_report(path: Path, contents: ReportContents) -> None:
    """Write ``report.html``.

    The page holds everything it shows; it loads nothing and runs nothing, and its own
    policy (CSP) forbids both. Written whole or not at all.

    Args:
        path: File to write.
        contents: What to show.

    Raises:
        ResourceError: The file cannot be written.
    """
    text = render(contents)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ResourceError(
            f"The report {path.name!r} cannot be written ({error.strerror or error}).",
            "The folder must exist, be writable and have room for about 3 MB.",
            "Free some space, or choose another folder with --out.",
        ) from error


def render(contents: ReportContents) -> str:
    """The page as text.

    Args:
        contents: What to show.

    Returns:
        A complete HTML document.
    """
    return _template().render(**page_view(contents))


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = code
    return environment.get_template("page.html.j2")


def code(text: object) -> Markup:
    """Escape a text and set what stands between backticks as code."""
    pieces = str(text).split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(pieces))


def page_view(contents: ReportContents) -> dict[str, Any]:
    """All that the template needs, worked out.

    Args:
        contents: What to show.

    Returns:
        Names to plain values.
    """
    judged = contents.judged()
    seen = lights(contents)
    return {
        "style": (_TEMPLATES / "style.css").read_text(encoding="utf-8"),
        "sections": sections_of(contents),
        "contents": contents,
        "cohort": contents.cohort,
        "task_words": _TASK_WORDS[contents.cohort.task],
        "judged": judged,
        "part_word": PART_WORDS[judged.part] if judged else "",
        "verdict": verdict_sentences(contents),
        "overall": _overall([light.colour for light in seen]),
        "lights": seen,
        "counts": counts_table(contents.cohort),
        "findings": sorted(contents.findings, key=lambda f: ("stop", "warn", "info").index(f.severity)),
        "learning": learning_figures(contents.history, scores=_SCORE_WORDS.get(contents.cohort.task)),
        "race": race_table(contents.race),
        "trained": contents.trained,
        "limits": limits(contents),
        "research_use": RESEARCH_USE,
        **_VIEWS.get(contents.cohort.task, _answers_view)(contents, judged),
    }


def _answers_view(contents: ReportContents, judged: Evaluation | None) -> dict[str, Any]:
    """What only the pages of classifiers and of numbers need."""
    samples, explained = _pictured(contents)
    hidden = contents.hidden
    wrong = [row for row in explained if not row["correct"]]
    return {
        "tiles": tiles(judged) if judged else [],
        "counts_caption": "Cases of each class in each part",
        "scored_on": "validation as it is and under mild changes of contrast, blur, noise and place",
        "samples": samples,
        "grouped": _by_caption(samples),
        "legend": [],
        "comparison": comparison(contents, judged) if judged else {},
        "per_class": classes_table(judged) if judged else {},
        "confusion": confusion_table(judged) if judged else {},
        "figures": quality_figures(contents, judged) if judged else [],
        "hidden": hidden,
        "exam": _exam(contents),
        "exam_figures": examination_figure(contents.examination),
        "looks": _looks(explained, contents.cohort.task, hidden),
        "films": any(row["film"] for row in explained),
        "errors": _errors(wrong, contents.cohort.task)[:MAX_ERRORS],
    }


_VIEWS: Mapping[Task, Callable[[ReportContents, Evaluation | None], dict[str, Any]]] = {
    "segment": segment_view,
    "detect": detect_view,
}


def _overall(colours: Sequence[str]) -> tuple[str, str]:
    if "red" in colours:
        return "red", "Do not rely on this"
    if "amber" in colours:
        return "amber", "Read with care"
    return "green", "Nothing speaks against these figures"


def counts_table(cohort: Cohort) -> dict[str, Any]:
    """Cases of each class in each part, with the share of the largest for a bar.

    Args:
        cohort: The cases.

    Returns:
        ``parts`` and ``rows`` (name, cells of count and share); empty without cases.
    """
    counts = cohort.counts()
    parts = [p for p in (*PARTS, "all") if p in counts]
    names = list(dict.fromkeys([*cohort.classes, *(n for p in parts for n in counts[p])]))
    names = [n for n in names if any(counts[p].get(n) for p in parts)]
    top = {p: max(counts[p].values(), default=1) or 1 for p in parts}
    rows = [
        {"name": n, "cells": [{"n": counts[p].get(n, 0), "share": counts[p].get(n, 0) / top[p]} for p in parts]}
        for n in names
    ]
    people = {p: len({c.group for c in cohort.cases if (c.part or "all") == p}) for p in parts}
    cases = {p: sum((c.part or "all") == p for c in cohort.cases) for p in parts}
    named = any(c.patient is not None for c in cohort.cases)
    return {"parts": [p if p != "all" else "cases" for p in parts], "rows": rows, "cases": list(cases.values()), "patients": list(people.values()) if named else []}  # fmt: skip


def _pictured(contents: ReportContents) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Samples and explained cases with their pictures encoded, all within one budget."""
    chosen = list(contents.samples)[:MAX_SAMPLES]
    rows = list(contents.explained)
    failed = _failed_classes(contents)
    wanted: list[Any] = [p for _, p in chosen]
    for row in rows:
        unfit = contents.hidden or str(row.get("predicted")) in failed
        wanted += [row.get("picture"), None if unfit else row.get("overlay")]
    uris = iter(embed(wanted))
    samples = [{"caption": str(caption), "uri": next(uris), **_size(p)} for caption, p in chosen]
    explained, is_number = [], contents.cohort.task == "regress"
    for row in rows:
        picture, overlay = next(uris), next(uris)
        explained.append(
            {**_case_words(row, is_number), "picture": picture, "overlay": overlay, **_size(row.get("picture"))}
        )
    return samples, explained


def _size(picture: Any) -> dict[str, Any]:
    if picture is None:
        return {"tiny": False, "film": False}
    return {"tiny": max(picture.shape[:2]) <= 64, "film": is_film(picture)}


def _case_words(row: Mapping[str, Any], is_number: bool) -> dict[str, Any]:
    chance = row.get("probability")
    known = isinstance(chance, int | float) and math.isfinite(chance)
    return {
        "case": str(row.get("case", "")),
        "truth": _rounded(row.get("truth", ""), is_number),
        "predicted": _rounded(row.get("predicted", ""), is_number),
        "probability": float(chance) if known else None,  # type: ignore[arg-type]
        "correct": bool(row.get("correct")),
    }


def _rounded(value: Any, is_number: bool) -> str:
    try:
        return f"{float(value):.4g}" if is_number else str(value)
    except ValueError:
        return str(value)


def _by_caption(samples: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for sample in samples:
        groups.setdefault(sample["caption"], []).append(sample)
    many = len(samples) >= 3 * len(groups)
    return groups if many else {}


def _exam(contents: ReportContents) -> dict[str, Any]:
    """The examination in words; empty if there was none."""
    if contents.examination is None:
        return {}
    passed = contents.examination.get("passed")
    sentence = str(contents.examination.get("sentence") or examined(passed))
    return {
        "passed": bool(passed),
        "sentence": sentence,
        "details": faithfulness(contents.examination),
        "failed": _failed_classes(contents),
    }


def _failed_classes(contents: ReportContents) -> list[str]:
    """Classes whose own heat maps failed although the maps as a whole may have passed."""
    classes = dict((contents.examination or {}).get("classes") or {})
    return [str(name) for name, facts in classes.items() if isinstance(facts, Mapping) and facts.get("passed") is False]


def _looks(explained: Sequence[dict[str, Any]], task: str, hidden: bool) -> list[dict[str, Any]]:
    """Rows of picture and heat map, right answers and wrong ones apart."""
    if hidden:
        return []
    drawn = [row for row in explained if row["overlay"]]
    if task == "regress":
        return [{"title": "", "rows": drawn[: 2 * MAX_PAIRS]}] if drawn else []
    groups = [
        ("Where it is right", [r for r in drawn if r["correct"]]),
        ("Where it is wrong", [r for r in drawn if not r["correct"]]),
    ]
    return [{"title": title, "rows": rows[:MAX_PAIRS]} for title, rows in groups if rows]


def _errors(wrong: Sequence[dict[str, Any]], task: str) -> list[dict[str, Any]]:
    """Worst first: the most confident errors, or the farthest numbers."""
    if task == "regress":
        return [r for r in sorted(wrong, key=lambda r: -_distance(r)) if _distance(r) > 0][: MAX_ERRORS // 2]
    return sorted(wrong, key=lambda r: -(r["probability"] or 0.0))


def _distance(row: Mapping[str, Any]) -> float:
    try:
        return abs(float(row["truth"]) - float(row["predicted"]))
    except ValueError:
        return 0.0
