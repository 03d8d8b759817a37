"""The frames of one DICOM object: classic, multi-frame or enhanced."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from scanwright.core.errors import FormatError
from scanwright.io.dicom.geometry import Frame
from scanwright.io.dicom.open import Header, number, numbers, text

_MAX_FRAMES = 1_000_000


def n_frames(dataset: Header, path: Path) -> int:
    """Number of frames, at least 1.

    Raises:
        FormatError: The header declares none, or an absurd number.
    """
    found = number(dataset, "NumberOfFrames")
    count = 1 if found is None else int(found)
    if not 1 <= count <= _MAX_FRAMES:
        raise FormatError(
            f"{path.name} declares {count} frames.",
            f"An image has 1 to {_MAX_FRAMES} frames.",
            "Copy or export it again, or leave it out.",
        )
    return count


def frames_of(dataset: Header, path: Path) -> list[Frame]:
    """Place, rescale and time keys of every frame of an object.

    Args:
        dataset: Header.
        path: Its file.

    Returns:
        One :class:`Frame` for each frame, in stored order.

    Raises:
        FormatError: The header declares an impossible number of frames.

    Source:
        PS3.3 C.7.6.16 (functional groups), C.8.8.3.2 (dose grid offsets), C.8.4.9 (detector).
    """
    count = n_frames(dataset, path)
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    shared = dataset.get("SharedFunctionalGroupsSequence")
    if groups is not None and len(groups) >= count:
        common = shared[0] if shared else Dataset()
        return [_enhanced(dataset, path, common, groups[n], n) for n in range(count)]
    first = _classic(dataset, path)
    if count == 1:
        return [first]
    return [_repeated(dataset, first, n) for n in range(count)]


def pixel_spacing(dataset: Header) -> tuple[float, float] | None:
    """Distance between rows and between columns in mm, None if the header has none.

    Source:
        PS3.3 10.7.1.3 (PixelSpacing; ImagerPixelSpacing is at the detector and is divided by
        the magnification where that is given), C.8.5.5 (ultrasound regions, in cm).
    """
    found = numbers(dataset, "PixelSpacing")
    if _is_pair(found):
        return found[0], found[1]  # type: ignore[index]
    found = numbers(dataset, "ImagerPixelSpacing")
    if _is_pair(found):
        factor = number(dataset, "EstimatedRadiographicMagnificationFactor") or 1.0
        return found[0] / max(factor, 1.0), found[1] / max(factor, 1.0)  # type: ignore[index]
    found = numbers(dataset, "NominalScannedPixelSpacing")
    if _is_pair(found):
        return found[0], found[1]  # type: ignore[index]
    regions = dataset.get("SequenceOfUltrasoundRegions")
    if regions is not None and len(regions) == 1 and number(regions[0], "PhysicalUnitsXDirection") == 3:
        x, y = number(regions[0], "PhysicalDeltaX"), number(regions[0], "PhysicalDeltaY")
        if x and y and number(regions[0], "PhysicalUnitsYDirection") == 3:
            return abs(y) * 10, abs(x) * 10
    return None


def _is_pair(values: tuple[float, ...] | None) -> bool:
    return values is not None and len(values) == 2 and min(values) > 0


def _tuple_of(dataset: Header, name: str, n: int) -> tuple[float, ...] | None:
    values = numbers(dataset, name)
    return values if values is not None and len(values) == n else None


def _classic(dataset: Header, path: Path) -> Frame:
    keys = {
        "temporal_position": number(dataset, "TemporalPositionIdentifier"),
        "b_value": number(dataset, "DiffusionBValue"),
        "echo": number(dataset, "EchoNumbers"),
        "echo_time": number(dataset, "EchoTime"),
        "acquisition": number(dataset, "AcquisitionNumber"),
        "trigger_time": number(dataset, "TriggerTime"),
        "acquisition_time": clock_s(text(dataset, "AcquisitionTime")),
        "content_time": clock_s(text(dataset, "ContentTime")),
    }
    position, orientation = (
        _tuple_of(dataset, "ImagePositionPatient", 3),
        _tuple_of(dataset, "ImageOrientationPatient", 6),
    )
    detector = dataset.get("DetectorInformationSequence")
    if position is None and detector:
        position, orientation = (
            _tuple_of(detector[0], "ImagePositionPatient", 3),
            _tuple_of(detector[0], "ImageOrientationPatient", 6),
        )
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    dose = number(dataset, "DoseGridScaling")
    return Frame(
        path,
        0,
        position,
        orientation,
        pixel_spacing(dataset),
        abs(number(dataset, "SpacingBetweenSlices") or number(dataset, "SliceThickness") or 0.0) or None,
        dose if dose is not None else 1.0 if slope is None or slope == 0 else slope,
        intercept or 0.0,
        {k: v for k, v in keys.items() if v is not None},
    )


def _repeated(dataset: Header, first: Frame, n: int) -> Frame:
    """Frame ``n`` of a multi-frame object without functional groups."""
    offsets = numbers(dataset, "GridFrameOffsetVector")
    position = None
    if first.position and first.orientation:
        normal = np.cross(first.orientation[:3], first.orientation[3:])
        if offsets and len(offsets) > n:
            position = tuple(np.asarray(first.position) + normal * (offsets[n] - offsets[0]))
        elif dataset.get("DetectorInformationSequence") and first.thickness:
            position = tuple(np.asarray(first.position) + normal * first.thickness * n)
    orientation = first.orientation if position else None
    return Frame(first.file, n, position, orientation, first.spacing, first.thickness, first.slope, first.intercept)


def _enhanced(dataset: Header, path: Path, shared: Dataset, group: Dataset, n: int) -> Frame:
    def item(name: str) -> Dataset:
        for source in (group, shared):
            found = source.get(name)
            if found:
                return found[0]
        return Dataset()

    measures, content = item("PixelMeasuresSequence"), item("FrameContentSequence")
    transform, echo = item("PixelValueTransformationSequence"), item("MREchoSequence")
    spacing = _tuple_of(measures, "PixelSpacing", 2) or pixel_spacing(dataset)
    thickness = number(measures, "SpacingBetweenSlices") or number(measures, "SliceThickness")
    when = content.get("FrameAcquisitionDateTime") or content.get("FrameReferenceDateTime")
    keys: dict[str, float | None] = {
        "temporal_index": number(content, "TemporalPositionIndex"),
        "b_value": number(item("MRDiffusionSequence"), "DiffusionBValue"),
        "echo_time": number(echo, "EffectiveEchoTime"),
        "acquisition": number(content, "FrameAcquisitionNumber"),
        "trigger_time": number(item("CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime"),
        "acquisition_time": _moment_s(str(when or "")),
        "frame": float(n),
    }
    slope = number(transform, "RescaleSlope")
    if slope is None:
        slope = number(dataset, "RescaleSlope")
    intercept = number(transform, "RescaleIntercept")
    if intercept is None:
        intercept = number(dataset, "RescaleIntercept")
    return Frame(
        path,
        n,
        _tuple_of(item("PlanePositionSequence"), "ImagePositionPatient", 3),
        _tuple_of(item("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        (spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        abs(thickness) if thickness else None,
        slope or 1.0,
        intercept or 0.0,
        {k: v for k, v in keys.items() if v is not None},
    )


def clock_s(value: str) -> float | None:
    """Seconds since midnight of a DICOM time (``HHMMSS.FFFFFF``), None if it is none."""
    digits = value.replace(":", "")
    try:
        return int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60 + float(digits[4:] or 0)
    except ValueError:
        return None


def _moment_s(value: str) -> float | None:
    """Seconds of a DICOM date and time, counted so that later moments are larger."""
    seconds = clock_s(value[8:].split("+")[0].split("-")[0]) if len(value) >= 10 else None
    if seconds is None or not value[:8].isdigit():
        return None
    days = int(value[:4]) * 372 + int(value[4:6]) * 31 + int(value[6:8])
    return math.fsum((days * 86400.0, seconds))


def shared_item(dataset: Header, name: str) -> Any:
    """First item of a shared (or else first per-frame) functional group, an empty one if missing."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        sequence = dataset.get(groups)
        if sequence and sequence[0].get(name):
            return sequence[0].get(name)[0]
    return Dataset()
