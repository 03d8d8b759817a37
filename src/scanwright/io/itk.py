"""NRRD and MetaImage, through SimpleITK; turned from LPS to RAS at the door."""

from __future__ import annotations

import bz2
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scanwright.core.errors import FormatError
from scanwright.core.grid import Grid
from scanwright.core.volume import Volume
from scanwright.io.content import NAMES
from scanwright.io.guard import check_size, damaged, reading, truncated
from scanwright.io.voxels import fill_not_finite, settle

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
_NRRD_BYTES = {
    "signed char": 1, "int8": 1, "int8_t": 1, "uchar": 1, "unsigned char": 1, "uint8": 1, "uint8_t": 1,
    "short": 2, "short int": 2, "signed short": 2, "signed short int": 2, "int16": 2, "int16_t": 2,
    "ushort": 2, "unsigned short": 2, "unsigned short int": 2, "uint16": 2, "uint16_t": 2,
    "int": 4, "signed int": 4, "int32": 4, "int32_t": 4, "uint": 4, "unsigned int": 4, "uint32": 4, "uint32_t": 4,
    "longlong": 8, "long long": 8, "long long int": 8, "signed long long": 8, "signed long long int": 8,
    "int64": 8, "int64_t": 8, "ulonglong": 8, "unsigned long long": 8, "unsigned long long int": 8,
    "uint64": 8, "uint64_t": 8, "float": 4, "double": 8,
}  # fmt: skip
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_HEADER_LIMIT = 1 << 20


@dataclass(frozen=True)
class ItkHeader:
    """What the text header of a NRRD or MetaImage file says.

    Args:
        fields: Names in lower case, and values.
        sizes: Length of every stored axis, the fastest first; components are an axis.
        item_bytes: Bytes of one number.
        encoding: ``"raw"``, ``"gzip"`` (NRRD), ``"zlib"`` (MetaImage), ``"bzip2"`` or ``"text"``.
        data: File that holds the numbers.
        start: Where they start in it; -1 for the last bytes of the file.
    """

    fields: dict[str, str]
    sizes: tuple[int, ...]
    item_bytes: int
    encoding: str
    data: Path
    start: int

    @property
    def n_bytes(self) -> int:
        """Size of the numbers, unpacked."""
        return int(np.prod(self.sizes, dtype=object)) * self.item_bytes


def read_nrrd(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read a NRRD file (``.nrrd``, or ``.nhdr`` with its data file in the same folder).

    Axes keep their order; a vector axis becomes channels (colour where it is so marked), a fourth
    domain axis time. Without ``space`` or ``space directions`` the axes are taken as LPS.

    Args:
        path: The file.
        member: Not used.
        row: Not used.

    Returns:
        Volume in RAS+ mm.

    Raises:
        FormatError: The file is truncated or damaged.

    Source:
        Definition of NRRD File Format (teem.sourceforge.net/nrrd/format.html); ITK's reader.
    """
    with reading(path, "NRRD"):
        header = nrrd_header(path)
        _check_whole(path, "NRRD", header)
        known = bool({"space directions", "spacings"} & set(header.fields))
        return _read(path, "nrrd", header, known)


def read_mha(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read a MetaImage (``.mha``, or ``.mhd`` with its data file in the same folder).

    Args:
        path: The file.
        member: Not used.
        row: Not used.

    Returns:
        Volume in RAS+ mm.

    Raises:
        FormatError: The file is truncated or damaged.

    Source:
        ITK MetaIO; the header's matrix is LPS.
    """
    with reading(path, "MetaImage"):
        header = mha_header(path)
        _check_whole(path, "MetaImage", header)
        known = bool({"elementspacing", "elementsize"} & set(header.fields))
        return _read(path, "mha", header, known)


def nrrd_header(path: Path) -> ItkHeader:
    """Parse the header of a NRRD file.

    Args:
        path: The file.

    Returns:
        Its fields, and where the numbers are.

    Raises:
        FormatError: A field is missing or makes no sense.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_LIMIT)
    end = re.search(rb"\r?\n\r?\n", head)
    text = head[: end.start()] if end else head
    fields = {}
    for line in text.decode("ascii", "replace").splitlines()[1:]:
        name, separator, value = line.partition(":")
        if separator and not line.startswith("#"):
            fields[name.strip().lower()] = value.lstrip("=").strip()
    sizes = tuple(int(n) for n in fields.get("sizes", "").split())
    kind = fields.get("type", "").lower()
    if not sizes or min(sizes) < 1 or len(sizes) != int(fields.get("dimension", "0")) or kind not in _NRRD_BYTES:
        raise damaged(path, "NRRD", "its header has no usable sizes and type")
    detached = fields.get("data file", fields.get("datafile"))
    if detached is None and end is None:
        raise damaged(path, "NRRD", "it ends within its header")
    start = end.end() if end and detached is None else 0
    encoding = {"gz": "gzip", "bz2": "bzip2", "txt": "text", "ascii": "text"}.get(
        fields.get("encoding", "raw").lower(), fields.get("encoding", "raw").lower()
    )
    skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
    start = -1 if skip == -1 else start + skip
    return ItkHeader(fields, sizes, _NRRD_BYTES[kind], encoding, _beside(path, "NRRD", detached), start)


def mha_header(path: Path) -> ItkHeader:
    """Parse the header of a MetaImage file.

    Args:
        path: The file.

    Returns:
        Its fields, and where the numbers are.

    Raises:
        FormatError: A field is missing or makes no sense.
    """
    fields: dict[str, str] = {}
    start = 0
    with path.open("rb") as file:
        while (line := file.readline(65536)) and start < _HEADER_LIMIT:
            start += len(line)
            name, separator, value = line.decode("ascii", "replace").partition("=")
            if not separator:
                continue
            fields[name.strip().lower()] = value.strip()
            if name.strip().lower() == "elementdatafile":
                break
    sizes = tuple(int(n) for n in fields.get("dimsize", "").split())
    kind = fields.get("elementtype", "").upper().removeprefix("MET_").removesuffix("_ARRAY")
    if "elementdatafile" not in fields:
        raise damaged(path, "MetaImage", "it ends within its header")
    item = _META_BYTES.get(kind.removeprefix("U"), _META_BYTES.get(kind))
    if not sizes or min(sizes) < 1 or item is None:
        raise damaged(path, "MetaImage", "its header has no usable size and type")
    channels = int(fields.get("elementnumberofchannels", "1"))
    packed = fields.get("compresseddata", "false").lower() == "true"
    text = fields.get("binarydata", "true").lower() == "false"
    local = fields["elementdatafile"].upper() == "LOCAL"
    data = _beside(path, "MetaImage", None if local else fields["elementdatafile"])
    skip = int(fields.get("headersize", "0"))
    offset = start if local else skip
    encoding = "text" if text else "zlib" if packed else "raw"
    return ItkHeader(fields, (channels, *sizes) if channels > 1 else sizes, item, encoding, data, offset)


def _beside(path: Path, kind: str, name: str | None) -> Path:
    """The data file of a detached header: a plain name in the same folder, nothing else."""
    if name is None:
        return path
    if Path(name).name != name or name.upper().startswith("LIST") or "%" in name:
        raise FormatError(
            f"{path.name} keeps its voxels in {name!r}.",
            "A detached header names one file in its own folder.",
            f"Save the image as one {kind} file.",
        )
    data = path.parent / name
    if not data.is_file():
        raise damaged(path, kind, f"its data file {name} is missing")
    return data


def _check_whole(path: Path, kind: str, header: ItkHeader) -> None:
    size, need = header.data.stat().st_size, header.n_bytes
    start = max(header.start, 0)
    if header.encoding == "raw":
        check_size(path, kind, need)
        if size - start < need:
            raise truncated(path, kind, size - start, need)
    elif header.encoding in ("gzip", "zlib", "bzip2"):
        have = _unpacked(path, kind, header, start)
        if have < need:
            raise truncated(path, kind, have, need)
    elif header.encoding == "text":
        have = len(header.data.read_bytes()[start:].split())
        if have < need // header.item_bytes:
            raise truncated(path, kind, have, need // header.item_bytes)
    else:
        raise damaged(path, kind, f"its encoding {header.encoding!r} is unknown here")


def _unpacked(path: Path, kind: str, header: ItkHeader, start: int) -> int:
    """Bytes that the packed data unpack to; the check sum at the end is verified."""
    packed = header.data.stat().st_size - start
    check_size(path, kind, header.n_bytes, packed=packed if header.encoding != "bzip2" else None)
    unpack: Any = bz2.BZ2Decompressor() if header.encoding == "bzip2" else zlib.decompressobj(47)
    have, limit = 0, header.n_bytes + (64 << 20)
    with header.data.open("rb") as file:
        file.seek(start)
        while not unpack.eof and (block := file.read(1 << 16)):
            have += len(unpack.decompress(block))
            if have > limit:
                raise damaged(path, kind, "its data unpack to more than its header declares")
    if not unpack.eof:
        raise damaged(path, kind, "its packed data end before their check sum")
    return have


def _read(path: Path, kind: str, header: ItkHeader, known: bool) -> Volume:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetImageIO({"nrrd": "NrrdImageIO", "mha": "MetaImageIO"}[kind])
    reader.SetFileName(str(path))
    image = reader.Execute()
    dimension, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if "complex" in image.GetPixelIDTypeAsString():
        raise damaged(path, NAMES[kind], "its numbers are complex")
    values = sitk.GetArrayFromImage(image)
    values = values.transpose([*range(dimension - 1, -1, -1), *([dimension] if components > 1 else [])])
    channel = "channel"
    if components > 1:
        if dimension > 3:
            raise damaged(path, NAMES[kind], "it has both time and channels")
        values = np.moveaxis(values, -1, 0)
        marked = re.search(r"rgb", header.fields.get("kinds", ""), re.IGNORECASE)
        is_rgb = marked or (components in (3, 4) and values.dtype == np.uint8)
        values, channel = (values[:3], "rgb") if is_rgb and components in (3, 4) else (values, "channel")
    elif dimension == 4:
        values, channel = np.moveaxis(values, 3, 0), "time"
    else:
        values = values[None]
    if values.ndim == 3:
        values = values[..., None]
    values, n_missing = fill_not_finite(settle(values, path, NAMES[kind]), path)
    grid = Grid(values.shape[1:], _affine(image), spacing_known=known)
    facts = {"not_finite_voxels": str(n_missing)} if n_missing else {}
    return Volume(values, grid, channel=channel, header=facts)  # type: ignore[arg-type]


def _affine(image: Any) -> np.ndarray:
    """RAS affine of an ITK image; a 2-D image gets a third axis of 1 mm."""
    n = image.GetDimension()
    direction = np.asarray(image.GetDirection(), dtype=np.float64).reshape(n, n)
    affine_lps = np.eye(4)
    m = min(n, 3)
    affine_lps[:m, :m] = direction[:m, :m] * np.asarray(image.GetSpacing())[:m]
    affine_lps[:m, 3] = np.asarray(image.GetOrigin())[:m]
    return _FLIP @ affine_lps
