"""DICOM segmentations as label maps, read tolerantly: what is missing in the header is not guessed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from scanwright.core.errors import FormatError, GeometryError
from scanwright.core.grid import Grid
from scanwright.core.volume import LabelMap
from scanwright.io.dicom.frames import frames_of
from scanwright.io.dicom.geometry import TOLERANCE_MM, Frame, stack
from scanwright.io.dicom.open import SEGMENTATIONS, number, open_dicom, text
from scanwright.io.dicom.pixels import layout_of, read_frames
from scanwright.io.dicom.structures import Code
from scanwright.io.guard import damaged, reading

_MAX_SLICES = 20_000


def read_segmentation(path: Path) -> LabelMap:
    """Read a BINARY or LABELMAP segmentation as one label map.

    Frames of empty slices are often left out: the slices between the first and the last
    frame are filled with background. Label values are the segment numbers.

    Args:
        path: DICOM SEG file.

    Returns:
        Labels on the grid of the frames, with the segments' names.

    Raises:
        FormatError: It is no segmentation, is fractional, or two of its segments overlap, which it names.
        GeometryError: The frames do not lie on one grid.

    Source:
        PS3.3 A.51, C.8.20; places agree with dcmqi's conversion.
    """
    with reading(path, "DICOM segmentation"):
        found = _read(path)
        array, clash = _paint(found)
    if clash is not None:
        one, other, n = clash
        raise FormatError(
            f"Segments {one} ({_named(found, one)}) and {other} ({_named(found, other)}) of {path.name} overlap in "
            f"{n} voxels of one slice.",
            "A label map gives each voxel to one structure.",
            "Export each segment as a file of its own.",
        )
    return LabelMap(array, found.grid, {n: _named(found, n) for n in found.described})


def flat_segmentation(path: Path) -> LabelMap | None:
    """Like :func:`read_segmentation`, and None where segments overlap."""
    with reading(path, "DICOM segmentation"):
        found = _read(path)
        array, clash = _paint(found)
    return None if clash else LabelMap(array, found.grid, {n: _named(found, n) for n in found.described})


def read_segments(path: Path) -> list[Segment]:
    """Read every segment of a BINARY or LABELMAP segmentation as a mask of its own.

    Segments may overlap. One that is described but has no frame is an empty mask; one that has
    frames but is not described has no code.

    Args:
        path: DICOM SEG file.

    Returns:
        Segments by number, all on one grid: from the first frame to the last.

    Raises:
        FormatError: It is no segmentation, or is fractional.
        GeometryError: The frames do not lie on one grid.

    Source:
        PS3.3 A.51, C.8.20; places agree with dcmqi's conversion.
    """
    with reading(path, "DICOM segmentation"):
        found = _read(path)
        there = {int(v) for v in np.unique(found.planes)} if found.segments is None else set(found.segments)
        made = []
        for n in sorted((there | set(found.described)) - {0}):
            mask = np.zeros((found.grid.shape[2], *found.grid.shape[:2]), dtype=bool)
            for frame, plane in enumerate(found.planes):
                if found.segments is None:
                    mask[found.slot[frame]] |= plane == n
                elif found.segments[frame] == n:
                    mask[found.slot[frame]] |= plane != 0
            about = found.described.get(n, Dataset())
            name = text(about, "SegmentLabel") or f"segment {n}"
            made.append(Segment(n, name, _code(about), mask.transpose(1, 2, 0), found.grid))
    return made


class Segment(NamedTuple):
    """One segment of a segmentation.

    Args:
        number: Its number.
        name: Its label.
        code: Segmented property type; None where the file gives none.
        mask: ``(I, J, K)`` bool.
        grid: Place of the mask.
    """

    number: int
    name: str
    code: Code | None
    mask: NDArray[np.bool_]
    grid: Grid


class _Found(NamedTuple):
    planes: NDArray[np.generic]
    slot: NDArray[np.intp]
    grid: Grid
    segments: list[int] | None
    described: dict[int, Dataset]


def _read(path: Path) -> _Found:
    dataset = open_dicom(path)
    if text(dataset, "SOPClassUID") not in SEGMENTATIONS:
        raise damaged(path, "DICOM segmentation", f"its modality is {text(dataset, 'Modality') or 'unknown'}")
    kind = text(dataset, "SegmentationType").upper()
    if kind == "FRACTIONAL":
        raise FormatError(
            f"{path.name} holds fractions, not labels.",
            "A label map is read from a BINARY or LABELMAP segmentation.",
            "Export it as BINARY.",
        )
    layout = layout_of(dataset, path)
    planes = np.empty((layout.n_frames, layout.rows, layout.columns), layout.dtype)
    read_frames(path, dataset, layout, planes)
    slot, grid = _slots(path, frames_of(dataset, path), layout.rows, layout.columns)
    segments = _segment_numbers(path, dataset, layout.n_frames) if kind != "LABELMAP" else None
    described = {int(s.SegmentNumber): s for s in dataset.get("SegmentSequence") or []}
    return _Found(planes, slot, grid, segments, {n: s for n, s in described.items() if n > 0})


def _code(segment: Dataset) -> Code | None:
    for item in segment.get("SegmentedPropertyTypeCodeSequence") or []:
        value = text(item, "CodeValue") or text(item, "LongCodeValue")
        if value:
            return Code(value, text(item, "CodingSchemeDesignator"), text(item, "CodeMeaning"))
    return None


def _slots(path: Path, frames: list[Frame], rows: int, columns: int) -> tuple[NDArray[np.intp], Grid]:
    """Slice number of each frame, and the grid from the first to the last."""
    if any(f.position is None or f.orientation is None for f in frames):
        if len(frames) == 1:
            return np.zeros(1, dtype=np.intp), stack(frames, rows, columns).grid
        raise GeometryError(
            f"Frames of {path.name} have no position.",
            "Every frame of a segmentation has a position and an orientation.",
            "Export the segmentation again.",
        )
    x, y = np.array(frames[0].orientation[:3]), np.array(frames[0].orientation[3:])  # type: ignore[index]
    normal = np.cross(x, y)
    along = np.array([np.dot(f.position, normal) for f in frames])  # type: ignore[arg-type]
    places = np.unique(np.round(along, 3))
    gaps = np.diff(places)
    declared = frames[0].thickness
    step = float(gaps.min()) if len(gaps) else declared or 1.0
    if (
        declared
        and len(gaps)
        and abs(round(step / declared) * declared - step) <= TOLERANCE_MM
        and declared <= step + TOLERANCE_MM
    ):
        step = step / max(round(step / declared), 1)
    slot = np.round((along - along.min()) / step).astype(np.intp)
    n_slices = int(slot.max()) + 1
    if n_slices > _MAX_SLICES or np.abs(along - along.min() - slot * step).max() > TOLERANCE_MM:
        raise GeometryError(
            f"Frames of {path.name} are {gaps.min():.2f} to {gaps.max():.2f} mm apart.",
            f"A label map needs one spacing (within {TOLERANCE_MM:g} mm).",
            "Export the segmentation again on the grid of its image.",
        )
    first = int(np.argmin(along))
    thick = Frame(path, 0, frames[first].position, frames[first].orientation, frames[first].spacing, step)
    alike = [Frame(path, n, f.position, f.orientation, f.spacing) for n, f in enumerate(frames)]
    for frame in alike:  # parallel, one spacing
        stack([alike[0], frame] if frame.position != alike[0].position else [frame], rows, columns)
    one = stack([thick], rows, columns).grid
    return slot, Grid((rows, columns, n_slices), one.affine, spacing_known=one.spacing_known)


def _segment_numbers(path: Path, dataset: Dataset, count: int) -> list[int]:
    found = []
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for n in range(count):
        group = groups[n] if n < len(groups) else Dataset()
        item = group.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
        value = number(item[0], "ReferencedSegmentNumber") if item else None
        if value is None or not 1 <= value < 2**16:
            raise damaged(path, "DICOM segmentation", f"frame {n + 1} names no segment")
        found.append(int(value))
    return found


def _named(found: _Found, number: int) -> str:
    return text(found.described.get(number, Dataset()), "SegmentLabel")


def _paint(found: _Found) -> tuple[NDArray[np.integer], tuple[int, int, int] | None]:
    """All segments in one array; or two that overlap, and in how many voxels of a slice."""
    segments, grid = found.segments, found.grid
    top = max(segments) if segments else int(np.max(found.planes))
    array = np.zeros((grid.shape[2], grid.shape[0], grid.shape[1]), np.uint8 if top < 256 else np.uint16)
    for n, plane in enumerate(found.planes):
        target = array[found.slot[n]]
        inside = plane != 0
        own = np.where(inside, segments[n] if segments else plane, 0)
        clash = inside & (target != 0) & (target != own)
        if clash.any():
            at = tuple(np.argwhere(clash)[0])
            pair = sorted((int(target[at]), int(own[at])))
            return array, (pair[0], pair[1], int(clash.sum()))
        target[inside] = own[inside]
    return array.transpose(1, 2, 0), None
