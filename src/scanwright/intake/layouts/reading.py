"""What every layout gives back: that it fits, and the rows that it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scanwright.core import Box, Emit, Guess, MaskCode, Part, Skipped, Task, silent
from scanwright.intake.place import Place

RawLabel = str | tuple[str, ...] | None
"""A label as it was written; one cell per name for several columns; None where missing."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A layout recognises a place.

    Args:
        why: What gave it away, in words that follow "because".
    """

    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """One picture or volume, before labels become classes.

    Args:
        source: Locator relative to the root.
        label: As written.
        id: Name of the case; made from the source when empty.
        patient: Key of the person, or None.
        part: Part that came with the data, or None.
        covariates: Other columns.
        masks: Locators of its true label maps, for a reading that has a mask code.
        moments: Of a sequence: when each frame was taken, rising; empty if unknown.
        moment_unit: Unit of the moments.
        boxes: For detection: what is there; empty if nothing, None if nobody looked.
    """

    source: str
    label: RawLabel = None
    id: str = ""
    patient: str | None = None
    part: Part | None = None
    covariates: Mapping[str, str | float | None] = field(default_factory=dict)
    masks: tuple[str, ...] = ()
    moments: tuple[float, ...] = ()
    moment_unit: str = "frame"
    boxes: tuple[Box, ...] | None = None


@dataclass
class Reading:
    """Everything a layout found.

    Args:
        root: Folder that locators start from.
        rows: The cases.
        label_name: Column, or what the labels are.
        label_names: Names of the columns when each label is a tuple of 0 / 1 cells.
        class_names: Readable names of label values, where the source or its name tells.
        modality: DICOM code, if the source tells.
        dimension: 2 or 3, if the source tells.
        task: Task, if the source tells.
        guesses: What was inferred on the way.
        skipped: What was left out.
        facts: Further facts in words.
        structures: Names of the structures in the masks, for a segmentation; of the classes of boxes, for detection.
        mask_code: How the masks are read, for a segmentation.
    """

    root: Path
    rows: list[Row]
    label_name: str = "class"
    label_names: tuple[str, ...] = ()
    class_names: Mapping[str, str] = field(default_factory=dict)
    modality: str | None = None
    dimension: int | None = None
    task: Task | None = None
    guesses: list[Guess] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    structures: tuple[str, ...] = ()
    mask_code: MaskCode | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person asked for.

    Args:
        labels: Label column, or several joined by commas.
        table: Table that holds the labels, when it was named apart from the images.
        patient: Patient column.
        emit: Receiver of events.
        task: Task that was asked for; ``"segment"`` takes masks for the truth where classes are there, too, and
            ``"detect"`` boxes, or the pieces of masks.
        structures: Names of the structures in the masks, as ``--structures`` has them.
        box_size: Side of the box around a point, as ``--box-size`` has it.
    """

    labels: str | None = None
    table: Path | None = None
    patient: str | None = None
    emit: Emit = silent
    task: str | None = None
    structures: str | None = None
    box_size: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The label columns asked for."""
        return tuple(c.strip() for c in (self.labels or "").split(",") if c.strip())


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which a cohort may lie on disk.

    Args:
        say: What it is, in words, with its article if it has one.
        fits: Whether a place has this layout, and why.
        read: Makes the rows; raises for layouts that are recognised and not yet supported.
    """

    say: str
    fits: Callable[[Place, Wishes], Fit | None]
    read: Callable[[Place, Wishes], Reading]
