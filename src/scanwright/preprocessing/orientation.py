"""Turning volumes to given axis codes by flips and permutations: no value changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import GeometryError, Grid, Volume

_AXIS_OF = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}


@dataclass(frozen=True, slots=True)
class Turn:
    """A permutation of the three axes, then flips.

    Args:
        order: Source axis that becomes each result axis.
        flips: Whether each result axis runs the other way round.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Turn the last three axes of an array; a view, nothing is copied."""
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + a for a in self.order))
        steps = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        return turned[(slice(None),) * lead + steps]

    def undo(self, array: NDArray[Any]) -> NDArray[Any]:
        """The inverse of :meth:`apply`; a view."""
        lead = array.ndim - 3
        steps = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        back = [0, 0, 0]
        for place, axis in enumerate(self.order):
            back[axis] = place
        return array[(slice(None),) * lead + steps].transpose(*range(lead), *(lead + a for a in back))


def turn_to(grid: Grid, codes: str) -> Turn:
    """The turn that brings a grid to the asked axis codes.

    Args:
        grid: Where the voxels are.
        codes: Three letters, one of each of L/R, P/A and I/S, such as ``"RAS"``.

    Returns:
        Permutation and flips.

    Raises:
        GeometryError: ``codes`` is no orientation.
    """
    wanted = codes.upper()
    if len(wanted) != 3 or sorted(_AXIS_OF.get(c, 9) for c in wanted) != [0, 1, 2]:
        raise GeometryError(
            f"The orientation {codes!r} is unknown.",
            "An orientation has one letter each of L/R, P/A and I/S.",
            'Write "RAS".',
        )
    have = grid.orientation
    axes = [next(a for a in range(3) if _AXIS_OF[have[a]] == _AXIS_OF[letter]) for letter in wanted]
    flips = [have[a] != letter for a, letter in zip(axes, wanted, strict=True)]
    return Turn((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))


def reorient_grid(grid: Grid, codes: str) -> Grid:
    """The same place with its axes in another order and direction.

    Args:
        grid: Any grid.
        codes: Such as ``"RAS"``.

    Returns:
        A grid whose voxel centres are the same points in mm.

    Raises:
        GeometryError: ``codes`` is no orientation.

    Source:
        Agrees with ``nibabel.as_closest_canonical`` exactly.
    """
    turn = turn_to(grid, codes)
    affine = np.eye(4)
    affine[:3, 3] = grid.affine[:3, 3]
    shape = []
    for place, (axis, flip) in enumerate(zip(turn.order, turn.flips, strict=True)):
        step, n = grid.affine[:3, axis], grid.shape[axis]
        affine[:3, place] = -step if flip else step
        if flip:
            affine[:3, 3] += step * (n - 1)
        shape.append(n)
    return Grid((shape[0], shape[1], shape[2]), affine, spacing_known=grid.spacing_known)


def reorient(volume: Volume, codes: str) -> Volume:
    """Turn a volume to the asked axis codes.

    Args:
        volume: Any volume; values and unit are kept.
        codes: Such as ``"RAS"``.

    Returns:
        A volume that shares its voxels with the source (a view).

    Raises:
        GeometryError: ``codes`` is no orientation.

    Source:
        Agrees with ``nibabel.as_closest_canonical`` exactly.
    """
    turn = turn_to(volume.grid, codes)
    return replace(volume, array=turn.apply(volume.array), grid=reorient_grid(volume.grid, codes))
