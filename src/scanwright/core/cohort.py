"""Cases and cohorts: which images there are, and what is known of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, Literal

from scanwright.core.boxes import Box
from scanwright.core.errors import CohortError

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")

Task = Literal["binary", "multiclass", "multilabel", "ordinal", "regress", "segment", "detect"]
TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel", "ordinal", "regress", "segment", "detect")

FramesBy = Literal["", "slice", "time", "visit"]
"""What the frames of a case step through; empty where a case is no sequence."""

NOTHING = "(nothing there)"
"""How cases without a box are counted."""

Label = int | float | tuple[int | None, ...] | None
"""Class index; number; one of 1, 0, None (missing) for each class; or None: unlabelled."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a cohort.

    Args:
        id: Name that the project gave; safe to show in logs. Unique in the cohort.
        source: Locator of the image, relative to the cohort's root: a path; ``path::key[7]``
            for row 7 of an array in an npz; ``path[7]`` for row 7 of an npy or idx file;
            ``folder::UID`` for one series of a DICOM folder; ``a.nii.gz | b.nii.gz`` for the
            channels of one case in several files; ``a.png > b.png`` for its frames in order.
        label: What is to be predicted; see :data:`Label`.
        patient: Key that groups cases of one person; the case's own id when unknown.
        part: ``"train"``, ``"val"``, ``"test"``, or None before the split.
        covariates: Other columns of the table, as numbers or text.
        masks: For ``segment``: locators of the true label maps, relative to the root; how to
            read them is said by the cohort's :class:`MaskCode`. Empty: not segmented.
        moments: For a sequence whose table or headers say so: when each frame was taken, rising.
        moment_unit: Unit of the moments, such as ``"days"``.
        boxes: For ``detect``: what is there, as it was written; empty where somebody looked and found
            nothing, None where nobody looked.
    """

    id: str
    source: str
    label: Label = None
    patient: str | None = None
    part: Part | None = None
    covariates: Mapping[str, str | float | None] = field(default_factory=dict)
    masks: tuple[str, ...] = ()
    moments: tuple[float, ...] = ()
    moment_unit: str = "frame"
    boxes: tuple[Box, ...] | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether there is a truth to learn from."""
        return self.label is not None or bool(self.masks) or self.boxes is not None

    @property
    def group(self) -> str:
        """Key for grouped splits and bootstraps: the patient, or the case itself."""
        return self.patient if self.patient is not None else self.id


@dataclass(frozen=True, slots=True)
class MaskCode:
    """How mask files say which structure a voxel belongs to.

    Args:
        values: For each class of the cohort, the label values that it is made of; a value
            that stands in several classes makes them overlapping regions (nnU-Net's).
        ignore: Label value of voxels that are neither trained on nor judged, None if there is none.
        kind: ``"labels"``: one file with label values; ``"files"``: one file for each class, in
            order, where anything but 0 is inside; ``"instances"``: every value but 0 is one
            object of the only class; ``"colours"``: RGB pictures, see ``colours``;
            ``"segments"``: DICOM segmentations or contours, whose structures are found by name;
            ``"onehot"``: an array with a channel for each value 1, 2, 3 ..., of which a voxel has at most
            one; ``"multihot"``: the same where channels overlap, and a voxel's value is the sum of
            1, 2, 4 ... of its channels.
        colours: For ``"colours"``: the red, green and blue of each label value 1, 2, 3 ...
        sides: Pairs of classes (indices) that are left and right of each other.
        names: For ``"segments"``: the names that each class has in the files, in any case.
        background: Label values besides 0 that count as background.

    Raises:
        CohortError: A class has no value.
    """

    values: tuple[tuple[int, ...], ...]
    ignore: int | None = None
    kind: Literal["labels", "files", "instances", "colours", "segments", "onehot", "multihot"] = "labels"
    colours: tuple[tuple[int, int, int], ...] = ()
    sides: tuple[tuple[int, int], ...] = ()
    names: tuple[tuple[str, ...], ...] = ()
    background: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.values or not all(self.values):
            raise CohortError(
                "A structure has no label value.",
                "Every structure of a cohort is one or several values of its masks.",
                "Name the values in dataset.json or with --structures.",
            )

    @property
    def are_regions(self) -> bool:
        """Whether structures may overlap, so that each is answered on its own."""
        every = [v for values in self.values for v in values]
        return len(set(every)) < len(every)


@dataclass(frozen=True, slots=True)
class Guess:
    """Something that was inferred and may be overridden.

    Args:
        what: The thing, such as ``"task"``.
        value: What was inferred, in words.
        why: The evidence, in words.
        option: The option that changes it, such as ``"--task"``; empty if none.
    """

    what: str
    value: str
    why: str
    option: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `check` found in a cohort.

    Args:
        kind: One of the names in ``intake.checks.CHECKS``, such as ``"duplicate-across-parts"``.
        severity: ``"stop"`` (a run refuses unless repaired), ``"warn"`` or ``"info"``.
        text: What was found, in one or two plain sentences.
        cases: Ids of the cases concerned; pairs and groups lie next to one another.
        repair: What a repair would do, in words; empty if nothing can be done.
        drop: Ids of the cases that the repair leaves out.
        groups: Ids that belong together (copies of one image, images of one patient).
    """

    kind: str
    severity: Literal["stop", "warn", "info"]
    text: str
    cases: tuple[str, ...] = ()
    repair: str = ""
    drop: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that looked like part of the cohort and could not be used.

    Args:
        source: Locator relative to the root.
        reason: Why, in one sentence.
    """

    source: str
    reason: str


@dataclass(frozen=True)
class Cohort:
    """All cases of one folder, and what was understood of it.

    Args:
        name: Short name, by default the folder's.
        root: Folder (or the folder of the single file) that locators start from.
        layout: Name of the layout that fitted, a key of ``intake.layouts.LAYOUTS``.
        task: What is predicted.
        classes: Names of the classes, in order of the label index; for ``regress`` the
            name of the number.
        cases: The rows.
        modality: DICOM code, ``"XC"`` for photographs, or None.
        dimension: 2 for pictures (and for the frames of sequences), 3 for volumes.
        parts_given: Whether train / val / test came with the data.
        guesses: Everything inferred.
        skipped: Files left out.
        facts: Further facts in words, such as ``{"licence": "CC BY 4.0"}``.
        mask_code: How masks are read; given when the task is ``segment``, and only then.
        frames: For a cohort of sequences: what their frames step through.

    Raises:
        CohortError: Two cases have the same id, or a label does not fit the task.
    """

    name: str
    root: Path
    layout: str
    task: Task
    classes: tuple[str, ...]
    cases: tuple[Case, ...]
    modality: str | None = None
    dimension: Literal[2, 3] = 2
    parts_given: bool = False
    guesses: tuple[Guess, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    mask_code: MaskCode | None = None
    frames: FramesBy = ""

    def __post_init__(self) -> None:
        if (self.task == "segment") != (self.mask_code is not None and len(self.mask_code.values) == len(self.classes)):
            raise CohortError(
                f"A cohort for {self.task} has {len(self.classes)} classes and "
                f"{len(self.mask_code.values) if self.mask_code else 'no'} structures in its masks.",
                "A segmentation needs one entry in the mask code for each structure; other tasks have none.",
                "Name the structures, or another task with --task.",
            )
        doubled = [i for i, n in Counter(c.id for c in self.cases).items() if n > 1]
        if doubled:
            raise CohortError(
                f"The case id {doubled[0]!r} stands in {len(doubled)} or more rows.",
                "Every case needs an id of its own.",
                "Give the rows different ids.",
            )
        for case in self.cases:
            strange = [box.label for box in case.boxes or () if not 0 <= box.label < len(self.classes)]
            if strange or (case.boxes is not None and self.task != "detect"):
                raise CohortError(
                    f"Case {case.id!r} has boxes" + (f" of a class number {strange[0]}." if strange else "."),
                    f"Boxes belong to the task detect; this cohort is for {self.task} with {len(self.classes)} classes.",
                    "Correct the boxes, or name another task with --task.",
                )
            if not self._fits(case.label):
                raise CohortError(
                    f"Case {case.id!r} has the label {case.label!r}.",
                    f"A {self.task} cohort of {len(self.classes)} classes needs {self._needed()}.",
                    "Correct the label, or name another task with --task.",
                )

    def _fits(self, label: Label) -> bool:
        if label is None:
            return True
        if self.task in ("segment", "detect"):
            return False
        if self.task == "multilabel":
            return isinstance(label, tuple) and len(label) == len(self.classes)
        if self.task == "regress":
            return isinstance(label, int | float)
        return isinstance(label, int) and 0 <= label < len(self.classes)

    def _needed(self) -> str:
        words = {
            "multilabel": "one of 1, 0 or missing per class",
            "regress": "a number",
            "segment": "masks and no label",
            "detect": "boxes and no label",
        }
        return words.get(self.task, "a class index")

    def __len__(self) -> int:
        return len(self.cases)

    def of(self, part: Part) -> tuple[Case, ...]:
        """Cases of one part, in order."""
        return tuple(c for c in self.cases if c.part == part)

    def with_cases(self, cases: Iterable[Case]) -> Cohort:
        """The same cohort with other rows."""
        return replace(self, cases=tuple(cases))

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of cases of each class in each part (``"all"`` holds the unsplit ones).

        For ``multilabel`` a case counts once for each label that is 1; for ``regress``
        every case counts under the name of the number; for ``segment`` as "with a mask"; for
        ``detect`` boxes are counted, and cases in which there is nothing.
        """
        table: dict[str, Counter[str]] = {}
        for case in self.cases:
            row = table.setdefault(case.part or "all", Counter())
            if not case.is_labelled:
                row["(unlabelled)"] += 1
            elif case.boxes is not None:
                row.update(self.classes[box.label] for box in case.boxes)
                row.update([] if case.boxes else [NOTHING])
            elif case.label is None:
                row["with a mask"] += 1
            elif isinstance(case.label, tuple):
                row.update(name for name, value in zip(self.classes, case.label, strict=True) if value == 1)
            elif self.task == "regress":
                row[self.classes[0] if self.classes else "value"] += 1
            else:
                row[self.classes[int(case.label)]] += 1
        return {part: dict(row) for part, row in table.items()}

    def _repr_html_(self) -> str:
        counts = self.counts()
        names = list(dict.fromkeys(name for row in counts.values() for name in row))
        head = "".join(f"<th>{escape(n)}</th>" for n in names)
        body = "".join(
            f"<tr><th>{escape(part)}</th>" + "".join(f"<td>{row.get(n, 0)}</td>" for n in names) + "</tr>"
            for part, row in counts.items()
        )
        guesses = "".join(
            f"<li><b>{escape(g.what)}</b>: {escape(g.value)} — {escape(g.why)}</li>" for g in self.guesses
        )
        return (
            f"<p><b>{escape(self.name)}</b>: {len(self)} {'sequences' if self.frames else 'cases'}, {self.dimension}-D, {escape(self.modality or 'unknown modality')}, "
            f"{escape(self.task)}</p><table><tr><th></th>{head}</tr>{body}</table><ul>{guesses}</ul>"
        )


def summary(cohort: Cohort) -> dict[str, Any]:
    """Facts of a cohort as plain JSON values (no cases).

    Args:
        cohort: Any cohort.

    Returns:
        Name, layout, task, classes, modality, dimension, counts, guesses, skipped, facts.
    """
    return {
        "name": cohort.name,
        "root": str(cohort.root),
        "layout": cohort.layout,
        "task": cohort.task,
        "classes": list(cohort.classes),
        "modality": cohort.modality,
        "dimension": cohort.dimension,
        "parts_given": cohort.parts_given,
        "n_cases": len(cohort),
        "counts": cohort.counts(),
        "guesses": [{"what": g.what, "value": g.value, "why": g.why, "option": g.option} for g in cohort.guesses],
        "skipped": [{"source": s.source, "reason": s.reason} for s in cohort.skipped],
        "facts": dict(cohort.facts),
        **({"mask_code": asdict(cohort.mask_code)} if cohort.mask_code else {}),
        **({"frames": cohort.frames} if cohort.frames else {}),
    }
