"""Heat maps for a reader: positive evidence on the source's own grid, drawn over the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Grid, Preprocessing, Volume
from scanwright.preprocessing import restore

Map = NDArray[np.float32]

# matplotlib's "inferno" (CC0) at nine even steps: lightness rises evenly, also for the colour-blind.
_INFERNO = np.array(
    [
        (0, 0, 4),
        (31, 12, 72),
        (85, 15, 109),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    dtype=np.float32,
)
_COLOUR_FROM = 0.35
_STRONGEST = 0.6
_FADE_FROM, _FADE_TO = 0.4, 0.9


def on_source(values: Map, grid: Grid, spec: Preprocessing) -> Map:
    """Turn a map on the prepared array into a heat map on the source's grid.

    Args:
        values: ``spec.size``; larger where the place speaks more for the answer.
        grid: Grid of the source.
        spec: The preprocessing that was used.

    Returns:
        ``(I, J, K)`` float32, 0 .. 1: evidence for the answer as a share of the strongest
        place; 0 where a place speaks against it or was not looked at.
    """
    heat = np.clip(np.nan_to_num(restore(values, grid, spec)), 0, None)
    highest = float(heat.max())
    if highest <= 1e-12:
        return np.zeros(grid.shape, dtype=np.float32)
    return (heat / np.float32(highest)).astype(np.float32)


def telling_slice(heat: Map | None, grid: Grid) -> int:
    """The slice that a reader should see first: the one with most evidence, or the middle one."""
    if heat is None or grid.is_picture or not heat.any():
        return grid.shape[2] // 2
    return int(np.argmax((heat.astype(np.float64) ** 2).sum(axis=(0, 1))))


def draw(volume: Volume, heat: Map | None, k: int | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A slice as it is hung, and the same with the heat map over it.

    Args:
        volume: The source.
        heat: ``(I, J, K)`` on its grid, 0 .. 1, or None.
        k: Slice along the last axis; the most telling one if None.

    Returns:
        The picture ``(rows, columns)`` or ``(rows, columns, 3)``, and the overlay
        ``(rows, columns, 3)`` or None; both uint8.
    """
    k = telling_slice(heat, volume.grid) if k is None else k
    picture = volume.picture(k)
    if heat is None:
        return picture, None
    flat = Volume(heat[None].astype(np.float32), volume.grid, window=(0.5, 1.0))
    return picture, blend(picture, flat.picture(k).astype(np.float32) / 255)


def blend(picture: NDArray[np.uint8], heat: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Lay a heat map over a picture: the weaker the evidence, the clearer the picture.

    Args:
        picture: ``(rows, columns)`` or ``(rows, columns, 3)`` uint8.
        heat: ``(rows, columns)``, 0 .. 1.

    Returns:
        ``(rows, columns, 3)`` uint8.
    """
    base = np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture
    strength = np.clip((heat - _FADE_FROM) / (_FADE_TO - _FADE_FROM), 0, 1)[..., None]
    alpha = _STRONGEST * strength * strength * (3 - 2 * strength)
    mixed = base.astype(np.float32) * (1 - alpha) + colours(heat) * alpha
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def colours(heat: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Colour of each strength: ``(..., 3)``, 0 .. 255, from violet to pale yellow."""
    place = np.clip(_COLOUR_FROM + (1 - _COLOUR_FROM) * np.asarray(heat, dtype=np.float32), 0, 1) * (len(_INFERNO) - 1)
    low = np.clip(np.floor(place).astype(int), 0, len(_INFERNO) - 2)
    share = (place - low)[..., None]
    result: NDArray[np.float32] = _INFERNO[low] * (1 - share) + _INFERNO[low + 1] * share
    return result
