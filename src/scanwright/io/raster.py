"""PNG, JPEG, TIFF and BMP: pictures, 16 bits kept, orientation applied, bombs and stumps refused."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.grid import Grid
from scanwright.core.volume import Volume
from scanwright.io.guard import check_pixels, check_size, damaged, reading
from scanwright.io.tiff import check_tiff, tiff_planes
from scanwright.io.voxels import fill_not_finite, settle

_PILLOW = {"png": "PNG", "jpeg": "JPEG", "bmp": "BMP", "tiff": "TIFF"}
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)


def read_png(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read a PNG: grey, palette or colour, 1 to 16 bits.

    Grey of up to 8 bits and colour of 8 bits become uint8, 16 bits stay uint16; a palette
    becomes colour (grey if all its entries are); an alpha channel is dropped.

    Args:
        path: The file.
        member: Not used.
        row: Not used.

    Returns:
        ``(1 or 3, rows, columns, 1)``, spacing unknown.

    Raises:
        FormatError: The file is damaged, truncated or too large.

    Source:
        ISO/IEC 15948: every chunk up to IEND is there and has its check sum.
    """
    with reading(path, "PNG"):
        data = path.read_bytes()
        width, height, depth, colour = _check_png(path, data)
        check_pixels(path, "PNG", width, height)
        if depth == 16 and colour in (2, 4, 6):
            return _volume(path, _with_simpleitk(path, colour))
        return _volume(path, _with_pillow(path, "png"))


def read_jpeg(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read a JPEG, turned as its EXIF orientation says.

    Args:
        path: The file.
        member: Not used.
        row: Not used.

    Returns:
        ``(1 or 3, rows, columns, 1)`` uint8, spacing unknown.

    Raises:
        FormatError: The file is damaged, truncated or too large.

    Source:
        ITU-T T.81 Annex B: a stream ends with EOI.
    """
    with reading(path, "JPEG"):
        _check_jpeg(path, path.read_bytes())
        return _volume(path, _with_pillow(path, "jpeg"))


def read_bmp(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read a BMP.

    Args:
        path: The file.
        member: Not used.
        row: Not used.

    Returns:
        ``(1 or 3, rows, columns, 1)`` uint8, spacing unknown.

    Raises:
        FormatError: The file is damaged, truncated or too large.
    """
    with reading(path, "BMP"):
        size = path.stat().st_size
        with path.open("rb") as file:
            declared = struct.unpack("<I", file.read(6)[2:6])[0]
        if size < declared:
            raise damaged(path, "BMP", f"it holds {size} of {declared} bytes")
        return _volume(path, _with_pillow(path, "bmp"))


def read_tiff(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read a TIFF of one or several pages of one size.

    Pages (and the planes of an ImageJ stack) lie along axis k, channels along the first axis;
    thumbnails are left out; 16-bit and float values are kept.

    Args:
        path: The file.
        member: Not used.
        row: Not used.

    Returns:
        ``(C, rows, columns, pages)``, spacing unknown.

    Raises:
        FormatError: The file is damaged or truncated, or pages differ in size.

    Source:
        TIFF 6.0: every directory, value and strip lies within the file.
    """
    with reading(path, "TIFF"):
        check_tiff(path)
        planes, is_rgb = tiff_planes(path)
        return _volume(path, planes, rgb=is_rgb)


def picture_size(path: Path, kind: str) -> tuple[int, int, int, str]:
    """Height, width, channels and type of a picture, from its header.

    Args:
        path: PNG, JPEG or BMP file.
        kind: Its kind.

    Returns:
        Rows, columns (after EXIF orientation), 1 or 3 channels, ``"uint8"`` or ``"uint16"``.

    Raises:
        FormatError: The header is damaged.
    """
    from PIL import Image

    with reading(path, _PILLOW[kind]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=(_PILLOW[kind],)) as picture:
            columns, rows = picture.size
            if kind == "jpeg" and picture.getexif().get(0x0112, 1) in (5, 6, 7, 8):
                rows, columns = columns, rows
            dtype = "uint16" if picture.mode.startswith("I") else "uint8"
            grey = picture.mode in ("1", "L", "LA", "La", "I", "I;16", "I;16B", "F") or _grey_palette(picture)
            return rows, columns, 1 if grey else 3, dtype


def _volume(path: Path, planes: NDArray[Any], *, rgb: bool | None = None) -> Volume:
    if planes.ndim == 3:  # rows, columns, channels
        planes = np.moveaxis(planes, 2, 0)[..., None]
    elif planes.ndim == 2:
        planes = planes[None, :, :, None]
    values, n_missing = fill_not_finite(settle(planes, path, "picture"), path)
    shape = values.shape[1:]
    is_rgb = values.shape[0] == 3 if rgb is None else rgb
    grid = Grid.of_picture(shape[0], shape[1])
    if shape[2] > 1:
        grid = Grid((shape[0], shape[1], shape[2]), grid.affine, spacing_known=False)
    header = {"not_finite_voxels": str(n_missing)} if n_missing else {}
    return Volume(np.ascontiguousarray(values), grid, channel="rgb" if is_rgb else "channel", header=header)


def _with_pillow(path: Path, kind: str) -> NDArray[Any]:
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=(_PILLOW[kind],)) as picture:
            check_pixels(path, _PILLOW[kind], *picture.size)
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            return plain_pixels(upright)


def plain_pixels(picture: Any) -> NDArray[Any]:
    """Pixels of a Pillow image as grey ``(rows, columns)`` or RGB ``(rows, columns, 3)``."""
    mode = picture.mode
    if mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if mode in ("I", "F", "L"):
        return np.asarray(picture)
    if mode == "1" or (mode == "P" and _grey_palette(picture)) or mode in ("LA", "La"):
        return np.asarray(picture.convert("L"))
    return np.asarray(picture.convert("RGB"))


def _grey_palette(picture: Any) -> bool:
    if picture.mode != "P":
        return False
    palette = np.asarray(picture.convert("RGB").getpalette() or picture.getpalette("RGB") or [])
    colours = palette[: palette.size // 3 * 3].reshape(-1, 3)
    return bool(len(colours)) and bool((colours == colours[:, :1]).all())


def _with_simpleitk(path: Path, colour: int) -> NDArray[Any]:
    """16-bit colour, which Pillow would cut to 8 bits."""
    import SimpleITK as sitk

    pixels = np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="PNGImageIO")))
    return pixels[..., 0] if colour == 4 else pixels[..., :3]


def _check_png(path: Path, data: bytes) -> tuple[int, int, int, int]:
    at, header, n_data = 8, None, 0
    while True:
        if at + 12 > len(data):
            raise damaged(path, "PNG", "it ends before its last chunk")
        length, name = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if end > len(data):
            raise damaged(path, "PNG", f"a chunk needs {end - len(data)} bytes more than the file holds")
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != struct.unpack(">I", data[end - 4 : end])[0]:
            raise damaged(path, "PNG", "the check sum of a chunk is wrong")
        if name == b"IHDR" and length == 13:
            header = struct.unpack(">IIBB", data[at + 8 : at + 18])
        elif name == b"IDAT":
            n_data += length
        elif name == b"IEND":
            break
        at = end
    if header is None:
        raise damaged(path, "PNG", "it has no header chunk")
    width, height, depth, colour = header
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 4)
    check_pixels(path, "PNG", width, height)
    check_size(path, "PNG", (width * samples * depth + 7) // 8 * height, packed=n_data)
    return width, height, depth, colour


def _check_jpeg(path: Path, data: bytes) -> None:
    at = 2
    while True:
        found = _MARKER.search(data, at)
        if found is None:
            raise damaged(path, "JPEG", "it ends before its end mark")
        code, at = found[1][0], found.end()
        if code == 0xD9:
            return
        if code in (0x01, 0xD8):
            continue
        if at + 2 > len(data):
            raise damaged(path, "JPEG", "it ends within a segment")
        at += int.from_bytes(data[at : at + 2], "big")
        if at > len(data):
            raise damaged(path, "JPEG", "it ends within a segment")
