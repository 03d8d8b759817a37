"""A sequence on one picture: its frames side by side, the weight of each as a bar below it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Frames, Volume
from scanwright.inference.heatmap import blend
from scanwright.preprocessing.frames import picked

_SHOWN, _SIDE, _GAP, _BAR = 8, 160, 3, 28
_BACK, _INK = 24, np.array([120, 190, 255], dtype=np.uint8)


def film_strip(
    volume: Volume, heat: NDArray[np.float32] | None, weights: Sequence[float], frames: Frames
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Frames from left to right in their order.

    Args:
        volume: ``(C, I, J, T)``.
        heat: ``(I, J, T)``, 0 .. 1, or None.
        weights: Weight of every frame in the answer; empty if the network gives none.
        frames: Which frames the network sees.

    Returns:
        ``(rows, columns, 3)`` uint8: at most eight of the frames that were seen, evenly spread, with bars as
        long as their weights (the longest fills the strip); the same with the heat map, or None.
    """
    seen = picked(volume.grid.shape[2], frames.most)
    at = seen[picked(len(seen), _SHOWN)]
    plain = [_rgb(volume.picture(int(k))) for k in at]
    picture = _strip([_fitted(p) for p in plain], at, weights)
    if heat is None:
        return picture, None
    flat = Volume(heat[None].astype(np.float32), volume.grid, window=(0.5, 1.0))
    marked = [blend(p, flat.picture(int(k)).astype(np.float32) / 255) for p, k in zip(plain, at, strict=True)]
    return picture, _strip([_fitted(p) for p in marked], at, weights)


def _fitted(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame of about :data:`_SIDE` pixels: every n-th of a large one, every pixel of a small one several times."""
    side = max(picture.shape[:2])
    step, times = max(1, -(-side // _SIDE)), max(1, _SIDE // side)
    return picture[::step, ::step].repeat(times, axis=0).repeat(times, axis=1)


def _strip(pictures: Sequence[NDArray[np.uint8]], at: NDArray[np.intp], weights: Sequence[float]) -> NDArray[np.uint8]:
    rows, columns = pictures[0].shape[:2]
    below = _BAR if len(weights) else 0
    strip = np.full((rows + below, len(pictures) * (columns + _GAP) - _GAP, 3), _BACK, dtype=np.uint8)
    longest = max((weights[k] for k in at), default=0.0) if len(weights) else 0.0
    for n, (picture, k) in enumerate(zip(pictures, at, strict=True)):
        left = n * (columns + _GAP)
        strip[:rows, left : left + columns] = picture
        if below and longest > 0:
            height = round((_BAR - 4) * weights[k] / longest)
            strip[rows + below - height :, left + columns // 4 : left + columns - columns // 4] = _INK
    return strip


def _rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture
