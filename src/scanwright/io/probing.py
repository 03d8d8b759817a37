"""What a file holds, from its header alone: fast enough for many thousands of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scanwright.core.errors import ScanwrightError
from scanwright.io.content import NAMES, require_kind
from scanwright.io.guard import reading


@dataclass(frozen=True, slots=True)
class Probe:
    """Facts of one file.

    UIDs and the patient's key serve to group cases and to join tables; they are left out of
    the text form and belong in no message.

    Args:
        kind: A key of :data:`scanwright.io.READERS`.
        n_items: Rows of an array, files of a zip, otherwise 1.
        shape: Rows and columns of a picture; ``(I, J, K)`` or ``(I, J, K, T)`` of a volume;
            frames, rows and columns of a multi-frame object; the whole shape of an array file.
        dtype: Type of the stored values, None if unknown.
        n_channels: 1 or 3; None if unknown.
        modality: DICOM code, None if unknown.
        keys: Shape of each array of an npz file.
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        instance_uid: SOPInstanceUID.
        patient: PatientID, for grouping only.
        laterality: ``"L"``, ``"R"`` or ``"B"``.
        view: View position, such as ``"PA"`` or ``"MLO"``.
        has_pixels: Whether there is an image.
        sop_class: SOP class UID.
        spacing_mm: Spacing along ``i, j, k`` where the header gives it.
    """

    kind: str
    n_items: int = 1
    shape: tuple[int, ...] = ()
    dtype: str | None = None
    n_channels: int | None = 1
    modality: str | None = None
    keys: dict[str, tuple[int, ...]] = field(default_factory=dict)
    study_uid: str | None = field(default=None, repr=False)
    series_uid: str | None = field(default=None, repr=False)
    instance_uid: str | None = field(default=None, repr=False)
    patient: str | None = field(default=None, repr=False)
    laterality: str | None = None
    view: str | None = None
    has_pixels: bool = True
    sop_class: str | None = None
    spacing_mm: tuple[float, ...] | None = None

    @property
    def is_picture(self) -> bool:
        """Whether the file holds one picture: no rows, frames, slices or time points beside it."""
        if self.n_items > 1:
            return False
        if self.kind == "dicom":  # frames, rows, columns
            return len(self.shape) < 3 or self.shape[0] == 1
        return all(n == 1 for n in self.shape[2:])


def is_picture(path: Path) -> bool:
    """Whether a file holds one picture; one that cannot be probed counts as such, so that reading names its fault."""
    try:
        return probe(path).is_picture
    except ScanwrightError:
        return True


def probe(path: str | Path) -> Probe:
    """Read the header of a file.

    Args:
        path: A file; not a folder.

    Returns:
        What it holds. That the pixels are whole and can be decoded is not checked.

    Raises:
        InputError: The file is missing, or is a folder.
        FormatError: The content is of no known kind, or the header is damaged.
    """
    path = Path(path)
    kind = require_kind(path)
    with reading(path, NAMES[kind]):
        return _PROBES[kind](path, kind)


def _dicom(path: Path, kind: str) -> Probe:
    from scanwright.io.dicom import open as header
    from scanwright.io.dicom.frames import pixel_spacing

    dataset = header.open_dicom(path)
    rows, columns = header.number(dataset, "Rows"), header.number(dataset, "Columns")
    frames = int(header.number(dataset, "NumberOfFrames") or 1)
    has_pixels = (bool(rows and columns) and dataset.pixel_offset != -1) or header.transfer_syntax(dataset).endswith(
        ".99"
    )
    shape = (int(rows or 0), int(columns or 0))
    bits, signed = int(header.number(dataset, "BitsAllocated") or 8), header.number(dataset, "PixelRepresentation") == 1
    colour = header.number(dataset, "SamplesPerPixel") == 3 or header.text(
        dataset, "PhotometricInterpretation"
    ).startswith("PAL")
    side = header.text(dataset, "ImageLaterality") or header.text(dataset, "Laterality")
    return Probe(
        kind,
        1,
        (() if not rows else shape if frames == 1 else (frames, *shape)),
        f"{'' if signed else 'u'}int{max(bits, 8)}" if rows else None,
        3 if colour else 1,
        header.modality(dataset),
        {},
        header.text(dataset, "StudyInstanceUID") or None,
        header.text(dataset, "SeriesInstanceUID") or None,
        header.text(dataset, "SOPInstanceUID") or None,
        header.text(dataset, "PatientID") or None,
        side.upper() or None,
        header.text(dataset, "ViewPosition").upper() or None,
        bool(rows) and has_pixels,
        header.text(dataset, "SOPClassUID") or None,
        pixel_spacing(dataset),
    )


def _nifti(path: Path, kind: str) -> Probe:
    from scanwright.io.nifti import nifti_header

    header = nifti_header(path)
    zooms = tuple(float(z) for z in header.get_zooms()[:3])
    return Probe(
        kind, shape=tuple(int(n) for n in header.get_data_shape()), dtype=str(header.get_data_dtype()), spacing_mm=zooms
    )


def _itk(path: Path, kind: str) -> Probe:
    from scanwright.io.itk import mha_header, nrrd_header

    header = nrrd_header(path) if kind == "nrrd" else mha_header(path)
    return Probe(kind, shape=header.sizes, dtype=header.fields.get("type") or header.fields.get("elementtype"))


def _picture(path: Path, kind: str) -> Probe:
    from scanwright.io.raster import picture_size

    rows, columns, channels, dtype = picture_size(path, kind)
    return Probe(kind, shape=(rows, columns), dtype=dtype, n_channels=channels)


def _tiff(path: Path, kind: str) -> Probe:
    from scanwright.io.tiff import tiff_size

    shape, dtype, channels = tiff_size(path)
    return Probe(kind, shape=shape, dtype=dtype, n_channels=channels)


def _array(path: Path, kind: str) -> Probe:
    from scanwright.io.arrays import array_keys

    found = array_keys(path)
    shapes = {key: shape for key, (shape, _) in found.items()}
    first = max(shapes, key=lambda key: (len(shapes[key]), key.startswith("train"))) if shapes else ""
    shape, dtype = found.get(first, ((), None))
    keys = shapes if kind == "npz" else {}
    return Probe(kind, shape[0] if shape else 0, shape, dtype and dtype.lstrip("|<>="), None, keys=keys)


def _zip(path: Path, kind: str) -> Probe:
    from scanwright.io.archive import probe_zip

    inside, count = probe_zip(path)
    return Probe(kind, count, n_channels=None, has_pixels=inside is not None)


_PROBES: dict[str, Callable[[Path, str], Probe]] = {
    "dicom": _dicom,
    "nifti": _nifti,
    "nrrd": _itk,
    "mha": _itk,
    "png": _picture,
    "jpeg": _picture,
    "tiff": _tiff,
    "bmp": _picture,
    "npy": _array,
    "npz": _array,
    "idx": _array,
    "zip": _zip,
}
"""Kind of file and the function that reads its header."""
