"""Longest and perpendicular diameter of a shape in one slice, with their end points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError

Point = tuple[float, float]
"""Row and column, in pixels; fractions are places between centres."""

Diameter = tuple[Point, Point]


def diameters(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> tuple[Diameter, Diameter]:
    """Longest diameter of a shape, and the longest one at right angles to it.

    The shape's edge runs halfway between a pixel inside and one outside, so a single pixel
    is as wide as it is. Both diameters are exact for the convex hull of that edge.

    Args:
        mask: ``(rows, columns)`` bool.
        spacing: Distance between rows and between columns, in mm (any unit, but one).

    Returns:
        End points of the longest and of the perpendicular diameter, row and column in pixels.

    Raises:
        InputError: The mask is empty or has not two axes.

    Source:
        RECIST 1.1 (Eisenhauer 2009) and WHO (Miller 1981): longest diameter in the plane, and
        the longest perpendicular to it.

    Example:
        >>> square = np.zeros((9, 9), dtype=bool)
        >>> square[2:5, 1:8] = True
        >>> longest, across = diameters(square, (1.0, 1.0))
        >>> round(length_mm(longest, (1.0, 1.0)), 2), round(length_mm(across, (1.0, 1.0)), 2)
        (7.28, 3.12)
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.ndim != 2 or not mask.any():
        raise InputError(
            f"A mask of shape {mask.shape} with {int(mask.sum())} pixels has no diameter.",
            "Diameters are measured in one slice with at least one pixel.",
            "Give the slice where the lesion is largest.",
        )
    hull = _hull(mask, np.asarray(spacing, dtype=np.float64))
    apart = ((hull[:, None] - hull[None]) ** 2).sum(axis=-1)
    a, b = np.unravel_index(int(np.argmax(apart)), apart.shape)
    along = (hull[b] - hull[a]) / np.sqrt(apart[a, b])
    across = _longest_chord(hull, along)
    scale = 1 / np.asarray(spacing, dtype=np.float64)
    return _diameter(hull[a] * scale, hull[b] * scale), _diameter(across[0] * scale, across[1] * scale)


def length_mm(diameter: Diameter, spacing: tuple[float, float]) -> float:
    """Length of a diameter.

    Args:
        diameter: Its end points, in pixels.
        spacing: Distance between rows and between columns, in mm.

    Returns:
        Millimetres.
    """
    (i0, j0), (i1, j1) = diameter
    return float(np.hypot((i1 - i0) * spacing[0], (j1 - j0) * spacing[1]))


def _hull(mask: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the convex hull of the edge, in mm, in turn."""
    from scipy.spatial import ConvexHull

    rows = np.flatnonzero(mask.any(axis=1))  # only the first and last pixel of a row can be on the hull
    left, right = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    ends = np.concatenate([np.c_[rows, left], np.c_[rows, right]]).astype(np.float64)
    edge = np.concatenate([ends + step for step in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]) * spacing
    return edge[ConvexHull(edge).vertices]


def _longest_chord(hull: NDArray[np.float64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ends ``(2, 2)`` of the longest chord of a convex polygon across a direction.

    Its length is a concave, piecewise linear function of the place along the direction, so the
    longest one goes through a corner.
    """
    place, height = hull @ along, hull @ np.array([-along[1], along[0]])
    start, end = np.arange(len(hull)), np.roll(np.arange(len(hull)), -1)
    best, ends = -1.0, np.stack([hull[0], hull[0]])
    for at in place:
        low, high = np.minimum(place[start], place[end]), np.maximum(place[start], place[end])
        cut = (low <= at) & (at <= high) & (high - low > 1e-12)
        share = (at - place[start][cut]) / (place[end][cut] - place[start][cut])
        heights = height[start][cut] + share * (height[end][cut] - height[start][cut])
        heights = np.concatenate([heights, height[np.isclose(place, at, rtol=0, atol=1e-9)]])
        if np.ptp(heights) > best + 1e-9:
            best = float(np.ptp(heights))
            across = np.array([-along[1], along[0]])
            ends = np.stack([at * along + heights.min() * across, at * along + heights.max() * across])
    return ends


def _diameter(start: NDArray[np.float64], end: NDArray[np.float64]) -> Diameter:
    return (float(start[0]), float(start[1])), (float(end[0]), float(end[1]))
