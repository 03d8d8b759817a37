"""Radiotherapy structure sets: closed planar contours to label maps and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import GeometryError
from scanwright.core.grid import Grid
from scanwright.core.volume import LabelMap
from scanwright.io.dicom.header import code_item, long_string
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.open import number, open_dicom, text
from scanwright.io.dicom.outlines import filled, outlines
from scanwright.io.dicom.segmentation import Masks, masks_of
from scanwright.io.dicom.sources import FLIP, Sources, placed, read_sources
from scanwright.io.dicom.stamp import blank, no_gossip, not_the_same, reading_back, reference, save, stamp
from scanwright.io.dicom.structures import structure
from scanwright.io.guard import damaged, reading

_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY = "1.2.840.10008.3.1.2.3.1"
_CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
_FLAT = 0.25
"""A contour may leave its slice by this share of a slice."""


def is_contours(path: Path) -> bool:
    """Whether a file is a radiotherapy structure set."""
    with reading(path, "DICOM"):
        return text(open_dicom(path), "SOPClassUID") == _RTSTRUCT


def read_contours(path: Path, like: Grid) -> LabelMap:
    """Draw a structure set on the grid of its image.

    Points are matched by world position, whatever the frame of reference is called. Values
    are 1, 2, 3 ... in the order of the ROIs, also of those without contours. Where ROIs
    overlap (a body outline around everything, say) the smaller one is painted over the larger:
    :func:`read_rois` gives each as a mask of its own.

    Args:
        path: DICOM RTSTRUCT file.
        like: Grid of the image.

    Returns:
        Labels on ``like``, with the ROIs' names.

    Raises:
        FormatError: It is no structure set, or damaged.
        GeometryError: A contour lies across the slices of the grid, or all lie outside it.
    """
    rois = read_rois(path, like)
    array = np.zeros(like.shape, np.uint8 if len(rois) < 255 else np.uint16)
    order = sorted(range(len(rois)), key=lambda n: -int(np.count_nonzero(rois[n][2])))
    for n in order:
        array[rois[n][2]] = n + 1
    return LabelMap(array, like, {n: roi[1] for n, roi in enumerate(rois, start=1)})


def read_rois(path: Path, like: Grid) -> list[tuple[int, str, NDArray[np.bool_]]]:
    """Every ROI of a structure set as a mask.

    Closed contours of one plane are filled together by the even-odd rule, so holes may be
    inner contours or keyholes. Points, open contours and planes outside the grid are left out;
    where two planes fall on one slice, the nearer one counts.

    Args:
        path: DICOM RTSTRUCT file.
        like: Grid of the image.

    Returns:
        ROI number, name and ``(I, J, K)`` mask, in the order of the file.

    Raises:
        FormatError: It is no structure set, or damaged.
        GeometryError: A contour lies across the slices of the grid, or all lie outside it.

    Source:
        PS3.3 C.8.8.5 (structure set), C.8.8.6 (ROI contour).
    """
    import pydicom

    with reading(path, "DICOM structure set"):
        dataset = pydicom.dcmread(path)
        if text(dataset, "SOPClassUID") != _RTSTRUCT:
            raise damaged(path, "DICOM structure set", f"its modality is {text(dataset, 'Modality') or 'unknown'}")
        drawn = {
            int(number(roi, "ReferencedROINumber") or 0): roi.get("ContourSequence") or []
            for roi in dataset.get("ROIContourSequence") or []
        }
        found, any_points, any_inside = [], False, False
        for roi in dataset.get("StructureSetROISequence") or []:
            roi_number = int(number(roi, "ROINumber") or 0)
            points = [_points(path, one) for one in drawn.get(roi_number, [])]
            closed = [one for one in points if one is not None]
            mask = _drawn(path, closed, like)
            any_points, any_inside = any_points or bool(closed), any_inside or bool(mask.any())
            found.append((roi_number, text(roi, "ROIName") or f"ROI {roi_number}", mask))
    if not found:
        raise damaged(path, "DICOM structure set", "it names no region")
    if any_points and not any_inside:
        raise GeometryError(
            f"The contours of {path.name} lie outside the image.",
            "Contours are drawn on the image that they belong to.",
            "Give the structure set of this image.",
        )
    return found


def _points(path: Path, contour: Any) -> NDArray[np.float64] | None:
    """``(N, 3)`` RAS mm of a closed contour, None for another kind or fewer than three points."""
    if text(contour, "ContourGeometricType").upper() not in _CLOSED:
        return None
    values = np.array([float(v) for v in contour.get("ContourData") or []])
    if len(values) % 3 or not np.isfinite(values).all():
        raise damaged(path, "DICOM structure set", "a contour does not hold three numbers a point")
    return values.reshape(-1, 3) * FLIP if len(values) >= 9 else None


def _drawn(path: Path, contours: Sequence[NDArray[np.float64]], like: Grid) -> NDArray[np.bool_]:
    mask = np.zeros(like.shape, dtype=bool)
    planes: dict[tuple[int, int], dict[float, list[NDArray[np.float64]]]] = {}
    for points in contours:
        index = like.index(points)
        spread = np.ptp(index, axis=0)
        axis = int(np.argmin(spread * (np.array(like.shape) > 1) + (np.array(like.shape) == 1) * 1e-9))
        if spread[axis] > 2 * _FLAT:
            raise GeometryError(
                f"A contour of {path.name} leaves its slice by {spread[axis]:.2f} slices.",
                "Contours lie in the slices of the image.",
                "Give the image that they were drawn on, or export them as a segmentation.",
            )
        at = float(index[:, axis].mean())
        k = int(np.floor(at + 0.5))
        if 0 <= k < like.shape[axis]:
            planes.setdefault((axis, k), {}).setdefault(round(at - k, 2), []).append(np.delete(index, axis, axis=1))
    for (axis, k), at_place in planes.items():
        nearest = min(at_place, key=abs)
        view = np.moveaxis(mask, axis, 0)[k]
        view |= filled(at_place[nearest], view.shape)  # type: ignore[arg-type]
    return mask


def write_contours(
    path: Path, structures: Masks | LabelMap, *, grid: Grid, source_files: Sequence[Path], note: DicomNote
) -> Path:
    """Write masks as a radiotherapy structure set: closed contours on every slice of the source.

    Contours run halfway between voxel centres inside and outside; a hole is joined to its
    outline by a keyhole. A structure without a voxel keeps its ROI, without contours.

    Args:
        path: File to write; it appears whole or not at all.
        structures: Names and masks ``(I, J, K)`` bool, or a label map.
        grid: Grid of the volume that was read from the source.
        source_files: Files of the source series, in any order.
        note: What the object says of its origin.

    Returns:
        ``path``.

    Raises:
        FormatError: A source is not DICOM, or the written file does not read back the same.
        GeometryError: The source has no place in space, is tilted or uneven, or does not fit the masks.
        InputError: There are no structures.

    Source:
        PS3.3 A.19, C.8.8.5, C.8.8.6, C.8.8.8 (RT Structure Set, ROI Contour, ROI Observations).
    """
    path = Path(path)
    named = masks_of(structures, grid)
    with no_gossip():
        sources = placed(read_sources(source_files, grid), "structure set")
        save(path, _object(named, sources, note))
        with reading_back(path):
            found = [mask for _, _, mask in read_rois(path, grid)]
            if not all(np.array_equal(a, b) for a, (_, b) in zip(found, named, strict=True)):
                raise not_the_same(path)
    return path


def _object(named: Sequence[tuple[str, NDArray[np.bool_]]], sources: Sources, note: DicomNote) -> Any:
    from pydicom.dataset import Dataset

    made = blank(_RTSTRUCT, "RTSTRUCT", note)
    made.OperatorsName = None
    made.StructureSetLabel, made.StructureSetName = "AI_CONTOURS", long_string(f"AI {note.model} {note.version}", 64)
    made.StructureSetDescription = long_string(note.comment, 1024)
    made.StructureSetDate, made.StructureSetTime = made.InstanceCreationDate, made.InstanceCreationTime
    made.ApprovalStatus = "UNAPPROVED"
    frame = sources.first.FrameOfReferenceUID
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = frame, sources.first.get("PositionReferenceIndicator")
    made.ReferencedFrameOfReferenceSequence = [_referenced(sources)]
    made.StructureSetROISequence, made.ROIContourSequence, made.RTROIObservationsSequence = [], [], []
    for roi_number, (name, mask) in enumerate(named, start=1):
        found, region, observation = structure(name), Dataset(), Dataset()
        region.ROINumber, region.ReferencedFrameOfReferenceUID = roi_number, frame
        region.ROIName, region.ROIGenerationAlgorithm = long_string(name, 64), "AUTOMATIC"
        region.ROIGenerationDescription = long_string(f"{note.model} {note.version}", 64)
        made.StructureSetROISequence.append(region)
        made.ROIContourSequence.append(_contours(mask, roi_number, found.rgb, sources))
        observation.ObservationNumber = observation.ReferencedROINumber = roi_number
        observation.ROIObservationLabel = long_string(name, 16)
        observation.RTROIInterpretedType = "" if found.is_finding else "ORGAN"
        observation.ROIInterpreter = None
        observation.RTROIIdentificationCodeSequence = [code_item(*found.type)]
        made.RTROIObservationsSequence.append(observation)
    stamp(made, sources.first, note)
    return made


def _referenced(sources: Sources) -> Any:
    """The frame of reference, study, series and images that were drawn on (C.8.8.5)."""
    from pydicom.dataset import Dataset

    series, study, item = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = sources.first.SeriesInstanceUID
    series.ContourImageSequence = [reference(source) for source in sources.used]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY, sources.first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    item.FrameOfReferenceUID = sources.first.FrameOfReferenceUID
    item.RTReferencedStudySequence = [study]
    return item


def _contours(mask: NDArray[np.bool_], roi_number: int, rgb: tuple[int, int, int], sources: Sources) -> Any:
    from pydicom.dataset import Dataset

    roi = Dataset()
    roi.ROIDisplayColor, roi.ReferencedROINumber = list(rgb), roi_number
    made: list[Any] = []
    for plane in sources.planes:
        for corners in outlines(mask[:, :, plane.k]):
            index = np.c_[corners, np.full(len(corners), float(plane.k))]
            contour = Dataset()
            contour.ContourImageSequence = [reference(sources.datasets[plane.source], plane.frame)]
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(corners)
            contour.ContourNumber = len(made) + 1
            contour.ContourData = [_decimal(v) for v in (sources.grid.world(index) * FLIP).ravel()]
            made.append(contour)
    if made:
        roi.ContourSequence = made
    return roi


def _decimal(value: float) -> str:
    """At most 16 characters (DS), to a ten-thousandth of a millimetre."""
    return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) >= 5e-5 else "0"
