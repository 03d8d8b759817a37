"""The array of a whole case in half the memory: laid out piece by piece, kept in half precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Grid, Preprocessing, Volume
from scanwright.preprocessing import lattice, lay_out

_PIECE_VALUES = 8 << 20
_CASE_BLIND = ("window", "range")
"""Intensity methods that look at each voxel alone, so that pieces give what the whole gives."""


def lay_out_half(volume: Volume, spec: Preprocessing) -> NDArray[np.float16]:
    """What :func:`scanwright.preprocessing.lay_out` gives, bit for bit, in half the memory.

    ``lay_out`` rounds to half precision, so nothing is lost. Where the intensity method looks at
    each voxel alone and an axis is not resampled, the case is laid out piece by piece along it, and
    no full array in single precision ever exists.

    Args:
        volume: Intensities in the source's unit.
        spec: Channels, orientation, spacing and intensity.

    Returns:
        ``(C, i, j, k)`` float16.

    Raises:
        InputError: See ``lay_out``.
        GeometryError: See ``lay_out``.
        FormatError: Not one intensity is finite.
    """
    placement = lattice(volume.grid, spec)
    free = [a for a in range(3) if placement.axes[a].identity and placement.axes[a].n_in > 1]
    large = volume.array.size > 2 * _PIECE_VALUES
    whole_numbers = volume.array.dtype.kind in "bui"  # no value can be missing in one piece alone
    if not large or not free or not whole_numbers or spec.intensity.clahe or spec.intensity.method not in _CASE_BLIND:
        return lay_out(volume, spec).astype(np.float16)
    axis = max(free, key=lambda a: placement.axes[a].n_in)
    own = placement.turn.order[axis]
    n = volume.grid.shape[own]
    step = max(1, _PIECE_VALUES * n // volume.array.size)
    shape = [a.n_out for a in placement.axes]
    result = np.empty((spec.channels, *shape), dtype=np.float16)
    for first in range(0, n, step):
        last = min(first + step, n)
        if placement.turn.flips[axis]:
            place = slice(n - last, n - first)
        else:
            place = slice(first, last)
        spot = (slice(None),) * (1 + axis) + (place,)
        result[spot] = lay_out(_piece(volume, own, first, last), spec)
    return result


def _piece(volume: Volume, axis: int, first: int, last: int) -> Volume:
    """Rows ``first .. last`` of a source along one of its axes; its voxels are shared."""
    shape, affine = list(volume.grid.shape), volume.grid.affine.copy()
    shape[axis] = last - first
    affine[:3, 3] += affine[:3, axis] * first
    grid = Grid((shape[0], shape[1], shape[2]), affine, spacing_known=volume.grid.spacing_known)
    array = volume.array[(slice(None),) * (1 + axis) + (slice(first, last),)]
    return replace(volume, array=array, grid=grid)
