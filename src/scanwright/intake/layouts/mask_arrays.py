"""Arrays of images beside arrays of masks: the articles' npy files, and npz files with masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import FormatError, InputError, Part
from scanwright.intake.layouts.arrays import dimension_of
from scanwright.intake.layouts.reading import Reading, Row, Wishes
from scanwright.intake.masks.hot import look_at_channels
from scanwright.intake.masks.look import look_at
from scanwright.intake.masks.names import names_in_files
from scanwright.intake.masks.wish import asked_of
from scanwright.intake.place import Place
from scanwright.io.hot_masks import channel_axis


@dataclass(frozen=True)
class MaskPair:
    """Images and masks of one part.

    Args:
        part: The part, or None when the arrays name none.
        images: Locator of the images' array, without the row.
        shape: Its shape, rows first.
        masks: Locator of the masks' array.
        mask_shape: Its shape.
        patients: One key a row, or None.
    """

    part: Part | None
    images: str
    shape: tuple[int, ...]
    masks: str
    mask_shape: tuple[int, ...]
    patients: NDArray[Any] | None = None


def are_masks(images: Sequence[int], labels: Sequence[int]) -> bool:
    """Whether labels of this shape are masks of images of that shape.

    Example:
        >>> are_masks((40, 64, 64, 3), (40, 64, 64)), are_masks((40, 64, 64), (40, 1)), are_masks((9, 8, 8), (9, 4, 8, 8))
        (True, False, True)
    """
    if len(labels) < 3:
        return False
    return tuple(labels[1:3]) == tuple(images[1:3]) or channel_axis(labels[1:], _plane(images)) is not None


def _plane(images: Sequence[int]) -> tuple[int, ...]:
    try:
        return _spatial(images, dimension_of(images, ""))
    except FormatError:
        return ()


def masked_reading(path: Path, place: Place, pairs: Sequence[MaskPair], wishes: Wishes) -> Reading:
    """Join pairs of image and mask arrays into one reading.

    Args:
        path: The file or folder, for errors.
        place: For names of structures.
        pairs: One a part.
        wishes: Task and structures.

    Returns:
        The reading.

    Raises:
        InputError: Another task than segment was asked for.
        FormatError: Rows or sizes of images and masks differ.
    """
    if wishes.task not in (None, "segment", "detect"):
        raise InputError(
            f"The labels in {path.name} are masks, and the task {wishes.task!r} was asked for.",
            "Masks are learnt by the task segment.",
            "Leave --task out.",
        )
    dimensions = {dimension_of(p.shape, p.images) for p in pairs}
    if len(dimensions) > 1:
        raise FormatError(
            f"The arrays of {path.name} hold pictures in one part and volumes in another.",
            "A cohort is 2-D or 3-D.",
            "Keep one of the two.",
        )
    dimension = dimensions.pop()
    rows = [r for p in pairs for r in _rows(p, dimension, path.name, single=len(pairs) == 1)]
    reading = Reading(place.root, rows, "masks", dimension=dimension)
    naming, asked = names_in_files(place), asked_of(wishes.structures)
    axes = [_channels(p, dimension) for p in pairs]
    if any(axis is not None for axis in axes):
        hot = [(p.masks, axis) for p, axis in zip(pairs, axes, strict=True) if axis is not None]
        if len(hot) < len(pairs):
            raise FormatError(
                f"Some masks of {path.name} have channels and those of other parts have none.",
                "All masks of a cohort are of one kind.",
                "Save the masks again, as label values in all parts.",
            )
        looked = look_at_channels(hot, place.root, naming=naming, asked=asked)
    else:
        looked = look_at([r.masks[0] for r in rows], place.root, naming=naming, asked=asked)
    reading.structures, reading.mask_code = looked.structures, looked.code
    reading.guesses += looked.guesses
    return reading


def _rows(pair: MaskPair, dimension: int, name: str, *, single: bool) -> list[Row]:
    n, spatial = pair.shape[0], _spatial(pair.shape, dimension)
    held = tuple(pair.mask_shape[1:])
    if pair.mask_shape[0] != n:
        raise FormatError(
            f"{name} has {n} images and {pair.mask_shape[0]} masks in {pair.part or 'all'}.",
            "Each image needs one mask.",
            "Save the arrays again, in the same order.",
        )
    if held not in (spatial, (*spatial, 1)) and _channels(pair, dimension) is None:
        raise FormatError(
            f"{name} has images of {spatial} and masks of {held}.",
            "A mask has the size of its image and one value a pixel, or a channel for each structure.",
            "Save the masks again at the size of the images.",
        )
    digits = len(str(max(n - 1, 1)))
    prefix = pair.part or ("case" if single else "")
    people = None if pair.patients is None else [str(p) for p in np.asarray(pair.patients).reshape(n, -1)[:, 0]]
    return [
        Row(
            f"{pair.images}[{i}]",
            None,
            f"{prefix}-{i:0{digits}d}" if prefix else f"{i:0{digits}d}",
            None if people is None else people[i],
            pair.part,
            {},
            (f"{pair.masks}[{i}]",),
        )
        for i in range(n)
    ]


def _channels(pair: MaskPair, dimension: int) -> int | None:
    """Axis of the channels of a mask; None where a mask has one value a pixel."""
    spatial, held = _spatial(pair.shape, dimension), tuple(pair.mask_shape[1:])
    return None if held in (spatial, (*spatial, 1)) else channel_axis(held, spatial)


def _spatial(shape: Sequence[int], dimension: int) -> tuple[int, ...]:
    rest = tuple(shape[1:])
    if len(rest) == dimension:
        return rest
    return rest[1:] if rest[0] in (1, 3) and rest[-1] not in (1, 3, 4) else rest[:dimension]
