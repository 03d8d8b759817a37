"""A whole case through the windows and mirror images of a network, to one list of boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Detection, Preprocessing
from scanwright.evaluation.boxes import Found
from scanwright.inference.detect.clustering import Views, cluster
from scanwright.inference.detect.peaks import LEAST, decode
from scanwright.inference.segment.tiles import windows

Run = Callable[[NDArray[np.float32]], NDArray[np.floating]]
"""``(B, C, *size)`` to the network's answers ``(B, n_outputs, *cells)``."""
_BORDER = 0.15
"""Share of a window's side over which trust rises from its least to 1, where another window goes on."""
_LEAST_TRUST = 0.1


def found_in(
    run: Run,
    image: NDArray[np.floating],
    *,
    spec: Preprocessing,
    detection: Detection,
    n_classes: int,
    mirror_axes: Sequence[int] = (),
    least: float = LEAST,
) -> Found:
    """Boxes of a whole prepared case.

    Args:
        run: The network.
        image: ``(C, i, j, k)`` on the lattice; of a picture k is 1.
        spec: Its ``size`` is the window.
        detection: Cells, usual size, overlaps.
        n_classes: Classes.
        mirror_axes: Axes whose mirror images are looked at as well.
        least: Score of the last box.

    Returns:
        Boxes ``(N, 6)`` in voxel indices of the lattice, surest first, at most ``detection.most``; cut at its edges.
    """
    d, shape = spec.dimension, image.shape[1:]
    flat = image[..., 0] if d == 2 else image
    places = windows(flat.shape[1:], spec.size, detection.overlap)
    mirrors = tuple(chain.from_iterable(combinations(mirror_axes, n) for n in range(len(mirror_axes) + 1)))
    parts: list[tuple[Found, int, NDArray[np.float64]]] = []
    low = flat.reshape(len(flat), -1).min(axis=1).astype(np.float32)
    for n, place in enumerate(places):
        piece = _piece(flat, place, spec.size, low)
        for m, (axes, seen) in enumerate(_mirrored(piece, mirrors)):
            answers = run(np.ascontiguousarray(seen[None]))[0]
            one = decode(
                answers,
                n_classes=n_classes,
                stride=detection.stride,
                typical=detection.typical,
                most=detection.most,
                least=least,
            )
            corners = _unmirrored(one.corners, axes, spec.size)
            trust = _trust(corners, place, spec.size, flat.shape[1:])
            corners = corners + np.tile(np.asarray(place, dtype=np.float64), 2)
            parts.append((Found(corners, one.labels, one.scores), n * len(mirrors) + m, trust))
    every = Found(
        np.concatenate([p.corners for p, _, _ in parts]),
        np.concatenate([p.labels for p, _, _ in parts]),
        np.concatenate([p.scores for p, _, _ in parts]),
    )
    every, kept = _inside(every, flat.shape[1:])
    view = np.concatenate([np.full(len(p), n) for p, n, _ in parts]).astype(np.intp)[kept]
    trust = np.concatenate([t for _, _, t in parts])[kept]
    expected = _seen_by(every, places, spec.size) * len(mirrors)
    joined = cluster(Views(every, view, trust, expected), least=detection.cluster_iou)
    good = np.flatnonzero(joined.scores >= least)[: detection.most]
    corners = joined.corners[good]
    if d == 2:
        k = np.broadcast_to([-0.5, shape[2] - 0.5], (len(corners), 2))
        corners = np.concatenate([corners[:, :2], k[:, :1], corners[:, 2:], k[:, 1:]], axis=1)
    return Found(corners, joined.labels[good], joined.scores[good])


def _piece(
    image: NDArray[np.floating], place: Sequence[int], size: Sequence[int], low: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A window; beyond the case the lowest value of each channel."""
    box = tuple(slice(a, min(a + n, m)) for a, n, m in zip(place, size, image.shape[1:], strict=True))
    piece = np.asarray(image[(slice(None), *box)], dtype=np.float32)
    if piece.shape[1:] == tuple(size):
        return piece
    whole = np.empty((len(image), *size), dtype=np.float32)
    whole[:] = low.reshape(-1, *(1,) * len(size))
    whole[(slice(None), *(slice(0, n) for n in piece.shape[1:]))] = piece
    return whole


def _mirrored(
    piece: NDArray[np.float32], mirrors: Sequence[tuple[int, ...]]
) -> Iterator[tuple[tuple[int, ...], NDArray[np.float32]]]:
    for axes in mirrors:
        yield axes, np.flip(piece, tuple(a + 1 for a in axes)) if axes else piece


def _unmirrored(corners: NDArray[np.float64], axes: Sequence[int], size: Sequence[int]) -> NDArray[np.float64]:
    d, turned = len(size), corners.copy()
    for a in axes:
        turned[:, a], turned[:, d + a] = size[a] - 1 - corners[:, d + a], size[a] - 1 - corners[:, a]
    return turned


def _trust(
    corners: NDArray[np.float64], place: Sequence[int], size: Sequence[int], shape: Sequence[int]
) -> NDArray[np.float64]:
    """1 in the middle of a window; less towards a border beyond which the case goes on."""
    d = len(size)
    middle = (corners[:, :d] + corners[:, d:]) / 2
    trust = np.ones(len(corners))
    for a in range(d):
        wide = max(_BORDER * size[a], 1.0)
        before = middle[:, a] + 0.5 if place[a] > 0 else np.full(len(corners), np.inf)
        after = size[a] - 0.5 - middle[:, a] if place[a] + size[a] < shape[a] else np.full(len(corners), np.inf)
        trust *= np.clip(np.minimum(before, after) / wide, _LEAST_TRUST, 1.0)
    return trust


def _inside(found: Found, shape: Sequence[int]) -> tuple[Found, NDArray[np.intp]]:
    """Boxes cut at the edges of the case, and which of them are left."""
    d = len(shape)
    low = np.maximum(found.corners[:, :d], -0.5)
    high = np.minimum(found.corners[:, d:], np.asarray(shape) - 0.5)
    kept = np.flatnonzero((high > low).all(axis=1))
    corners = np.concatenate([low, high], axis=1)[kept]
    return Found(corners, found.labels[kept], found.scores[kept]), kept


def _seen_by(found: Found, places: Sequence[Sequence[int]], size: Sequence[int]) -> NDArray[np.float64]:
    """How many windows hold the middle of each box."""
    d = len(size)
    middle = (found.corners[:, :d] + found.corners[:, d:]) / 2
    count = np.zeros(len(found))
    for place in places:
        low = np.asarray(place) - 0.5
        count += ((middle >= low) & (middle <= low + np.asarray(size))).all(axis=1)
    return np.maximum(count, 1.0)
