"""Stored pixels of DICOM objects, decoded into an array that is already there."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, convert_color_space, get_decoder
from pydicom.uid import UID

from scanwright.core.errors import FormatError
from scanwright.io.dicom.frames import n_frames
from scanwright.io.dicom.open import Header, number, open_dicom, refuse_without_pixels, text, transfer_syntax
from scanwright.io.guard import check_pixels, check_size, damaged, reading, truncated

_NATIVE = {"1.2.840.10008.1.2": "<", "1.2.840.10008.1.2.1": "<", "1.2.840.10008.1.2.2": ">"}
_PLUGINS = {
    "1.2.840.10008.1.2.5": "pylibjpeg",  # RLE
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG baseline
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg",  # high-throughput JPEG 2000
    "1.2.840.10008.1.2.4.202": "pylibjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg",
}
"""One decoder for each syntax: what it refuses is not tried with GDCM, which may abort on damaged data."""

_INFLATED = "1.2.840.10008.1.2.1.99"
_PIXEL_DATA = {0x0010: "i", 0x0008: "f", 0x0009: "d"}
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"UN", b"OL", b"OV")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of one object are stored.

    Args:
        n_frames: Frames.
        rows: Height.
        columns: Width.
        colour: Whether decoded frames are RGB.
        dtype: Type of the decoded values, native byte order.
        stored_bits: Bits that carry the value.
        signed: Whether they are signed.
        photometric: Photometric interpretation.
        syntax: Transfer syntax UID.
    """

    n_frames: int
    rows: int
    columns: int
    colour: bool
    dtype: np.dtype[Any]
    stored_bits: int
    signed: bool
    photometric: str
    syntax: str

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns * self.dtype.itemsize * (3 if self.colour else 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one decoded frame."""
        return (self.rows, self.columns, 3) if self.colour else (self.rows, self.columns)


def layout_of(dataset: Header, path: Path) -> Layout:
    """Layout of the pixels, from the header.

    Args:
        dataset: Header.
        path: Its file.

    Returns:
        The layout; sizes are plausible.

    Raises:
        FormatError: The object has no pixels, or the header contradicts itself.
    """
    rows, columns = number(dataset, "Rows"), number(dataset, "Columns")
    if not rows or not columns:
        raise refuse_without_pixels(path, dataset)
    check_pixels(path, "DICOM", int(columns), int(rows))
    samples, allocated = int(number(dataset, "SamplesPerPixel") or 1), int(number(dataset, "BitsAllocated") or 0)
    photometric = text(dataset, "PhotometricInterpretation").upper() or "MONOCHROME2"
    if samples not in (1, 3) or allocated not in (1, 8, 16, 32, 64):
        raise damaged(path, "DICOM", f"it declares {samples} samples of {allocated} bits")
    stored = int(number(dataset, "BitsStored") or allocated)
    signed = int(number(dataset, "PixelRepresentation") or 0) == 1
    colour = samples == 3 or photometric == "PALETTE COLOR"
    dtype = np.dtype(f"{'i' if signed else 'u'}{max(allocated, 8) // 8}")
    if "PixelRepresentation" not in dataset and allocated in (32, 64):
        dtype = np.dtype(f"f{allocated // 8}")  # float pixel data has no representation
    if photometric == "PALETTE COLOR":
        dtype = np.dtype("u2")
    found = Layout(
        n_frames(dataset, path),
        int(rows),
        int(columns),
        colour,
        dtype,
        min(stored, allocated),
        signed,
        photometric,
        transfer_syntax(dataset),
    )
    check_size(path, "DICOM", found.frame_bytes * found.n_frames)
    return found


def is_direct(layout: Layout, allocated: int) -> bool:
    """Whether frames lie in the file as they will lie in memory."""
    return (
        layout.syntax in _NATIVE
        and not layout.colour
        and (allocated in (8, 16, 32, 64))
        and not (allocated == 8 and layout.syntax.endswith(".2.2"))
    )


def read_frames(path: Path, dataset: Header, layout: Layout, out: NDArray[Any]) -> None:
    """Decode all frames of one file.

    Grey values are sign-extended and freed of overlay bits; colour becomes RGB.

    Args:
        path: The file.
        dataset: Its header, as :func:`open_dicom` gave it.
        layout: Its layout.
        out: ``(frames, rows, columns)`` or ``(frames, rows, columns, 3)``; filled.

    Raises:
        FormatError: Pixel data are missing, too short or damaged.

    Source:
        PS3.5 8.1.1 (stored bits), PS3.3 C.7.6.3 (photometric interpretation, planar configuration).
    """
    with reading(path, "DICOM"):
        allocated = int(number(dataset, "BitsAllocated") or 0)
        if out.dtype == layout.dtype and is_direct(layout, allocated) and dataset.pixel_offset >= 0:
            _read_direct(path, dataset.pixel_offset, layout, out)
        else:
            if layout.syntax not in _NATIVE and layout.syntax != _INFLATED:
                _check_fragments(path, dataset.pixel_offset)
            _read_decoded(path, layout, out)
        if not layout.colour and out.dtype.kind in "iu" and layout.stored_bits < out.dtype.itemsize * 8:
            _clean_high_bits(out, layout)


def _read_direct(path: Path, offset: int, layout: Layout, out: NDArray[Any]) -> None:
    """From the file into memory, without a copy between."""
    order = _NATIVE[layout.syntax]
    with path.open("rb") as file:
        file.seek(offset)
        head = file.read(12)
        if len(head) < 8:
            raise truncated(path, "DICOM", 0, out.nbytes)
        group, element = struct.unpack(order + "HH", head[:4])
        if group != 0x7FE0 or element not in _PIXEL_DATA:
            raise _no_pixel_data(path)
        if _PIXEL_DATA[element] == "i" and layout.dtype.kind == "f":
            raise damaged(path, "DICOM", "its header lacks the pixel representation")
        if layout.syntax == "1.2.840.10008.1.2":
            length, start = struct.unpack(order + "I", head[4:8])[0], offset + 8
        elif head[4:6] in _LONG_VRS:
            length, start = struct.unpack(order + "I", head[8:12])[0], offset + 12
        else:
            raise damaged(path, "DICOM", "its pixel data have no length")
        need = layout.frame_bytes * layout.n_frames
        have = file.seek(0, 2) - start
        if length != 0xFFFFFFFF and have < length:
            raise truncated(path, "DICOM", have, length)
        if min(length, have) < need:
            raise truncated(path, "DICOM", min(length, have), need)
        file.seek(start)
        flat = memoryview(out.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        done = 0
        while done < need:
            got = file.readinto(flat[done:need])
            if not got:
                raise truncated(path, "DICOM", done, need)
            done += got
    if order == ">" and out.dtype.itemsize > 1:
        out.byteswap(inplace=True)


def _check_fragments(path: Path, offset: int) -> None:
    """Walk the fragments of encapsulated pixel data up to their end mark (PS3.5 A.4)."""
    if offset < 0:
        raise _no_pixel_data(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(offset)
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"\xe0\x7f\x10\x00" or head[8:12] != b"\xff\xff\xff\xff":
            raise _no_pixel_data(path)
        at = offset + 12
        while True:
            file.seek(at)
            item = file.read(8)
            if len(item) < 8:
                raise damaged(path, "DICOM", "its pixel data end without an end mark")
            at += 8 + int.from_bytes(item[4:], "little")
            if item[:4] == b"\xfe\xff\xdd\xe0":
                return
            if item[:4] != b"\xfe\xff\x00\xe0" or at > size:
                raise truncated(path, "DICOM", size - offset, at - offset)


def _read_decoded(path: Path, layout: Layout, out: NDArray[Any]) -> None:
    dataset = open_dicom(path, pixels=True)
    for keyword in ("FloatPixelData", "DoubleFloatPixelData", "PixelData"):
        if keyword in dataset:
            break
    else:
        raise _no_pixel_data(path)
    element = dataset.get_item(keyword)
    declared = getattr(element, "length", None)
    if declared not in (None, 0xFFFFFFFF) and element is not None and len(element.value or b"") < declared:  # type: ignore[operator,arg-type]
        raise truncated(path, "DICOM", len(element.value or b""), declared)  # type: ignore[arg-type]
    if not dataset.get("PhotometricInterpretation"):
        dataset.PhotometricInterpretation = layout.photometric
    if "PixelRepresentation" not in dataset and keyword == "PixelData":
        dataset.PixelRepresentation = 0
    count, bits = 0, int(number(dataset, "BitsAllocated") or 0) == 1 and layout.syntax in (*_NATIVE, _INFLATED)
    frames = (
        unpacked(dataset.PixelData, layout.n_frames, layout.rows, layout.columns) if bits else _decoded(dataset, layout)
    )
    for count, frame in enumerate(frames, start=1):
        if count > len(out) or frame.shape != out.shape[1:]:
            raise damaged(path, "DICOM", "its pixel data hold more or larger frames than its header declares")
        out[count - 1] = frame
    if count < len(out):
        raise damaged(path, "DICOM", f"it holds {count} of {len(out)} frames")


def unpacked(packed: bytes, count: int, rows: int, columns: int) -> Iterator[NDArray[np.uint8]]:
    """Frames of one bit a pixel, one by one; a frame may end inside a byte, where the next one starts.

    Args:
        packed: Pixel data, uncompressed, the first pixel in the lowest bit.
        count: Number of frames.
        rows: Height of a frame.
        columns: Width of a frame.

    Yields:
        ``(rows, columns)`` of 0 and 1; fewer frames than asked for where the data end too early.

    Source:
        PS3.5 8.1.1 and D (bits of one frame follow those of the last without padding).
    """
    data, size = np.frombuffer(packed, np.uint8), rows * columns
    for first in range(0, min(count, 8 * len(data) // size) * size, size):
        bits = np.unpackbits(data[first // 8 : -(-(first + size) // 8)], bitorder="little")
        yield bits[first % 8 : first % 8 + size].reshape(rows, columns)


def _decoded(dataset: Dataset, layout: Layout) -> Iterator[NDArray[Any]]:
    syntax = "1.2.840.10008.1.2.1" if layout.syntax == _INFLATED else layout.syntax
    decoder = get_decoder(syntax)
    meta = getattr(dataset, "file_meta", None)
    if meta is None or "TransferSyntaxUID" not in meta or layout.syntax == _INFLATED:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
    for frame, about in decoder.iter_array(dataset, raw=False, decoding_plugin=_PLUGINS.get(syntax, "")):
        photometric = str(about.get("photometric_interpretation", layout.photometric)).upper()
        if layout.photometric == "PALETTE COLOR":
            yield apply_color_lut(frame, dataset)
        elif layout.colour and photometric.startswith("YBR_FULL"):
            yield convert_color_space(frame, photometric, "RGB", per_frame=True)
        else:
            yield frame


def _clean_high_bits(values: NDArray[Any], layout: Layout) -> None:
    """Overlays and padding above the stored bits are no part of the value."""
    bits = values.dtype.itemsize * 8
    if layout.signed:
        low, high = -(1 << (layout.stored_bits - 1)), (1 << (layout.stored_bits - 1)) - 1
        if int(values.min()) < low or int(values.max()) > high:
            shift = bits - layout.stored_bits
            np.left_shift(values, shift, out=values)
            np.right_shift(values, shift, out=values)
    elif int(values.max()) >> layout.stored_bits:
        np.bitwise_and(values, (1 << layout.stored_bits) - 1, out=values)


def _no_pixel_data(path: Path) -> FormatError:
    return FormatError(
        f"{path.name} has the header of an image and no pixel data.",
        "An image has rows, columns and pixel data.",
        "Copy or export it again: it was probably cut off.",
    )
