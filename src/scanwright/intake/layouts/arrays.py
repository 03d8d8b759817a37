"""What the array layouts (npz, npy, idx) share: pairs of images and labels to rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import FormatError, Guess, InputError, Part
from scanwright.intake.layouts.reading import RawLabel, Reading, Row
from scanwright.intake.public_cohorts import PUBLIC_COHORTS
from scanwright.intake.words import PART_WORDS

_IMAGES = frozenset(("images", "image", "imgs", "img", "x", "data", "pictures", "volumes", "scans", "features"))
_LABELS = frozenset(("labels", "label", "y", "target", "targets", "classes", "class", "annotations"))
_GROUPS = frozenset(("patient", "patients", "subject", "subjects", "groups", "group", "pid"))
_MASKS = frozenset(("masks", "mask", "seg", "segmentation", "segmentations"))


@dataclass(frozen=True)
class Pair:
    """Images and labels of one part.

    Args:
        part: The part, or None when the arrays name none.
        locator: Locator of the images' array, without the row: ``a.npz::train_images``.
        shape: Shape of the images' array, rows first.
        labels: Array of labels, rows first, or None.
        patients: One key a row, or None.
    """

    part: Part | None
    locator: str
    shape: tuple[int, ...]
    labels: NDArray[Any] | None
    patients: NDArray[Any] | None = None


def role(name: str) -> tuple[str, Part | None] | None:
    """What an array's name says: ``("images" | "labels" | "masks" | "patients", part)``, or None.

    Example:
        >>> role("train_images"), role("y_test"), role("X_valid"), role("notes")
        (('images', 'train'), ('labels', 'test'), ('images', 'val'), None)
    """
    words = [w for w in re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()) if w]
    part = next((PART_WORDS[w] for w in words if w in PART_WORDS), None)
    for what, known in (("masks", _MASKS), ("labels", _LABELS), ("patients", _GROUPS), ("images", _IMAGES)):
        if any(w in known for w in words):
            return what, part
    return None


def dimension_of(shape: Sequence[int], where: str) -> int:
    """Whether rows of an array are pictures (2) or volumes (3).

    Args:
        shape: Shape of the array, rows first.
        where: Name for errors.

    Returns:
        2 for ``(N, I, J)``, ``(N, I, J, C)`` and ``(N, C, I, J)`` with 1, 3 (or 4) channels; 3 for
        other ``(N, I, J, K)`` and for five axes: the rule of `io`.

    Raises:
        FormatError: The shape is none of these.
    """
    rest = tuple(shape[1:])
    if len(rest) == 2 or (len(rest) == 3 and (rest[-1] in (1, 3, 4) or rest[0] in (1, 3))):
        return 2
    if len(rest) in (3, 4):
        return 3
    raise FormatError(
        f"The array {where} has the shape {tuple(shape)}.",
        "Images are rows of (rows, columns), with a channel or slice axis at most.",
        "Reshape the array to (cases, rows, columns).",
    )


def rows_of(pair: Pair, name: str, prefix: str) -> list[Row]:
    """Rows of one pair of arrays.

    Args:
        pair: Images and labels.
        name: Name for errors.
        prefix: First part of the case ids.

    Returns:
        One row a case; ids such as ``train-00017``.

    Raises:
        FormatError: There are more labels than images or fewer, or the labels are masks.
    """
    n = pair.shape[0]
    if pair.labels is not None and len(pair.labels) != n:
        raise FormatError(
            f"{name} has {n} images and {len(pair.labels)} labels in {pair.part or 'all'}.",
            "Each image needs one label.",
            "Save the arrays again, in the same order.",
        )
    labels = label_cells(pair.labels, n, name, pair.shape)
    stem = f"{prefix}-" if prefix else ""
    digits = len(str(max(n - 1, 1)))
    people = None if pair.patients is None else [str(p) for p in np.asarray(pair.patients).reshape(n, -1)[:, 0]]
    return [
        Row(
            f"{pair.locator}[{i}]",
            labels[i],
            f"{stem}{i:0{digits}d}",
            None if people is None else people[i],
            pair.part,
        )
        for i in range(n)
    ]


def label_cells(labels: NDArray[Any] | None, n: int, name: str, shape: Sequence[int]) -> Sequence[RawLabel]:
    """Labels of an array as cells.

    Args:
        labels: ``(N,)``, ``(N, 1)``, one-hot or multi-label ``(N, K)``, or None.
        n: Number of images.
        name: Name for errors.
        shape: Shape of the images, to tell masks.

    Returns:
        One cell a row; tuples for multi-label.

    Raises:
        InputError: The labels are masks.
        FormatError: The labels have another shape.
    """
    if labels is None:
        return [None] * n
    array = np.asarray(labels)
    if array.ndim >= 3 and tuple(array.shape[1:3]) == tuple(shape[1:3]):
        raise InputError(
            f"The labels in {name} have the shape {tuple(array.shape)}, so they are masks, and those of other parts are not.",
            "All parts of a cohort have labels of one kind.",
            "Save the arrays again, or take the others away.",
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        return [_cell(v) for v in array.tolist()]
    if array.ndim == 2:
        zero_one = np.isin(np.nan_to_num(array.astype(float), nan=0.0), (0, 1)).all()
        if zero_one and (array.sum(axis=1) == 1).all():
            return [str(v) for v in array.argmax(axis=1).tolist()]
        return [tuple(_cell(v) or "" for v in row) for row in array.tolist()]
    raise FormatError(
        f"The labels in {name} have the shape {tuple(array.shape)}.",
        "Labels are one number a case, or one column a class.",
        "Save labels of shape (cases,) or (cases, classes).",
    )


def reading_of(path: Path, root: Path, pairs: list[Pair], known_as: str) -> Reading:
    """Join pairs of arrays into one reading, with what is known of public cohorts.

    Args:
        path: The file or folder, for errors.
        root: Folder that locators start from.
        pairs: One a part.
        known_as: Stem that may be the name of a public cohort.

    Returns:
        The reading.

    Raises:
        FormatError: The parts have different dimensions, or a shape is no image.
    """
    dimensions = {dimension_of(p.shape, p.locator) for p in pairs}
    if len(dimensions) > 1:
        raise FormatError(
            f"The arrays of {path.name} hold pictures in one part and volumes in another.",
            "A cohort is 2-D or 3-D.",
            "Keep one of the two.",
        )
    rows = [r for p in pairs for r in rows_of(p, path.name, p.part or ("case" if len(pairs) == 1 else ""))]
    widths = {len(r.label) for r in rows if isinstance(r.label, tuple)}
    reading = Reading(root, rows, "label", dimension=dimensions.pop())
    if len(widths) > 1 or (widths and any(not isinstance(r.label, tuple) for r in rows)):
        raise FormatError(
            f"The label arrays of {path.name} have different numbers of columns.",
            "Every part needs the same classes.",
            "Save the labels again.",
        )
    if widths:
        reading.label_names = tuple(f"class {i}" for i in range(widths.pop()))
    _known(reading, known_as)
    return reading


def _known(reading: Reading, name: str) -> None:
    """Class names and modality, when the file carries a public cohort's name and the labels fit it."""
    base = re.sub(r"[_-](28|64|128|224)$", "", name.lower())
    cohort = next((c for c in PUBLIC_COHORTS.values() if c.family == base), None)
    if cohort is None:
        return
    reading.modality = cohort.modality
    why = f"the file is named as the public cohort {cohort.title}"
    reading.facts |= {"public cohort": cohort.title, "licence": cohort.licence, "citation": cohort.citation}
    if cohort.task == "ordinal":
        reading.task = "ordinal"
        reading.guesses.append(Guess("task", "ordinal", why, "--task"))
    if reading.label_names:
        if len(reading.label_names) == len(cohort.classes):
            reading.class_names = dict(zip(reading.label_names, cohort.classes, strict=True))
    elif {r.label for r in reading.rows} <= {str(i) for i in range(len(cohort.classes))}:
        reading.class_names = {str(i): c for i, c in enumerate(cohort.classes)}
    if reading.class_names:
        reading.guesses.append(Guess("class names", ", ".join(cohort.classes), why))


def _cell(value: Any) -> str | None:
    if value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
