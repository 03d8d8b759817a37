"""What a file is, decided by its first bytes; its name is only a hint for the message."""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from pathlib import Path

from scanwright.core.errors import FormatError, InputError
from scanwright.io.guard import not_found, reading

SUFFIXES: dict[str, tuple[str, ...]] = {
    "dicom": (".dcm", ".dicom", ".ima"),
    "nifti": (".nii", ".nii.gz", ".hdr"),
    "nrrd": (".nrrd", ".nhdr"),
    "mha": (".mha", ".mhd"),
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "tiff": (".tif", ".tiff", ".btf"),
    "bmp": (".bmp", ".dib"),
    "npy": (".npy",),
    "npz": (".npz",),
    "idx": ("-ubyte", "-ubyte.gz", ".idx", ".idx.gz"),
    "zip": (".zip",),
}
"""Usual endings of the names of each kind of file."""

NAMES = {"dicom": "DICOM", "nifti": "NIfTI", "nrrd": "NRRD", "mha": "MetaImage", "png": "PNG", "jpeg": "JPEG"}
NAMES |= {"tiff": "TIFF", "bmp": "BMP", "npy": "npy", "npz": "npz", "idx": "idx", "zip": "zip"}

_HEAD = 1024
_META_HEADER = re.compile(rb"^\s*(ObjectType\s*=|NDims\s*=|Comment\s*=|ObjectSubType\s*=)")


def kind_of(path: Path) -> str | None:
    """Kind of a file by its content.

    Args:
        path: Any file.

    Returns:
        A key of :data:`SUFFIXES`, or None when the content is nothing that is read here.

    Raises:
        InputError: The file is missing or may not be read.
    """
    if path.is_dir():
        raise InputError(f"{path.name} is a folder.", "A kind belongs to a file.", "Name a file in it.")
    with reading(path, "file"), path.open("rb") as file:
        head = file.read(_HEAD)
    if head[:2] == b"\x1f\x8b":
        return _kind_of_gzip(path)
    if head[:4] == b"PK\x03\x04":
        return _kind_of_zip(path)
    return kind_of_bytes(head)


def kind_of_bytes(head: bytes) -> str | None:
    """Kind of a file that is neither gzip nor zip, from its first 1024 bytes."""
    if head[128:132] == b"DICM":
        return "dicom"
    starts = {
        b"\x89PNG\r\n\x1a\n": "png",
        b"\xff\xd8\xff": "jpeg",
        b"II*\0": "tiff",
        b"MM\0*": "tiff",
        b"II+\0\x08\0": "tiff",
        b"MM\0+\0\x08": "tiff",
        b"\x93NUMPY": "npy",
        b"NRRD000": "nrrd",
    }
    for start, kind in starts.items():
        if head.startswith(start):
            return kind
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and len(head) >= 26:
        return "bmp"
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        return "nifti"
    if (
        head[:2] == b"\0\0"
        and head[2:3] in (b"\x08", b"\x09", b"\x0b", b"\x0c", b"\x0d", b"\x0e")
        and head[3:4] in b"\1\2\3\4"
    ):
        return "idx"
    if _META_HEADER.match(head):
        return "mha"
    return "dicom" if _bare_dicom(head) else None


def require_kind(path: Path) -> str:
    """Kind of a file that must be an image.

    Args:
        path: The file.

    Returns:
        A key of :data:`SUFFIXES`.

    Raises:
        FormatError: The content is of no known kind; the message names what the suffix promised.
        InputError: The file is missing.
    """
    if not path.exists():
        raise not_found(path)
    kind = kind_of(path)
    if kind is not None:
        return kind
    promised = kind_by_name(path)
    name = f"{path.name} is named like a {NAMES[promised]} file" if promised else f"{path.name} is of an unknown kind"
    size = path.stat().st_size
    content = "is empty" if size == 0 else "but its content is of no known kind" if promised else "by its content"
    raise FormatError(
        f"{name} {'and ' if promised and size == 0 else ''}{content}.",
        f"Images are {', '.join(NAMES.values())}, recognised by their first bytes.",
        "Export it in one of these formats, or leave it out.",
    )


def kind_by_name(path: Path) -> str | None:
    """Kind that the suffix promises, None if it promises nothing."""
    name = path.name.lower()
    for kind, endings in SUFFIXES.items():
        if name.endswith(endings):
            return kind
    return None


def _kind_of_gzip(path: Path) -> str | None:
    try:
        with gzip.open(path) as file:
            head = file.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        # cut within the first block: believe the name, the reader will refuse it in its own words
        promised = kind_by_name(path)
        return promised if promised in ("nifti", "idx") else None
    kind = kind_of_bytes(head)
    return kind if kind in ("nifti", "idx") else None


def _kind_of_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [i.filename for i in archive.infolist() if not i.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "npz" if kind_by_name(path) == "npz" else "zip"
    return "npz" if names and all(n.endswith(".npy") for n in names) else "zip"


def _bare_dicom(head: bytes) -> bool:
    """A data set without preamble: begins with a low group and a plausible element."""
    if len(head) < 16 or head[:2] not in (b"\x02\0", b"\x08\0"):
        return False
    if head[4:6].isalpha() and head[4:6].isupper():
        return True
    return head[:2] == b"\x08\0" and 0 < int.from_bytes(head[4:8], "little") <= 128
