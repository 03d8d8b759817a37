"""Where a prepared array lies on its source: one line of numbers per axis, both ways."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from scanwright.core import GeometryError, Grid, InputError, Preprocessing
from scanwright.preprocessing.orientation import Turn, reorient_grid, turn_to


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: voxel ``o`` of the result lies at ``start + step * o`` of the source.

    Args:
        n_in: Voxels of the source.
        n_out: Voxels of the result.
        start: Source index of the centre of the first result voxel.
        step: Source voxels per result voxel.
    """

    n_in: int
    n_out: int
    start: float
    step: float

    @property
    def identity(self) -> bool:
        """Whether the axis is taken over as it is."""
        return self.n_in == self.n_out and self.start == 0.0 and self.step == 1.0

    @property
    def inside(self) -> NDArray[np.bool_]:
        """``(n_out,)``: which result voxels lie on the source; the others are padding."""
        at = self.start + self.step * np.arange(self.n_out)
        return np.asarray((at >= -0.5 - 1e-9) & (at <= self.n_in - 0.5 + 1e-9))

    def reverse(self, n_map: int) -> Axis:
        """The axis that leads from a map of ``n_map`` voxels over the result back to the source."""
        ratio = self.n_out / n_map  # result voxels per map voxel
        step = 1.0 / (self.step * ratio)
        start = ((-self.start / self.step) + 0.5) / ratio - 0.5
        return Axis(n_map, self.n_in, start, step)


@dataclass(frozen=True, slots=True)
class Placement:
    """How a source is turned and which lattice is laid on it.

    Args:
        turn: Permutation and flips of the source's axes.
        axes: One :class:`Axis` for each spatial axis of the turned source.
    """

    turn: Turn
    axes: tuple[Axis, Axis, Axis]


def place(grid: Grid, spec: Preprocessing) -> Placement:
    """Lay the prepared array on a source grid.

    Args:
        grid: Grid of the source.
        spec: What the network takes.

    Returns:
        The placement, used by ``prepare`` and, backwards, by ``restore``.

    Raises:
        InputError: A volume was given where a picture is taken, or the reverse.
        GeometryError: A spacing is asked for and the source has none.
    """
    if spec.frames is None and (spec.dimension == 2) != grid.is_picture:
        what = "a picture of one slice" if grid.is_picture else f"a volume of {grid.shape[2]} slices"
        needed = "pictures of one slice" if spec.dimension == 2 else "volumes of several slices"
        raise InputError(
            f"The image is {what} (shape {grid.shape}).",
            f"This model takes {needed}.",
            "Give it an image of that kind.",
        )
    turned, turn = grid, Turn()
    if spec.dimension == 3 and spec.orientation and grid.spacing_known:
        turned, turn = reorient_grid(grid, spec.orientation), turn_to(grid, spec.orientation)
    steps = _steps(turned, spec)
    axes = []
    for axis in range(3):
        n_in = turned.shape[axis]
        if axis >= spec.dimension:
            axes.append(Axis(n_in, n_in, 0.0, 1.0))
            continue
        n_out, step = spec.size[axis], steps[axis]
        start = (n_in - 1) / 2 - step * (n_out - 1) / 2
        if abs(step - 1.0) < 1e-9:  # no resampling needed: stay on whole voxels
            start, step = float(np.floor(start)), 1.0
        axes.append(Axis(n_in, n_out, start, step))
    return Placement(turn, (axes[0], axes[1], axes[2]))


def _steps(grid: Grid, spec: Preprocessing) -> tuple[float, ...]:
    """Source voxels per result voxel along each axis that is fitted."""
    n = range(spec.dimension)
    if spec.spacing_mm is not None:
        if not grid.spacing_known:
            raise GeometryError(
                "The image says nothing of its spacing.",
                f"This model resamples to {' x '.join(f'{s:g}' for s in spec.spacing_mm)} mm.",
                "Give an image with a spacing, or plan without preprocessing.spacing_mm.",
            )
        return tuple(spec.spacing_mm[a] / grid.spacing[a] for a in n)
    if spec.fit == "stretch":
        return tuple(grid.shape[a] / spec.size[a] for a in n)
    extent = [grid.shape[a] * grid.spacing[a] / spec.size[a] for a in n]
    common = max(extent) if spec.fit == "pad" else min(extent)
    return tuple(common / grid.spacing[a] for a in n)


@lru_cache(maxsize=256)
def axis_matrix(axis: Axis) -> csr_array:
    """Weights of the source voxels in each result voxel.

    Args:
        axis: The axis.

    Returns:
        ``(n_out, n_in)`` sparse float32. Rows sum to 1; rows outside the source are zero.

    Source:
        Triangle filter, widened by the step when sizes shrink (anti-aliasing), as
        Pillow's ``BILINEAR`` and torch's ``interpolate(antialias=True)``; agrees with
        both to 1e-5 (tests/preprocessing).
    """
    centres = axis.start + axis.step * np.arange(axis.n_out)
    width = max(axis.step, 1.0)
    first = np.floor(centres - width).astype(int)
    taps = int(np.ceil(2 * width)) + 2
    index = first[:, None] + np.arange(taps)
    weight = np.maximum(0.0, 1.0 - np.abs(index - centres[:, None]) / width)
    weight[(index < 0) | (index >= axis.n_in)] = 0.0
    nearest = np.clip(np.rint(centres), 0, axis.n_in - 1).astype(int)
    empty = weight.sum(axis=1) < 1e-12  # beyond the last centre, but still on the last voxel
    weight[empty] = 0.0
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    rows, columns = np.nonzero(weight)
    lone = np.flatnonzero(empty)
    data = np.concatenate([weight[rows, columns], np.ones(lone.size)])
    row = np.concatenate([rows, lone])
    column = np.concatenate([index[rows, columns], nearest[lone]])
    keep = axis.inside[row]
    entries = (data[keep].astype(np.float32), (row[keep].astype(np.int32), column[keep].astype(np.int32)))
    return csr_array(entries, shape=(axis.n_out, axis.n_in), dtype=np.float32)


def apply_axes(array: NDArray[np.float32], axes: tuple[Axis, Axis, Axis]) -> NDArray[np.float32]:
    """Sample the last three axes of an array, one after the other.

    Args:
        array: ``(C, I, J, K)`` float32.
        axes: One axis each.

    Returns:
        ``(C, n_out_i, n_out_j, n_out_k)`` float32; zero outside the source. The order of
        additions is fixed, so the result does not depend on threads.
    """
    # The axis that shrinks most goes first: the others then have less to do.
    for number in sorted(range(3), key=lambda a: axes[a].n_out / axes[a].n_in):
        axis = axes[number]
        if axis.identity:
            continue
        front = np.moveaxis(array, number + 1, 0)
        flat = np.ascontiguousarray(front).reshape(axis.n_in, -1)
        sampled = (axis_matrix(axis) @ flat).reshape(axis.n_out, *front.shape[1:])
        array = np.moveaxis(sampled, 0, number + 1)
    return array
