"""Heat maps as DICOM: a float Parametric Map where the source has a place, else a picture.

Every object goes into a series of its own, keeps the patient and study of its source, says
that it comes from an AI and was not reviewed, and is read back before it counts as written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError
from scanwright.core.grid import Grid
from scanwright.io.dicom.capture import write_picture
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.parametric_map import write_map
from scanwright.io.dicom.sources import read_sources
from scanwright.io.dicom.stamp import no_gossip
from scanwright.io.guard import reading

__all__ = ["DicomNote", "files_of_series", "is_dicom", "write_heatmap_dicom"]


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
    path, heatmap = Path(path), np.asarray(heatmap, dtype=np.float32)
    with no_gossip():  # warnings quote the patient; odd values are copied as they are
        sources = read_sources(source_files, grid)
        if sources.planes:
            write_map(path, heatmap, sources, note)
            return path
        if overlay is None:
            raise InputError(
                "The DICOM source has no place in space, and no overlay was given.",
                "A Parametric Map needs a frame of reference and plane positions; else a picture is written.",
                "Give the overlay picture.",
            )
        write_picture(path, overlay, sources.datasets, note, "AI heat map")
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
