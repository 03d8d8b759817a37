"""NIfTI-1 and NIfTI-2: every voxel must be there, whatever the header says."""

from __future__ import annotations

import gzip
import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import FormatError, InputError
from scanwright.core.grid import Grid
from scanwright.core.volume import Volume
from scanwright.io.guard import check_size, damaged, reading, truncated
from scanwright.io.voxels import fill_not_finite, integral, settle

_MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_TRAILING = 64 << 20
_SPACES = {1: "scanner", 2: "aligned", 3: "talairach", 4: "mni", 5: "template"}


def read_nifti(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read a NIfTI file, packed or not, or a pair of ``.hdr`` and ``.img``.

    The axes keep their stored order; a fourth axis becomes ``channel="time"`` (a fifth,
    vector, axis ``"channel"``, colour ``"rgb"``). Scaling with whole numbers keeps integers,
    any other gives float32. The sform is used where its code is above 0, else the qform.

    Args:
        path: The file.
        member: Not used.
        row: Time point of a 4-D file; all of them if None.

    Returns:
        Volume in RAS+ mm; microns and metres are converted. ``header["space"]`` says what the
        sform or qform code says; it is missing where both are 0, and left and right are then not known.

    Raises:
        FormatError: The file is truncated or damaged, or its values are complex.
        GeometryError: The affine cannot be inverted.

    Source:
        NIfTI-1 (nifti1.h) through nibabel; places agree with SimpleITK to 1e-4 mm.
    """
    with reading(path, "NIfTI"):
        image = _load(path)
        values, channel = _channels(path, _scaled(path, image))
        values, n_missing = fill_not_finite(settle(values, path, "NIfTI"), path)
        grid = _grid(values.shape[1:], image.header, image.affine)
        header = {"nifti_datatype": str(image.header.get_data_dtype())}
        if space := _space(image.header):
            header["space"] = space
        if n_missing:
            header["not_finite_voxels"] = str(n_missing)
    if row is not None:
        if row >= values.shape[0] or channel != "time":
            raise InputError(
                f"Time point {row} was asked of {path.name}, which has {values.shape[0] if channel == 'time' else 1}.",
                "A number in square brackets is a time point of a 4-D file, from 0.",
                "Correct the number.",
            )
        values, channel = values[row : row + 1], "channel"
    volume = Volume(values, grid, channel=channel, header=header)  # type: ignore[arg-type]
    step = _time_step(image.header) if channel == "time" and row is None else 0.0
    if step > 0:
        return replace(volume, moments=tuple(round(step * t, 6) for t in range(len(values))), moment_unit="s")
    return volume


def _time_step(header: Any) -> float:
    """Seconds between the time points of a 4-D file; 0 where the header gives none."""
    zooms, unit = header.get_zooms(), header.get_xyzt_units()[1]
    scale = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(unit, 0.0)
    return float(zooms[3]) * scale if len(zooms) > 3 and np.isfinite(zooms[3]) else 0.0


def nifti_header(path: Path) -> Any:
    """Header of a NIfTI file, read without its voxels.

    Args:
        path: The file.

    Returns:
        nibabel's header object.

    Raises:
        FormatError: The header is damaged.
    """
    with reading(path, "NIfTI"), _opened(path) as file:
        return _parse(path, file.read(540))


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _parse(path: Path, head: bytes) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    is_two = head[4:8] in (b"n+2\0", b"ni2\0")
    size = 540 if is_two else 348
    if len(head) < size:
        raise truncated(path, "NIfTI", len(head), size)
    header = (Nifti2Header if is_two else Nifti1Header)(head[:size])
    if any(int(n) < 1 for n in header.get_data_shape()) or not header.get_data_shape():
        raise damaged(path, "NIfTI", f"its header declares the shape {header.get_data_shape()}")
    return header


def _load(path: Path) -> Any:
    """The whole image, from bytes that were all there."""
    import nibabel

    with _opened(path) as file:
        header = _parse(path, file.read(540))
        shape, dtype = header.get_data_shape(), header.get_data_dtype()
        start = int(header["vox_offset"])
        pair = bytes(header["magic"].item()).startswith(b"ni")
        n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        size = path.stat().st_size
        packed = isinstance(file, gzip.GzipFile)
        if pair:
            return _load_pair(path, header, n_bytes)
        if start < 0 or n_bytes < 0:
            raise damaged(path, "NIfTI", "its header places the voxels before the file")
        check_size(path, "NIfTI", start + n_bytes, packed=size if packed else None)
        if not packed and size < start + n_bytes:
            raise truncated(path, "NIfTI", size - start, n_bytes)
        file.seek(0)
        data = file.read(start + n_bytes)
        if len(data) < start + n_bytes:
            raise truncated(path, "NIfTI", len(data) - start, n_bytes)
        left = _TRAILING
        while packed and (block := file.read(1 << 20)):  # to the end: gzip checks its sum there
            left -= len(block)
            if left < 0:
                raise damaged(path, "NIfTI", "more than 64 MiB follow its voxels")
    kind = nibabel.Nifti2Image if head_is_two(header) else nibabel.Nifti1Image
    return kind.from_stream(io.BytesIO(data))


def head_is_two(header: Any) -> bool:
    """Whether a header is NIfTI-2."""
    return int(header["sizeof_hdr"]) == 540


def _load_pair(path: Path, header: Any, n_bytes: int) -> Any:
    import nibabel

    voxels = next((p for p in (path.with_suffix(".img"), path.with_suffix(".IMG")) if p.exists()), None)
    if voxels is None:
        raise damaged(path, "NIfTI", "it is the header of a pair and its .img file is missing")
    have = voxels.stat().st_size - int(header["vox_offset"])
    if have < n_bytes:
        raise truncated(path, "NIfTI", have, n_bytes)
    check_size(path, "NIfTI", n_bytes)
    kind = nibabel.Nifti2Pair if head_is_two(header) else nibabel.Nifti1Pair
    return kind.from_filename(str(path))


def _scaled(path: Path, image: Any) -> NDArray[Any]:
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    raw = np.asanyarray(image.dataobj.get_unscaled())
    if raw.dtype.kind == "c":
        raise FormatError(
            f"{path.name} holds complex numbers.",
            "Images are real numbers.",
            "Export its magnitude as a file of its own.",
        )
    if raw.dtype.names or (slope == 1 and intercept == 0):
        return raw
    if raw.dtype.kind in "iu" and integral(slope) and integral(intercept):
        return raw.astype(np.int64) * int(slope) + int(intercept)
    return raw.astype(np.float64) * slope + intercept


def _channels(path: Path, values: NDArray[Any]) -> tuple[NDArray[Any], str]:
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    while values.ndim < 3:
        values = values[..., None]
    shape = values.shape
    if values.dtype.names and values.ndim == 3:  # RGB24 and RGBA32
        return np.stack([values[n] for n in values.dtype.names[:3]], axis=0), "rgb"
    if len(shape) == 3:
        return values[None], "channel"
    if len(shape) == 4:
        return np.moveaxis(values, 3, 0), "time"
    if len(shape) == 5 and shape[3] == 1:
        return np.moveaxis(values[:, :, :, 0], 3, 0), "channel"
    raise FormatError(
        f"{path.name} has {len(shape)} axes of sizes {shape}.",
        "An image has up to three axes, and time or channels.",
        "Split it into one file for each time point or channel.",
    )


def _space(header: Any) -> str:
    """Name of the world space by the code that placed the voxels; empty where no code does."""
    code = int(header["sform_code"]) if int(header["sform_code"]) > 0 else int(header["qform_code"])
    return _SPACES.get(code, "other") if code > 0 else ""


def _grid(shape: tuple[int, ...], header: Any, affine: NDArray[np.float64]) -> Grid:
    placed = np.array(affine, dtype=np.float64)
    zooms = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    scale = _MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)
    n_axes = min(int(header["dim"][0]), 3)
    flat = np.sqrt((placed[:3, :3] ** 2).sum(axis=0)) == 0
    for axis in np.flatnonzero(flat):
        if axis >= n_axes or shape[axis] == 1:  # a 2-D image needs no third step
            directions = np.delete(placed[:3, :3], axis, axis=1)
            placed[:3, axis] = np.cross(directions[:, 0], directions[:, 1])
            placed[:3, axis] /= max(float(np.linalg.norm(placed[:3, axis])), 1e-12)
    known = bool((zooms[:n_axes] > 0).all())
    placed[:3] *= scale
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), placed, spacing_known=known)
