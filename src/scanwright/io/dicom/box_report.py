"""Boxes as a structured report: one measurement group each, its outline on the source image, and its score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scanwright.core.boxes import Box
from scanwright.core.errors import GeometryError, InputError
from scanwright.core.prediction import Prediction
from scanwright.io.dicom.header import long_string
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.report import _document, _evidence, _observer
from scanwright.io.dicom.sources import Sources, read_sources
from scanwright.io.dicom.stamp import new_uid, no_gossip, not_the_same, reading_back, save
from scanwright.io.dicom.structures import structure

_SCORE = ("detection-score", "99SCANWRIGHT", "Detection score")
MOST = 200
"""Boxes of one report, surest first."""


def write_box_report(path: Path, prediction: Prediction, source_files: Sequence[Path], *, note: DicomNote) -> Path:
    """Write boxes as a TID 1500 Measurement Report.

    Each box is a planar region: a closed polyline on the slice through its middle (SCOORD knows no rectangle). Its
    score is a measurement of it, and its extent across slices, for a volume, another.

    Args:
        path: File to write; it appears whole or not at all.
        prediction: With boxes on the grid of the source.
        source_files: Files of the source series, in any order.
        note: What the object says of its origin.

    Returns:
        ``path``.

    Raises:
        FormatError: A source is not DICOM, or the written file does not read back the same.
        GeometryError: The source's images do not fit the grid.
        InputError: There is no box, or no source.

    Source:
        PS3.16 TID 1500, 1410 (planar ROI measurements), 300; PS3.3 A.35.3 (Comprehensive SR), C.18.6 (coordinates:
        the corner of the first pixel is 0, 0); written with highdicom.
    """
    path = Path(path)
    grid, boxes = prediction.grid, prediction.boxes[:MOST]
    if not boxes or grid is None:
        raise InputError(
            "There is no box to report.",
            "A measurement report has at least one measurement group.",
            "Read answer.json, which says that nothing was found.",
        )
    with no_gossip():
        sources = read_sources(source_files, grid)
        if not sources.planes and (len(sources.datasets) != 1 or not grid.is_picture):
            raise GeometryError(
                "The DICOM source has no place in space, and is more than one image.",
                "Boxes of a volume are drawn on the images that its slices lie on.",
                "Write boxes.csv instead.",
            )
        save(path, _report(prediction, boxes, sources, note))
        with reading_back(path):
            _compare(path, boxes)
    return path


def _report(prediction: Prediction, boxes: Sequence[Box], sources: Sources, note: DicomNote) -> Any:
    import highdicom.sr as sr

    used = sources.used if sources.planes else list(sources.datasets)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(note)),
        procedure_reported=sr.CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=[_group(n, box, prediction, sources, note) for n, box in enumerate(boxes, start=1)],
        title=sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    return _document(sr.ComprehensiveSR, content[0], _evidence(used, sources.first), sources.first, note)


def _group(number: int, box: Box, prediction: Prediction, sources: Sources, note: DicomNote) -> Any:
    import highdicom.sr as sr

    name = prediction.classes[box.label]
    found = structure(name)
    source, frame = _image(box, sources)
    frames = None if frame is None else [frame]
    image = sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID, frames)
    rows = [
        sr.Measurement(
            sr.CodedConcept(*_SCORE), float(f"{box.score or 0.0:.6g}"), sr.CodedConcept("1", "UCUM", "no units")
        )
    ]
    if prediction.grid is not None and prediction.grid.spacing_known and not prediction.grid.is_picture:
        deep = box.size[2] * prediction.grid.spacing[2]
        rows.append(
            sr.Measurement(
                sr.CodedConcept("131197000", "SCT", "Depth"),
                float(f"{deep:.6g}"),
                sr.CodedConcept("mm", "UCUM", "millimeter"),
            )
        )
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=new_uid(), identifier=long_string(f"{name} {number}", 64)),
        referenced_region=sr.ImageRegion(
            graphic_type=sr.GraphicTypeValues.POLYLINE, graphic_data=outline(box), source_image=image
        ),
        finding_category=sr.CodedConcept(*found.category),
        finding_type=sr.CodedConcept(*found.type),
        algorithm_id=sr.AlgorithmIdentification(
            name=long_string(note.model, 64), version=long_string(note.version, 64), parameters=[note.comment]
        ),
        measurements=rows,
    )


def outline(box: Box) -> Any:
    """Corners of a box in its slice, the first one again at the end.

    Args:
        box: On the source's grid.

    Returns:
        ``(5, 2)`` column and row, from the corner of the first pixel (C.18.6.1.1): an edge at index -0.5 is 0.
    """
    (i0, j0, _), (i1, j1, _) = box.low, box.high
    return np.array([(j0, i0), (j1, i0), (j1, i1), (j0, i1), (j0, i0)], dtype=np.float64) + 0.5


def _image(box: Box, sources: Sources) -> tuple[Any, int | None]:
    """The image through the middle of a box, and its frame."""
    if not sources.planes:
        return sources.datasets[0], None
    middle = math.ceil(box.centre[2] - 0.5)  # of two slices in the middle the first
    plane = sources.planes[min(max(middle, 0), len(sources.planes) - 1)]
    return sources.datasets[plane.source], plane.frame


def _compare(path: Path, boxes: Sequence[Box]) -> None:
    """Compare the outlines of a written report with the boxes."""
    import pydicom

    from scanwright.io.dicom.report import _all_items

    lines = [
        np.array(item.GraphicData, dtype=float).reshape(-1, 2)
        for item in _all_items(pydicom.dcmread(path))
        if item.get("ValueType") == "SCOORD"
    ]
    if len(lines) != len(boxes):
        raise not_the_same(path)
    for line, box in zip(lines, boxes, strict=True):
        if line.shape != (5, 2) or np.abs(line - outline(box)).max() > 0.01:
            raise not_the_same(path)
