"""DICOM segmentations and contours: which series they speak of, and which structures they hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from scanwright.intake.layouts.series import Series, instance_uids, series_of
from scanwright.intake.place import Place

SEGMENTATION = frozenset(("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"))
CONTOURS = "1.2.840.10008.5.1.4.1.1.481.3"


@dataclass(frozen=True)
class Object:
    """One DICOM object that outlines structures. UIDs and the patient are left out of its text form.

    Args:
        file: Path relative to the root.
        kind: ``"segmentation"`` or ``"contours"``.
        names: Structures that it outlines, as written, in the order of their numbers.
        series: Series Instance UIDs that it refers to.
        instances: SOP Instance UIDs that it refers to.
        patient_id: PatientID of its header.
        fractions: Whether it holds fractions, which are no labels.
    """

    file: str
    kind: str
    names: tuple[str, ...]
    series: frozenset[str] = field(repr=False)
    instances: frozenset[str] = field(repr=False)
    patient_id: str = field(repr=False)
    fractions: bool = False


@lru_cache(maxsize=4)
def objects_of(place: Place) -> tuple[Object, ...]:
    """Segmentations and contours of a place.

    Args:
        place: Where to look; only DICOM files that are no images are opened.

    Returns:
        The objects, in the order of their paths.

    Source:
        PS3.3 A.51 and C.8.20 (segmentation), A.19 and C.8.8.5, C.8.8.6 (structure set).
    """
    if not place.dicom:
        return ()
    others = sorted({s.source for s in series_of(place)[1]})
    found = (_object(place.root / file, file) for file in others)
    return tuple(one for one in found if one is not None)


def series_meant(place: Place, one: Object) -> tuple[Series | None, str]:
    """The series that an object outlines.

    Args:
        place: Holds the series.
        one: The object.

    Returns:
        The series and an empty text, or None and the reason.
    """
    images = series_of(place)[0]
    meant = [s for s in images if s.series in one.series]
    if len(meant) != 1 and one.instances:
        files = {f for uid, f in _instances(place).items() if uid in one.instances}
        by_image = [s for s in meant or images if files & set(s.files)]
        meant = [max(by_image, key=lambda s: len(files & set(s.files)))] if by_image else meant
    if not meant:
        return None, "it speaks of a series that is not here"
    chosen = max(meant, key=lambda s: len(s.files))
    if one.patient_id and chosen.patient_id.strip() and one.patient_id != chosen.patient_id.strip():
        return None, "it speaks of a series of another patient than it names itself"
    return chosen, ""


@lru_cache(maxsize=4)
def _instances(place: Place) -> dict[str, str]:
    return instance_uids(place)


def _object(path: Path, file: str) -> Object | None:
    import pydicom
    from pydicom.errors import InvalidDicomError

    tags = [
        "SOPClassUID", "PatientID", "SegmentationType", "SegmentSequence", "ReferencedSeriesSequence",
        "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "StructureSetROISequence",
        "ROIContourSequence", "ReferencedFrameOfReferenceSequence",
    ]  # fmt: skip
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
        sop = str(data.get("SOPClassUID", ""))
        if sop in SEGMENTATION:
            return _segmentation(data, file)
        return _contours(data, file) if sop == CONTOURS else None
    except (OSError, ValueError, AttributeError, KeyError, IndexError, InvalidDicomError):
        return None


def _segmentation(data: Any, file: str) -> Object:
    groups = [*_items(data, "SharedFunctionalGroupsSequence"), *_items(data, "PerFrameFunctionalGroupsSequence")]
    drawn = {int(i.ReferencedSegmentNumber) for g in groups for i in _items(g, "SegmentIdentificationSequence")}
    segments = [s for s in _items(data, "SegmentSequence") if not drawn or int(s.SegmentNumber) in drawn]
    named = {int(s.SegmentNumber): _name(s.get("SegmentLabel"), int(s.SegmentNumber)) for s in segments}
    series = {str(s.SeriesInstanceUID) for s in _items(data, "ReferencedSeriesSequence")}
    instances = {
        *_sops(data, "ReferencedSeriesSequence", "ReferencedInstanceSequence"),
        *(u for g in groups for u in _sops(g, "DerivationImageSequence", "SourceImageSequence")),
    }
    fractions = str(data.get("SegmentationType", "")).upper() == "FRACTIONAL"
    names = tuple(dict.fromkeys(named[n] for n in sorted(named) if n > 0))
    return Object(file, "segmentation", names, frozenset(series), frozenset(instances), _patient(data), fractions)


def _contours(data: Any, file: str) -> Object:
    drawn = {int(r.ReferencedROINumber) for r in _items(data, "ROIContourSequence") if _items(r, "ContourSequence")}
    rois = [r for r in _items(data, "StructureSetROISequence") if int(r.ROINumber) in drawn]
    names = tuple(dict.fromkeys(_name(r.get("ROIName"), int(r.ROINumber)) for r in rois))
    series, instances = set(), set()
    for frame in _items(data, "ReferencedFrameOfReferenceSequence"):
        for study in _items(frame, "RTReferencedStudySequence"):
            for one in _items(study, "RTReferencedSeriesSequence"):
                series.add(str(one.SeriesInstanceUID))
                instances |= {str(i.ReferencedSOPInstanceUID) for i in _items(one, "ContourImageSequence")}
    for roi in _items(data, "ROIContourSequence"):
        instances |= set(_sops(roi, "ContourSequence", "ContourImageSequence"))
    return Object(file, "contours", names, frozenset(series), frozenset(instances), _patient(data))


def _sops(item: Any, outer: str, inner: str) -> Iterator[str]:
    for one in _items(item, outer):
        for image in _items(one, inner):
            yield str(image.get("ReferencedSOPInstanceUID", ""))


def _items(item: Any, name: str) -> list[Any]:
    return list(item.get(name) or [])


def _name(text: Any, number: int) -> str:
    return " ".join(str(text or "").split()) or f"structure {number}"


def _patient(data: Any) -> str:
    return str(data.get("PatientID", "") or "").strip()
