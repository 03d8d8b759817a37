"""Boxes: where something is, along the axes of an array.

Coordinates are voxel indices along ``(i, j, k)``, and voxel n covers n - 0.5 .. n + 0.5: a box
around voxel 3 alone goes from 2.5 to 3.5, and the image itself from -0.5 to N - 0.5. A box in a
picture goes from -0.5 to 0.5 along ``k``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import GeometryError
from scanwright.core.grid import Grid

Corner = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """One box, true or answered.

    Args:
        label: Index of its class.
        low: Lower edges along ``(i, j, k)``.
        high: Upper edges; equal to the lower one where the box has no extent.
        score: Confidence of an answer, 0 .. 1; None for a true box.
        round: Whether what it holds was given as a circle or ball that fills it.

    Raises:
        GeometryError: An edge is not finite, or the upper one lies below the lower one.
    """

    label: int
    low: Corner
    high: Corner
    score: float | None = None
    round: bool = False

    def __post_init__(self) -> None:
        edges = (*self.low, *self.high)
        if len(edges) != 6 or not all(map(math.isfinite, edges)) or any(np.greater(self.low, self.high)):
            raise GeometryError(
                f"A box from {self.low} to {self.high} was given.",
                "A box has finite edges along i, j and k, the upper ones not below the lower ones.",
                "Correct the box, or leave it out.",
            )

    @property
    def centre(self) -> Corner:
        """Its middle, in voxel indices."""
        i, j, k = ((a + b) / 2 for a, b in zip(self.low, self.high, strict=True))
        return i, j, k

    @property
    def size(self) -> Corner:
        """Its extent in voxels along ``(i, j, k)``."""
        i, j, k = (b - a for a, b in zip(self.low, self.high, strict=True))
        return i, j, k

    @property
    def is_empty(self) -> bool:
        """Whether it has no extent along an axis."""
        return min(self.size) <= 0

    def within(self, shape: Sequence[int]) -> Box | None:
        """What of the box lies in an image.

        Args:
            shape: Voxels of the image along ``(i, j, k)``.

        Returns:
            The box cut at the image's edges; None where nothing is left.

        Example:
            >>> Box(0, (2.5, -4.0, -0.5), (9.5, 3.5, 0.5)).within((8, 8, 1))
            Box(label=0, low=(2.5, -0.5, -0.5), high=(7.5, 3.5, 0.5), score=None, round=False)
        """
        i0, j0, k0 = (max(float(a), -0.5) for a in self.low)
        i1, j1, k1 = (min(float(b), n - 0.5) for b, n in zip(self.high, shape, strict=True))
        if i1 <= i0 or j1 <= j0 or k1 <= k0:
            return None
        low, high = (i0, j0, k0), (i1, j1, k1)
        return self if (low, high) == (self.low, self.high) else replace(self, low=low, high=high)


def inside(boxes: Iterable[Box], shape: Sequence[int]) -> tuple[Box, ...]:
    """Boxes as they are learnt and judged: cut at the image's edges, without those that hold nothing.

    Args:
        boxes: As they were written.
        shape: Voxels of the image.

    Returns:
        Boxes with an extent, in order.
    """
    return tuple(cut for box in boxes if (cut := box.within(shape)) is not None)


def corners_of(boxes: Sequence[Box], dimension: int = 3) -> NDArray[np.float64]:
    """Edges of boxes as an array.

    Args:
        boxes: Boxes.
        dimension: Axes to keep, from the first.

    Returns:
        ``(N, 2 * dimension)``: lower edges, then upper ones.
    """
    rows = [(*box.low[:dimension], *box.high[:dimension]) for box in boxes]
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), 2 * dimension)


def world_extent(box: Box, grid: Grid) -> tuple[Corner, Corner]:
    """Where a box lies in the world.

    Args:
        box: In indices of the grid.
        grid: Its grid.

    Returns:
        Lowest and highest ``(x, y, z)`` of its eight corners, RAS+ mm.
    """
    corners = np.array(list(itertools.product(*zip(box.low, box.high, strict=True))))
    place = grid.world(corners)
    (x0, y0, z0), (x1, y1, z1) = place.min(axis=0).tolist(), place.max(axis=0).tolist()
    return (x0, y0, z0), (x1, y1, z1)
