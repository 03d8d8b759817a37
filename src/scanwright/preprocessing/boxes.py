"""Boxes and images onto the lattice that a detection network sees, and boxes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Box, Grid, Preprocessing, Volume, corners_of
from scanwright.preprocessing.lay_out import lattice, lay_out
from scanwright.preprocessing.placement import Placement


@dataclass(frozen=True, eq=False)
class Setting:
    """Where the lattice of a case lies on its source.

    Args:
        shrink: Pixels along each side of a picture that are averaged into one.
        placement: From the shrunk source to the lattice.
        shape: Voxels of the source.
    """

    shrink: int
    placement: Placement
    shape: tuple[int, int, int]

    def onto(self, boxes: Sequence[Box]) -> NDArray[np.float64]:
        """Edges of boxes on the lattice.

        Args:
            boxes: On the source.

        Returns:
            ``(N, 6)`` lower edges along the lattice's axes, then upper ones.
        """
        corners = corners_of(boxes)
        low, high = corners[:, :3].copy(), corners[:, 3:].copy()
        for axis in range(3):
            low[:, axis], high[:, axis] = (self._there(v[:, axis], axis) for v in (low, high))
        order, flips = self.placement.turn.order, self.placement.turn.flips
        ends = []
        for place, axis in enumerate(order):
            n = self._sides()[axis]
            a, b = (n - 1 - high[:, axis], n - 1 - low[:, axis]) if flips[place] else (low[:, axis], high[:, axis])
            one = self.placement.axes[place]
            ends.append(((a - one.start) / one.step, (b - one.start) / one.step))
        return np.stack([e[0] for e in ends] + [e[1] for e in ends], axis=1).reshape(-1, 6)

    def back(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of :meth:`onto`, cut at the source's edges.

        Args:
            corners: ``(N, 6)`` on the lattice.

        Returns:
            ``(N, 6)`` on the source.
        """
        result = np.zeros_like(corners)
        order, flips = self.placement.turn.order, self.placement.turn.flips
        for place, axis in enumerate(order):
            one, n = self.placement.axes[place], self._sides()[axis]
            a, b = (corners[:, side + place] * one.step + one.start for side in (0, 3))
            if flips[place]:
                a, b = n - 1 - b, n - 1 - a
            for side, values in ((0, a), (3, b)):
                whole = (values + 0.5) * self._factor(axis) - 0.5
                result[:, side + axis] = np.clip(whole, -0.5, self.shape[axis] - 0.5)
        return result

    def _factor(self, axis: int) -> int:
        return self.shrink if axis < 2 else 1

    def _sides(self) -> tuple[int, int, int]:
        i, j, k = self.shape
        return -(-i // self.shrink), -(-j // self.shrink), k

    def _there(self, values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray((values + 0.5) / self._factor(axis) - 0.5)


def setting(grid: Grid, spec: Preprocessing, shrink: int) -> Setting:
    """Where the lattice of a case lies.

    Args:
        grid: Grid of the source.
        spec: Orientation and spacing.
        shrink: Pixels that are averaged into one along each side.

    Returns:
        The way onto the lattice and back.
    """
    return Setting(shrink, lattice(_shrunk_grid(grid, shrink), spec), grid.shape)


def lay_out_shrunk(volume: Volume, spec: Preprocessing, shrink: int) -> NDArray[np.float32]:
    """Prepare the whole case for a detection network.

    Args:
        volume: Intensities in the source's unit.
        spec: Channels, orientation, spacing and intensity.
        shrink: Pixels that are averaged into one along each side of a picture.

    Returns:
        ``(C, i, j, k)`` float32; see :func:`scanwright.preprocessing.lay_out`.
    """
    return lay_out(_shrunk(volume, shrink), spec)


def _shrunk(volume: Volume, n: int) -> Volume:
    """Blocks of n x n pixels averaged; the last rows and columns are repeated to fill theirs."""
    if n == 1:
        return volume
    _, i, j, _ = volume.array.shape
    more = ((0, 0), (0, -i % n), (0, -j % n), (0, 0))
    array = np.pad(volume.array.astype(np.float32), more, mode="edge")
    channels, rows, columns, slices = array.shape
    blocks = array.reshape(channels, rows // n, n, columns // n, n, slices).mean(axis=(2, 4))
    return replace(volume, array=blocks, grid=_shrunk_grid(volume.grid, n))


def _shrunk_grid(grid: Grid, n: int) -> Grid:
    if n == 1:
        return grid
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :2].sum(axis=1) * (n - 1) / 2
    affine[:3, :2] *= n
    i, j, k = grid.shape
    return Grid((-(-i // n), -(-j // n), k), affine, spacing_known=grid.spacing_known)
