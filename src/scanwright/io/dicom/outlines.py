"""Masks to closed outlines and back: half-level contours, keyholes, even-odd filling."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]
"""``(N, 2)`` corners in pixels (row, column); the last is joined to the first."""


def outlines(mask: NDArray[np.bool_]) -> list[Outline]:
    """Closed outlines of a mask at half level, halfway between a pixel inside and one outside.

    Holes are joined to the outline around them by a channel without width (a keyhole), so that
    each outline may be filled on its own. Pixels that touch at a corner only are apart.

    Args:
        mask: ``(rows, columns)`` bool.

    Returns:
        One outline for each connected piece; empty where the mask is.

    Source:
        Lorensen & Cline, marching cubes (1987), in two dimensions, at level 0.5 of a binary
        picture; PS3.3 C.8.8.6.3 (keyholes). :func:`filled` gives the mask back exactly.

    Example:
        >>> [len(one) for one in outlines(np.ones((2, 3), dtype=bool))]
        [8]
    """
    loops = [_corners(loop) for loop in _loops(np.pad(np.asarray(mask, dtype=bool), 1))]
    outer = [loop for loop in loops if _area(loop) > 0]
    holes = [loop for loop in loops if _area(loop) < 0]
    for hole in sorted(holes, key=lambda loop: float(loop[:, 1].min())):
        around = [n for n, loop in enumerate(outer) if _inside(hole[0], loop)]
        home = min(around, key=lambda n: abs(_area(outer[n])))
        outer[home] = _keyhole(outer[home], hole)
    return outer


def filled(contours: Iterable[Outline], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside, by the even-odd rule over all contours together.

    Args:
        contours: Corners ``(N, 2)`` (row, column) in pixels; each is closed by its first corner.
        shape: Rows and columns.

    Returns:
        ``shape`` bool. A contour inside another is a hole in it; channels of keyholes have no width.

    Source:
        PS3.3 C.8.8.6.3 (inner and outer contours); the even-odd rule.
    """
    toggles = np.zeros((shape[0], shape[1] + 1), dtype=np.int64)
    for contour in contours:
        start = np.asarray(contour, dtype=np.float64)
        if len(start) < 3:
            continue
        end = np.roll(start, -1, axis=0)
        low, high = np.where((start[:, :1] <= end[:, :1]), (start, end), (end, start))
        first = np.clip(np.ceil(low[:, 0]), 0, shape[0]).astype(np.int64)
        last = np.clip(np.ceil(high[:, 0]), 0, shape[0]).astype(np.int64)  # half open: low <= row < high
        count = np.maximum(last - first, 0)
        edge = np.repeat(np.arange(len(start)), count)
        row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        share = (row - low[edge, 0]) / (high[edge, 0] - low[edge, 0])
        column = low[edge, 1] + share * (high[edge, 1] - low[edge, 1])
        np.add.at(toggles, (row, np.clip(np.ceil(column), 0, shape[1]).astype(np.int64)), 1)
    return (np.cumsum(toggles[:, :-1], axis=1) % 2).astype(bool)


def _loops(padded: NDArray[np.bool_]) -> list[Outline]:
    """Loops of edge midpoints, the inside always on the same hand, in pixels of the unpadded mask."""
    a, b = padded[:-1, :-1], padded[:-1, 1:]
    d, c = padded[1:, :-1], padded[1:, 1:]
    code = a * 1 + b * 2 + c * 4 + d * 8
    cells = np.argwhere((code > 0) & (code < 15))
    if not len(cells):
        return []
    width = 2 * padded.shape[1]
    following: dict[int, int] = {}
    for (i, j), kind in zip(cells.tolist(), code[cells[:, 0], cells[:, 1]].tolist(), strict=True):
        ends = {
            "t": 2 * i * width + 2 * j + 1,
            "r": (2 * i + 1) * width + 2 * j + 2,
            "b": (2 * i + 2) * width + 2 * j + 1,
            "l": (2 * i + 1) * width + 2 * j,
        }
        for start, end in _STEPS[kind]:
            following[ends[start]] = ends[end]
    loops = []
    while following:
        first, point = next(iter(following.items()))
        del following[first]
        loop = [first]
        while point != first:
            loop.append(point)
            point = following.pop(point)
        at = np.array(loop)
        loops.append(np.stack([at // width, at % width], axis=1) / 2 - 1.0)
    return loops


# corner bits: 1 top left, 2 top right, 4 bottom right, 8 bottom left; steps between the middles of
# the cell's sides (t, r, b, l) with the inside on the right hand; saddles keep the corners apart
_STEPS: dict[int, tuple[tuple[str, str], ...]] = {
    1: (("t", "l"),),
    2: (("r", "t"),),
    3: (("r", "l"),),
    4: (("b", "r"),),
    5: (("t", "l"), ("b", "r")),
    6: (("b", "t"),),
    7: (("b", "l"),),
    8: (("l", "b"),),
    9: (("t", "b"),),
    10: (("r", "t"), ("l", "b")),
    11: (("r", "b"),),
    12: (("l", "r"),),
    13: (("t", "r"),),
    14: (("l", "t"),),
}


def _corners(loop: Outline) -> Outline:
    """The loop without points on straight runs."""
    before, after = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return loop[np.abs(turn) > 1e-9]


def _area(loop: Outline) -> float:
    """Signed area; positive around pixels, negative around a hole."""
    y, x = loop[:, 0], loop[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _inside(point: NDArray[np.float64], loop: Outline) -> bool:
    start, end = loop, np.roll(loop, -1, axis=0)
    crossing = (start[:, 0] <= point[0]) != (end[:, 0] <= point[0])
    share = (point[0] - start[crossing, 0]) / (end[crossing, 0] - start[crossing, 0])
    return bool(np.count_nonzero(start[crossing, 1] + share * (end - start)[crossing, 1] > point[1]) % 2)


def _keyhole(loop: Outline, hole: Outline) -> Outline:
    """One outline out of two: in by the shortest way between their corners, around, and out again."""
    apart = ((loop[:, None] - hole[None]) ** 2).sum(axis=-1)
    at, to = np.unravel_index(int(np.argmin(apart)), apart.shape)
    around = np.concatenate([hole[to:], hole[: to + 1]])
    return np.concatenate([loop[: at + 1], around, loop[at:]])
