"""TIFF: nothing of the file may be missing; then its pages become planes."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import FormatError
from scanwright.io.guard import check_pixels, check_size, damaged
from scanwright.io.tiff_lzw import is_lzw, lzw_page

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_MAX_PAGES = 100_000
_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def check_tiff(path: Path) -> None:
    """Walk all directories and see that every value, strip and tile lies within the file.

    Args:
        path: The file.

    Raises:
        FormatError: Something is missing.
    """
    data = np.memmap(path, np.uint8, mode="r")
    order = "<" if bytes(data[:2]) == b"II" else ">"
    big = struct.unpack(order + "H", bytes(data[2:4]))[0] == 43
    pointer, n_pages, seen = _number(path, data, order, 8 if big else 4, 8 if big else 4), 0, set()
    while pointer:
        if pointer in seen or n_pages > _MAX_PAGES:
            raise damaged(path, "TIFF", "its directories run in a circle")
        seen.add(pointer)
        n_pages += 1
        pointer = _check_directory(path, data, order, big, pointer)
    if n_pages == 0:
        raise damaged(path, "TIFF", "it has no page")


def tiff_planes(path: Path) -> tuple[NDArray[Any], bool]:
    """Decode all pages.

    Args:
        path: A whole TIFF file.

    Returns:
        ``(C, rows, columns, pages)`` and whether C is colour.

    Raises:
        FormatError: Pages differ in size, or the compression is unknown here.
    """
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with tifffile.TiffFile(path) as tif:
        every: list[Any] = list(tif.pages)
        pages = [p for p in every if not (p.is_reduced or p.is_mask)] if len(every) > 1 else every
        series = tif.series[0]
        pages = pages or every
        whole = len(series.shape) > 2 and len(tif.series) == 1 and series.levels[0] is series
        if not whole and len({(p.shape, p.dtype) for p in pages}) > 1:
            raise FormatError(
                f"{path.name} has {len(pages)} pages of different sizes or types.",
                "The pages of one TIFF volume are all alike.",
                "Save each page as a file of its own.",
            )
        first = pages[0]
        check_pixels(path, "TIFF", int(first.imagewidth), int(first.imagelength))
        try:
            stack, axes = _decode(path, tif, pages, whole)
        except (ValueError, ImportError, AttributeError) as error:
            stack, axes = _pages_with_pillow(path, len(pages), int(np.max(first.bitspersample)), error)
        turn = first.tags.get(274)
        inverted = first.photometric == 0 and stack.dtype.kind == "u"
        depth = int(np.max(first.bitspersample))
    planes, is_rgb = _arrange(path, stack, axes)
    if inverted:
        planes = ((1 << min(depth, planes.dtype.itemsize * 8)) - 1 - planes.astype(np.int64)).astype(planes.dtype)
    if depth == 1 and planes.dtype in (np.uint8, bool) and planes.max(initial=0) <= 1:
        planes = planes.astype(np.uint8) * 255
    return _turned(planes, int(turn.value) if turn else 1), is_rgb


def _decode(path: Path, tif: Any, pages: list[Any], whole: bool) -> tuple[NDArray[Any], str]:
    if any(p.photometric in (3, 6) or p.compression in (6, 7) for p in pages):
        raise ValueError("palette and JPEG pages are left to Pillow")
    if all(is_lzw(p) for p in pages):
        first = pages[0]
        check_size(path, "TIFF", int(np.prod(first.shape, dtype=np.int64)) * first.dtype.itemsize * len(pages))
        stack = np.stack([lzw_page(path, tif, p) for p in pages])
        return stack, "QYX" if stack.ndim == 3 else "QYXS"
    if whole:
        series = tif.series[0]
        check_size(path, "TIFF", int(np.prod(series.shape, dtype=np.int64)) * series.dtype.itemsize)
        return np.asarray(series.asarray()), str(series.axes)
    check_size(path, "TIFF", int(np.prod(pages[0].shape, dtype=np.int64)) * pages[0].dtype.itemsize * len(pages))
    return np.stack([p.asarray() for p in pages]), "Q" + str(pages[0].axes)


def _pages_with_pillow(path: Path, n_pages: int, depth: int, cause: Exception) -> tuple[NDArray[Any], str]:
    from PIL import Image, ImageSequence

    from scanwright.io.raster import plain_pixels

    with Image.open(path, formats=("TIFF",)) as picture:
        frames = [plain_pixels(frame) for frame in ImageSequence.Iterator(picture)]
    frames = [f for f in frames if f.shape == frames[0].shape]
    if len(frames) != n_pages:
        raise damaged(path, "TIFF", "some of its pages cannot be decoded") from cause
    if frames[0].dtype.itemsize * 8 < depth:
        raise FormatError(
            f"{path.name} holds {depth} bits a value in a compression that is not read with all of them.",
            "TIFF pages are plain, or packed with LZW, Deflate or PackBits; JPEG pages have 8 bits.",
            "Save it with LZW or Deflate.",
        ) from cause
    return np.stack(frames), "QYXS" if frames[0].ndim == 3 else "QYX"


def _arrange(path: Path, stack: NDArray[Any], axes: str) -> tuple[NDArray[Any], bool]:
    """To ``(C, rows, columns, pages)``."""
    channel = "S" if "S" in axes else "C" if "C" in axes and stack.shape[axes.index("C")] <= 16 else ""
    rest = [n for n, a in enumerate(axes) if a not in ("Y", "X", channel)]
    order = ([axes.index(channel)] if channel else []) + [axes.index("Y"), axes.index("X"), *rest]
    moved = stack.transpose(order)
    if not channel:
        moved = moved[None]
    moved = moved.reshape(*moved.shape[:3], -1)
    if channel == "S" and moved.shape[0] in (2, 4):
        moved = moved[: 1 if moved.shape[0] == 2 else 3]  # alpha
    return moved, channel == "S" and moved.shape[0] == 3


def _turned(planes: NDArray[Any], orientation: int) -> NDArray[Any]:
    if orientation not in _TURNS:
        return planes
    turns, mirrored = _TURNS[orientation]
    planes = np.rot90(planes, turns, axes=(1, 2))
    return planes[:, :, ::-1] if mirrored else planes


def _number(path: Path, data: NDArray[np.uint8], order: str, at: int, size: int) -> int:
    if at + size > len(data):
        raise damaged(path, "TIFF", "it ends within a directory")
    return int(struct.unpack(order + {2: "H", 4: "I", 8: "Q"}[size], bytes(data[at : at + size]))[0])


def _check_directory(path: Path, data: NDArray[np.uint8], order: str, big: bool, at: int) -> int:
    word, count_size, entry_size = (8, 8, 20) if big else (4, 2, 12)
    n_entries = _number(path, data, order, at, count_size)
    values: dict[int, list[int]] = {}
    for n in range(n_entries):
        entry = at + count_size + n * entry_size
        tag, kind = _number(path, data, order, entry, 2), _number(path, data, order, entry + 2, 2)
        count = _number(path, data, order, entry + 4, word)
        size = _SIZES.get(kind, 1) * count
        place = entry + 4 + word
        if size > word:
            place = _number(path, data, order, place, word)
        if place + size > len(data):
            raise damaged(path, "TIFF", f"it ends {place + size - len(data)} bytes before the end of a value")
        if tag in (273, 279, 324, 325) and kind in (3, 4, 13, 16):
            raw = bytes(data[place : place + size])
            values[tag] = [int(v) for v in np.frombuffer(raw, f"{order}u{_SIZES[kind]}")]
    for offsets, counts in ((273, 279), (324, 325)):
        for start, size in zip(values.get(offsets, []), values.get(counts, [])):
            if start + size > len(data):
                raise damaged(path, "TIFF", f"it ends {start + size - len(data)} bytes before the end of a strip")
    return _number(path, data, order, at + count_size + n_entries * entry_size, word)


def tiff_size(path: Path) -> tuple[tuple[int, ...], str, int]:
    """Shape, type and channels of a TIFF, from its first directory.

    Args:
        path: The file.

    Returns:
        Rows and columns, with the pages behind them where there are several; type; 1 or 3.

    Raises:
        FormatError: The header is damaged.
    """
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with tifffile.TiffFile(path) as tif:
        page: Any = tif.pages[0]
        n_pages = len(tif.pages)
        shape: tuple[int, ...] = (int(page.imagelength), int(page.imagewidth))
        colour = page.photometric in (2, 3, 6)
        return (*shape, n_pages) if n_pages > 1 else shape, str(page.dtype), 3 if colour else 1
