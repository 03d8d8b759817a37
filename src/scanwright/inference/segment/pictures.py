"""Structures drawn over the image, in colours that the colour-blind tell apart."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Grid, LabelMap, Volume

COLOURS: tuple[tuple[int, int, int], ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (153, 153, 153),
)
"""RGB of structure 1, 2, 3 ...; from the start again after the last (Okabe and Ito, 2008)."""
_STRENGTH = 0.4
_MOST_FRAMES = 120
_FRAME_MS = 80


def best_slice(labels: NDArray[Any]) -> int:
    """The slice along the last axis with most foreground; the middle one where there is none."""
    areas = np.zeros(labels.shape[2], dtype=np.int64)
    for plane in labels:
        areas += np.count_nonzero(plane, axis=0)
    return int(areas.argmax()) if areas.any() else labels.shape[2] // 2


def paint(
    volume: Volume, label_map: LabelMap, k: int, *, regions: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """A slice as it is hung, with each structure tinted and outlined in its colour.

    Args:
        volume: The source.
        label_map: Structures on its grid.
        k: Slice along the last axis.
        regions: ``(n, I, J, K)`` where structures overlap: each is outlined.

    Returns:
        ``(rows, columns, 3)`` uint8.
    """
    picture = volume.picture(k)
    base = (np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture).astype(np.float32)
    flat = _hung(volume, label_map.array[..., k])
    colour = np.asarray(COLOURS, dtype=np.float32)
    inside = flat > 0
    tint = colour[(flat - 1) % len(COLOURS)]
    base[inside] = (1 - _STRENGTH) * base[inside] + _STRENGTH * tint[inside]
    if regions is None:
        edge = _outline(flat)
        base[edge] = tint[edge]
    else:
        for n, region in enumerate(regions):
            base[_outline(_hung(volume, region[..., k].astype(np.uint8)))] = colour[n % len(COLOURS)]
    return np.clip(np.rint(base), 0, 255).astype(np.uint8)


def film(
    volume: Volume, label_map: LabelMap, *, regions: NDArray[np.bool_] | None = None, ends: Sequence[int] | None = None
) -> bytes:
    """An animated GIF through the slices of a volume.

    Args:
        volume: The source.
        label_map: Structures on its grid.
        regions: ``(n, I, J, K)`` where structures overlap.
        ends: First and last slice; all if None. At most 120 are shown, evenly spread.

    Returns:
        A complete GIF file.
    """
    from PIL import Image

    low, high = ends or (0, volume.grid.shape[2] - 1)
    chosen = np.unique(np.linspace(low, high, min(high - low + 1, _MOST_FRAMES)).round().astype(int))
    frames = []
    for k in chosen:
        picture = Image.fromarray(paint(volume, label_map, int(k), regions=regions))
        picture.thumbnail((512, 512))
        frames.append(picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=128))
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=_FRAME_MS, loop=0)
    return buffer.getvalue()


def _hung(volume: Volume, plane: NDArray[Any]) -> NDArray[np.int64]:
    """A plane of labels turned as the picture is hung: it goes through the same door, eight bits at a time."""
    affine = volume.grid.affine
    n = 1 if volume.grid.is_picture else 2  # a grid of one slice is a picture, and is not turned
    grid = Grid((*plane.shape, n), affine, spacing_known=volume.grid.spacing_known)
    result: NDArray[np.int64] | None = None
    for shift in (0, 8, 16, 24):
        part = ((plane.astype(np.int64) >> shift) & 255).astype(np.float32) + np.float32(0.5)
        stack = np.repeat(part[None, ..., None], n, axis=-1)
        turned = Volume(stack, grid, window=(127.5, 255.0)).picture(0).astype(np.int64) << shift
        result = turned if result is None else result + turned
        if int(plane.max(initial=0)) >> (shift + 8) == 0:
            break
    return np.zeros(plane.shape, dtype=np.int64) if result is None else result


def _outline(flat: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of a structure that touch another or the background."""
    framed = np.pad(flat, 1)
    differs = np.zeros(flat.shape, dtype=bool)
    rows, columns = flat.shape
    for di, dj in ((0, 1), (2, 1), (1, 0), (1, 2)):
        differs |= framed[di : di + rows, dj : dj + columns] != flat
    return differs & (flat > 0)
