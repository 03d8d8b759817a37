"""Pictures as data URIs, small enough for one page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 2_200_000
"""Encoded pictures of one page; in base64 a third more."""
SMALL = 64
"""A picture with no side longer than this is kept to the pixel."""
_STEPS = ((320, 86), (256, 82), (192, 78), (128, 74), (96, 66), (64, 60))
"""Longest side in pixels and JPEG quality, tried in turn."""
CRISP = ((640, 88), (640, 78), (480, 78), (360, 76), *_STEPS[1:])
"""The same for drawings with fine coloured lines, which are made at the size that they are shown in."""


def embed(pictures: Sequence[NDArray[np.uint8] | None], steps: Sequence[tuple[int, int]] = _STEPS) -> list[str]:
    """Encode pictures so that together they fit a page.

    Args:
        pictures: ``(rows, columns)``, ``(rows, columns, 1)`` or ``(rows, columns, 3)`` uint8, or None.
        steps: Longest side in pixels and JPEG quality, tried in turn.

    Returns:
        A ``data:`` URI for each, empty for None.
    """
    encoded: list[tuple[str, bytes]] = []
    for side, quality in steps:
        encoded = [("", b"") if p is None else encode(p, side=side, quality=quality) for p in pictures]
        if sum(len(data) for _, data in encoded) <= MAX_BYTES:
            break
    return [f"data:{kind};base64,{base64.b64encode(data).decode()}" if data else "" for kind, data in encoded]


def is_film(picture: NDArray[np.uint8]) -> bool:
    """Whether a picture is a strip of frames: much wider than high, and shown in the page's whole width."""
    return picture.shape[1] > 2.2 * picture.shape[0]


def encode(picture: NDArray[np.uint8], *, side: int = 320, quality: int = 86) -> tuple[str, bytes]:
    """Encode one picture: PNG when it is small, else JPEG.

    Args:
        picture: See :func:`embed`.
        side: Longest side of the result in pixels.
        quality: JPEG quality, 1 .. 95.

    Returns:
        Media type and bytes.
    """
    from PIL import Image

    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8:
        pixels = np.clip(np.nan_to_num(pixels), 0, 255).astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3] if pixels.ndim == 3 else pixels))
    out = io.BytesIO()
    if max(image.size) <= SMALL:
        image.save(out, "PNG", optimize=True)
        return "image/png", out.getvalue()
    if is_film(pixels):
        side = min(4, round(max(image.size) / min(image.size))) * side
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if side > _STEPS[0][0] and not is_film(
        pixels
    ):  # not optimized: Pillow's buffer for that is too small for noise in full colour
        image.save(out, "JPEG", quality=quality, subsampling=0)
    else:
        image.save(out, "JPEG", quality=quality, optimize=True)
    return "image/jpeg", out.getvalue()
