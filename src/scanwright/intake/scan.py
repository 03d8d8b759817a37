"""A folder, file or archive of anything becomes a cohort."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from scanwright.core import TASKS, Case, Cohort, CohortError, Emit, FramesBy, Guess, InputError, Said, Skipped, silent
from scanwright.intake.archive import unpack
from scanwright.intake.labels import Encoded, encode
from scanwright.intake.layouts import DETECTED, LAYOUTS, MASKED, Reading, Row, Wishes
from scanwright.intake.layouts.table_faults import table_fault
from scanwright.intake.masks.both import also_there
from scanwright.intake.masks.components import boxes_for_masks
from scanwright.intake.modality import guess_modality
from scanwright.intake.place import (
    ARCHIVE_SUFFIXES,
    TABLE_SUFFIXES,
    UNREAD_SUFFIXES,
    Place,
    nearest,
    stem_of,
    suffix_of,
)
from scanwright.intake.sequences import SEQUENCES, as_sequences


def scan(
    path: Path | str,
    *,
    task: str | None = None,
    labels: str | None = None,
    patient: str | None = None,
    layout: str | None = None,
    name: str | None = None,
    modality: str | None = None,
    structures: str | None = None,
    sequence: str | None = None,
    box_size: str | None = None,
    work: Path | None = None,
    emit: Emit = silent,
) -> Cohort:
    """Understand what lies at a path.

    Args:
        path: A folder, a single file (npz, csv, idx ...) or an archive (zip, tar).
        task: One of ``core.TASKS``; inferred when None. Where there are both classes and masks,
            ``"segment"`` learns the masks, ``"detect"`` boxes around their pieces, anything else the classes.
        labels: Label column, several joined by commas (multi-label), or the path of a table.
        patient: Column that names the person.
        layout: A key of ``LAYOUTS``; the first that fits when None.
        name: Name of the cohort; the folder's when None.
        modality: DICOM code such as ``"CT"``; inferred when None.
        structures: What the values of the masks mean, such as ``"1=liver,2+3=tumour"``, or ``"instances"``
            where every value is one object; inferred when None.
        sequence: Whether cases are sequences of frames: ``"no"``, ``"slice"``, ``"time"``, ``"visit"`` or a column;
            see :func:`scanwright.intake.sequences.as_sequences`.
        box_size: Side of the box around a point, such as ``"24px"`` or ``"8mm"``, where things are given as points.
        work: Folder for the contents of an archive; beside the archive when None.
        emit: Receiver of events.

    Returns:
        The cohort, with everything that was guessed in ``guesses``.

    Raises:
        InputError: The path, an option or a column does not exist.
        CohortError: There are no labels, or one class only.
        FormatError: A file is damaged, or its content is not what its suffix says.
    """
    path = Path(path).expanduser()
    place = Place.of(unpack(path, work, emit=emit) if _is_archive(path) else path)
    _known_task(task)
    wishes = replace(_wishes(labels, patient, place, emit), task=task, structures=structures, box_size=box_size)
    chosen, why = _choose(place, wishes, layout)
    emit(Said(stage="scan", text=f"{place.path.name} is read as {LAYOUTS[chosen].say}, because {why}."))
    reading = LAYOUTS[chosen].read(place, wishes)
    reading.guesses.insert(0, Guess("layout", chosen, why, "--layout"))
    if task == "detect":
        boxes_for_masks(reading, wishes)
    has_boxes = any(row.boxes is not None for row in reading.rows)
    if task is None and not has_boxes:
        reading.guesses += also_there(place, wishes, masked=reading.mask_code is not None)
    if has_boxes and sequence not in (None, "no"):
        raise InputError(
            f"--sequence {sequence} was given, and the truth is boxes.",
            "Boxes are found in single pictures and volumes.",
            "Leave --sequence out.",
        )
    frames: FramesBy = "" if has_boxes else as_sequences(reading, place, sequence)
    if sequence and sequence not in SEQUENCES:
        reading.facts["frames by column"] = sequence
    cohort = _cohort(reading, place, chosen, task=task, name=name or _name(path), modality=modality, frames=frames)
    emit(Said(stage="scan", text=_say(cohort)))
    return cohort


def _cohort(
    reading: Reading,
    place: Place,
    layout: str,
    *,
    task: str | None,
    name: str,
    modality: str | None,
    frames: FramesBy = "",
) -> Cohort:
    if not reading.rows:
        raise CohortError(
            f"No images were found in {place.path}.",
            "A cohort needs images with labels.",
            "Name the folder that holds them.",
        )
    if any(row.boxes is not None for row in reading.rows):
        encoded = _boxed(reading, task)
    else:
        encoded = _segments(reading, task) if reading.mask_code else encode(reading, task)
    guesses = [*reading.guesses, *encoded.guesses]
    rows = reading.rows
    ids = unique_ids(rows)
    cases = tuple(
        Case(i, r.source, label, r.patient, r.part, r.covariates, r.masks, r.moments, r.moment_unit, r.boxes)
        for i, r, label in zip(ids, rows, encoded.labels, strict=True)
    )
    found = guess_modality(reading, place, cases)
    if modality is None and found.guess:
        guesses.append(found.guess)
    missing = sum(not c.is_labelled for c in cases)
    if missing:
        guesses.append(Guess("unlabelled cases", str(missing), "their label is empty; they are kept and never guessed"))
    parts = {c.part for c in cases} - {None}
    if parts:
        guesses.append(
            Guess("parts", ", ".join(p for p in ("train", "val", "test") if p in parts), "they came with the data")
        )
    dimension: Literal[2, 3] = 3 if found.dimension == 3 and not frames else 2
    return Cohort(
        name=name,
        root=reading.root.resolve(),
        layout=layout,
        task=encoded.task,
        classes=encoded.classes,
        cases=cases,
        modality=modality.upper() if modality else found.modality,
        dimension=dimension,
        parts_given=bool(parts),
        guesses=tuple(guesses),
        skipped=(*reading.skipped, *_unread(place)),
        facts=reading.facts,
        mask_code=reading.mask_code,
        frames=frames,
    )


def _segments(reading: Reading, task: str | None) -> Encoded:
    """A segmentation has no labels: its masks are its truth."""
    if task not in (None, "segment"):
        raise InputError(
            f"The truth in {reading.root} is masks, and the task {task!r} was asked for.",
            "Masks are learnt by the task segment.",
            "Leave --task out, or name a table of classes with --labels.",
        )
    why = f"the truth is masks of {', '.join(reading.structures)}"
    return Encoded("segment", reading.structures, [None] * len(reading.rows), [Guess("task", "segment", why, "--task")])


def _boxed(reading: Reading, task: str | None) -> Encoded:
    """Boxes are the truth of a detection."""
    if task not in (None, "detect"):
        raise InputError(
            f"The truth in {reading.root} is boxes, and the task {task!r} was asked for.",
            "Boxes are learnt by the task detect.",
            "Leave --task out, or name a table of classes with --labels.",
        )
    if not any(row.boxes for row in reading.rows):
        raise CohortError(
            f"Not one box, circle or piece of a mask was found in {reading.root}.",
            "Detection is learnt from things that are there.",
            "Check that the right files name them.",
        )
    why = f"the truth is boxes of {', '.join(reading.structures)}"
    return Encoded("detect", reading.structures, [None] * len(reading.rows), [Guess("task", "detect", why, "--task")])


def unique_ids(rows: list[Row]) -> list[str]:
    """Case ids: the row's own, else the shortest end of the path that tells the cases apart.

    Args:
        rows: The rows.

    Returns:
        One id a row; all different.
    """
    ids = [r.id or stem_of(r.source) for r in rows]
    for depth in (2, 3, 4, 99):
        counts = Counter(ids)
        if len(counts) == len(ids):
            return ids
        ids = [i if counts[i] == 1 else _tail(r.source, depth) for i, r in zip(ids, rows, strict=True)]
    seen: Counter[str] = Counter()
    unique = []
    for one in ids:
        seen[one] += 1
        unique.append(one if seen[one] == 1 else f"{one} #{seen[one]}")
    return unique


def _tail(source: str, depth: int) -> str:
    source = re.sub(r"::[0-9.]+$", "", source)  # a Series Instance UID is no name
    parts = PurePosixPath(source).parts
    kept = "/".join((*parts[:-1][-(depth - 1) :], stem_of(parts[-1])))
    return kept if depth < 99 else source


def _choose(place: Place, wishes: Wishes, layout: str | None) -> tuple[str, str]:
    """The first layout that fits, or the one that was forced."""
    if layout is not None:
        if layout not in LAYOUTS:
            near = nearest(layout, list(LAYOUTS))
            raise InputError(
                f"The layout {layout!r} is unknown.",
                "Layouts are " + ", ".join(LAYOUTS) + ".",
                f"Did you mean --layout {near}?" if near else "Name one of them with --layout.",
            )
        return layout, "it was asked for"
    known = {"segment": MASKED, "detect": DETECTED}.get(wishes.task or "", tuple(LAYOUTS))
    for key in known:
        fit = LAYOUTS[key].fits(place, wishes)
        if fit:
            return key, fit.why
    if wishes.task == "detect" and place.images:
        raise no_boxes(place)
    raise no_masks(place) if wishes.task == "segment" and place.images else _none_fits(place, wishes)


def no_masks(place: Place) -> CohortError:
    """The error for the task segment where nothing is a mask."""
    return CohortError(
        f"{place.path} holds {len(place.images)} images and no masks that belong to them.",
        "A segmentation is learnt from masks: a folder such as masks with the images' names, files that end in _mask, "
        "a column of a table, DICOM segmentations or contours.",
        "Put the masks there, or leave --task segment out.",
    )


def no_boxes(place: Place) -> CohortError:
    """The error for the task detect where nothing is a box."""
    return CohortError(
        f"{place.path} holds {len(place.images)} images, and no boxes and no masks that belong to them.",
        "Detection is learnt from Pascal VOC or COCO files, from a table with xmin, ymin, xmax, ymax, with x, y, radius "
        "or with x, y, or from masks.",
        "Put them beside the images, or name the table with --labels TABLE.csv.",
    )


def _none_fits(place: Place, wishes: Wishes) -> InputError | CohortError:
    if place.is_file:
        suffix = suffix_of(place.path.name)
        if place.images:
            return CohortError(
                f"{place.path.name} is a single image.",
                "Learning needs many images with labels.",
                "Name the folder that holds them, or a table.",
            )
        return InputError(
            f"{place.path.name} is a {suffix or 'file without a suffix'} file.",
            "A cohort is a folder, an npz or idx file, a table (csv, tsv, xlsx, parquet) or an archive (zip, tar).",
            "Name one of these.",
        )
    fault = table_fault(place, wishes)
    if fault:
        return fault
    if not place.images:
        kinds = ", ".join(s or "no suffix" for s, _ in Counter(suffix_of(f) for f in place.files).most_common(4))
        return InputError(
            f"The folder {place.path} holds {len(place.files)} files and no images (suffixes: {kinds}).",
            "Images are DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF, BMP, npz, npy or idx.",
            "Name the folder that holds them.",
        )
    if wishes.columns:
        return InputError(
            f"No table in {place.path} has a column {wishes.columns[0]!r} and names the images.",
            "A label column stands in a table beside the images.",
            "Name the table with --labels TABLE.csv, or correct the column.",
        )
    what = (
        "a table (" + ", ".join(place.tables[:3]) + ") that names no labels for them"
        if place.tables
        else "no labels for them"
    )
    return CohortError(
        f"{place.path} holds {len(place.images)} images and {what}.",
        "Learning needs a class or a number for each image.",
        "Sort the images into one folder per class, or name a table or its column with --labels.",
    )


def _wishes(labels: str | None, patient: str | None, place: Place, emit: Emit) -> Wishes:
    """``--labels`` names columns, or a table by its suffix."""
    if labels is None or suffix_of(labels.split("::")[0]) not in TABLE_SUFFIXES:
        return Wishes(labels, None, patient, emit)
    text, _, column = labels.partition("::")
    for candidate in (Path(text).expanduser(), place.root / text):
        if candidate.is_file():
            return Wishes(column or None, candidate, patient, emit)
    near = nearest(Path(text).name, [PurePosixPath(t).name for t in place.tables])
    raise InputError(
        f"There is no table at {text}.",
        "--labels names a column, or an existing table.",
        f"Did you mean --labels {near}?" if near else "Check the path.",
    )


def _known_task(task: str | None) -> None:
    if task is not None and task not in TASKS:
        near = nearest(task, TASKS)
        raise InputError(
            f"The task {task!r} is unknown.",
            "A task is one of " + ", ".join(TASKS) + ".",
            f"Did you mean --task {near}?" if near else "Write --task multiclass, say.",
        )


def _is_archive(path: Path) -> bool:
    return path.is_file() and any(path.name.lower().endswith(s) for s in ARCHIVE_SUFFIXES)


def _name(path: Path) -> str:
    resolved = path.resolve()
    text = (
        resolved.name
        if resolved.is_dir()
        else stem_of(re.sub(r"(?i)\.(tar\.\w+|tgz)$", "", resolved.name)) or resolved.name
    )
    return re.sub(r"\s+", "-", text.strip()) or "cohort"


def _unread(place: Place) -> list[Skipped]:
    reason = "pictures of this kind are not read; save it as PNG or TIFF"
    return [Skipped(f, reason) for f in place.named(*UNREAD_SUFFIXES)]


def _say(cohort: Cohort) -> str:
    counts: Counter[str] = Counter()
    for row in cohort.counts().values():
        counts.update(row)
    what = ", ".join(f"{n} {c}" for c, n in counts.items())
    kind = f"{len(cohort)} sequences" if cohort.frames else f"{len(cohort)} cases, {cohort.dimension}-D"
    return f"{kind}, {cohort.task}: {what}."
