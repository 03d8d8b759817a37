"""Longest diameter of a flat piece, and the longest one across it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

Points = NDArray[np.float64]


def diameters(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> tuple[Points, Points]:
    """Ends of the longest diameter of a mask, and of the longest chord perpendicular to it.

    Args:
        mask: ``(I, J)`` with at least one true pixel.
        spacing: Distance between pixels along both axes, mm.

    Returns:
        Two arrays ``(2, 2)``: both ends as ``(i, j)`` pixel coordinates. The outline runs through the
        middles of the pixels' outer edges, so that one pixel is one pixel long.

    Source:
        RECIST 1.1 (Eisenhauer et al., 2009); exact on the convex hull: the longest diameter joins two of
        its corners, and the longest chord of a given direction ends in at least one of them.
    """
    outline = _outline(mask)
    scale = np.asarray(spacing, dtype=np.float64)
    corners = outline[ConvexHull(outline).vertices] * scale
    apart = ((corners[:, None] - corners[None]) ** 2).sum(axis=2)
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    ends = corners[[one, other]]
    along = (ends[1] - ends[0]) / max(float(np.sqrt(apart.max())), 1e-12)
    across = np.array([-along[1], along[0]])
    place = corners @ along
    low, high = _sides(place, corners @ across, np.unique(place))
    best = int((high - low).argmax())
    at = np.unique(place)[best]
    chord = np.stack([at * along + low[best] * across, at * along + high[best] * across])
    return ends / scale, chord / scale


def _outline(mask: NDArray[np.bool_]) -> Points:
    """Middles of the outer edges of the first and last pixel of each row and column."""
    points = []
    for axis in (0, 1):
        lines = mask if axis == 0 else mask.T
        full = np.flatnonzero(lines.any(axis=1))
        first = lines[full].argmax(axis=1)
        last = lines.shape[1] - 1 - lines[full, ::-1].argmax(axis=1)
        for at, out in ((first, -0.5), (last, 0.5)):
            pair = np.stack([full, at + out], axis=1).astype(np.float64)
            points.append(pair if axis == 0 else pair[:, ::-1])
    return np.concatenate(points)


def _sides(place: Points, height: Points, at: Points) -> tuple[Points, Points]:
    """Lowest and highest point of a convex polygon above each place; its corners go round in order."""
    low, high = np.full(at.shape, np.inf), np.full(at.shape, -np.inf)
    for n in range(len(place)):
        m = (n + 1) % len(place)
        a, b = min(place[n], place[m]), max(place[n], place[m])
        within = (at >= a - 1e-9) & (at <= b + 1e-9)
        if b - a < 1e-12:
            levels = [np.full(at.shape, height[n]), np.full(at.shape, height[m])]
        else:
            levels = [height[n] + (at - place[n]) / (place[m] - place[n]) * (height[m] - height[n])]
        for level in levels:
            low = np.where(within, np.minimum(low, level), low)
            high = np.where(within, np.maximum(high, level), high)
    return low, high
