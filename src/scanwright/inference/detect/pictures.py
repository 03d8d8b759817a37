"""Boxes drawn on the image: answers in full lines with their scores, true ones dashed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Box, Grid, Volume
from scanwright.inference.segment.pictures import COLOURS

_SIDE = (480, 1200)
"""The longer side of a drawing lies between these."""
_DASH = (7, 5)
WHITE = (255, 255, 255)


def telling_slice(boxes: Sequence[Box], n_slices: int) -> int:
    """The slice that most of the sureness of boxes goes through; the middle one where there are none."""
    through = np.zeros(n_slices)
    for box in boxes:
        first, last = (int(np.clip(round(v), 0, n_slices - 1)) for v in (box.low[2] + 0.5, box.high[2] - 0.5))
        through[first : last + 1] += 1.0 if box.score is None else box.score
    return int(through.argmax()) if through.any() else n_slices // 2


def draw_boxes(
    volume: Volume,
    answers: Sequence[Box] = (),
    truth: Sequence[Box] = (),
    *,
    k: int | None = None,
    marked: Sequence[Box] = (),
    names: Sequence[str] = (),
) -> NDArray[np.uint8]:
    """A slice as it is hung, with the boxes that it goes through.

    Args:
        volume: The source.
        answers: Drawn in full lines in the colour of their class, with their score.
        truth: Drawn dashed, white.
        k: Slice along the last axis; the most telling one if None.
        marked: Drawn like answers, with double lines.
        names: Names of the classes, written at the answers; scores alone without.

    Returns:
        ``(rows, columns, 3)`` uint8, enlarged where the image is small.
    """
    from PIL import Image, ImageDraw

    every = [*answers, *marked, *truth]
    k = telling_slice(every, volume.grid.shape[2]) if k is None else k
    picture = volume.picture(k)
    rgb = np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture
    scale = _scale(rgb.shape)
    image = Image.fromarray(rgb).resize((round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)))
    pen = ImageDraw.Draw(image)
    hang = _Hanging(volume.grid)
    for box in truth:
        if _goes_through(box, k):
            _dashed(pen, _scaled(hang.rectangle(box), scale))
    for box in (*answers, *marked):
        if not _goes_through(box, k):
            continue
        colour = COLOURS[box.label % len(COLOURS)]
        x0, y0, x1, y1 = _scaled(hang.rectangle(box), scale)
        pen.rectangle((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)), outline=colour, width=2)
        if box in marked:
            pen.rectangle((x0 - 4, y0 - 4, max(x1, x0 + 1) + 4, max(y1, y0 + 1) + 4), outline=colour, width=2)
        name = f"{names[box.label]} " if names else ""
        text = name + (f"{box.score:.2f}" if box.score is not None else "")
        if text and x1 - x0 > 14:
            left, top, right, bottom = pen.textbbox((x0 + 3, y0 + 3), text)
            pen.rectangle((left - 2, top - 2, right + 2, bottom + 2), fill=(0, 0, 0))  # readable on any image
            pen.text((x0 + 3, y0 + 3), text, fill=colour)
    return np.asarray(image, dtype=np.uint8)


class _Hanging:
    """How a slice is turned when it is shown, found by showing four pixels."""

    def __init__(self, grid: Grid) -> None:
        self.shape = grid.shape
        n = 1 if grid.is_picture else 2
        stack = np.repeat(np.array([[10.5, 20.5], [30.5, 40.5]], np.float32)[None, ..., None], n, axis=-1)
        small = Grid((2, 2, n), grid.affine, spacing_known=grid.spacing_known)
        shown = Volume(stack, small, window=(127.5, 255.0)).picture(0).astype(int) // 10
        self.crossed = abs(int(shown[0, 1]) - int(shown[0, 0])) == 2  # axis i runs along the columns
        self.down_back = bool(shown[0, 0] > shown[1, 0])
        self.right_back = bool(shown[0, 0] > shown[0, 1])

    def rectangle(self, box: Box) -> tuple[float, float, float, float]:
        """Left, top, right and bottom from the upper left corner of the shown picture, in pixels."""
        (i0, j0, _), (i1, j1, _) = box.low, box.high
        n_i, n_j, _ = self.shape
        down, right = ((i0 + 0.5, i1 + 0.5, n_i), (j0 + 0.5, j1 + 0.5, n_j))
        if self.crossed:
            down, right = right, down
        y0, y1 = (down[2] - down[1], down[2] - down[0]) if self.down_back else down[:2]
        x0, x1 = (right[2] - right[1], right[2] - right[0]) if self.right_back else right[:2]
        return x0, y0, x1, y1


def _goes_through(box: Box, k: int) -> bool:
    return box.low[2] < k + 0.5 and box.high[2] > k - 0.5


def _scale(shape: Sequence[int]) -> float:
    side = max(shape[:2])
    if side < _SIDE[0]:
        return float(-(-_SIDE[0] // side))
    return min(1.0, _SIDE[1] / side)


def _scaled(rectangle: tuple[float, float, float, float], scale: float) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (v * scale for v in rectangle)
    return x0, y0, x1 - 1, y1 - 1


def _dashed(pen: object, rectangle: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = rectangle
    step = sum(_DASH)
    for y in (y0, y1):
        for x in np.arange(x0, x1, step):
            pen.line((x, y, min(x + _DASH[0], x1), y), fill=WHITE, width=2)  # type: ignore[attr-defined]
    for x in (x0, x1):
        for y in np.arange(y0, y1, step):
            pen.line((x, y, x, min(y + _DASH[0], y1)), fill=WHITE, width=2)  # type: ignore[attr-defined]
