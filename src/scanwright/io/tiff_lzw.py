"""LZW pages of a TIFF with all their bits.

tifffile decodes LZW only with a package of eighty megabytes, and Pillow cuts 16-bit colour to 8 bits.
But the library beneath Pillow unpacks LZW bytes without asking what they mean: every strip or tile
is handed to it as a row of grey bytes, and the values are put together here.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.io.guard import damaged

LZW = 5
_PREDICTORS = (1, 2)
_MOST_BYTES = 170_000_000
_GREY, _SHORT, _LONG = 1, 3, 4


def is_lzw(page: Any) -> bool:
    """Whether a page can be decoded here: LZW of whole bytes, plain or with differences along rows."""
    bits = page.bitspersample
    whole = isinstance(bits, int) and bits in (8, 16, 32, 64)
    return page.compression == LZW and whole and page.predictor in _PREDICTORS and page.fillorder == 1


def lzw_page(path: Path, tif: Any, page: Any) -> NDArray[Any]:
    """Decode one page.

    Args:
        path: The file, for errors.
        tif: The opened file.
        page: Of which :func:`is_lzw` holds.

    Returns:
        ``(rows, columns)``, or ``(rows, columns, samples)`` where there are several.

    Raises:
        FormatError: A strip or tile is damaged.

    Source:
        TIFF 6.0, sections 13 (LZW), 14 (predictor) and 15 (tiles).
    """
    rows, columns, samples = int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel)
    planes = samples if page.planarconfig == 2 else 1
    inside = samples // planes
    tall = int(page.tilelength) if page.is_tiled else min(int(page.rowsperstrip), rows)
    wide = int(page.tilewidth) if page.is_tiled else columns
    down, across = -(-rows // tall), -(-columns // wide)
    if len(page.dataoffsets) < planes * down * across:
        raise damaged(path, "TIFF", f"it lists {len(page.dataoffsets)} of {planes * down * across} strips or tiles")
    dtype = np.dtype(page.dtype)
    out = np.zeros((planes, rows, columns, inside), dtype)
    for n in range(planes * down * across):
        plane, i, j = n // (down * across), n // across % down * tall, n % across * wide
        height = tall if page.is_tiled else min(tall, rows - i)
        tif.filehandle.seek(page.dataoffsets[n])
        packed = tif.filehandle.read(page.databytecounts[n])
        values = np.frombuffer(
            _unpacked(path, packed, height * wide * inside * dtype.itemsize), dtype.newbyteorder(tif.byteorder)
        ).reshape(height, wide, inside)
        if page.predictor == 2:
            whole = values.view(values.dtype.str.replace("i", "u").replace("f", "u"))
            values = np.cumsum(whole, axis=1, dtype=whole.dtype.newbyteorder("=")).view(dtype)
        out[plane, i : i + height, j : j + wide] = values[: rows - i, : columns - j]
    merged = np.moveaxis(out, 0, -1).reshape(rows, columns, samples) if planes > 1 else out[0]
    return merged[..., 0] if samples == 1 else merged


def _unpacked(path: Path, packed: bytes, n_bytes: int) -> bytes:
    """LZW bytes as bytes: a TIFF of one row of grey pixels around them, which libtiff decodes."""
    from PIL import Image

    if n_bytes > _MOST_BYTES:
        raise damaged(path, "TIFF", f"one of its strips has {n_bytes} bytes")
    entries = [
        (256, _LONG, n_bytes), (257, _LONG, 1), (258, _SHORT, 8), (259, _SHORT, LZW), (262, _SHORT, _GREY),
        (273, _LONG, 8), (277, _SHORT, 1), (278, _LONG, 1), (279, _LONG, len(packed)),
    ]  # fmt: skip
    start = 8 + len(packed) + len(packed) % 2
    head = struct.pack("<2sHI", b"II", 42, start) + packed + b"\0" * (len(packed) % 2)
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    whole = head + struct.pack("<H", len(entries)) + directory + struct.pack("<I", 0)
    try:
        with Image.open(io.BytesIO(whole), formats=("TIFF",)) as picture:
            return picture.tobytes()
    except (OSError, ValueError, Image.DecompressionBombError):
        raise damaged(path, "TIFF", "one of its LZW strips cannot be unpacked") from None
