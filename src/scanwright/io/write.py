"""Writers: NIfTI and PNG, each file whole or absent."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import GeometryError, InputError
from scanwright.core.grid import Grid
from scanwright.core.volume import png_bytes
from scanwright.io.atomic import atomic_write


def write_nifti(path: Path, array: NDArray[Any], grid: Grid, *, unit: str = "1", description: str = "") -> Path:
    """Write voxels on their grid as NIfTI-1.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        array: ``(I, J, K)``, or ``(C, I, J, K)`` whose first axis becomes the fourth of the file.
            Booleans are written as uint8, half and double floats as float32, 64-bit integers as int32.
        grid: Place of the voxels. An unknown spacing is written as unknown unit.
        unit: Unit of the values, kept in the file's description.
        description: What stands in the file's description before the unit.

    Returns:
        ``path``.

    Raises:
        GeometryError: The array does not fit the grid.
        InputError: The name does not end in .nii or .nii.gz, or the values do not fit int32.

    Source:
        NIfTI-1: sform and qform hold the same affine, code 1 (scanner).
    """
    import nibabel

    path = Path(path)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise InputError(f"{path.name} has no NIfTI ending.", "A NIfTI file is .nii or .nii.gz.", "Add .nii.gz.")
    values = np.asarray(array)
    if values.shape[-3:] != grid.shape or values.ndim not in (3, 4):
        raise GeometryError(
            f"Voxels of shape {values.shape} do not fit a grid of shape {grid.shape}.",
            "A file holds (I, J, K) or (C, I, J, K).",
            "Give the grid of the array.",
        )
    values = _writable(values)
    image = nibabel.Nifti1Image(np.moveaxis(values, 0, 3) if values.ndim == 4 else values, grid.affine)
    image.header.set_xyzt_units("mm" if grid.spacing_known else "unknown")
    text = f"{description[:60]}; unit {unit}" if description else f"unit {unit}"
    image.header["descrip"] = text.encode("ascii", "replace")[:79]
    # a shear cannot be held by a qform: the sform alone carries it
    straight = _is_rigid(grid.affine)
    image.set_sform(grid.affine, code=1)
    image.set_qform(grid.affine if straight else None, code=1 if straight else 0)
    data = image.to_bytes()
    return atomic_write(path, gzip.compress(data, 6, mtime=0) if path.name.lower().endswith(".gz") else data)


def write_png(path: Path, picture: NDArray[Any]) -> Path:
    """Write a picture as PNG.

    Args:
        path: The file.
        picture: ``(rows, columns)`` uint8, uint16 or bool, or ``(rows, columns, 3)`` uint8.

    Returns:
        ``path``.

    Raises:
        InputError: The shape or type is none of these.

    Source:
        ISO/IEC 15948.
    """
    pixels = np.asarray(picture)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    grey, colour = pixels.ndim == 2, pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.size and pixels.dtype == np.uint8 and (grey or colour):
        return atomic_write(Path(path), png_bytes(pixels))
    if pixels.size and pixels.dtype == np.uint16 and grey:
        return atomic_write(Path(path), _png16(pixels))
    raise InputError(
        f"A picture of shape {pixels.shape} and type {pixels.dtype} cannot be written as PNG.",
        "A PNG is (rows, columns) uint8 or uint16, or (rows, columns, 3) uint8.",
        "Scale it to 0..255 and convert it to uint8.",
    )


def _writable(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    if values.dtype.itemsize == 8:
        if values.size and (values.min() < -(2**31) or values.max() >= 2**31):
            raise InputError("Values beyond 32 bits were to be written.", "NIfTI files hold int32.", "Scale them.")
        return values.astype(np.int32)
    return values


def _is_rigid(affine: NDArray[np.float64]) -> bool:
    directions = affine[:3, :3] / np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    return bool(np.allclose(directions.T @ directions, np.eye(3), atol=1e-5))


def _png16(pixels: NDArray[np.uint16]) -> bytes:
    rows, columns = pixels.shape
    raw = np.zeros((rows, 1 + 2 * columns), dtype=np.uint8)
    raw[:, 1:] = pixels.astype(">u2").view(np.uint8).reshape(rows, -1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", columns, rows, 16, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw.tobytes(), 6)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
