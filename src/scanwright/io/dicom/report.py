"""Findings as structured reports: measurements with their geometry, and a summary in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scanwright.core.errors import GeometryError, InputError
from scanwright.core.grid import Grid
from scanwright.core.prediction import Lesion
from scanwright.io.dicom.header import BODY_PARTS, long_string, stand_in
from scanwright.io.dicom.note import MANUFACTURER, DicomNote
from scanwright.io.dicom.sources import FLIP, Sources, placed, planes_of, read_sources
from scanwright.io.dicom.stamp import new_uid, no_gossip, not_the_same, quiet, reading_back, save, stamp
from scanwright.io.dicom.structures import SIDES, Code, structure
from scanwright.io.guard import reading

Point = tuple[float, float]

_INTENSITY = {
    "HU": (Code("112031", "DCM", "Attenuation Coefficient"), Code("[hnsf'U]", "UCUM", "Hounsfield unit")),
    "SUVbw": (Code("126401", "DCM", "SUVbw"), Code("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight")),
    "BQML": (
        Code("activity", "99SCANWRIGHT", "Activity concentration"),
        Code("Bq/ml", "UCUM", "Becquerels/milliliter"),
    ),
}
_LONG, _SHORT = Code("103339001", "SCT", "Long Axis"), Code("103340004", "SCT", "Short Axis")
_VOLUME, _AREA = Code("118565006", "SCT", "Volume"), Code("42798000", "SCT", "Area")
_PIXEL_VALUE = (Code("pixel-value", "99SCANWRIGHT", "Pixel value"), Code("1", "UCUM", "no units"))
_MR_SIGNAL = (Code("110852", "DCM", "MR signal intensity"), Code("1", "UCUM", "no units"))


@dataclass(frozen=True)
class LesionShape:
    """A lesion and how it lies in the slice that it is measured in.

    Args:
        lesion: What was measured.
        longest: End points of the longest diameter, row and column in pixels.
        perpendicular: End points of the longest diameter across it.
        slice: Slice (k) of the grid.
        outline: Corners of its edge in that slice, row and column; without it the four end
            points stand for the region.
    """

    lesion: Lesion
    longest: tuple[Point, Point]
    perpendicular: tuple[Point, Point]
    slice: int
    outline: tuple[Point, ...] = ()


def tracking_name(lesion: Lesion) -> str:
    """Name of a lesion in every object: ``"lung nodule 2"``."""
    return long_string(f"{lesion.structure} {lesion.number}", 64)


def write_measurements(
    path: Path,
    lesions: Sequence[LesionShape],
    *,
    grid: Grid,
    source_files: Sequence[Path],
    note: DicomNote,
    segmentation: Path | None = None,
) -> Path:
    """Write the measurements of lesions as a TID 1500 Measurement Report.

    Every value names coordinates on the source image, so that viewers can show it: a diameter the
    line that it was taken from, the others the edge in that slice (though volume and intensity are
    of the whole lesion).

    Args:
        path: File to write; it appears whole or not at all.
        lesions: At least one.
        grid: Grid of the volume that was read from the source.
        source_files: Files of the source series, in any order.
        note: What the object says of its origin.
        segmentation: SEG of the same run: a lesion takes over the tracking of the segment that is
            called as :func:`tracking_name` says, or that is the only one of its structure.

    Returns:
        ``path``.

    Raises:
        FormatError: A source is not DICOM, or the written file does not read back the same.
        GeometryError: The source has no place in space, or a lesion lies outside it.
        InputError: There is no lesion, or no source.

    Source:
        PS3.16 TID 1500, 1501, 300; PS3.3 A.35.3 (Comprehensive SR), C.18.6 (coordinates: the
        corner of the first pixel is 0, 0); written with highdicom.
    """
    path = Path(path)
    if not lesions:
        raise InputError(
            "There is no lesion to report.",
            "A measurement report has at least one measurement group.",
            "Write the summary, which can say that nothing was found.",
        )
    outside = [one.lesion.number for one in lesions if not 0 <= one.slice < grid.shape[2]]
    if outside:
        raise GeometryError(
            f"Lesion {outside[0]} is measured outside the {grid.shape[2]} slices.",
            "A lesion lies on a slice of its source.",
            "Number slices from 0 along the last axis of the grid.",
        )
    with no_gossip():
        sources = placed(read_sources(source_files, grid), "measurement report")
        save(path, _measurements(lesions, sources, note, segmentation))
        with reading_back(path):
            _compare(path, lesions, sources)
    return path


def write_summary(path: Path, sentences: Sequence[str], *, source_files: Sequence[Path], note: DicomNote) -> Path:
    """Write the answer in words as an Enhanced SR (LOINC 18748-4, Diagnostic Imaging Report).

    Args:
        path: File to write; it appears whole or not at all.
        sentences: At least one; the notice is added at the end.
        source_files: Files of the source series.
        note: What the object says of its origin.

    Returns:
        ``path``.

    Raises:
        FormatError: A source is not DICOM, or the written file does not read back the same.
        InputError: There are no sentences, or no source.

    Source:
        PS3.16 TID 2000 (Basic Diagnostic Imaging Report); PS3.3 A.35.2 (Enhanced SR).
    """
    import pydicom

    path = Path(path)
    if not sentences:
        raise InputError("There is nothing to say.", "A summary has at least one sentence.", "Say what was looked for.")
    with no_gossip():
        datasets = []
        for file in map(Path, source_files):
            with reading(file, "DICOM"):
                datasets.append(pydicom.dcmread(file, stop_before_pixels=True, force=False))
        if not datasets:
            raise InputError(
                "No DICOM source was given.", "A summary belongs to images.", "Give the files of the series."
            )
        save(path, _summary([*sentences, note.comment], datasets, note))
        with reading_back(path):
            container = pydicom.dcmread(path).ContentSequence[-1]
            told = [str(item.TextValue) for item in container.ContentSequence]
            if told != [_one_line(s) for s in (*sentences, note.comment)]:
                raise not_the_same(path)
    return path


def _one_line(sentence: str) -> str:
    return " ".join(sentence.split())


# ---------------------------------------------------------------- TID 1500


def _measurements(lesions: Sequence[LesionShape], sources: Sources, note: DicomNote, seg: Path | None) -> Any:
    import highdicom.sr as sr
    import pydicom

    segments: list[Any] = []
    evidence = _evidence(sources.used, sources.first)
    if seg is not None:
        with reading(seg, "DICOM segmentation"):
            header = pydicom.dcmread(seg, stop_before_pixels=True)
        segments = list(header.SegmentSequence)
        evidence += _evidence([header], sources.first)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(note)),
        procedure_reported=sr.CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=[_group(one, lesions, sources, note, segments) for one in lesions],
        title=sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    return _document(sr.ComprehensiveSR, content[0], evidence, sources.first, note)


def _group(
    one: LesionShape, lesions: Sequence[LesionShape], sources: Sources, note: DicomNote, segments: Sequence[Any]
) -> Any:
    import highdicom.sr as sr

    found, lesion, plane = structure(one.lesion.structure), one.lesion, sources.planes[one.slice]
    source = sources.datasets[plane.source]
    frames = None if plane.frame is None else [plane.frame]
    image = sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID, frames)
    ids = _tracking(lesion, lesions, segments)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=ids[1], identifier=ids[0]),
        finding_category=sr.CodedConcept(*found.category),
        finding_type=sr.CodedConcept(*found.type),
        finding_sites=_sites(lesion, sources.first),
        algorithm_id=sr.AlgorithmIdentification(
            name=long_string(note.model, 64), version=long_string(note.version, 64), parameters=[note.comment]
        ),
        measurements=_values(one, image, sources),
    )


def _values(one: LesionShape, image: Any, sources: Sources) -> list[Any]:
    import highdicom.sr as sr

    lesion, known = one.lesion, sources.grid.spacing_known
    unit = sr.CodedConcept("mm", "UCUM", "millimeter") if known else sr.CodedConcept("{pixels}", "UCUM", "pixels")
    (a, b), (c, d) = one.longest, one.perpendicular
    region = [*(one.outline or (a, c, b, d))]
    plain = _MR_SIGNAL if sources.first.get("Modality") == "MR" else _PIXEL_VALUE
    name, unit_code = _INTENSITY.get(lesion.unit, plain)
    rows: list[tuple[Code, float | None, Any, Sequence[Point]]] = [
        (_LONG, lesion.longest_mm, unit, one.longest),
        (_SHORT, lesion.perpendicular_mm, unit, one.perpendicular),
        (_VOLUME, lesion.volume_ml, sr.CodedConcept("cm3", "UCUM", "cubic centimeter"), [*region, region[0]]),
        (_AREA, lesion.area_mm2, sr.CodedConcept("mm2", "UCUM", "square millimeter"), [*region, region[0]]),
        (name, lesion.mean, sr.CodedConcept(*unit_code), [*region, region[0]]),
    ]
    return [
        sr.Measurement(
            sr.CodedConcept(*code),
            _short(value),
            unit_of,
            derivation=sr.CodedConcept("373098007", "SCT", "Mean") if code == name else None,
            referenced_coordinates=[
                sr.CoordinatesForMeasurement(
                    graphic_type="POLYLINE", graphic_data=_columns_rows(line), source_image=image
                )
            ],
        )
        for code, value, unit_of, line in rows
        if value is not None
    ]


def _short(value: float) -> float:
    """Six figures, which DS can hold."""
    return float(f"{value:.6g}")


def _columns_rows(points: Sequence[Point]) -> Any:
    """SR coordinates: column, row, from the corner of the first pixel (C.18.6.1.1)."""
    return np.array([(j + 0.5, i + 0.5) for i, j in points], dtype=np.float64)


def _sites(lesion: Lesion, source: Any) -> list[Any]:
    import highdicom.sr as sr

    found = structure(lesion.structure)
    part = str(source.get("BodyPartExamined") or "").upper().replace(" ", "")
    site = found.site
    if site is None and not found.is_finding and found.type.scheme == "SCT":
        site = found.type
    if site is None and part in BODY_PARTS:
        value, meaning = BODY_PARTS[part]
        return [sr.FindingSite(sr.CodedConcept(value, "SCT", meaning))]
    if site is None:
        return []
    side = found.laterality or (SIDES.get(lesion.side) if found.sided else None)
    return [sr.FindingSite(sr.CodedConcept(*site), laterality=sr.CodedConcept(*side) if side else None)]


def _tracking(lesion: Lesion, lesions: Sequence[LesionShape], segments: Sequence[Any]) -> tuple[str, str]:
    """Tracking of the segment that holds this lesion and no other, else new ones."""
    alone = sum(one.lesion.structure == lesion.structure for one in lesions) == 1
    for label in (tracking_name(lesion), *([long_string(lesion.structure, 64)] if alone else [])):
        for segment in segments:
            if segment.get("SegmentLabel") == label and segment.get("TrackingUID"):
                return str(segment.TrackingID), str(segment.TrackingUID)
    return tracking_name(lesion), new_uid()


# ---------------------------------------------------------------- documents


def _summary(sentences: Sequence[str], datasets: Sequence[Any], note: DicomNote) -> Any:
    import highdicom.sr as sr

    root = sr.ContainerContentItem(
        name=sr.CodedConcept("18748-4", "LN", "Diagnostic Imaging Report"), template_id="2000"
    )
    findings = sr.ContainerContentItem(name=sr.CodedConcept("121070", "DCM", "Findings"), relationship_type="CONTAINS")
    findings.ContentSequence = sr.ContentSequence(
        [
            sr.TextContentItem(
                name=sr.CodedConcept("121071", "DCM", "Finding"),
                value=_one_line(sentence),
                relationship_type="CONTAINS",
            )
            for sentence in sentences
        ]
    )
    root.ContentSequence = sr.ContentSequence()
    root.ContentSequence.extend(
        sr.LanguageOfContentItemAndDescendants(sr.CodedConcept("en-US", "RFC5646", "English (United States)"))
    )
    root.ContentSequence.extend(sr.ObservationContext(observer_device_context=_observer(note)))
    root.ContentSequence.append(findings)
    return _document(sr.EnhancedSR, root, _evidence(datasets, datasets[0]), datasets[0], note)


def _observer(note: DicomNote) -> Any:
    import highdicom.sr as sr

    return sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=new_uid(),
            name=long_string(f"{note.model} {note.version}", 64),
            manufacturer_name=MANUFACTURER,
            model_name=long_string(note.model, 64),
        ),
    )


def _evidence(datasets: Sequence[Any], first: Any) -> list[Any]:
    """Headers without the person, all of one study, for the lists of evidence."""
    made = [copied for one in datasets if (copied := stand_in(one)) is not None]
    for copied in made:
        copied.StudyInstanceUID, copied.SpecificCharacterSet = first.StudyInstanceUID, "ISO_IR 192"
    return made


def _document(kind: Any, content: Any, evidence: Sequence[Any], first: Any, note: DicomNote) -> Any:
    import highdicom

    quiet(highdicom)
    made = kind(
        evidence=list(evidence),
        content=content,
        series_instance_uid=new_uid(),
        series_number=note.series_number,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    stamp(made, first, note)
    made.ManufacturerModelName, made.SoftwareVersions = long_string(note.model, 64), note.software_versions
    return made


def _compare(path: Path, lesions: Sequence[LesionShape], sources: Sources) -> None:
    """Compare the diameters of a written report with the grid in world coordinates."""
    import pydicom

    by_uid = {source.SOPInstanceUID: planes_of(source) for source in sources.used}
    lines = []
    for item in _all_items(pydicom.dcmread(path)):
        concept = item.ConceptNameCodeSequence[0].CodeValue if item.get("ConceptNameCodeSequence") else ""
        if item.get("ValueType") == "NUM" and concept in (_LONG.value, _SHORT.value):
            lines += [one for one in item.ContentSequence if one.ValueType == "SCOORD"]
    expected = [(ends, one.slice) for one in lesions for ends in (one.longest, one.perpendicular)]
    for line, (ends, k) in zip(lines, expected, strict=True):
        image = line.ContentSequence[0].ReferencedSOPSequence[0]
        position, across, down = by_uid[image.ReferencedSOPInstanceUID][
            int(image.get("ReferencedFrameNumber") or 1) - 1
        ]
        points = np.array(line.GraphicData, dtype=float).reshape(-1, 2) - 0.5
        place = (position + points[:, :1] * across + points[:, 1:] * down) * FLIP
        if np.abs(place - sources.grid.world([(i, j, k) for i, j in ends])).max() > 0.1:
            raise not_the_same(path)


def _all_items(item: Any) -> list[Any]:
    found = []
    for child in item.get("ContentSequence") or []:
        found += [child, *_all_items(child)]
    return found
