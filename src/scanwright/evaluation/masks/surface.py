"""Distances between the surfaces of two masks, exact and fast.

The surface of a mask is its border voxels: those with a face neighbour outside the mask, the
outside of the image being outside the mask (as MONAI takes it; DeepMind's ``surface-distance``
takes marching elements weighed by area). Borders are found on bits, eight voxels at a time; the
nearest border voxel of the other mask is found with a k-d tree over points in mm, whose cost
goes with the surface and not, as a distance map's, with the volume.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Box = tuple[slice, ...]

SLACK_MM = 1e-6
"""A distance that is equal to the tolerance but for rounding is within it."""


def box_of(mask: Mask) -> Box | None:
    """The smallest box around a mask.

    Args:
        mask: ``(I, J, K)``.

    Returns:
        One slice an axis; None for an empty mask.
    """
    box: Box = ()
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        hit = np.flatnonzero(mask[box].any(axis=others))
        if not len(hit):
            return None
        box = (*box, slice(int(hit[0]), int(hit[-1]) + 1))
    return box


def common_box(*masks: Mask) -> Box | None:
    """The smallest box around all of several masks of one shape; None if all are empty."""
    boxes = [box for box in map(box_of, masks) if box is not None]
    if not boxes:
        return None
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True))


def border_points(mask: Mask) -> NDArray[np.intp]:
    """Border voxels of a mask.

    Args:
        mask: Any number of axes.

    Returns:
        ``(N, axes)`` indices, in order.

    Example:
        >>> len(border_points(np.ones((3, 3, 3), bool)))
        26
    """
    return _points(_border_bits(mask))


def _border_bits(mask: Mask) -> NDArray[np.uint8]:
    """The border as bits, packed along the last axis."""
    bits = np.packbits(mask, axis=-1)
    inner = bits.copy()
    for axis in range(mask.ndim - 1):
        source, target = np.moveaxis(bits, axis, 0), np.moveaxis(inner, axis, 0)
        target[1:] &= source[:-1]
        target[:-1] &= source[1:]
        target[0] = target[-1] = 0
    before, after = bits >> 1, bits << 1
    before[..., 1:] |= bits[..., :-1] << 7
    after[..., :-1] |= bits[..., 1:] >> 7
    return np.asarray(bits & ~(inner & before & after))


def _points(bits: NDArray[np.uint8]) -> NDArray[np.intp]:
    filled = np.flatnonzero(bits)
    which, bit = np.nonzero(np.unpackbits(bits.reshape(-1)[filled]).reshape(-1, 8))
    index = list(np.unravel_index(filled[which], bits.shape))
    index[-1] = index[-1] * 8 + bit
    return np.stack(index, axis=1)


def surface_distances(
    truth: Mask, answer: Mask, spacing_mm: Sequence[float] | None, *, box: Box | None = None
) -> tuple[Floats, Floats]:
    """From every border voxel of one mask to the nearest of the other, both ways.

    Args:
        truth: ``(I, J, K)``. Axes of length 1 do not count: a picture has an outline.
        answer: Same shape.
        spacing_mm: Three numbers; None for pixels.
        box: :func:`common_box` of both, if it is known.

    Returns:
        Distances in mm between centres of voxels: from the truth's border to the answer's, and
        from the answer's to the truth's. Infinite where the other mask is empty.

    Source:
        Equal to MONAI's ``get_surface_distance`` (tests/golden/test_mask_metrics.py).
    """
    box = box or common_box(truth, answer)
    if box is None:
        return np.empty(0), np.empty(0)
    long = tuple(axis for axis, n in enumerate(truth.shape) if n > 1) or (0,)
    flat = tuple(axis for axis in range(truth.ndim) if axis not in long)
    step = np.asarray((1.0,) * truth.ndim if spacing_mm is None else spacing_mm, dtype=np.float64)[list(long)]
    first, second = (_border_bits(np.squeeze(mask[box], axis=flat)) for mask in (truth, answer))
    shared = first & second
    n_shared = len(_points(shared))
    return _nearest(first, second, shared, n_shared, step), _nearest(second, first, shared, n_shared, step)


def _nearest(
    own: NDArray[np.uint8], other: NDArray[np.uint8], shared: NDArray[np.uint8], n_shared: int, step: Floats
) -> Floats:
    """Shared border voxels are 0 away and are not looked up."""
    asked, targets = _points(own & ~shared), _points(other)
    if not len(targets):
        return np.full(len(asked), np.inf)
    if not len(asked):
        return np.zeros(n_shared)
    tree = cKDTree(targets * step, balanced_tree=False, compact_nodes=False)  # faster on a lattice, same answer
    distances, _ = tree.query(asked * step, workers=-1)
    return np.concatenate([np.zeros(n_shared), distances])


def hausdorff(distances: tuple[Floats, Floats], percentile: float = 95.0) -> float:
    """The larger of the two directed percentiles.

    Args:
        distances: From :func:`surface_distances`.
        percentile: 100 for the Hausdorff distance itself.

    Returns:
        mm; NaN where a mask is empty.

    Source:
        MONAI ``compute_hausdorff_distance(percentile=95)``; linear between ranks, as numpy.
    """
    if not _both(distances):
        return float("nan")
    return float(max(np.percentile(one, percentile) for one in distances))


def average_distance(distances: tuple[Floats, Floats]) -> float:
    """Mean over the border voxels of both masks, in mm; NaN where a mask is empty.

    Source:
        MONAI ``compute_average_surface_distance(symmetric=True)``.
    """
    if not _both(distances):
        return float("nan")
    return float(np.concatenate(distances).mean())


def surface_dice(distances: tuple[Floats, Floats], tolerance_mm: float) -> float:
    """Share of the border voxels of both masks that lie within the tolerance of the other.

    Args:
        distances: From :func:`surface_distances`.
        tolerance_mm: In mm.

    Returns:
        NSD, 0 .. 1; 0 where one mask is empty, NaN where both are.

    Source:
        Nikolov et al. 2021, on voxels; MONAI ``compute_surface_dice``.
    """
    both = np.concatenate(distances)
    return float((both <= tolerance_mm + SLACK_MM).mean()) if len(both) else float("nan")


def _both(distances: tuple[Floats, Floats]) -> bool:
    return all(len(one) and np.isfinite(one[-1]) for one in distances)
