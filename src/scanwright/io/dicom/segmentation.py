"""Masks as DICOM segmentations: BINARY, which all read, or LABELMAP, which is small."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import GeometryError, InputError
from scanwright.core.grid import Grid
from scanwright.core.volume import LabelMap
from scanwright.io.dicom.header import code_item, long_string
from scanwright.io.dicom.note import MANUFACTURER, DicomNote
from scanwright.io.dicom.pixels import unpacked
from scanwright.io.dicom.sources import Sources, place_on, placed, planes_of, read_sources
from scanwright.io.dicom.stamp import new_uid, no_gossip, not_the_same, own_dimensions, quiet, reading_back, save, stamp
from scanwright.io.dicom.structures import Structure, structure

Masks = Sequence[tuple[str, NDArray[np.bool_]]]
"""Names and ``(I, J, K)`` masks; they may overlap."""

_MOST_SEGMENTS = 65_535
_EACH_FRAME = ("SegmentIdentificationSequence", "PlanePositionSequence", "DerivationImageSequence")


def write_segmentation(
    path: Path,
    structures: Masks | LabelMap,
    *,
    grid: Grid,
    source_files: Sequence[Path],
    note: DicomNote,
    kind: Literal["BINARY", "LABELMAP"] = "BINARY",
    tracking: Mapping[str, tuple[str, str]] | None = None,
) -> Path:
    """Write masks as one DICOM segmentation on the planes of their source.

    Segment numbers are 1, 2, 3 ... in the order given. Slices without any voxel of a segment
    are left out. A structure without a voxel keeps its segment, as "looked for and not found"
    is an answer; when nothing at all was found, one empty frame of each segment on the middle
    slice makes the object valid. BINARY is stored uncompressed, LABELMAP as RLE.

    Args:
        path: File to write; it appears whole or not at all.
        structures: Names and masks ``(I, J, K)`` bool, or a label map (a value without a name
            is called ``"structure N"``; values become numbers 1, 2, 3 ... in their order).
        grid: Grid of the volume that was read from the source.
        source_files: Files of the source series, in any order.
        note: What the object says of its origin.
        kind: BINARY, or LABELMAP (Label Map Segmentation Storage), which cannot overlap.
        tracking: Name to tracking id and UID, to keep them across objects; others get new ones.

    Returns:
        ``path``.

    Raises:
        FormatError: A source is not DICOM, or the written file does not read back the same.
        GeometryError: The source has no place in space, is tilted or uneven, or does not fit the masks.
        InputError: There are no structures, or they overlap in a LABELMAP.

    Source:
        PS3.3 A.51, C.8.20 (Segmentation), C.7.6.16.2.6 (derivation image); written with highdicom.
        Places agree with highdicom, SimpleITK and dcmqi (tests/io/dicom/test_segmentation.py).
    """
    path = Path(path)
    named = _named(structures, grid)
    with no_gossip():
        sources = placed(read_sources(source_files, grid), "segmentation")
        pixels, slices = _pixels(named, grid, kind)
        save(path, _object(named, pixels, slices, sources, note, kind, tracking or {}))
        with reading_back(path):
            _compare(path, [mask for _, mask in named], grid)
    return path


@dataclass(frozen=True)
class _Of:
    """A label value as a mask, made when it is asked for."""

    array: NDArray[np.integer[Any]]
    value: int

    def __getitem__(self, index: Any) -> NDArray[np.bool_]:
        return np.asarray(self.array[index] == self.value)


def names_of(label_map: LabelMap) -> list[tuple[int, str]]:
    """Values of a label map that are named or there, in order, with their names."""
    values = sorted({int(v) for v in np.unique(label_map.array)} | {int(v) for v in label_map.names})
    return [(v, label_map.names.get(v) or f"structure {v}") for v in values if v > 0]


def masks_of(structures: Masks | LabelMap, grid: Grid) -> list[tuple[str, NDArray[np.bool_]]]:
    """Names and masks, checked against a grid.

    Raises:
        GeometryError: A mask does not fit the grid.
        InputError: There are none.
    """
    return [(name, np.asarray(mask[...])) for name, mask in _named(structures, grid)]


def _named(structures: Masks | LabelMap, grid: Grid) -> list[tuple[str, Any]]:
    named: list[tuple[str, Any]]
    if isinstance(structures, LabelMap):
        shapes = {structures.array.shape}
        named = [(name, _Of(structures.array, value)) for value, name in names_of(structures)]
    else:
        named = [(name, np.asarray(mask).astype(bool, copy=False)) for name, mask in structures]
        shapes = {mask.shape for _, mask in named}
    if not 0 < len(named) <= _MOST_SEGMENTS:
        raise InputError(
            f"{len(named)} structures were given.",
            f"A DICOM object of structures has 1 to {_MOST_SEGMENTS}.",
            "Name at least one structure, even if it has no voxel.",
        )
    if shapes != {grid.shape}:
        raise GeometryError(
            f"Masks of shape {sorted(shapes)[0]} do not fit a grid of shape {grid.shape}.",
            "Masks lie on the grid of their source.",
            "Resample the masks onto the source's grid.",
        )
    return named


def _pixels(named: Sequence[tuple[str, Any]], grid: Grid, kind: str) -> tuple[NDArray[Any], list[int]]:
    """Planes for highdicom and their slices: ``(N, I, J)`` labels, or ``(N, I, J, S)`` where segments overlap."""
    labels = np.zeros((grid.shape[2], *grid.shape[:2]), np.uint8 if len(named) < 256 else np.uint16)
    overlap = 0
    for number, (_, mask) in enumerate(named, start=1):
        for k in range(grid.shape[2]):
            plane = mask[:, :, k]
            overlap += int(np.count_nonzero(labels[k][plane]))
            labels[k][plane] = number
    slices = np.flatnonzero(labels.any(axis=(1, 2))).tolist() or [grid.shape[2] // 2]
    if not overlap:
        return labels[slices], slices
    if kind == "LABELMAP":
        raise InputError(
            f"The structures overlap in {overlap} voxels.",
            "A LABELMAP segmentation gives each voxel to one structure.",
            'Write them with kind="BINARY".',
        )
    stacked = np.zeros((len(slices), *grid.shape[:2], len(named)), np.uint8)
    for number, (_, mask) in enumerate(named):
        for n, k in enumerate(slices):
            stacked[n, :, :, number] = mask[:, :, k]
    return stacked, slices


def _object(
    named: Sequence[tuple[str, Any]],
    pixels: NDArray[Any],
    slices: Sequence[int],
    sources: Sources,
    note: DicomNote,
    kind: str,
    tracking: Mapping[str, tuple[str, str]],
) -> Any:
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless

    quiet(highdicom)
    planes = [sources.planes[k] for k in slices]
    made = highdicom.seg.Segmentation(
        source_images=sources.stand_ins(),
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=_descriptions([name for name, _ in named], note, tracking),
        series_instance_uid=new_uid(),
        series_number=note.series_number,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=long_string(note.model, 64),
        software_versions=note.software_versions,
        device_serial_number="none",
        content_label="AI_SEGMENTATION",
        content_description=long_string(f"AI segmentation: {', '.join(name for name, _ in named)}", 64),
        content_creator_name=f"{MANUFACTURER}^",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        pixel_measures=highdicom.PixelMeasuresSequence(sources.spacing, sources.thickness, sources.thickness),
        plane_orientation=highdicom.PlaneOrientationSequence("PATIENT", sources.orientation),
        plane_positions=[highdicom.PlanePositionSequence("PATIENT", plane.position) for plane in planes],
        omit_empty_frames=bool(pixels.any()),
        specific_character_set="ISO_IR 192",
    )
    stamp(made, sources.first, note)
    own_dimensions(made)
    shared, groups = made.SharedFunctionalGroupsSequence[0], made.PerFrameFunctionalGroupsSequence
    for keyword in _EACH_FRAME:  # highdicom shares what all frames have in common; most readers look in the frame
        if keyword in shared:
            for group in groups:
                setattr(group, keyword, copy.deepcopy(shared.get(keyword)))
            delattr(shared, keyword)
    if kind == "LABELMAP":  # GDCM's encoder ends the process at odd sizes
        made.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    return made


def _descriptions(names: Sequence[str], note: DicomNote, tracking: Mapping[str, tuple[str, str]]) -> list[Any]:
    import highdicom

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=long_string(note.model, 64),
        family=highdicom.sr.CodedConcept("123110", "DCM", "Artificial Intelligence"),
        version=long_string(note.version, 64),
        source=f"{MANUFACTURER} ({note.notice})",
    )
    made = []
    for number, name in enumerate(names, start=1):
        found = structure(name)
        tracking_id, tracking_uid = tracking.get(name) or (long_string(name, 48), new_uid())
        one = highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=long_string(name, 64),
            segmented_property_category=highdicom.sr.CodedConcept(*found.category),
            segmented_property_type=highdicom.sr.CodedConcept(*found.type),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_id=tracking_id,
            tracking_uid=tracking_uid,
            display_color=highdicom.color.CIELabColor.from_rgb(*found.rgb),
        )
        _add_place(one, found)
        made.append(one)
    return made


def _add_place(segment: Any, found: Structure) -> None:
    """Side of the structure, and the organ that a finding lies in (C.8.20.2.3)."""
    if found.laterality is not None:
        segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            code_item(*found.laterality)
        ]
    if found.site is not None:
        segment.AnatomicRegionSequence = [code_item(*found.site)]
        if found.laterality is not None:
            segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [code_item(*found.laterality)]


def _frames(path: Path, written: Any) -> Iterator[NDArray[Any]]:
    """Frames one by one."""
    from pydicom.pixels import iter_pixels

    if written.SegmentationType == "LABELMAP":
        return iter_pixels(path, decoding_plugin="pylibjpeg")
    return unpacked(written.PixelData, int(written.NumberOfFrames), written.Rows, written.Columns)


def _compare(path: Path, masks: Sequence[Any], grid: Grid) -> None:
    """Compare every frame of a written file with the masks in world coordinates."""
    import pydicom

    written = pydicom.dcmread(path)
    places = planes_of(written)
    groups = written.PerFrameFunctionalGroupsSequence
    seen: set[tuple[int, int]] = set()
    for place, group, plane in zip(places, groups, _frames(path, written), strict=True):
        k, off = place_on(grid, *place)
        if off > 1 or not 0 <= k < grid.shape[2]:
            raise not_the_same(path)
        if written.SegmentationType == "LABELMAP":
            numbers = range(1, len(masks) + 1)
        else:
            number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            numbers = range(number, number + 1)
        for number in numbers:
            value = number if written.SegmentationType == "LABELMAP" else 1
            if not np.array_equal(plane == value, masks[number - 1][:, :, k]):
                raise not_the_same(path)
            seen.add((number, k))
    for number, mask in enumerate(masks, start=1):
        if any((number, k) not in seen and mask[:, :, k].any() for k in range(grid.shape[2])):
            raise not_the_same(path)
