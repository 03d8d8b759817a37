"""Label maps onto the grid of their image, by world coordinates."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scanwright.core import GeometryError, Grid, LabelMap

_SAME_VOXELS = 0.02
"""Largest distance, in voxels, of two grids that count as one."""
_LEAST_OVERLAP = 0.5
"""Least share of the labelled voxels that must lie inside the image."""


def same_place(one: Grid, other: Grid) -> bool:
    """Whether two grids have the same voxels.

    Args:
        one: A grid.
        other: Another.

    Returns:
        True if their shapes are equal and no corner is more than 0.02 voxels away.
    """
    if one.shape != other.shape:
        return False
    far = np.array(one.shape) - 1
    corners = np.array([(i, j, k) for i in (0, far[0]) for j in (0, far[1]) for k in (0, far[2])])
    return bool(np.abs(other.index(one.world(corners)) - corners).max() <= _SAME_VOXELS)


def on_grid(labels: LabelMap, grid: Grid, *, name: str = "the mask") -> LabelMap:
    """Place a label map on another grid.

    Args:
        labels: Codes; 0 is background.
        grid: Grid of the image.
        name: For errors.

    Returns:
        The same codes on ``grid``: the nearest voxel in world coordinates, background outside.

    Raises:
        GeometryError: More than half of the labelled voxels lie outside the image, or a place
            is needed and one of the two has none.

    Source:
        Nearest neighbour; agrees with ``SimpleITK.Resample`` (tests/preprocessing/test_truth.py).
    """
    if same_place(labels.grid, grid):
        return LabelMap(labels.array, grid, labels.names)
    if not (labels.grid.spacing_known and grid.spacing_known):
        raise GeometryError(
            f"{name} has {' x '.join(map(str, labels.grid.shape))} voxels, its image "
            f"{' x '.join(map(str, grid.shape))}, and they give no place in millimetres.",
            "Without a place a mask must have the size of its image.",
            "Export the mask again at the size of its image.",
        )
    inside = np.argwhere(labels.array != 0)
    if len(inside):
        index = grid.index(labels.grid.world(inside))
        within = ((index > -1) & (index < np.array(grid.shape))).all(axis=1).mean()
        if within < _LEAST_OVERLAP:
            raise GeometryError(
                f"{name} lies outside its image: {1 - within:.0%} of its labelled voxels are not in it.",
                "A mask and its image show the same place (in world coordinates).",
                "Check that the mask belongs to this image, or correct the header of one of them.",
            )
    matrix = np.linalg.inv(labels.grid.affine) @ grid.affine
    sampled = ndimage.affine_transform(
        labels.array, matrix[:3, :3], matrix[:3, 3], output_shape=grid.shape, order=0, mode="grid-constant", cval=0
    )
    return LabelMap(sampled, grid, labels.names)
