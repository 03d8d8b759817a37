"""Synthetic images as files, each of which says in its own header that it is one; and seeing that a file says so."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError
from scanwright.core.grid import Grid
from scanwright.io.atomic import atomic_write, write_json
from scanwright.io.write import write_nifti

WORD = "SYNTHETIC"
"""What every synthetic image says of itself."""

_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class SyntheticMark:
    """What a synthetic image says of its origin.

    Args:
        generator: Name of the generator.
        sha256: SHA-256 of its file, hexadecimal; empty while it is not written.
        seed: Seed that draws the image again.
        label: Class, empty for none.
        steps: Steps of the sampler.
        licence: Licence of the images that it was learnt from, empty if unknown.
        visible: Whether the word stands in the pixels, too.
    """

    generator: str
    sha256: str
    seed: int
    label: str = ""
    steps: int = 0
    licence: str = ""
    visible: bool = False

    @property
    def description(self) -> str:
        """Such as ``"SYNTHETIC pneumoniamnist: pneumonia"``."""
        return f"{WORD} {self.generator}" + (f": {self.label}" if self.label else "")


def write_synthetic(
    path: Path, voxels: NDArray[Any], *, kind: str, mark: SyntheticMark, grid: Grid | None = None, unit: str = "1"
) -> Path:
    """Write a synthetic image with its marks.

    Args:
        path: File without suffix; the kind's is added.
        voxels: ``(C, I, J, K)``: uint8 where shown as a picture, else numbers in ``unit``. K is 1 for a picture.
        kind: A key of :data:`SYNTHETIC_WRITERS`.
        mark: What the file says.
        grid: Place of the voxels, for NIfTI.
        unit: Unit of the values.

    Returns:
        The file.

    Raises:
        InputError: The kind is unknown, or does not hold such an image.
    """
    writer = writer_of(kind)
    if mark.visible:
        voxels = with_word(voxels)
    path.parent.mkdir(parents=True, exist_ok=True)
    return writer.write(path.with_name(path.name + writer.suffix), voxels, mark, grid, unit)


def write_png(path: Path, voxels: NDArray[Any], mark: SyntheticMark, grid: Grid | None, unit: str) -> Path:
    """A picture, with text chunks (ISO/IEC 15948, 11.3.4)."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if voxels.shape[3] != 1:
        raise InputError(
            f"A volume of {voxels.shape[3]} slices was to be written as PNG.",
            "A PNG holds one picture.",
            "Write --format nifti, npy or dicom.",
        )
    info = PngInfo()
    info.add_text("Synthetic", "true")
    info.add_text("Description", f"{mark.description}. No person was imaged. Research and teaching only.")
    info.add_text("Software", "Scanwright")
    for key, value in asdict(mark).items():
        info.add_text(f"Scanwright:{key}", str(value))
    pixels = picture_of(voxels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    return atomic_write(path, buffer.getvalue())


def write_npy(path: Path, voxels: NDArray[Any], mark: SyntheticMark, grid: Grid | None, unit: str) -> Path:
    """An array ``(I, J)``, ``(I, J, K)`` or with a channel axis at the end, and its marks in a JSON file beside it."""
    array = np.moveaxis(voxels, 0, -1)
    array = array[..., 0] if array.shape[-1] == 1 else array
    array = array[:, :, 0] if voxels.shape[3] == 1 else array
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    atomic_write(path, buffer.getvalue())
    write_json(
        path.with_suffix(".json"), {"synthetic": True, "description": mark.description, "unit": unit, **asdict(mark)}
    )
    return path


def write_nifti_volume(path: Path, voxels: NDArray[Any], mark: SyntheticMark, grid: Grid | None, unit: str) -> Path:
    """A NIfTI-1 file whose description begins with the word."""
    place = grid or Grid(voxels.shape[1:], np.eye(4), spacing_known=False)
    values = voxels[0] if voxels.shape[0] == 1 else voxels
    return write_nifti(path, values, place, unit=unit, description=f"{mark.description}; seed {mark.seed}")


def write_dicom(path: Path, voxels: NDArray[Any], mark: SyntheticMark, grid: Grid | None, unit: str) -> Path:
    """A Secondary Capture: of one picture, or of the slices of a volume as frames.

    Source:
        PS3.3 A.8.1 and A.8.3 (multi-frame greyscale byte); conversion type SYN, C.8.6.1.
    """
    from scanwright.io.dicom.synthetic import write_synthetic_capture

    return write_synthetic_capture(path, as_bytes(voxels), mark.description, mark.seed, mark.generator)


@dataclass(frozen=True)
class SyntheticWriter:
    """One way to write a synthetic image.

    Args:
        suffix: Ending of the file.
        words: What it is, for people.
        write: Path, voxels ``(C, I, J, K)``, mark, grid and unit to the file.
    """

    suffix: str
    words: str
    write: Callable[[Path, NDArray[Any], SyntheticMark, Grid | None, str], Path]


SYNTHETIC_WRITERS: dict[str, SyntheticWriter] = {
    "png": SyntheticWriter(".png", "pictures with text chunks", write_png),
    "dicom": SyntheticWriter(".dcm", "DICOM Secondary Capture, DERIVED\\SECONDARY", write_dicom),
    "npy": SyntheticWriter(".npy", "arrays, each with a JSON file beside it", write_npy),
    "nifti": SyntheticWriter(".nii.gz", "volumes whose description says so", write_nifti_volume),
}
"""Name to way of writing. A new one is one function and one line here."""


def writer_of(kind: str) -> SyntheticWriter:
    """One row of :data:`SYNTHETIC_WRITERS`.

    Raises:
        InputError: There is none of this name.
    """
    if kind not in SYNTHETIC_WRITERS:
        from difflib import get_close_matches

        near = get_close_matches(kind, SYNTHETIC_WRITERS, n=1)
        raise InputError(
            f"There is no format {kind!r}.",
            f"Synthetic images are written as {', '.join(SYNTHETIC_WRITERS)}.",
            f"Did you mean --format {near[0]}?" if near else "Leave --format out.",
        )
    return SYNTHETIC_WRITERS[kind]


def is_synthetic(path: Path) -> bool:
    """Whether a file says of itself that it is synthetic.

    Args:
        path: Any file; of one that cannot be read nothing is said.

    Returns:
        True for files of :func:`write_synthetic`, and for DICOM objects of others whose series
        description or image comments say so.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head[:8] == b"\x89PNG\r\n\x1a\n":
            return b"Synthetic\x00true" in head.partition(b"IDAT")[0]
        if head[128:132] == b"DICM":
            return WORD.encode() in head.upper() and bool(_dicom_says_so(path))
        if head[:6] == b"\x93NUMPY":
            beside = path.with_suffix(".json")
            return beside.is_file() and json.loads(beside.read_text(encoding="utf-8")).get("synthetic") is True
        if head[:2] == b"\x1f\x8b" and ".nii" in path.name.lower():
            import gzip

            with gzip.open(path) as file:
                head = file.read(348)
        return head[344:347] in (b"n+1", b"ni1") and head[148:228].startswith(WORD.encode())
    except (OSError, EOFError, ValueError, AttributeError):
        return False


def picture_of(voxels: NDArray[Any]) -> NDArray[np.uint8]:
    """The (middle) slice as ``(rows, columns)`` or ``(rows, columns, 3)`` uint8."""
    plane = as_bytes(voxels)[..., voxels.shape[3] // 2]
    return np.ascontiguousarray(plane[0] if plane.shape[0] == 1 else np.moveaxis(plane, 0, -1))


def as_bytes(voxels: NDArray[Any]) -> NDArray[np.uint8]:
    """Values as uint8; other types from their lowest to their highest value."""
    if voxels.dtype == np.uint8:
        return voxels
    low, high = float(voxels.min()), float(voxels.max())
    return np.rint((voxels.astype(np.float32) - low) / max(high - low, 1e-6) * 255).astype(np.uint8)


SMALLEST_FOR_WORD = 64
"""Columns that a picture needs for the visible word."""


def check_room(rows: int, columns: int) -> None:
    """Refuse pictures that are too small for the visible word.

    Raises:
        InputError: They are.
    """
    if columns < SMALLEST_FOR_WORD or rows < 16:
        raise InputError(
            f"A picture of {rows} x {columns} is too small for the visible mark.",
            f"The word {WORD} needs {SMALLEST_FOR_WORD} columns.",
            f"Leave --mark out, or learn with --size {SMALLEST_FOR_WORD} or more.",
        )


def with_word(voxels: NDArray[Any]) -> NDArray[Any]:
    """The voxels with the word written into the first rows of every slice, bright on dark.

    Raises:
        InputError: The picture is too small for it.
    """
    from PIL import Image, ImageDraw

    check_room(voxels.shape[1], voxels.shape[2])
    word = Image.new("L", (voxels.shape[2], 12), 0)
    ImageDraw.Draw(word).text((2, 0), WORD, fill=255)
    ink = np.asarray(word) > 127
    marked = voxels.copy()
    low, high = voxels.min(), voxels.max()
    marked[:, :12] = np.where(ink[None, :, :, None], high, low).astype(voxels.dtype)
    return marked


def synthetic_series(folder: Path) -> set[str]:
    """SeriesInstanceUIDs in a folder of DICOM files that say of themselves that they are synthetic.

    Args:
        folder: Its files are looked at, not those of folders inside it.

    Returns:
        UIDs; empty where there are none.
    """
    found = set()
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES >> 3)
        except OSError:
            continue
        if head[128:132] == b"DICM" and WORD.encode() in head.upper():
            found.add(_dicom_says_so(path))
    return found - {""}


def _dicom_says_so(path: Path) -> str:
    """SeriesInstanceUID of an object that says so, empty for another."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    tags = ["SeriesDescription", "ImageComments", "SeriesInstanceUID"]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except (InvalidDicomError, OSError, ValueError):
        return ""
    words = " ".join(str(header.get(tag) or "") for tag in tags[:2]).upper()
    says_so = words.startswith(WORD) or f" {WORD} IMAGE" in f" {words}"
    return str(header.get("SeriesInstanceUID") or "unknown") if says_so else ""
