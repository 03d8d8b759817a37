"""Contrast-limited adaptive histogram equalisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BINS = 256


def clahe(picture: NDArray[np.float32], *, clip: float = 2.0, tiles: int = 8) -> NDArray[np.float32]:
    """Even out the contrast of a picture, region by region.

    Args:
        picture: ``(I, J)``, 0 .. 1.
        clip: Limit of a histogram bin, as a multiple of the mean bin; 1 leaves little
            change, 4 is strong.
        tiles: Regions along each axis; fewer for pictures under 16 pixels a tile.

    Returns:
        ``(I, J)`` float32, 0 .. 1.

    Source:
        Zuiderveld, Graphics Gems IV (1994). On 8-bit values it agrees with OpenCV's
        ``createCLAHE(clip, (tiles, tiles))`` within one grey level (tests/preprocessing).
        Values between two grey levels are interpolated.
    """
    rows, columns = picture.shape
    n_i, n_j = (max(1, min(tiles, side // 16)) for side in (rows, columns))
    padded = picture
    if rows % n_i or columns % n_j:  # OpenCV then lengthens both sides, also one that divides evenly
        padded = np.pad(picture, ((0, n_i - rows % n_i), (0, n_j - columns % n_j)), mode="reflect")
    tables = _tables(padded, n_i, n_j, clip)  # (n_i, n_j, 256)
    low_i, high_i, part_i = _neighbours(rows, padded.shape[0] // n_i, n_i)
    low_j, high_j, part_j = _neighbours(columns, padded.shape[1] // n_j, n_j)
    scaled = np.clip(picture, 0, 1) * np.float32(_BINS - 1)
    level = np.minimum(scaled.astype(np.intp), _BINS - 2)
    between = scaled - level

    def look(at_i: NDArray[np.intp], at_j: NDArray[np.intp]) -> NDArray[np.float32]:
        start = (at_i[:, None] * n_j + at_j[None, :]) * _BINS + level
        flat = tables.reshape(-1)
        lower = flat[start]
        return lower + between * (flat[start + 1] - lower)

    top = look(low_i, low_j) * (1 - part_j) + look(low_i, high_j) * part_j
    bottom = look(high_i, low_j) * (1 - part_j) + look(high_i, high_j) * part_j
    return np.asarray(top * (1 - part_i[:, None]) + bottom * part_i[:, None], dtype=np.float32)


def _tables(padded: NDArray[np.float32], n_i: int, n_j: int, clip: float) -> NDArray[np.float32]:
    """Cumulated, clipped histograms of every tile, 0 .. 1."""
    height, width = padded.shape[0] // n_i, padded.shape[1] // n_j
    area = height * width
    levels = np.rint(np.clip(padded, 0, 1) * (_BINS - 1)).astype(np.intp)
    tiled = levels.reshape(n_i, height, n_j, width).transpose(0, 2, 1, 3).reshape(n_i * n_j, area)
    offset = np.arange(n_i * n_j)[:, None] * _BINS
    counts = np.bincount((tiled + offset).reshape(-1), minlength=n_i * n_j * _BINS).reshape(n_i * n_j, _BINS)
    limit = max(int(clip * area / _BINS), 1)
    excess = np.maximum(counts - limit, 0).sum(axis=1)
    counts = np.minimum(counts, limit) + (excess // _BINS)[:, None]
    for tile, left in enumerate(excess % _BINS):  # the rest is spread evenly, one count each
        if left:
            counts[tile, :: max(_BINS // int(left), 1)][: int(left)] += 1
    tables = np.rint(np.cumsum(counts, axis=1) * ((_BINS - 1) / area)) / (_BINS - 1)
    return np.clip(tables, 0, 1).astype(np.float32).reshape(n_i, n_j, _BINS)


def _neighbours(n: int, step: int, n_tiles: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each pixel the two nearest tile centres and how far it is on the way between."""
    place = np.arange(n, dtype=np.float32) / np.float32(step) - np.float32(0.5)
    low = np.floor(place).astype(np.intp)
    part = (place - low).astype(np.float32)
    return np.clip(low, 0, n_tiles - 1), np.clip(low + 1, 0, n_tiles - 1), part
