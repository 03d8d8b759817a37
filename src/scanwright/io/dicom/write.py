"""Heat maps as DICOM: a float Parametric Map where the source has a place, else a picture.

Every object goes into a series of its own, keeps the patient and study of its source, says
that it comes from an AI and was not reviewed, and is read back before it counts as written.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import FormatError, GeometryError, InputError
from scanwright.core.grid import Grid
from scanwright.io.atomic import atomic_write
from scanwright.io.dicom.header import UNPAIRED, anatomy, code_item, copy_patient_and_study, long_string, stand_in
from scanwright.io.guard import reading

_TOLERANCE = 0.02
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MANUFACTURER = "Scanwright"


@dataclass(frozen=True)
class DicomNote:
    """What every written object says about where it comes from.

    Args:
        model: Name of the model.
        version: Version of the model.
        finding: Class that the heat map speaks for.
        notice: Text that every object carries.
        review: Review state, in words.
        series_number: Number of the new series.
        software: Version of Scanwright.
    """

    model: str
    version: str
    finding: str = ""
    notice: str = "Research use - not a medical device"
    review: str = "not reviewed"
    series_number: int = 9001
    software: str = ""

    @property
    def series_description(self) -> str:
        """Such as ``"AI lung-nodule 1.2.0 - not reviewed"``, at most 64 characters."""
        tail = f" {self.version} - {self.review}"
        return long_string(f"AI {self.model}", 64 - len(tail)) + tail


@dataclass(frozen=True)
class _Frame:
    """One plane of a source: its place on the grid and where it is stored."""

    k: int
    position: tuple[float, float, float]
    source: int


def write_heatmap_dicom(
    path: Path,
    heatmap: NDArray[np.floating[Any]],
    source_files: Sequence[Path],
    *,
    grid: Grid,
    note: DicomNote,
    overlay: NDArray[np.uint8] | None = None,
) -> Path:
    """Write a heat map beside the DICOM images that it speaks of.

    A source with a frame of reference and plane positions gets a float Parametric Map on the
    same planes; any other (most radiographs and ultrasound) a Secondary Capture of the overlay.

    Args:
        path: File to write; it appears whole or not at all.
        heatmap: ``(I, J, K)``, 0 .. 1: rows, columns, slices of ``grid``.
        source_files: Files of the source series, in any order.
        grid: Grid of the volume that was read from them.
        note: What the object says of its origin.
        overlay: ``(rows, columns, 3)`` uint8, for a source without a place.

    Returns:
        ``path``.

    Raises:
        FormatError: A source is not DICOM, or the written file does not read back the same.
        GeometryError: A slice of the grid has no source image, or lies elsewhere.
        InputError: No source was given, or an overlay is needed and was not given.

    Source:
        PS3.3 A.75 (Parametric Map), A.8.1 (Secondary Capture), C.7.6.16; written with highdicom,
        read back in world coordinates; agrees with SimpleITK (tests/io/test_dicom_write.py).
    """
    from pydicom.config import disable_value_validation

    path, heatmap = Path(path), np.asarray(heatmap, dtype=np.float32)
    with disable_value_validation():  # its warnings quote the patient; odd values are copied as they are
        sources = _read_sources(source_files)
        frames = _frames(sources, grid)
        if frames:
            _save(path, _parametric_map(heatmap, sources, frames, note))
            _read_back(path, heatmap, grid)
            return path
        if overlay is None:
            raise InputError(
                "The DICOM source has no place in space, and no overlay was given.",
                "A Parametric Map needs a frame of reference and plane positions; else a picture is written.",
                "Give the overlay picture.",
            )
        _save(path, _secondary_capture(overlay, sources, note))
    return path


def is_dicom(path: Path) -> bool:
    """Whether a file starts as a DICOM file does (PS3.10, 7.1)."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def files_of_series(folder: Path, series: str | None) -> list[Path]:
    """The DICOM images of one series in a folder, sub-folders included.

    Args:
        folder: Where to look.
        series: SeriesInstanceUID, or None for the largest series.

    Returns:
        Sorted paths; empty where there are none.
    """
    import pydicom

    found: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and is_dicom(p)):
        with reading(path, "DICOM"):
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Rows"])
        if "Rows" in header:
            found.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(path)
    if series is not None:
        return found.get(series, [])
    return max(found.values(), key=len, default=[])


# ---------------------------------------------------------------- sources


def _read_sources(files: Iterable[Path]) -> list[Any]:
    import pydicom

    datasets = []
    for file in map(Path, files):
        with reading(file, "DICOM"):
            datasets.append(pydicom.dcmread(file, stop_before_pixels=True, force=False))
    if not datasets:
        raise InputError("No DICOM source was given.", "A heat map belongs to images.", "Give the files of the series.")
    return datasets


def _frames(sources: Sequence[Any], grid: Grid) -> list[_Frame]:
    """One frame for each slice of the grid; empty where the source has no place in space."""
    planes = [(n, plane) for n, source in enumerate(sources) for plane in _planes(source)]
    if not planes or not all(source.get("FrameOfReferenceUID") and stand_in(source) is not None for source in sources):
        return []
    found: dict[int, _Frame] = {}
    for n, (position, across, down) in planes:
        if sources[n].Rows != grid.shape[0] or sources[n].Columns != grid.shape[1]:
            raise _misplaced(
                f"has {sources[n].Rows} x {sources[n].Columns} pixels, the grid {grid.shape[0]} x {grid.shape[1]}"
            )
        corners = np.array([position, position + down * (grid.shape[0] - 1), position + across * (grid.shape[1] - 1)])
        index = grid.index(corners * (-1, -1, 1))  # LPS to RAS
        k = round(float(index[0, 2]))
        expected = [(0, 0, k), (grid.shape[0] - 1, 0, k), (0, grid.shape[1] - 1, k)]
        if not 0 <= k < grid.shape[2] or np.abs(index - expected).max() > _TOLERANCE * max(1, grid.shape[0] / 100):
            raise _misplaced(f"lies {np.abs(index - expected).max():.3g} voxels from its place on the grid")
        found.setdefault(k, _Frame(k, tuple(float(v) for v in position), n))  # type: ignore[arg-type]
    missing = [k for k in range(grid.shape[2]) if k not in found]
    if missing:
        raise _misplaced(f"is missing for slice {missing[0]} of {grid.shape[2]}")
    return [found[k] for k in sorted(found)]


def _planes(source: Any) -> list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Position, step across columns and step down rows of each frame, in LPS mm (C.7.6.2.1.1)."""
    shared = (source.get("SharedFunctionalGroupsSequence") or [None])[0]
    places = []
    for group in source.get("PerFrameFunctionalGroupsSequence") or [source]:
        position = _first(group, shared, "PlanePositionSequence", "ImagePositionPatient")
        orientation = _first(group, shared, "PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = _first(group, shared, "PixelMeasuresSequence", "PixelSpacing")
        if position is None or orientation is None or spacing is None:
            return []
        rows, columns = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
        places.append((np.array(position, dtype=float), rows * float(spacing[1]), columns * float(spacing[0])))
    return places


def _first(group: Any, shared: Any, sequence: str, keyword: str) -> Any:
    for holder in (group, shared):
        if holder is None:
            continue
        items = holder.get(sequence)
        value = items[0].get(keyword) if items else holder.get(keyword)
        if value:
            return value
    return None


def _misplaced(why: str) -> GeometryError:
    return GeometryError(
        f"A source image {why}.",
        "Every slice of a heat map lies on one image of its source.",
        "Give the files of the series that was read, all of them and no others.",
    )


# ---------------------------------------------------------------- objects


def _parametric_map(
    heatmap: NDArray[np.float32], sources: Sequence[Any], frames: Sequence[_Frame], note: DicomNote
) -> Any:
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    _quiet(highdicom)
    first = sources[frames[0].source]
    plane = _planes(first)[0]
    shared = (first.get("SharedFunctionalGroupsSequence") or [None])[0]
    group = (first.get("PerFrameFunctionalGroupsSequence") or [first])[0]
    spacing = [float(v) for v in _first(group, shared, "PixelMeasuresSequence", "PixelSpacing")]
    orientation = [float(v) for v in _first(group, shared, "PlaneOrientationSequence", "ImageOrientationPatient")]
    used = sorted({frame.source for frame in frames})
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="Evidence",
        lut_explanation=long_string(f"Evidence for {note.finding or 'the answer'}, share of the strongest place", 64),
        unit=highdicom.sr.CodedConcept("1", "UCUM", "no units"),
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=highdicom.sr.CodedConcept(
            "ai-evidence", "99SCANWRIGHT", "Relative evidence for an AI finding"
        ),
    )
    made = highdicom.pm.ParametricMap(
        source_images=_stand_ins([sources[n] for n in used]),
        pixel_array=np.ascontiguousarray(np.moveaxis(heatmap, 2, 0)),
        series_instance_uid=generate_uid(prefix=None),
        series_number=note.series_number,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=_MANUFACTURER,
        manufacturer_model_name=long_string(note.model, 64),
        software_versions=_versions(note),
        device_serial_number="none",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[highdicom.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="AI_HEATMAP",
        content_description=long_string(f"AI heat map: {note.finding}" if note.finding else "AI heat map", 64),
        content_creator_name=f"{_MANUFACTURER}^",
        pixel_measures=highdicom.PixelMeasuresSequence(spacing, _thickness(frames, plane)),
        plane_orientation=highdicom.PlaneOrientationSequence("PATIENT", orientation),
        plane_positions=[highdicom.PlanePositionSequence("PATIENT", frame.position) for frame in frames],
        specific_character_set="ISO_IR 192",
    )
    _stamp(made, first, note)
    own = generate_uid(prefix=None)
    made.DimensionOrganizationSequence[0].DimensionOrganizationUID = own
    for index in made.DimensionIndexSequence:
        index.DimensionOrganizationUID = own
    made.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = anatomy(first)
    return made


def _stand_ins(sources: Sequence[Any]) -> list[Any]:
    """Headers for highdicom, which is stricter than many scanners.

    One frame of reference, as some anonymisers give each slice its own; a slice thickness, which
    may be absent; and of multi-frame objects pixel measures and orientation that all frames share.
    """
    from pydicom.dataset import Dataset

    made = [copied for source in sources if (copied := stand_in(source)) is not None]
    for copied in made:
        copied.FrameOfReferenceUID = made[0].FrameOfReferenceUID
        if not copied.get("SliceThickness"):
            copied.SliceThickness = 1.0
        frames = copied.get("PerFrameFunctionalGroupsSequence")
        if frames:
            shared = copy.deepcopy((copied.get("SharedFunctionalGroupsSequence") or [None])[0]) or Dataset()
            for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
                if keyword not in shared and keyword in frames[0]:
                    setattr(shared, keyword, frames[0].get(keyword))
            copied.SharedFunctionalGroupsSequence = [shared]
    return made


def _thickness(frames: Sequence[_Frame], plane: tuple[NDArray[np.float64], ...]) -> float:
    """Distance between slices; 1 mm for a single one, which has none."""
    if len(frames) < 2:
        return 1.0
    normal = np.cross(plane[1], plane[2])
    normal /= np.linalg.norm(normal)
    along = np.array([frame.position for frame in frames]) @ normal
    return float(np.abs(np.diff(along)).mean())


def _secondary_capture(overlay: NDArray[np.uint8], sources: Sequence[Any], note: DicomNote) -> Any:
    """The overlay as an RGB Secondary Capture (PS3.3 A.8.1)."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    first, made = sources[0], Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = _SECONDARY_CAPTURE, generate_uid(prefix=None)
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = (
        made.SOPClassUID,
        made.SOPInstanceUID,
    )
    made.SeriesInstanceUID, made.SeriesNumber, made.InstanceNumber = generate_uid(prefix=None), note.series_number, 1
    made.Modality, made.ConversionType, made.ImageType = "OT", "WSD", ["DERIVED", "SECONDARY"]
    made.Manufacturer, made.ManufacturerModelName = _MANUFACTURER, long_string(note.model, 64)
    made.SoftwareVersions = _versions(note)
    made.DerivationDescription = long_string(f"AI heat map over the image: {note.finding}. {note.notice}", 1024)
    made.SourceImageSequence = [_reference(source) for source in sources if source.get("SOPInstanceUID")]
    rows, columns = overlay.shape[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.Rows, made.Columns, made.BitsAllocated, made.BitsStored, made.HighBit = rows, columns, 8, 8, 7
    made.PixelRepresentation = 0
    pixels = np.ascontiguousarray(overlay, dtype=np.uint8).tobytes()
    made.PixelData = pixels + b"\x00" * (len(pixels) % 2)
    made.BurnedInAnnotation, made.RecognizableVisualFeatures = first.get("BurnedInAnnotation") or "NO", "NO"
    if str(first.get("BodyPartExamined") or "").upper() not in UNPAIRED:  # type 2C (C.7.3.1)
        made.Laterality = first.get("Laterality") or first.get("ImageLaterality") or None
    made.PatientOrientation = first.get("PatientOrientation") or None
    if (rows, columns) == (first.get("Rows"), first.get("Columns")) and first.get("PixelSpacing"):
        made.PixelSpacing = first.PixelSpacing
    now = datetime.now()
    made.InstanceCreationDate, made.InstanceCreationTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made.ContentDate, made.ContentTime = made.InstanceCreationDate, made.InstanceCreationTime
    made.SpecificCharacterSet = "ISO_IR 192"
    _stamp(made, first, note)
    return made


def _stamp(made: Any, source: Any, note: DicomNote) -> None:
    """Patient and study of the source; series, review state and notice of our own."""
    copy_patient_and_study(source, made)
    if not made.get("StudyInstanceUID"):
        raise FormatError(
            "The DICOM source has no StudyInstanceUID.",
            "An object belongs to a study.",
            "Write a PNG or NIfTI instead.",
        )
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SeriesDescription = note.series_description
    made.SeriesDate, made.SeriesTime = made.InstanceCreationDate, made.InstanceCreationTime
    made.ImageComments = f"{note.notice}. AI {note.model} {note.version}, {note.review}."
    if source.get("BodyPartExamined"):
        made.BodyPartExamined = source.BodyPartExamined


def _reference(source: Any) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [code_item("121322", "DCM", "Source image for image processing operation")]
    return item


def _versions(note: DicomNote) -> str:
    import importlib.metadata

    return long_string(f"{note.version} (scanwright {note.software or importlib.metadata.version('scanwright')})", 64)


def _quiet(library: Any) -> None:
    """Keep the library's own messages, which may quote the patient, out of every log."""
    logging.getLogger(library.__name__).setLevel(logging.CRITICAL)


# ---------------------------------------------------------------- disk


def _save(path: Path, dataset: Any) -> None:
    buffer = BytesIO()
    dataset.preamble = b"\x00" * 128
    dataset.save_as(buffer, enforce_file_format=True)
    atomic_write(path, buffer.getvalue())


def _read_back(path: Path, heatmap: NDArray[np.float32], grid: Grid) -> None:
    """Read the file again and compare every frame with the grid in world coordinates."""
    import pydicom

    written = pydicom.dcmread(path)
    values = np.frombuffer(written.FloatPixelData, dtype="<f4").reshape(-1, *grid.shape[:2])
    right = len(values) == grid.shape[2]
    for plane, frame in zip(_planes(written), values, strict=False):
        index = grid.index(plane[0] * (-1, -1, 1))
        k = int(np.clip(round(float(index[2])), 0, grid.shape[2] - 1))
        right = right and bool(np.abs(index - (0, 0, k)).max() < _TOLERANCE and np.array_equal(frame, heatmap[..., k]))
    if not right:
        path.unlink(missing_ok=True)
        raise FormatError(
            f"{path.name} did not read back as it was meant.",
            "Every frame must lie where its source image lies.",
            "Report this with the kind of source; use the NIfTI heat map meanwhile.",
        )
