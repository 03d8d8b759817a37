"""Plain sentences about a detection: what is found, what is false, and what speaks against the figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from scanwright.core import Evaluation, Interval
from scanwright.report.contents import ReportContents
from scanwright.report.phrases import PART_WORDS, Light, bounds, number, of_hundred

FEW_BOXES = 20
POOR = 0.3
"""Mean AP at IoU 0.5 below which the answers are called poor."""


@dataclass(frozen=True)
class DetectFigure:
    """One figure of a detection.

    Args:
        title: Name in a table.
        meaning: One plain sentence for a reader who is no statistician.
        better: Direction.
        bounds: Smallest and largest possible value.
    """

    title: str
    meaning: str
    better: Literal["higher", "lower"] = "higher"
    bounds: tuple[float, float] = (0.0, 1.0)


DETECT_FIGURES: Mapping[str, DetectFigure] = {
    "ap50": DetectFigure("AP at IoU 0.5", "How well boxes that lie at least half right are told from false ones, over all scores."),
    "ap10": DetectFigure("AP at IoU 0.1", "The same for boxes that at least touch the thing: finding counts, not fitting."),
    "ap25": DetectFigure("AP at IoU 0.25", "The same for boxes that lie a quarter right."),
    "ap75": DetectFigure("AP at IoU 0.75", "The same for boxes that fit tightly."),
    "map": DetectFigure("AP at IoU 0.5 to 0.95", "Mean over ten overlaps, as COCO has it: fitting counts much."),
    "cpm": DetectFigure("CPM", "Share of the things found, mean over 1/8, 1/4, 1/2, 1, 2, 4 and 8 false boxes a case."),
    "sensitivity": DetectFigure("Sensitivity", "Of the things that are there, the share with a shown box that lies half right."),
    "precision": DetectFigure("Precision", "Of the shown boxes, the share that lies half right on a thing."),
    "f1": DetectFigure("F1", "Sensitivity and precision in one figure."),
    "false_positives": DetectFigure("False boxes a case", "Shown boxes that lie on nothing, for each case.", "lower", (0.0, math.inf)),
}  # fmt: skip
"""Figures of a detection in the order of the tables."""


def say_figure(name: str, interval: Interval) -> str:
    """A figure of :data:`DETECT_FIGURES` with its interval, as text."""
    if not math.isfinite(interval.value):
        return "–"
    digits = 3 if DETECT_FIGURES[name].bounds == (0.0, 1.0) else 2
    inner = bounds(interval, digits)
    return number(interval.value, digits) + (f" ({inner})" if inner else "")


def detect_sentences(contents: ReportContents, judged: Evaluation) -> Iterator[str]:
    """The first paragraph; its first sentence can stand alone.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Yields:
        Plain sentences.
    """
    images = f"{judged.n_cases:,} {PART_WORDS[judged.part]} image{'s' if judged.n_cases != 1 else ''}"
    people = f" of {judged.n_patients:,} patients" if judged.n_patients != judged.n_cases else ""
    mean = "mean AP" if len(judged.classes) > 1 else "AP"
    yield (
        f"On {images}{people}, the model finds {of_hundred(judged.metrics['sensitivity'])} things, and "
        f"{of_hundred(judged.metrics['precision'])} boxes that it shows are right (at least half overlap)."
    )
    yield f"Its {mean} at IoU 0.5 is {say_figure('ap50', judged.metrics['ap50'])}; 1 would be perfect."
    found = {c: judged.per_class[c]["ap50"] for c in judged.classes if math.isfinite(judged.per_class[c]["ap50"].value)}
    if len(found) > 1:
        best, worst = (f(found, key=lambda c: found[c].value) for f in (max, min))
        yield f"It finds “{best}” best (AP {number(found[best].value)}) and “{worst}” worst ({number(found[worst].value)})."
    floor = contents.judged("floor", judged.part)
    if floor is not None and math.isfinite(floor.metrics["ap50"].value):
        yield f"For comparison: another case's boxes, without looking at the image, have {mean} {number(floor.metrics['ap50'].value)}."


def detect_lights(contents: ReportContents, judged: Evaluation) -> Iterator[Light]:
    """What to know before believing the figures of a detection.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Yields:
        Red, amber and green lines.
    """
    own, floor = judged.metrics["ap50"], contents.judged("floor", judged.part)
    if floor is not None and own.value <= floor.metrics["ap50"].value:
        yield Light("red", "The model is no better than the floor, which looks at no image.")
    elif own.value < POOR:
        yield Light("amber", f"The boxes are poor: AP at IoU 0.5 is {number(own.value)}.")
    n_true = sum(float(row["true"]) for row in judged.cases)
    if n_true >= FEW_BOXES and not judged.warnings:
        yield Light(
            "green", f"{judged.n_cases:,} {PART_WORDS[judged.part]} cases with {n_true:,.0f} true boxes were judged."
        )
    elif n_true < FEW_BOXES and not any("few true boxes" in text for text in judged.warnings):
        yield Light("amber", f"Only {n_true:.0f} true boxes were judged: other cases may tell otherwise.")


def detect_limits(contents: ReportContents, judged: Evaluation | None) -> list[str]:
    """What the figures of a detection do not show.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Returns:
        Plain sentences.
    """
    said = [
        "It looks for the classes above alone; whatever else is in an image gets no box.",
        "A score orders boxes; it is no probability.",
    ]
    if judged is not None:
        said.append(
            "Truth is what somebody marked: a thing that was overlooked counts against the model when it finds it."
        )
    return said
