"""The images that a result speaks of: read once, checked against the grid, and lent to the writers."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import GeometryError, InputError
from scanwright.core.grid import Grid
from scanwright.io.dicom.geometry import TOLERANCE_MM, Frame, stack
from scanwright.io.dicom.header import stand_in
from scanwright.io.guard import reading

TOLERANCE = 0.02
"""Largest distance of a corner from its place, in voxels, for each hundred pixels of a side."""

FLIP = np.array([-1.0, -1.0, 1.0])
"""LPS to RAS and back."""


@dataclass(frozen=True)
class Plane:
    """One slice of the grid and the image that it lies on.

    Args:
        k: Slice of the grid.
        position: Centre of the first pixel, LPS mm, as the source says it.
        source: Number of its data set.
        frame: Frame number in that data set, from 1; None for an image of one frame.
    """

    k: int
    position: tuple[float, float, float]
    source: int
    frame: int | None = None


@dataclass(frozen=True)
class Sources:
    """Headers of a source series.

    Args:
        datasets: One for each file, without pixels.
        planes: One for each slice of the grid, in order; empty where the source has no place in space.
        grid: Grid of the volume that was read from them.
    """

    datasets: tuple[Any, ...]
    planes: tuple[Plane, ...]
    grid: Grid

    @property
    def first(self) -> Any:
        """Data set that patient, study and frame of reference are taken from."""
        return self.datasets[self.planes[0].source if self.planes else 0]

    @property
    def used(self) -> list[Any]:
        """Data sets that carry a slice of the grid, in the order of the files."""
        return [self.datasets[n] for n in sorted({plane.source for plane in self.planes})]

    @property
    def spacing(self) -> list[float]:
        """Distance between rows and between columns, in mm."""
        return [float(v) for v in self._functional("PixelMeasuresSequence", "PixelSpacing")]

    @property
    def orientation(self) -> list[float]:
        """Direction of a row and of a column, LPS."""
        return [float(v) for v in self._functional("PlaneOrientationSequence", "ImageOrientationPatient")]

    @property
    def thickness(self) -> float:
        """Distance between slices in mm; 1 for a single one, which has none."""
        if len(self.planes) < 2:
            return 1.0
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        along = np.array([plane.position for plane in self.planes]) @ (normal / np.linalg.norm(normal))
        return float(np.abs(np.diff(along)).mean())

    def _functional(self, sequence: str, keyword: str) -> Any:
        shared = (self.first.get("SharedFunctionalGroupsSequence") or [None])[0]
        group = (self.first.get("PerFrameFunctionalGroupsSequence") or [self.first])[0]
        return _functional(group, shared, sequence, keyword)

    def stand_ins(self) -> list[Any]:
        """Headers of :attr:`used` for highdicom, which is stricter than many scanners.

        One frame of reference, as some anonymisers give each slice its own; a slice thickness, which
        may be absent; and of multi-frame objects pixel measures and orientation that all frames share.
        """
        from pydicom.dataset import Dataset

        made = [copied for source in self.used if (copied := stand_in(source)) is not None]
        for copied in made:
            copied.FrameOfReferenceUID = self.first.FrameOfReferenceUID
            if not copied.get("SliceThickness"):
                copied.SliceThickness = 1.0
            frames = copied.get("PerFrameFunctionalGroupsSequence")
            if frames:
                shared = copy.deepcopy((copied.get("SharedFunctionalGroupsSequence") or [None])[0]) or Dataset()
                for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
                    if keyword not in shared and keyword in frames[0]:
                        setattr(shared, keyword, frames[0].get(keyword))
                copied.SharedFunctionalGroupsSequence = [shared]
        return made


def read_sources(files: Iterable[Path], grid: Grid) -> Sources:
    """Read the headers of a series and find the image of every slice of a grid.

    Args:
        files: Files of the source series, in any order.
        grid: Grid of the volume that was read from them.

    Returns:
        Headers and planes.

    Raises:
        FormatError: A source is not DICOM.
        GeometryError: The slices are tilted or unevenly spaced; a slice of the grid has no image, or lies elsewhere.
        InputError: No source was given.

    Source:
        PS3.3 C.7.6.2.1.1, C.7.6.16.2.3 (plane position).
    """
    import pydicom

    datasets = []
    for file in map(Path, files):
        with reading(file, "DICOM"):
            datasets.append(pydicom.dcmread(file, stop_before_pixels=True, force=False))
    if not datasets:
        raise InputError(
            "No DICOM source was given.", "A DICOM result belongs to images.", "Give the files of the series."
        )
    return Sources(tuple(datasets), tuple(_planes(datasets, grid)), grid)


def placed(sources: Sources, what: str) -> Sources:
    """The sources, when they have a place in space.

    Raises:
        GeometryError: They have none.
    """
    if not sources.planes:
        raise GeometryError(
            f"The DICOM source has no place in space, which a {what} needs.",
            "Its images have a frame of reference, positions and orientations.",
            "Write a picture (capture) or NIfTI instead.",
        )
    return sources


def planes_of(dataset: Any) -> list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Position, step across columns and step down rows of each frame, in LPS mm (C.7.6.2.1.1)."""
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    places = []
    for group in dataset.get("PerFrameFunctionalGroupsSequence") or [dataset]:
        position = _functional(group, shared, "PlanePositionSequence", "ImagePositionPatient")
        orientation = _functional(group, shared, "PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = _functional(group, shared, "PixelMeasuresSequence", "PixelSpacing")
        if position is None or orientation is None or spacing is None:
            return []
        rows, columns = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
        places.append((np.array(position, dtype=float), rows * float(spacing[1]), columns * float(spacing[0])))
    return places


def _planes(datasets: Sequence[Any], grid: Grid) -> list[Plane]:
    """One plane for each slice of the grid; empty where the source has no place in space."""
    found = [(n, f, place) for n, source in enumerate(datasets) for f, place in enumerate(planes_of(source))]
    if not found or not all(source.get("FrameOfReferenceUID") and stand_in(source) is not None for source in datasets):
        return []
    _check_even(found)
    made: dict[int, Plane] = {}
    for n, f, place in found:
        if datasets[n].Rows != grid.shape[0] or datasets[n].Columns != grid.shape[1]:
            raise _misplaced(
                f"has {datasets[n].Rows} x {datasets[n].Columns} pixels, the grid {grid.shape[0]} x {grid.shape[1]}"
            )
        k, off = place_on(grid, *place)
        if not 0 <= k < grid.shape[2] or off > 1:
            raise _misplaced(f"lies {_voxels_off(grid, k, *place):.3g} voxels from its place on the grid")
        several = "PerFrameFunctionalGroupsSequence" in datasets[n]
        position = tuple(float(v) for v in place[0])
        made.setdefault(k, Plane(k, position, n, f + 1 if several else None))  # type: ignore[arg-type]
    missing = [k for k in range(grid.shape[2]) if k not in made]
    if missing:
        raise _misplaced(f"is missing for slice {missing[0]} of {grid.shape[2]}")
    return [made[k] for k in sorted(made)]


def place_on(
    grid: Grid, position: NDArray[np.float64], across: NDArray[np.float64], down: NDArray[np.float64]
) -> tuple[int, float]:
    """Slice of a grid that a plane lies on.

    Args:
        grid: The grid, RAS+.
        position: Centre of the first pixel, LPS mm.
        across: Step from column to column, LPS mm.
        down: Step from row to row, LPS mm.

    Returns:
        The slice and how far off it the corners lie: above 1 is too far (:data:`TOLERANCE` voxels
        in the plane, and across it that or :data:`TOLERANCE_MM`, by which slices may be uneven).
    """
    off, k = _offsets(grid, position, across, down)
    in_plane = TOLERANCE * max(1.0, grid.shape[0] / 100, grid.shape[1] / 100)
    across_it = max(in_plane, TOLERANCE_MM / grid.spacing[2])
    return k, float(max(off[:, :2].max() / in_plane, off[:, 2].max() / across_it))


def _voxels_off(grid: Grid, k: int, *place: NDArray[np.float64]) -> float:
    return float(_offsets(grid, *place)[0].max()) if 0 <= k < grid.shape[2] else float(abs(k))


def _offsets(
    grid: Grid, position: NDArray[np.float64], across: NDArray[np.float64], down: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int]:
    corners = np.array([position, position + down * (grid.shape[0] - 1), position + across * (grid.shape[1] - 1)])
    index = grid.index(corners * FLIP)
    k = round(float(index[0, 2]))
    return np.abs(index - [(0, 0, k), (grid.shape[0] - 1, 0, k), (0, grid.shape[1] - 1, k)]), k


def _check_even(found: Sequence[tuple[int, int, tuple[NDArray[np.float64], ...]]]) -> None:
    """Refuse tilted and unevenly spaced slices as the reader does; time points count once."""
    across, down = found[0][2][1:]
    normal = np.cross(across, down)
    normal /= np.linalg.norm(normal)
    frames: dict[float, Frame] = {}
    for n, _, (position, x, y) in found:
        spacing = (float(np.linalg.norm(y)), float(np.linalg.norm(x)))
        orientation = tuple(float(v) for v in (*(x / spacing[1]), *(y / spacing[0])))
        frame = Frame(Path(f"image {n + 1}"), 0, tuple(float(v) for v in position), orientation, spacing)
        frames.setdefault(round(float(position @ normal), 2), frame)
    stack(list(frames.values()), 1, 1)


def _functional(group: Any, shared: Any, sequence: str, keyword: str) -> Any:
    for holder in (group, shared):
        if holder is None:
            continue
        items = holder.get(sequence)
        value = items[0].get(keyword) if items else holder.get(keyword)
        if value:
            return value
    return None


def _misplaced(why: str) -> GeometryError:
    return GeometryError(
        f"A source image {why}.",
        "Every slice of a result lies on one image of its source.",
        "Give the files of the series that was read, all of them and no others.",
    )
