"""One DICOM file: opened safely, and the facts of its header that do not identify a person."""

from __future__ import annotations

import logging
import math
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info

from scanwright.core.errors import FormatError
from scanwright.io.dicom.quick import QuickHeader, Wanted, quick_header
from scanwright.io.guard import damaged, reading

logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its warnings quote values, which may be names
warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
config.settings.reading_validation_mode = config.IGNORE

SEGMENTATIONS = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
DIRECTORY = "1.2.840.10008.1.3.10"
_DEFLATED = b"1.2.840.10008.1.2.1.99"

Header = Dataset | QuickHeader
"""What :func:`open_dicom` gives."""

FACTS = {
    "sop_class": "SOPClassUID",
    "image_type": "ImageType",
    "photometric": "PhotometricInterpretation",
    "manufacturer": "Manufacturer",
    "manufacturer_model": "ManufacturerModelName",
    "body_part": "BodyPartExamined",
    "view_position": "ViewPosition",
    "laterality": "Laterality",
    "patient_position": "PatientPosition",
    "patient_orientation": "PatientOrientation",
    "presentation_intent": "PresentationIntentType",
    "burned_in_annotation": "BurnedInAnnotation",
    "lossy_compression": "LossyImageCompression",
    "kvp": "KVP",
    "exposure_mas": "Exposure",
    "convolution_kernel": "ConvolutionKernel",
    "slice_thickness_mm": "SliceThickness",
    "spacing_between_slices_mm": "SpacingBetweenSlices",
    "magnetic_field_t": "MagneticFieldStrength",
    "repetition_time_ms": "RepetitionTime",
    "echo_time_ms": "EchoTime",
    "inversion_time_ms": "InversionTime",
    "flip_angle_deg": "FlipAngle",
    "scanning_sequence": "ScanningSequence",
    "units": "Units",
    "suv_type": "SUVType",
    "decay_correction": "DecayCorrection",
    "frame_time_ms": "FrameTime",
    "pixel_padding": "PixelPaddingValue",
}
"""Name in ``Volume.header`` and the attribute it comes from."""

_PLACE = [
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "Modality",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "EstimatedRadiographicMagnificationFactor",
    "AcquisitionNumber",
    "AcquisitionTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "DiffusionBValue",
    "EchoNumbers",
    "ContentTime",
    "ImageLaterality",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "GridFrameOffsetVector",
    "DoseGridScaling",
    "DetectorInformationSequence",
    "SequenceOfUltrasoundRegions",
    "ModalityLUTSequence",
    "TotalPixelMatrixRows",
    "TotalPixelMatrixColumns",
    "DimensionOrganizationType",
    "SegmentSequence",
    "SegmentationType",
]
HEADER_NAMES = tuple(dict.fromkeys([*_PLACE, *FACTS.values()]))
"""Attributes that are read when only the header is."""

_WANTED = Wanted(list(HEADER_NAMES))
_TAGS: list[int] = sorted(_WANTED.tags.values())
_QUICK_BYTES = 32768


def open_dicom(path: Path, *, pixels: bool = False) -> Any:
    """Read the header of a DICOM file, and its pixel data if asked.

    Args:
        path: The file.
        pixels: Read every element, the pixel data too.

    Returns:
        The data set (a :class:`QuickHeader` for a plain header); ``pixel_offset`` is where the pixel data element starts in the file,
        -1 when there is none or the data set is deflated.

    Raises:
        FormatError: The file is no DICOM data set, or unpacks to far more than it holds.
    """
    with reading(path, "DICOM"), path.open("rb") as file:
        head = file.read(2048 if pixels else _QUICK_BYTES)
        if not pixels and (quick := quick_header(head, _WANTED, str(path))) is not None:
            return quick
        deflated = _DEFLATED in head[:2048]
        if deflated:
            _check_deflated(path)
        file.seek(0)
        if pixels:
            dataset = pydicom.dcmread(file, force=True)
            dataset.pixel_offset = -1
        else:
            dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(_TAGS))
            at = file.tell()
            dataset.pixel_offset = -1 if deflated or not file.read(1) else at
        if "SOPClassUID" not in dataset and "Rows" not in dataset and "Modality" not in dataset:
            raise damaged(path, "DICOM", "it holds no image and no object class")
    return dataset


def transfer_syntax(dataset: Header) -> str:
    """UID of the transfer syntax; worked out from the encoding when the file meta is missing."""
    uid = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "") or "")
    if uid:
        return uid
    implicit, little = getattr(dataset, "original_encoding", (False, True))
    return "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2"


def number(dataset: Header, name: str) -> float | None:
    """First value of an attribute as a finite number, None if missing or empty."""
    values = numbers(dataset, name)
    return values[0] if values else None


def numbers(dataset: Header, name: str) -> tuple[float, ...] | None:
    """Values of an attribute as finite numbers, None if missing, empty or no numbers."""
    try:
        value = dataset.get(name)
        if value is None or value == "":
            return None
        found = tuple(float(v) for v in value) if _is_many(value) else (float(value),)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found and all(math.isfinite(v) for v in found) else None


def text(dataset: Header, name: str) -> str:
    """An attribute as text, several values joined by backslashes; empty if missing."""
    try:
        value = dataset.get(name)
    except (TypeError, ValueError, NotImplementedError):
        return ""
    if value is None:
        return ""
    return "\\".join(str(v) for v in value) if _is_many(value) else str(value).strip()


def _is_many(value: Any) -> bool:
    return not isinstance(value, str | int | float | bytes) and isinstance(value, Iterable)


def facts(dataset: Header) -> dict[str, str]:
    """Header facts that do not identify a person, for ``Volume.header``."""
    found = {name: value for name, attribute in FACTS.items() if (value := text(dataset, attribute))}
    if not found.get("laterality") and (side := text(dataset, "ImageLaterality")):
        found["laterality"] = side
    found["transfer_syntax"] = transfer_syntax(dataset)
    return found


def modality(dataset: Header) -> str | None:
    """DICOM modality code, None if missing."""
    return text(dataset, "Modality").upper() or None


def unit(dataset: Header, *, has_rescale: bool) -> str:
    """Unit of the rescaled values: ``"HU"``, ``"BQML"``, ``"SUVbw"`` or ``"1"``.

    Source:
        PS3.3 C.8.2.1 (CT rescale), C.8.9.1.1.3 (PET units), C.8.9.1 (SUV type; BW by default).
    """
    kind = modality(dataset)
    if kind == "CT" and has_rescale and text(dataset, "RescaleType").upper() in ("", "HU", "US"):
        return "HU"
    if kind == "PT":
        units = text(dataset, "Units").upper()
        if units == "BQML":
            return "BQML"
        if units == "GML" and text(dataset, "SUVType").upper() in ("", "BW"):
            return "SUVbw"
    return "1"


def window(dataset: Header) -> tuple[float, float] | None:
    """First display window (centre, width), None if there is none that shows anything."""
    centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    if centre is None or width is None or width <= 0:
        return None
    return centre, width


def refuse_without_pixels(path: Path, dataset: Header) -> FormatError:
    """The error for an object that holds no image."""
    kind = modality(dataset) or "unknown"
    return FormatError(
        f"{path.name} is a DICOM object of modality {kind} without pixels.",
        "An image has rows, columns and pixel data.",
        "Leave it out, or copy it again if it should hold an image.",
    )


def _check_deflated(path: Path) -> None:
    """Unpack once, block by block, and refuse what grows beyond reason."""
    data = path.read_bytes()
    start = 132 + 12 + int(read_file_meta_info(path).FileMetaInformationGroupLength)
    limit = max(256 << 20, 100 * len(data))
    unpack, have, at = zlib.decompressobj(-15), 0, start
    while at < len(data) and not unpack.eof:
        have += len(unpack.decompress(data[at : at + 65536]))
        at += 65536
        if have > limit:
            raise damaged(path, "DICOM", f"its deflated data unpack to more than {limit >> 20} MiB")
    if not unpack.eof:
        raise damaged(path, "DICOM", "its deflated data end too early")
