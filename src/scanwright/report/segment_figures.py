"""The figures of a segmentation: title, unit, direction and one plain sentence each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scanwright.core import Evaluation, Interval
from scanwright.report.contents import ReportContents
from scanwright.report.phrases import bounds, number

Unit = Literal["", "mm", "mL"]
_INF = math.inf


@dataclass(frozen=True)
class SegmentFigure:
    """One figure of a segmentation.

    Args:
        title: Name in a table.
        meaning: One plain sentence for a reader who is no statistician.
        better: Direction; ``"zero"`` where the figure should be near 0.
        bounds: Smallest and largest possible value.
        unit: Of the figure; in pictures see :func:`unit_of`.
    """

    title: str
    meaning: str
    better: Literal["higher", "lower", "zero"] = "higher"
    bounds: tuple[float, float] = (0.0, 1.0)
    unit: Unit = ""


SEGMENT_FIGURES: Mapping[str, SegmentFigure] = {
    "dice": SegmentFigure("Dice", "Overlap of what was drawn with what is true: 0 is none, 1 the same."),
    "iou": SegmentFigure("IoU", "What both share, divided by what either covers; stricter than Dice."),
    "precision": SegmentFigure("Precision", "Of what the model drew, the share that is true."),
    "recall": SegmentFigure("Recall", "Of what is there, the share that the model drew."),
    "nsd": SegmentFigure("Surface Dice (NSD)", "Share of the outline that lies within the tolerance of the true one."),
    "hd95_mm": SegmentFigure("HD95", "95 of 100 points of the outlines lie no farther apart than this.", "lower", (0.0, _INF), "mm"),
    "assd_mm": SegmentFigure("Mean distance (ASSD)", "How far the drawn and the true outline lie apart on average.", "lower", (0.0, _INF), "mm"),
    "volume_error_ml": SegmentFigure("Volume error", "How far the measured size is from the true one on average, whatever the sign.", "lower", (0.0, _INF), "mL"),
    "volume_bias_ml": SegmentFigure("Volume bias", "Drawn minus true size on average: above 0 the model draws too much.", "zero", (-_INF, _INF), "mL"),
    "lesion_sensitivity": SegmentFigure("Pieces found", "Of the separate pieces that are there, the share that was found."),
    "false_positives": SegmentFigure("False pieces", "Separate pieces a case that were drawn where there is none.", "lower", (0.0, _INF)),
    "ap50": SegmentFigure("AP at IoU 0.5", "Objects outlined at least half right, out of all that are there or were drawn."),
    "pq": SegmentFigure("Panoptic quality", "Finding and outlining of objects in one figure: 0 is none, 1 perfect."),
}  # fmt: skip

_TILES = {
    "instances": ("ap50", "dice", "pq", "false_positives"),
    "lesions": ("dice", "lesion_sensitivity", "false_positives", "volume_error_ml"),
    "structures": ("dice", "hd95_mm", "nsd", "volume_error_ml"),
}
_COLUMNS = ("dice", "hd95_mm", "nsd", "precision", "recall", "volume_error_ml", "volume_bias_ml")


def kind_of(contents: ReportContents, judged: Evaluation) -> str:
    """What matters most: single objects, lesions, or structures that everyone has.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Returns:
        ``"instances"``, ``"lesions"`` (there is a FROC curve) or ``"structures"``.
    """
    if are_objects(contents):
        return "instances"
    return "lesions" if judged.curves.get("froc") else "structures"


def are_objects(contents: ReportContents) -> bool:
    """Whether the masks number single objects."""
    return contents.cohort.mask_code is not None and contents.cohort.mask_code.kind == "instances"


def tile_names(contents: ReportContents, judged: Evaluation) -> list[str]:
    """Up to four figures for the top of the page, those that were measured."""
    wanted = dict.fromkeys((*_TILES[kind_of(contents, judged)], *_TILES["structures"]))
    return [n for n in wanted if n in judged.metrics and math.isfinite(judged.metrics[n].value)][:4]


def column_names(contents: ReportContents, judged: Evaluation) -> list[str]:
    """Figures for the table of structures, those that were measured."""
    more = {"instances": ("ap50", "pq"), "lesions": ("lesion_sensitivity", "false_positives"), "structures": ()}
    wanted = (*_COLUMNS, *more[kind_of(contents, judged)])
    rows = judged.per_class.values()
    return [n for n in wanted if any(n in row and math.isfinite(row[n].value) for row in rows)]


def unit_of(contents: ReportContents, unit: Unit) -> str:
    """The unit as it stands on the page.

    Args:
        contents: ``units`` may name others; pictures are measured in pixels unless it does.
        unit: Unit of a volume.

    Returns:
        Text; empty for shares and counts.
    """
    if not unit:
        return ""
    return contents.units.get(unit, unit if contents.cohort.dimension == 3 else "pixels")


def title_of(contents: ReportContents, name: str) -> str:
    """Title with unit; in pictures sizes are areas."""
    facts = SEGMENT_FIGURES[name]
    title = facts.title if contents.cohort.dimension == 3 else facts.title.replace("Volume", "Area")
    unit = unit_of(contents, facts.unit)
    return f"{title}, {unit}" if unit else title


def digits_of(name: str, value: float) -> int:
    """Digits after the point: three for shares, fewer for larger amounts."""
    facts = SEGMENT_FIGURES[name]
    if facts.bounds == (0.0, 1.0):
        return 3
    size = abs(value) if math.isfinite(value) else 0.0
    return 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or facts.unit != "mL" else 3


def say(name: str, interval: Interval, unit: str = "") -> str:
    """A figure with its interval in words, and its unit."""
    digits = digits_of(name, interval.value)
    inner, tail = bounds(interval, digits), f" {unit}" if unit else ""
    return number(interval.value, digits) + tail + (f" (95 % interval {inner})" if inner else "")
