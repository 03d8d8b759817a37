"""Masks with a channel for each structure: one-hot arrays, and arrays whose channels overlap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import FormatError
from scanwright.io.arrays import open_array
from scanwright.io.locator import parse_locator

MOST_OVERLAPPING = 16
"""Channels of which a voxel may have several."""


def channel_axis(shape: Sequence[int], spatial: Sequence[int]) -> int | None:
    """Which axis of one mask is the channel.

    Args:
        shape: Of the mask.
        spatial: Of its image, with or without a last axis of 1.

    Returns:
        -1 or 0, the last where both fit; None where the mask is not of this image's size.

    Example:
        >>> channel_axis((64, 48, 3), (64, 48)), channel_axis((3, 64, 48), (64, 48, 1)), channel_axis((64, 48), (64, 48))
        (-1, 0, None)
    """
    own = tuple(spatial)
    for size in (own, own[:-1] if own[-1:] == (1,) else own):
        if tuple(shape[:-1]) == size:
            return -1
        if tuple(shape[1:]) == size:
            return 0
    return None


def switched(row: NDArray[Any], axis: int, name: str) -> NDArray[np.bool_]:
    """Channels of one mask as on and off.

    Args:
        row: The mask, of numbers.
        axis: From :func:`channel_axis`.
        name: For errors.

    Returns:
        ``(K, *spatial)`` bool.

    Raises:
        FormatError: It holds other numbers than 0 and 1 (or 0 and 255).
    """
    found = np.unique(row)
    if not (np.isin(found, (0, 1)).all() or np.isin(found, (0, 255)).all()):
        raise FormatError(
            f"{name} holds {len(found)} different values, such as {found[-1]:g}, in channels.",
            "Masks with a channel for each structure hold 0 and 1.",
            "Cut probabilities at one half before they are saved.",
        )
    return np.moveaxis(np.asarray(row) != 0, axis, 0)


def read_hot(
    source: str, spatial: Sequence[int], *, root: Path | None = None, overlapping: bool = False
) -> NDArray[np.int32]:
    """Read one mask of channels as label values.

    Args:
        source: Locator of a row of an array.
        spatial: Shape of its image, ``(I, J, K)``.
        root: Folder that a relative path starts from.
        overlapping: Whether a voxel may have several channels.

    Returns:
        ``(I, J, K)``: 0 without any channel; else the number of the channel, from 1, or where they overlap
        the sum of 1, 2, 4 ... of the channels.

    Raises:
        FormatError: The mask is not of the image's size, holds other numbers than 0 and 1, or has
            voxels of several channels where none are expected.
        InputError: The row does not exist.
    """
    locator = parse_locator(source, root=root)
    array = open_array(source, root=root)
    row = array if locator.row is None else array[locator.row]
    name = Path(source).name
    axis = channel_axis(row.shape, spatial)
    if axis is None:
        raise FormatError(
            f"{name} has the shape {row.shape} and its image {tuple(spatial)}.",
            "A mask has the size of its image, and one axis of channels.",
            "Save the masks again in the order of the images.",
        )
    on = switched(row, axis, name)
    n_on = np.count_nonzero(on, axis=0)
    if overlapping:
        powers = (1 << np.arange(len(on), dtype=np.int32)).reshape(-1, *[1] * (on.ndim - 1))
        values = (on * powers).sum(axis=0, dtype=np.int32)
    elif n_on.max(initial=0) > 1:
        raise FormatError(
            f"{name} has {int((n_on > 1).sum())} voxels of several channels.",
            "In the other masks of this cohort a voxel has one channel at most.",
            "Correct the mask.",
        )
    else:
        values = np.where(n_on > 0, on.argmax(axis=0) + 1, 0).astype(np.int32)
    return values.reshape(tuple(spatial))
