"""Where the windows of a network lie on a whole case, and how much each voxel of a window counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray

from scanwright.core import InputError

_SIGMA = 0.125
_FLOOR = 1e-3


def starts(n: int, size: int, overlap: float) -> list[int]:
    """First voxels of the windows along one axis.

    Args:
        n: Voxels of the axis.
        size: Voxels of the window.
        overlap: Share of a window that the next one covers again at least, 0 up to 1.

    Returns:
        Rising starts, evenly spread; the last window ends with the axis. One window at 0 where
        the axis is not longer than the window.

    Source:
        nnU-Net's rule: as few windows as the overlap allows, spread evenly.

    Example:
        >>> starts(100, 40, 0.5)
        [0, 20, 40, 60]
    """
    if n <= size:
        return [0]
    steps = ceil((n - size) / max(size * (1 - overlap), 1.0) - 1e-9)
    return [round(s * (n - size) / steps) for s in range(steps + 1)]


def windows(shape: Sequence[int], size: Sequence[int], overlap: float) -> list[tuple[int, ...]]:
    """First voxels of all windows on a lattice.

    Args:
        shape: Voxels of the lattice along each axis.
        size: Voxels of the window along each axis.
        overlap: Share of a window that the next one covers again at least, 0 up to 1.

    Returns:
        One start an axis for each window; the first axis changes slowest.

    Raises:
        InputError: The overlap is not from 0 to below 1, or the axes differ in number.
    """
    if not 0 <= overlap < 1 or len(shape) != len(size) or min(size) < 1:
        raise InputError(
            f"Windows of {tuple(size)} voxels with an overlap of {overlap:g} on a lattice of {tuple(shape)} were asked for.",
            "An overlap is from 0 to below 1, and a window has one side for each axis.",
            "Correct segmentation.overlap or preprocessing.size in the plan.",
        )
    return list(product(*(starts(n, s, overlap) for n, s in zip(shape, size, strict=True))))


def gaussian(size: Sequence[int]) -> NDArray[np.float32]:
    """How much each voxel of a window counts: most in the middle, least in the corners.

    Args:
        size: Voxels of the window along each axis.

    Returns:
        Weights of that shape, float32, about 1 in the middle and nowhere below 0.001.

    Source:
        A Gaussian with a standard deviation of one eighth of the side, as nnU-Net (Isensee et al.,
        2021) and MONAI's ``SlidingWindowInferer(mode="gaussian")``; agrees with the latter to 1e-6
        (tests/inference/segment).
    """
    weight = np.ones((), dtype=np.float64)
    for side in size:
        away = np.arange(side) - (side - 1) / 2
        weight = weight[..., None] * np.exp(-0.5 * (away / max(side * _SIGMA, 1e-6)) ** 2)
    return np.maximum(weight, _FLOOR).astype(np.float32)
