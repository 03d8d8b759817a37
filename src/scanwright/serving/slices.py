"""The slices of an answer, to be leafed through: written one by one, and one is drawn when it is asked for.

What lies on disk is a zip: the hung slices as plain bytes, and for each the strength of the heat
map or the structure of every pixel, packed. Neither writing nor drawing holds more than a few
slices in memory.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Grid, Prediction, Volume, png_bytes
from scanwright.serving.paint import heat_over, structure_colours, structures_over

Plane = NDArray[np.uint8]

_AT_ONCE = 16
_LONGEST = 1024
_SAMPLES = 200_000
_FACTS = "facts.json"


@dataclass(frozen=True)
class Stack:
    """What the page needs to know of the slices of one answer.

    Args:
        count: Number of slices.
        start: Slice (k) to show first.
        aspect: Width over height of a slice in the body, so that it is shown undistorted.
        layer: ``"heat"``, ``"labels"``, or ``""`` when there is nothing to draw over.
    """

    count: int
    start: int
    aspect: float
    layer: str


def write_slices(path: Path, volume: Volume, prediction: Prediction, *, most_bytes: int) -> Stack:
    """Write every slice as it is hung, and what is drawn over it.

    Args:
        path: File to write.
        volume: What was looked at.
        prediction: With a label map, a heat map, or neither, on the volume's grid.
        most_bytes: Space for the pictures; larger ones are made coarser, at the latest when a
            side is longer than 1024 pixels.

    Returns:
        Facts of the stack.
    """
    overlay, layer = _layer(prediction, volume.grid)
    count = volume.grid.shape[2]
    size = volume.n_channels if volume.channel == "rgb" else 1
    pixels = math.prod(volume.grid.shape) * size
    step = max(math.ceil(max(volume.grid.shape[:2]) / _LONGEST), math.ceil(math.sqrt(pixels / max(most_bytes, 1))))
    shape: tuple[int, ...] = ()
    with zipfile.ZipFile(path, "w", compresslevel=1) as archive:
        for k, picture in enumerate(_pictures(volume)):
            picture = _coarser(picture, step)
            shape = picture.shape
            archive.writestr(f"picture/{k}", picture.tobytes())
            if overlay is not None:
                drawn = np.ascontiguousarray(_hung(overlay[..., k], volume.grid, layer)[::step, ::step])
                archive.writestr(f"layer/{k}", drawn.tobytes(), zipfile.ZIP_DEFLATED)
        names = len(prediction.classes)
        facts = {"count": count, "shape": list(shape), "layer": layer, "names": names}
        archive.writestr(_FACTS, json.dumps(facts))
    return Stack(count, _telling(overlay, prediction, count), _aspect(volume.grid), layer)


def slice_png(path: Path, k: int, *, overlay: bool) -> bytes | None:
    """Draw one slice.

    Args:
        path: As :func:`write_slices` wrote it.
        k: Number of the slice, from 0.
        overlay: Whether the heat map or the structures are drawn over it.

    Returns:
        PNG, or None if there is no such slice.
    """
    with zipfile.ZipFile(path) as archive:
        facts = json.loads(archive.read(_FACTS))
        if not 0 <= k < facts["count"]:
            return None
        picture: Plane = np.frombuffer(archive.read(f"picture/{k}"), np.uint8).reshape(facts["shape"])
        if overlay and facts["layer"]:
            layer: Plane = np.frombuffer(archive.read(f"layer/{k}"), np.uint8)
            layer = layer.reshape(facts["shape"][:2])
            heat = facts["layer"] == "heat"
            colours = structure_colours(facts["names"])
            picture = heat_over(picture, layer) if heat else structures_over(picture, layer, colours)
    return png_bytes(picture)


def _layer(prediction: Prediction, grid: Grid) -> tuple[NDArray[Any] | None, str]:
    found = prediction.heatmap if prediction.label_map is None else prediction.label_map.array
    if found is None or found.shape != grid.shape:
        return None, ""
    return found, "heat" if prediction.label_map is None else "labels"


def _pictures(volume: Volume) -> Iterator[Plane]:
    """Every slice as it is hung, in one window; some are taken at once, so that memory is read in order."""
    whole = volume
    if not volume.window and volume.channel != "rgb" and volume.array.dtype != np.uint8:
        sample = volume.array[0].reshape(-1)
        sample = sample[:: max(1, sample.size // _SAMPLES)].astype(np.float32)
        sample = sample[np.isfinite(sample)]
        low, high = np.percentile(sample, (0.5, 99.5)) if sample.size else (0.0, 1.0)
        whole = replace(volume, window=(float(low + high) / 2, max(float(high - low), 1e-6)))
    rows, columns, count = volume.grid.shape
    for first in range(0, count, _AT_ONCE):
        some = np.ascontiguousarray(np.moveaxis(whole.array[..., first : first + _AT_ONCE], -1, 0))
        n = len(some)
        if n == 1 and count > 1:  # one slice alone would be taken for a picture, and hung otherwise
            some = np.concatenate([some, some])
        grid = Grid((rows, columns, len(some)), volume.grid.affine, volume.grid.spacing_known)
        part = replace(whole, array=np.moveaxis(some, 0, -1), grid=grid)
        for k in range(n):
            yield part.picture(k)


def _hung(plane: NDArray[Any], grid: Grid, layer: str) -> Plane:
    """One slice of a layer, turned as its picture is: strength 0 .. 255, or the structure of each pixel."""
    values = np.asarray(plane, dtype=np.float32)
    if layer == "labels":
        values = np.where(values > 0, (values - 1) % 255 + 1, 0) + np.float32(0.25)  # what is cut off is the quarter
    thick = 1 if grid.is_picture else 2
    array = np.repeat(values[None, ..., None], thick, axis=-1)
    window = (127.5, 255.0) if layer == "labels" else (0.5, 1.0)
    return Volume(array, Grid((*plane.shape, thick), grid.affine), window=window).picture(0)


def _coarser(picture: Plane, step: int) -> Plane:
    """Mean of blocks of ``step`` by ``step`` pixels; those at the far edges may be smaller."""
    if step == 1:
        return np.ascontiguousarray(picture)
    total: NDArray[Any] = picture.astype(np.float32)
    for axis in (0, 1):
        starts = np.arange(0, total.shape[axis], step)
        width = np.diff(np.append(starts, total.shape[axis]))
        total = np.add.reduceat(total, starts, axis=axis) / width.reshape(
            [-1 if a == axis else 1 for a in range(total.ndim)]
        )
    return np.rint(total).astype(np.uint8)


def _telling(overlay: NDArray[Any] | None, prediction: Prediction, count: int) -> int:
    """The slice that a reader should see first: that of the largest lesion, or with most of the layer."""
    if prediction.lesions and 0 <= prediction.lesions[0].slice < count:
        return prediction.lesions[0].slice
    if overlay is None:
        return count // 2
    weights = [float((overlay[..., k].astype(np.float32).clip(0, 1) ** 2).sum()) for k in range(count)]
    return int(np.argmax(weights)) if max(weights) > 0 else count // 2


def _aspect(grid: Grid) -> float:
    rows, columns, count = grid.shape
    step_i, step_j, _ = grid.spacing
    turned = False
    if count > 1:  # hung as its picture is: a small one tells whether rows became columns
        turned = Volume(np.zeros((1, 2, 3, 2), np.float32), Grid((2, 3, 2), grid.affine)).picture(0).shape == (3, 2)
    wide = columns * step_j / (rows * step_i)
    return round(1 / wide if turned else wide, 5)
