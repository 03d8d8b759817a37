"""Float maps on the planes of their source: evidence of a heat map, probability of a structure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import GeometryError
from scanwright.core.grid import Grid
from scanwright.io.dicom.header import anatomy, long_string
from scanwright.io.dicom.note import MANUFACTURER, DicomNote
from scanwright.io.dicom.sources import Sources, place_on, placed, planes_of, read_sources
from scanwright.io.dicom.stamp import new_uid, no_gossip, not_the_same, own_dimensions, quiet, reading_back, save, stamp

EVIDENCE = ("ai-evidence", "99SCANWRIGHT", "Relative evidence for an AI finding")
"""Quantity of a heat map."""

PROBABILITY = ("122157", "DCM", "Probability")
"""Quantity of a probability map."""


def write_probabilities(
    path: Path, chances: NDArray[np.float32], *, grid: Grid, source_files: Sequence[Path], note: DicomNote
) -> Path:
    """Write the probability of a structure in every voxel as a float Parametric Map.

    Args:
        path: File to write; it appears whole or not at all.
        chances: ``(I, J, K)``, 0 .. 1: rows, columns, slices of ``grid``.
        grid: Grid of the volume that was read from the source.
        source_files: Files of the source series, in any order.
        note: What the object says of its origin.

    Returns:
        ``path``.

    Raises:
        FormatError: A source is not DICOM, or the written file does not read back the same.
        GeometryError: The source has no place in space, is tilted or uneven, or does not fit the grid.
        InputError: No source was given.

    Source:
        PS3.3 A.75 (Parametric Map), C.7.6.16.2.11 (real world values); written with highdicom.
    """
    path, chances = Path(path), np.asarray(chances, dtype=np.float32)
    with no_gossip():
        sources = placed(read_sources(source_files, grid), "parametric map")
        write_map(path, chances, sources, note, probability=True)
    return path


def write_map(
    path: Path, values: NDArray[np.float32], sources: Sources, note: DicomNote, *, probability: bool = False
) -> None:
    """Write values as a Parametric Map and read them back.

    Args:
        path: File to write.
        values: ``(I, J, K)``, 0 .. 1, on the grid of the sources.
        sources: Images with a place in space.
        note: What the object says of its origin.
        probability: They are probabilities, not the evidence of a heat map.

    Raises:
        FormatError: The written file does not read back the same; it is removed.
        GeometryError: The values do not fit the grid.
    """
    if values.shape != sources.grid.shape:
        raise GeometryError(
            f"Values of shape {values.shape} do not fit a grid of shape {sources.grid.shape}.",
            "A parametric map has one value for each voxel of its source.",
            "Resample the values onto the source's grid.",
        )
    save(path, _object(values, sources, note, probability))
    with reading_back(path):
        _compare(path, values, sources.grid)


def _object(values: NDArray[np.float32], sources: Sources, note: DicomNote, probability: bool) -> Any:
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian

    quiet(highdicom)
    what = note.finding or ("any structure" if probability else "the answer")
    explained = f"Probability of {what}" if probability else f"Evidence for {what}, share of the strongest place"
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="Probability" if probability else "Evidence",
        lut_explanation=long_string(explained, 64),
        unit=highdicom.sr.CodedConcept("1", "UCUM", "no units"),
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=highdicom.sr.CodedConcept(*(PROBABILITY if probability else EVIDENCE)),
    )
    title = "AI probability" if probability else "AI heat map"
    made = highdicom.pm.ParametricMap(
        source_images=sources.stand_ins(),
        pixel_array=np.ascontiguousarray(np.moveaxis(values, 2, 0)),
        series_instance_uid=new_uid(),
        series_number=note.series_number,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=long_string(note.model, 64),
        software_versions=note.software_versions,
        device_serial_number="none",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[highdicom.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="AI_PROBABILITY" if probability else "AI_HEATMAP",
        content_description=long_string(f"{title}: {note.finding}" if note.finding else title, 64),
        content_creator_name=f"{MANUFACTURER}^",
        pixel_measures=highdicom.PixelMeasuresSequence(sources.spacing, sources.thickness),
        plane_orientation=highdicom.PlaneOrientationSequence("PATIENT", sources.orientation),
        plane_positions=[highdicom.PlanePositionSequence("PATIENT", plane.position) for plane in sources.planes],
        specific_character_set="ISO_IR 192",
    )
    stamp(made, sources.first, note)
    own_dimensions(made)
    made.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = anatomy(sources.first)
    return made


def _compare(path: Path, values: NDArray[np.float32], grid: Grid) -> None:
    """Compare every frame of a written file with the grid in world coordinates."""
    import pydicom

    written = pydicom.dcmread(path)
    frames = np.frombuffer(written.FloatPixelData, dtype="<f4").reshape(-1, *grid.shape[:2])
    places = planes_of(written)
    seen = set()
    for place, frame in zip(places, frames, strict=True):
        k, off = place_on(grid, *place)
        if off > 1 or not 0 <= k < grid.shape[2] or not np.array_equal(frame, values[..., k]):
            raise not_the_same(path)
        seen.add(k)
    if len(seen) != grid.shape[2]:
        raise not_the_same(path)
