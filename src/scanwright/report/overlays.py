"""Structures drawn over a slice or picture: what the model drew, what is true, and where they differ.

The answer is filled with the structure's colour and has a solid outline. The truth is a dashed white
outline. Where the answer is false the filling is striped, and what it missed is dotted, so that errors
are seen without telling colours apart. Structures that are too fine for outlines (vessels) have only
filling, stripes and dots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.report.colours import NUMBERED, structure_colours

Picture = NDArray[np.uint8]
Labels = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]

IGNORED = 255
"""Code of voxels that are not judged (:data:`scanwright.io.truth.IGNORED`); objects may have it as their number."""
_FILL, _FINE_FILL = 0.42, 0.85
_FINE = 7.0
"""Structures of a lesser mean width, in pixels of the drawing, are drawn without outlines."""
_CLOSE = 0.35
"""A close-up is made where the structures take less than this share of both sides."""
_WHITE, _BLACK = np.array([255.0] * 3), np.array([0.0] * 3)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A plane ready to show.

    Args:
        plain: ``(R, C, 3)`` the whole plane, upright and in the right proportions; framed where
            the overlay is a close-up.
        overlay: ``(R, C, 3)`` the same, or its close-up, with the structures.
        close: Whether the overlay is a close-up.
        seen: Which marks the overlay has: ``"answer"``, ``"truth"``, ``"false"``, ``"missed"``.
    """

    plain: Picture
    overlay: Picture
    close: bool
    seen: frozenset[str]


def draw_plane(plane: Mapping[str, Any], n: int, *, objects: bool = False, side: int = 360) -> Drawn:
    """Draw one plane of an explained case.

    Args:
        plane: ``picture`` ``(r, c)`` or ``(r, c, 3)`` uint8, ``truth`` and ``answer`` ``(r, c)``
            structure numbers (0 is none), ``aspect`` (row spacing by column spacing).
        n: Number of structures.
        objects: Whether the numbers are objects of one structure, to be told apart by outlines.
        side: Longest side of the drawings in pixels.

    Returns:
        The drawings.
    """
    picture = np.asarray(plane["picture"], dtype=np.uint8)
    truth, answer = (np.asarray(plane[key]).astype(np.int64) for key in ("truth", "answer"))
    aspect = float(plane.get("aspect") or 1.0)
    box = _close_up((answer > 0) | _known(truth, objects), aspect)
    plain = enlarged(picture, aspect, side)
    if box is None:
        overlay, seen = _overlay(picture, truth, answer, aspect=aspect, n=n, objects=objects, side=side)
        return Drawn(plain, overlay, False, seen)
    rows, columns = box
    scale_r, scale_c = plain.shape[0] / picture.shape[0], plain.shape[1] / picture.shape[1]
    _frame(plain, rows.start * scale_r, rows.stop * scale_r, columns.start * scale_c, columns.stop * scale_c)
    cut = (picture[box], truth[box], answer[box])
    overlay, seen = _overlay(*cut, aspect=aspect, n=n, objects=objects, side=side)
    return Drawn(plain, overlay, True, seen)


def paint_truth(picture: Picture, labels: Labels, n: int, *, aspect: float = 1.0, side: int = 320) -> Picture:
    """Draw one label map over a picture: filling and outlines, for samples.

    Args:
        picture: ``(r, c)`` or ``(r, c, 3)`` uint8.
        labels: ``(r, c)`` structure numbers, 0 is none.
        n: Number of structures.
        aspect: Row spacing by column spacing.
        side: Longest side of the result in pixels.

    Returns:
        ``(R, C, 3)`` uint8.
    """
    labels = np.asarray(labels).astype(np.int64)
    labels = np.where((labels == IGNORED) & (n < IGNORED), 0, labels)
    return _overlay(np.asarray(picture), None, labels, aspect=aspect, n=n, objects=False, side=side)[0]


def enlarged(picture: Picture, aspect: float, side: int) -> Picture:
    """A picture in its right proportions and RGB.

    Args:
        picture: ``(r, c)`` or ``(r, c, 3)`` uint8.
        aspect: Row spacing by column spacing.
        side: Longest side of the result in pixels.

    Returns:
        ``(R, C, 3)`` uint8.
    """
    return _resized(_rgb(picture), _shape(picture.shape[:2], aspect, side), smooth=True)


def _rgb(picture: Picture) -> Picture:
    flat = picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
    return np.repeat(flat[..., None], 3, axis=2) if flat.ndim == 2 else flat[..., :3]


def _shape(shape: tuple[int, ...], aspect: float, side: int) -> tuple[int, int]:
    high, wide = shape[0] * aspect, float(shape[1])
    scale = side / max(high, wide)
    return max(round(high * scale), 1), max(round(wide * scale), 1)


def _resized(array: NDArray[Any], shape: tuple[int, int], *, smooth: bool) -> NDArray[Any]:
    from PIL import Image

    if array.shape[:2] == shape:
        return array.copy()
    smaller = shape[0] < array.shape[0]
    way = (Image.Resampling.LANCZOS if smaller else Image.Resampling.BICUBIC) if smooth else Image.Resampling.NEAREST
    image = Image.fromarray(np.ascontiguousarray(array if smooth else array.astype(np.int32)))
    return np.asarray(image.resize((shape[1], shape[0]), way)).copy()


def _known(truth: Labels, objects: bool) -> Mask:
    return (truth > 0) if objects else (truth > 0) & (truth != IGNORED)


def _close_up(inside: Mask, aspect: float) -> tuple[slice, slice] | None:
    """A window round all structures with the plane's proportions; None where it would show no more."""
    if not inside.any():
        return None
    shape = np.array(inside.shape)
    ends = [np.flatnonzero(inside.any(axis=1 - axis))[[0, -1]] for axis in (0, 1)]
    share = max((b - a + 1) / n for (a, b), n in zip(ends, shape, strict=True))
    if share >= _CLOSE or shape.min() * min(aspect, 1 / aspect) < 4:
        return None
    share = min(max(1.6 * share, 0.12), 1.0)
    window = []
    for (a, b), n in zip(ends, shape, strict=True):
        length = min(max(int(np.ceil(share * n)), b - a + 3), n)
        start = int(np.clip((a + b + 1 - length) // 2, 0, n - length))
        window.append(slice(start, start + length))
    return window[0], window[1]


def _frame(picture: Picture, top: float, bottom: float, left: float, right: float) -> None:
    rows, columns = picture.shape[:2]
    t, b = round(top), min(round(bottom), rows) - 1
    lo, hi = round(left), min(round(right), columns) - 1
    for inset, value in ((0, 0), (1, 255), (2, 255), (3, 0)):
        picture[[t + inset, b - inset], lo + inset : hi - inset + 1] = value
        picture[t + inset : b - inset + 1, [lo + inset, hi - inset]] = value


def _overlay(
    picture: Picture, truth: Labels | None, answer: Labels, *, aspect: float, n: int, objects: bool, side: int
) -> tuple[Picture, frozenset[str]]:
    target = _shape(picture.shape[:2], aspect, side)
    native = _shape(picture.shape[:2], aspect, max(side, *picture.shape[:2]))
    pen = max(native) / max(target)
    canvas = _resized(_rgb(picture), native, smooth=True).astype(np.float64)
    said = _resized(answer, native, smooth=False)
    true = said if truth is None else _resized(truth, native, smooth=False)
    ignored = np.zeros(native, bool) if objects or truth is None else true == IGNORED
    true, said = np.where(ignored, 0, true), np.where(ignored, 0, said)
    table = np.array(structure_colours(max(n, 1)), dtype=np.float64)
    kind = (lambda labels: np.minimum(labels, 1)) if objects else (lambda labels: labels)
    false, missed = (said > 0) & (kind(said) != kind(true)), (true > 0) & (kind(said) != kind(true))
    fine = _width((said > 0) | (true > 0), said + true * (int(said.max(initial=0)) + 1)) < _FINE * pen
    _fill(canvas, said, table, objects, _FINE_FILL if fine else _FILL)
    _mark(canvas, false, missed & (said == 0), pen, fine=fine)
    if not fine:
        _outline(canvas, said, table, objects, pen)
        if truth is not None:
            _dashes(canvas, true, pen)
    result = _resized(np.clip(canvas, 0, 255).astype(np.uint8), target, smooth=True)
    if n > NUMBERED and not objects:
        _numbers(result, _resized(said, target, smooth=False), n)
    marks = {"answer": said > 0, "truth": (true > 0) & (not fine), "false": false, "missed": missed & (said == 0)}
    marks = marks if truth is not None else {"answer": said > 0}
    return result, frozenset(name for name, mask in marks.items() if mask.any())


def _colours_of(labels: Labels, table: NDArray[np.float64], objects: bool) -> NDArray[np.float64]:
    return table[np.zeros_like(labels) if objects else (np.maximum(labels, 1) - 1) % len(table)]


def _fill(canvas: NDArray[np.float64], labels: Labels, table: NDArray[np.float64], objects: bool, alpha: float) -> None:
    inside = labels > 0
    canvas[inside] = (1 - alpha) * canvas[inside] + alpha * _colours_of(labels[inside], table, objects)


def _mark(canvas: NDArray[np.float64], false: Mask, missed: Mask, pen: float, *, fine: bool) -> None:
    """Black stripes where the answer is false, white dots on black where it missed something."""
    i, j = np.indices(canvas.shape[:2]) / pen
    period = 5.0 if fine else 7.0
    stripes = false & ((i + j) % period < period * (0.5 if fine else 0.32))
    canvas[stripes] = 0.25 * canvas[stripes] + 0.75 * _BLACK
    canvas[missed] = (0.35 if fine else 0.65) * canvas[missed]
    step = 4.0 if fine else 6.0
    dots = missed & (i % step < step / 2) & (j % step < step / 2) if not fine else missed & ((i - j) % step < step / 2)
    canvas[dots] = 0.1 * canvas[dots] + 0.9 * _WHITE


def _width(inside: Mask, labels: Labels) -> float:
    """Mean width of the structures: twice their area by the length of their edges."""
    edge = _edges(labels) & inside
    return float("inf") if not edge.any() else 2.0 * float(inside.sum()) / float(edge.sum())


def _edges(labels: Labels) -> Mask:
    """Pixels that touch another number up, down, left or right."""
    edge = np.zeros(labels.shape, bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def _inner(labels: Labels, width: int) -> Mask:
    """The rim of every structure, ``width`` pixels, inside it."""
    from scipy.ndimage import binary_dilation

    rim = _edges(labels)
    if width > 1:
        rim = binary_dilation(rim, iterations=width - 1)
    return np.asarray(rim & (labels > 0))


def _outline(
    canvas: NDArray[np.float64], labels: Labels, table: NDArray[np.float64], objects: bool, pen: float
) -> None:
    rim = _inner(labels, max(round(2 * pen), 1))
    canvas[rim] = _colours_of(labels[rim], table, objects)


def _dashes(canvas: NDArray[np.float64], labels: Labels, pen: float) -> None:
    """White dashes with a dark casing along the rim of the truth."""
    from scipy.ndimage import binary_dilation

    rim = _inner(labels, max(round(1.5 * pen), 1))
    i, j = np.indices(labels.shape)
    along = np.where(_is_steep(labels), i, j) / pen
    dashes = rim & (along % 9 < 5.5)
    casing = binary_dilation(dashes, iterations=max(round(pen), 1)) & ~dashes
    canvas[casing] = 0.45 * canvas[casing]
    canvas[dashes] = _WHITE


def _is_steep(labels: Labels) -> Mask:
    """Where the edge runs more along the rows than along the columns (so that dashes follow it)."""
    from scipy.ndimage import gaussian_filter

    soft = gaussian_filter((labels > 0).astype(np.float32), 3)
    down, right = np.gradient(soft) if min(labels.shape) > 1 else (np.zeros(labels.shape), np.zeros(labels.shape))
    return np.asarray(np.abs(right) > np.abs(down))


def _numbers(picture: Picture, labels: Labels, n: int) -> None:
    """The number of every structure in its middle, white on black."""
    from PIL import Image, ImageDraw, ImageFont
    from scipy.ndimage import distance_transform_edt

    image = Image.fromarray(picture)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for k in np.unique(labels[(labels > 0) & (labels <= n)]):
        depth = distance_transform_edt(np.pad(labels == k, 1))[1:-1, 1:-1]
        i, j = np.unravel_index(int(depth.argmax()), depth.shape)
        pen.text((int(j), int(i)), str(k), fill=(255, 255, 255), font=font, anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0))  # fmt: skip
    picture[:] = np.asarray(image)
