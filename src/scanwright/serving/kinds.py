"""What a file is, by its content, and whether it declares more than may be read.

Suffixes are not believed. A kind is one row of ``KINDS``: how it is recognised, the suffix
that it is stored under, and a look at its header that raises when it would unpack to too much.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scanwright.serving.limits import Limits
from scanwright.serving.refusal import Refusal

_HEAD = 4096
_PIECE = 1 << 20


@dataclass(frozen=True)
class Kind:
    """One kind of file that is taken.

    Args:
        name: Such as ``"PNG"``.
        suffix: Such as ``".png"``.
        fits: Whether the first 4096 bytes are of this kind.
        measure: Raises :class:`Refusal` when the file declares more than the limits allow.
    """

    name: str
    suffix: str
    fits: Callable[[bytes], bool]
    measure: Callable[[Path, str, Limits], None]


def recognise(path: Path, name: str) -> Kind:
    """Find out what a file is.

    Args:
        path: Where it lies.
        name: What the sender called it.

    Returns:
        The first kind that fits.

    Raises:
        Refusal: 415 if none does, 422 if the file is empty.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise Refusal(422, f"{name} is empty.", "An image has content.", "Export it again.", code="empty")
    for kind in KINDS.values():
        if kind.fits(head):
            return kind
    raise Refusal(
        415,
        f"{name} is none of the kinds of image that are taken.",
        "Images are " + ", ".join(dict.fromkeys(k.name for k in KINDS.values())) + ", or a zip of them.",
        "Export it as one of these.",
    )


def _is_dicom(head: bytes) -> bool:
    if head[128:132] == b"DICM":
        return True
    # Without preamble: the first element is in group 0002 or 0008, with a VR of text or a short length.
    if len(head) < 8 or head[:2] not in (b"\x02\x00", b"\x08\x00"):
        return False
    return head[4:6] in (b"CS", b"UI", b"UL", b"OB", b"SH", b"DA", b"LO") or struct.unpack("<I", head[4:8])[0] < 256


def _is_nifti(head: bytes) -> bool:
    if len(head) < 348:
        return False
    if head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return head[344:347] in (b"n+1", b"ni1") or head[344:348] == b"\0\0\0\0"
    return head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") and head[4:7] == b"n+2"


def _is_gzip_nifti(head: bytes) -> bool:
    if head[:2] != b"\x1f\x8b":
        return False
    try:
        return _is_nifti(zlib.decompressobj(31).decompress(head, 600))
    except zlib.error:
        return False


def _is_mha(head: bytes) -> bool:
    first = head.split(b"=", 1)[0].strip()
    return first in (b"ObjectType", b"NDims", b"Comment") and b"ElementType" in head


def check_voxels(shape: tuple[int, ...], name: str, limits: Limits, *, picture: bool = False) -> None:
    """Refuse an image that declares too many values.

    Args:
        shape: Lengths of all axes, channels too.
        name: What the sender called it.
        limits: Ceilings.
        picture: Whether the ceiling of pictures applies, instead of that of volumes.

    Raises:
        Refusal: 413 for too many values, 422 for a length below one.
    """
    if not shape or min(shape) < 1:
        fact = f"{name} declares a size of {' x '.join(map(str, shape)) or 'nothing'}."
        raise Refusal(422, fact, "Every axis has at least one value.", "Export it again.")
    most = limits.max_megapixels if picture else limits.max_megavoxels
    if math.prod(shape) > most * 1e6:
        raise Refusal(
            413,
            f"{name} declares {' x '.join(map(str, shape))} values.",
            f"An image may hold {most:g} million.",
            "Crop it, or make it coarser.",
        )


def check_unpacked(packed: int, unpacked: int, name: str, limits: Limits) -> None:
    """Refuse what unpacks to too much.

    Args:
        packed: Bytes before.
        unpacked: Bytes after, so far.
        name: What the sender called it.
        limits: Ceilings.

    Raises:
        Refusal: 413.
    """
    if unpacked > limits.max_unpacked_bytes or (unpacked > 16_000_000 and unpacked > limits.max_ratio * max(packed, 1)):
        raise Refusal(
            413,
            f"{name} unpacks to more than {unpacked / 1e6:.0f} MB.",
            f"At most {limits.max_unpacked_mb:g} MB, and {limits.max_ratio:g} times its own size, are unpacked.",
            "Send it in smaller pieces.",
            code="unpacks",
        )


def _measure_dicom(path: Path, name: str, limits: Limits) -> None:
    _measure_deflated(path, name, limits)
    header = dicom_header(path, name)
    rows, columns = _whole(header, "Rows"), _whole(header, "Columns")
    if rows is None or columns is None:
        raise Refusal(
            422,
            f"{name} is a DICOM object without an image.",
            "An image has rows and columns.",
            "Send the image that it refers to.",
            code="no_image",
        )
    frames, samples = _whole(header, "NumberOfFrames") or 1, _whole(header, "SamplesPerPixel") or 1
    if frames == 1:
        check_voxels((rows, columns), name, limits, picture=True)
    check_voxels((frames, rows, columns, samples), name, limits)


def _measure_deflated(path: Path, name: str, limits: Limits) -> None:
    """Count what a deflated DICOM file inflates to, before any reader inflates it whole."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    with path.open("rb") as file:
        try:
            read_preamble(file, True)
            syntax = str(getattr(_read_file_meta_info(file), "TransferSyntaxUID", ""))
        except Exception:  # noqa: BLE001 - pydicom raises anything on damaged bytes; dicom_header says it properly
            return
        if syntax == "1.2.840.10008.1.2.1.99":
            _count_inflated(file, -15, path.stat().st_size, name, limits)


def _count_inflated(file: Any, window_bits: int, packed: int, name: str, limits: Limits) -> None:
    inflate, total = zlib.decompressobj(window_bits), 0
    try:
        piece = file.read(_PIECE)
        while piece and not inflate.eof:
            total += len(inflate.decompress(piece, 4 * _PIECE))
            check_unpacked(packed, total, name, limits)
            piece = inflate.unconsumed_tail or file.read(_PIECE)
    except zlib.error:
        raise damaged(name) from None


def dicom_header(path: Path, name: str) -> Any:
    """The elements of a DICOM file that say what it is; never a patient's.

    Args:
        path: Where it lies.
        name: What the sender called it.

    Returns:
        A ``pydicom.Dataset``.

    Raises:
        Refusal: 422 if the file cannot be parsed.
    """
    import pydicom

    tags = ["SeriesInstanceUID", "SOPInstanceUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"]
    tags += ["ImagePositionPatient", "ImageOrientationPatient"]
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
    except Exception:  # noqa: BLE001 - pydicom raises anything on damaged bytes
        raise damaged(name) from None


def _whole(header: Any, keyword: str) -> int | None:
    try:
        value = header.get(keyword)
        return None if value in (None, "") else int(value)
    except Exception:  # noqa: BLE001 - a value of the wrong kind raises anything
        return None


def _measure_picture(path: Path, name: str, limits: Limits) -> None:
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG", "TIFF")) as image:
            width, height = image.size
            frames = int(getattr(image, "n_frames", 1))
    except Image.DecompressionBombError:
        raise Refusal(
            413, f"{name} declares too many pixels.", f"At most {limits.max_megapixels:g} million.", "Crop it."
        ) from None
    except Exception:  # noqa: BLE001 - what pillow cannot name, the reader may still read or name
        return
    check_voxels((height, width), name, limits, picture=True)
    check_voxels((frames, height, width), name, limits)


def _measure_nifti(path: Path, name: str, limits: Limits) -> None:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            head = file.read(600)
    except (OSError, EOFError, zlib.error):
        raise damaged(name) from None
    check_voxels(_nifti_shape(head), name, limits)
    if packed:
        with path.open("rb") as raw:
            _count_inflated(raw, 31, path.stat().st_size, name, limits)


def _nifti_shape(head: bytes) -> tuple[int, ...]:
    order = "<" if head[:4] in (b"\x5c\x01\0\0", b"\x1c\x02\0\0") else ">"
    two = struct.unpack(order + "I", head[:4])[0] == 540
    dims = struct.unpack(order + ("8q" if two else "8h"), head[16:80] if two else head[40:56])
    return tuple(dims[1 : 1 + max(0, min(dims[0], 7))])


def _measure_text_header(path: Path, name: str, limits: Limits) -> None:
    """NRRD (``sizes: 2 3``) and MetaImage (``DimSize = 2 3``), whose data must lie in the same file."""
    with path.open("rb") as file:
        head = file.read(65536).split(b"\n\n", 1)[0]
    fields = {}
    for line in head.split(b"\n")[:200]:
        key, colon, value = line.partition(b"=" if b"=" in line[:40] else b":")
        if colon:
            fields[key.strip().lower().replace(b" ", b"")] = value.strip()
    away = fields.get(b"datafile") or fields.get(b"elementdatafile", b"LOCAL")
    if away.upper() != b"LOCAL":
        raise Refusal(
            422,
            f"{name} keeps its voxels in another file.",
            "Header and voxels must be one file.",
            "Save it as .nrrd or .mha.",
            code="detached",
        )
    try:
        shape = tuple(int(n) for n in (fields.get(b"sizes") or fields.get(b"dimsize", b"")).split())
    except ValueError:
        raise damaged(name) from None
    check_voxels(shape, name, limits)


def _measure_npy(path: Path, name: str, limits: Limits) -> None:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = reader(file, max_header_size=10_000)
            there = path.stat().st_size - file.tell()
    except Exception:  # noqa: BLE001 - numpy parses the header as a Python literal, which raises anything
        raise damaged(name) from None
    if dtype.hasobject or dtype.kind not in "buif":
        raise Refusal(
            415, f"{name} holds {dtype}.", "An array of numbers is needed, never of objects.", "Save it as float32."
        )
    check_voxels(shape, name, limits)
    if there < math.prod(shape) * dtype.itemsize:
        raise damaged(name)


def damaged(name: str) -> Refusal:
    """The refusal of a file that cannot be parsed."""
    return Refusal(
        422,
        f"{name} is damaged or cut short.",
        "A file must arrive as it was written.",
        "Export it again, then send it.",
        code="damaged",
    )


KINDS: dict[str, Kind] = {
    "dicom": Kind("DICOM", ".dcm", _is_dicom, _measure_dicom),
    "nifti": Kind("NIfTI", ".nii", _is_nifti, _measure_nifti),
    "nifti-gz": Kind("NIfTI", ".nii.gz", _is_gzip_nifti, _measure_nifti),
    "nrrd": Kind("NRRD", ".nrrd", lambda h: h.startswith(b"NRRD000"), _measure_text_header),
    "mha": Kind("MetaImage", ".mha", _is_mha, _measure_text_header),
    "png": Kind("PNG", ".png", lambda h: h.startswith(b"\x89PNG\r\n\x1a\n"), _measure_picture),
    "jpeg": Kind("JPEG", ".jpg", lambda h: h.startswith(b"\xff\xd8\xff"), _measure_picture),
    "tiff": Kind("TIFF", ".tif", lambda h: h[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _measure_picture),
    "npy": Kind("npy", ".npy", lambda h: h.startswith(b"\x93NUMPY"), _measure_npy),
}
"""What is taken, in the order in which it is tried."""
