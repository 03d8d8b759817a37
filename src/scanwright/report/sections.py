"""Which sections a page has, task by task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scanwright.core import Task
from scanwright.report.contents import ReportContents


def _always(_: ReportContents) -> bool:
    return True


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Args:
        id: Anchor.
        title: Heading.
        short: Word in the row of links.
        template: File in ``template/``.
        shown: Whether a page has it.
        quiet: Whether the heading is for screen readers only.
    """

    id: str
    title: str
    short: str
    template: str
    shown: Callable[[ReportContents], bool] = _always
    quiet: bool = False


VERDICT = Section("verdict", "Verdict", "Verdict", "verdict.html.j2", quiet=True)
DATA = Section("data", "What the data are", "Data", "data.html.j2")
TRAINING = Section("training", "How it was trained", "Training", "training.html.j2", lambda c: c.trained)
LIMITS = Section("limits", "Limits", "Limits", "limits.html.j2")
PROVENANCE = Section("provenance", "Provenance", "Provenance", "provenance.html.j2")

ANSWERS = (
    VERDICT,
    DATA,
    TRAINING,
    Section("quality", "How good it is", "How good", "quality.html.j2"),
    Section("attention", "Where it looks", "Where it looks", "attention.html.j2"),
    Section("errors", "What it gets wrong", "Errors", "errors.html.j2"),
    LIMITS,
    PROVENANCE,
)
OUTLINES = (
    VERDICT,
    Section("drawings", "What it draws", "What it draws", "drawings.html.j2"),
    Section("quality", "How good it is", "How good", "segment_quality.html.j2"),
    Section("cases", "Case by case", "Case by case", "cases.html.j2"),
    DATA,
    TRAINING,
    LIMITS,
    PROVENANCE,
)
BOXES = (
    VERDICT,
    Section("drawings", "What it finds", "What it finds", "boxes.html.j2"),
    Section("quality", "How good it is", "How good", "detect_quality.html.j2"),
    DATA,
    TRAINING,
    LIMITS,
    PROVENANCE,
)
SECTIONS: Mapping[Task, tuple[Section, ...]] = {
    "binary": ANSWERS,
    "multiclass": ANSWERS,
    "multilabel": ANSWERS,
    "ordinal": ANSWERS,
    "regress": ANSWERS,
    "segment": OUTLINES,
    "detect": BOXES,
}


def sections_of(contents: ReportContents) -> list[Section]:
    """Sections of one page.

    Args:
        contents: What to show.

    Returns:
        In their order on the page.
    """
    return [s for s in SECTIONS[contents.cohort.task] if s.shown(contents)]
