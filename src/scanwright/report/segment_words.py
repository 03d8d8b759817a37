"""Plain sentences about a segmentation: how near the outlines are, and what speaks against the figures."""

from __future__ import annotations

import math
from collections.abc import Iterator

from scanwright.core import Evaluation, Interval
from scanwright.report.contents import ReportContents
from scanwright.report.phrases import PART_WORDS, Light, number, of_hundred
from scanwright.report.segment_figures import digits_of, kind_of, say, unit_of

FEW_TRAINING = 20
"""Training patients below which a result says little."""
FEW_TEST = 10
"""Test patients below which a result says little."""
POOR = 0.5
"""Dice below which an outline is called poor."""
FACE_VALUE = 0.05
"""Mean gap of the reliability curve up to which probabilities can be taken at face value."""


def segment_sentences(contents: ReportContents, judged: Evaluation) -> Iterator[str]:
    """The first paragraph; its first sentence can stand alone.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Yields:
        Plain sentences.
    """
    dice = judged.metrics.get("dice")
    if dice is None or not math.isfinite(dice.value):
        yield f"{_opening(contents, judged)} no overlap with the truth could be measured."
        return
    yield f"{_opening(contents, judged)} what the model draws overlaps the truth with a Dice of {say('dice', dice)}; 0 would be no overlap, 1 the same outline."
    yield from _best_and_worst(judged)
    yield from _distance(contents, judged)
    yield from _amount(contents, judged)
    yield from _pieces(contents, judged)
    floor = contents.judged("floor", judged.part)
    if floor is not None and "dice" in floor.metrics and math.isfinite(floor.metrics["dice"].value):
        yield f"For comparison: the floor, which looks at no image, reaches a Dice of {number(floor.metrics['dice'].value)}, this model {number(dice.value)}."


def _opening(contents: ReportContents, judged: Evaluation) -> str:
    kind = "volume" if contents.cohort.dimension == 3 else "picture"
    several = "s" if judged.n_cases != 1 else ""
    patients = f" of {judged.n_patients:,} patients" if judged.n_patients != judged.n_cases else ""
    return f"On {judged.n_cases:,} {PART_WORDS[judged.part]} {kind}{several}{patients},"


def _finite(judged: Evaluation, name: str) -> Interval | None:
    found = judged.metrics.get(name)
    return found if found is not None and math.isfinite(found.value) else None


def dice_by_structure(judged: Evaluation) -> dict[str, Interval]:
    """Dice of the structures that could be judged."""
    found = {c: judged.per_class.get(c, {}).get("dice") for c in judged.classes}
    return {c: v for c, v in found.items() if v is not None and math.isfinite(v.value)}


def _best_and_worst(judged: Evaluation) -> Iterator[str]:
    found = dice_by_structure(judged)
    if len(found) < 2:
        return
    best, worst = (f(found, key=lambda c: found[c].value) for f in (max, min))
    yield f"Of {len(judged.classes)} structures it draws “{best}” best (Dice {number(found[best].value)}) and “{worst}” worst ({number(found[worst].value)})."


def _distance(contents: ReportContents, judged: Evaluation) -> Iterator[str]:
    found = _finite(judged, "hd95_mm")
    if found is not None:
        yield f"95 of 100 points of the outlines lie within {say('hd95_mm', found, unit_of(contents, 'mm'))} of each other (HD95)."


def _amount(contents: ReportContents, judged: Evaluation) -> Iterator[str]:
    error, bias = _finite(judged, "volume_error_ml"), _finite(judged, "volume_bias_ml")
    if error is None or kind_of(contents, judged) == "instances":
        return
    unit, word = unit_of(contents, "mL"), "volume" if contents.cohort.dimension == 3 else "area"
    said = f"The measured {word} is off by {number(error.value, digits_of('volume_error_ml', error.value))} {unit} on average"
    if bias is not None and not bias.low <= 0 <= bias.high and math.isfinite(bias.low):
        size = number(abs(bias.value), digits_of("volume_bias_ml", bias.value))
        said += f", and {size} {unit} too {'large' if bias.value > 0 else 'small'} in the mean"
    yield said + "."


def _pieces(contents: ReportContents, judged: Evaluation) -> Iterator[str]:
    kind = kind_of(contents, judged)
    if kind == "instances" and (found := _finite(judged, "ap50")) is not None:
        yield f"Taking objects one by one, it outlines {of_hundred(found)} at least half right (AP at IoU 0.5, false ones counted against it)."
    if kind == "lesions" and (found := _finite(judged, "lesion_sensitivity")) is not None:
        false = _finite(judged, "false_positives")
        tail = f", with {number(false.value, 2)} false ones a case" if false is not None else ""
        yield f"It finds {of_hundred(found)} separate pieces{tail}."


def segment_lights(contents: ReportContents, judged: Evaluation) -> Iterator[Light]:
    """What to know before believing the figures of a segmentation.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Yields:
        Red, amber and green lines.
    """
    dice, floor = _finite(judged, "dice"), contents.judged("floor", judged.part)
    if dice is None:
        yield Light("red", "No case of this part could be judged: there is no figure to rely on.")
        return
    if floor is not None and (low := _finite(floor, "dice")) is not None:
        if (dice.low if math.isfinite(dice.low) else dice.value) <= low.value:
            yield Light("red", f"Dice {say('dice', dice)} is no better than the floor, which looks at no image ({number(low.value)}).")  # fmt: skip
        else:
            yield Light("green", f"Better than the floor, which looks at no image: Dice {number(dice.value)} against {number(low.value)}.")  # fmt: skip
    for text in how_little(contents, judged):
        yield Light("amber", text)
    unknown = [c for c in judged.classes if c not in dice_by_structure(judged)] if judged.per_class else []
    if unknown:
        yield Light("amber", f"{_quoted(unknown)} could not be judged: no case of this part has it.")
    poor = [c for c, v in dice_by_structure(judged).items() if v.value < POOR]
    if poor and len(judged.classes) > 1:
        yield Light("amber", f"Less than half overlap (Dice below {POOR:g}) on average: {_quoted(poor)}.")
    yield from _poor_cases(judged)
    yield from _probabilities(judged)


def _poor_cases(judged: Evaluation) -> Iterator[Light]:
    known = [(str(row.get("case", "")), float(row["dice"])) for row in judged.cases if _is_number(row.get("dice"))]
    poor = [name for name, value in sorted(known, key=lambda pair: pair[1]) if value < POOR]
    if poor:
        several = len(poor) != 1
        yield Light("amber", f"{len(poor)} of {len(known)} cases {'have' if several else 'has'} a Dice below {POOR:g}: {', '.join(poor[:5])}{' …' if len(poor) > 5 else ''}.")  # fmt: skip


def _probabilities(judged: Evaluation) -> Iterator[Light]:
    error = _finite(judged, "ece")
    if error is None:
        return
    off = f"{error.value * 100:.0f} in 100"
    if error.value <= FACE_VALUE:
        yield Light("green", f"The probability map can be taken at face value here: it is off by {off} on average.")
    elif error.value > 2 * FACE_VALUE:
        yield Light("amber", f"The probability map is off by {off} on average: read it as a ranking.")


def how_little(contents: ReportContents, judged: Evaluation) -> Iterator[str]:
    """Whether there are too few patients to say much, and how little that is.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Yields:
        Sentences, none where there are enough.
    """
    named = any(c.patient is not None for c in contents.cohort.cases)
    kind = "patient" if named else "case"
    n_train = len({c.group for c in contents.cohort.of("train") if c.is_labelled}) if contents.trained else 0
    if contents.trained and 0 < n_train < FEW_TRAINING:
        yield f"Learnt from {n_train} {kind}{'s' if n_train != 1 else ''} only: that is little, and anything that looks unlike them may be drawn wrongly."
    n = judged.n_patients
    if n < FEW_TEST:
        yield f"Judged on {n} {kind}{'s' if n != 1 else ''} only: that is too little to know how good it is, one more could move every figure."


def segment_limits(contents: ReportContents, judged: Evaluation | None) -> Iterator[str]:
    """What the figures of a segmentation do not show.

    Args:
        contents: What the report shows.
        judged: The model's evaluation, or None.

    Yields:
        Plain sentences.
    """
    yield "It knows only the structures above. It draws them wherever it thinks they are, also in an image of another part of the body."
    yield "The truth is what a person drew, and people differ: a Dice above what two of them reach with each other means nothing."
    if judged is None:
        return
    yield from how_little(contents, judged)
    tiny = [c for c, v in judged.per_class.items() if "dice" in v and not math.isfinite(v["dice"].value)]
    if tiny:
        yield f"Nothing is known about {_quoted(tiny)}: no case of the {PART_WORDS[judged.part]} part has it."
    code = contents.cohort.mask_code
    if code is not None and code.ignore is not None:
        yield "Places that the truth marks as not to be judged count neither for nor against it."


def _quoted(names: list[str]) -> str:
    shown = ", ".join(f"“{n}”" for n in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
