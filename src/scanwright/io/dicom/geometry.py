"""Where DICOM frames lie: sorted along the slice normal, evenly spaced, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import GeometryError
from scanwright.core.grid import Grid

TOLERANCE_MM = 0.1
"""Slice spacings may differ by this much (HOUSE-STYLE, section 5)."""

_SAME_PLACE_MM = 0.01
_SAME_DIRECTION = 1e-3
_MAX_TILT = 0.01
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])

SAME_VALUES = ("temporal_index", "temporal_position", "b_value", "echo", "echo_time", "dimension", "acquisition")
"""Keys of time points whose values are the same at every place."""

RISING_VALUES = ("trigger_time", "acquisition_time", "content_time", "frame")
"""Keys of time points of which only the order counts."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One plane of pixels and where it lies.

    Args:
        file: File that holds it.
        index: Its number in the file, from 0.
        position: Centre of the first pixel, LPS mm; None if unknown.
        orientation: Direction of a row and of a column, LPS; None if unknown.
        spacing: Distance between rows and between columns, mm; None if unknown.
        thickness: Distance to the next slice as the header says, mm; None if unknown.
        slope: Rescale slope.
        intercept: Rescale intercept.
        keys: Numbers that may tell time points apart.
    """

    file: Path
    index: int = 0
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, float] | None = None
    thickness: float | None = None
    slope: float = 1.0
    intercept: float = 0.0
    keys: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stack:
    """Frames in order.

    Args:
        order: ``(T, K)`` numbers of the frames.
        grid: Their place.
    """

    order: NDArray[np.intp]
    grid: Grid


def stack(frames: Sequence[Frame], rows: int, columns: int) -> Stack:
    """Order frames into a volume, one for each time point.

    Slices run along the normal (row direction x column direction). Several frames at every
    place are time points, told apart by the first key of :data:`SAME_VALUES` or
    :data:`RISING_VALUES` that differs.

    Args:
        frames: Frames of one size, in any order.
        rows: Height of a frame.
        columns: Width of a frame.

    Returns:
        Order and grid; the affine's third column is the mean step between slices.

    Raises:
        GeometryError: Places are missing, doubled, unevenly spaced, tilted, or face different ways.

    Source:
        PS3.3 C.7.6.2.1.1 (image position and orientation), equation C.7.6.2.1-1.
    """
    placed = [f.position is not None and f.orientation is not None for f in frames]
    if not any(placed):
        return _without_place(frames, rows, columns)
    if not all(placed):
        odd = frames[placed.index(False)]
        raise GeometryError(
            f"{odd.file.name} has no position, other slices of its series have one.",
            "Every slice of a volume has a position and an orientation.",
            "Leave this file out.",
        )
    orientation = np.array([f.orientation for f in frames], dtype=np.float64)
    _check_alike(frames, orientation)
    x, y = orientation[0, :3], orientation[0, 3:]
    normal = np.cross(x, y)
    if not np.isclose(np.linalg.norm(normal), 1, atol=0.02):
        raise GeometryError(
            f"The row and column directions of {frames[0].file.name} are not at right angles.",
            "ImageOrientationPatient holds two unit vectors at right angles.",
            "Export the image again, or leave it out.",
        )
    normal /= np.linalg.norm(normal)
    positions = np.array([f.position for f in frames], dtype=np.float64)
    order = _sorted(frames, positions @ normal)
    step = _step(frames, order[0], positions, normal)
    spacing = frames[0].spacing or (1.0, 1.0)
    affine_lps = np.eye(4)
    affine_lps[:3, 0], affine_lps[:3, 1], affine_lps[:3, 2] = y * spacing[0], x * spacing[1], step
    affine_lps[:3, 3] = positions[order[0, 0]]
    known = frames[0].spacing is not None
    return Stack(order, Grid((rows, columns, order.shape[1]), _FLIP @ affine_lps, spacing_known=known))


def _without_place(frames: Sequence[Frame], rows: int, columns: int) -> Stack:
    if len({f.file for f in frames}) > 1:
        raise GeometryError(
            f"{len(frames)} images have no position in space ({frames[0].file.name}, {frames[-1].file.name}, ...).",
            "Only slices with positions make a volume.",
            "Read each file as a picture of its own.",
        )
    flat = Grid.of_picture(rows, columns, frames[0].spacing)
    if len(frames) == 1:
        return Stack(np.zeros((1, 1), dtype=np.intp), flat)
    grid = Grid((rows, columns, len(frames)), flat.affine, spacing_known=False)
    return Stack(np.arange(len(frames))[None], grid)


def _check_alike(frames: Sequence[Frame], orientation: NDArray[np.float64]) -> None:
    turned = np.abs(orientation - orientation[0]).max(axis=1) > _SAME_DIRECTION
    if turned.any():
        odd = frames[int(np.argmax(turned))]
        raise GeometryError(
            f"{frames[0].file.name} and {odd.file.name} of one series face different ways.",
            "The slices of a volume are parallel.",
            "Leave localizers out, or put each direction into a folder of its own.",
        )
    for frame in frames:
        if not _same_spacing(frame.spacing, frames[0].spacing):
            raise GeometryError(
                f"{frames[0].file.name} and {frame.file.name} have different pixel spacings.",
                "The slices of a volume have one pixel spacing.",
                "Put each spacing into a folder of its own.",
            )


def _same_spacing(a: tuple[float, float] | None, b: tuple[float, float] | None) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.allclose(a, b, rtol=1e-4))


def _sorted(frames: Sequence[Frame], along: NDArray[np.float64]) -> NDArray[np.intp]:
    """Numbers of the frames, ``(T, K)``, along the normal."""
    rank = np.argsort(along, kind="stable")
    starts = np.flatnonzero(np.diff(along[rank], prepend=-np.inf) > _SAME_PLACE_MM)
    places = np.split(rank, starts[1:])
    n_times = len(places[0])
    if all(len(p) == 1 for p in places):
        return rank[None]
    doubled = next(p for p in places if len(p) > 1)
    if all(len(p) == n_times for p in places):
        for key in (*SAME_VALUES, *RISING_VALUES):
            ordered = _by_key(frames, places, key)
            if ordered is not None:
                return ordered
    names = " and ".join(frames[n].file.name for n in doubled[:2])
    raise GeometryError(
        f"{sum(len(p) > 1 for p in places)} of {len(places)} slice places are taken more than once, by {names}.",
        "A volume has one slice at each place, or the same number of time points at all.",
        "Remove the copies, or the incomplete time point.",
    )


def _by_key(frames: Sequence[Frame], places: Sequence[NDArray[np.intp]], key: str) -> NDArray[np.intp] | None:
    values = [[frames[n].keys.get(key) for n in p] for p in places]
    if any(v is None for row in values for v in row) or any(len(set(row)) < len(row) for row in values):
        return None
    if key in SAME_VALUES and any(set(row) != set(values[0]) for row in values):
        return None
    columns = [p[np.argsort(np.array(row, dtype=np.float64), kind="stable")] for p, row in zip(places, values)]
    return np.stack(columns, axis=1)


def _step(
    frames: Sequence[Frame], order: NDArray[np.intp], positions: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean step from slice to slice, LPS mm, when all steps are alike."""
    if len(order) == 1:
        return normal * (frames[int(order[0])].thickness or 1.0)
    path = positions[order]
    steps = np.diff(path @ normal)
    if steps.max() - steps.min() > TOLERANCE_MM:
        wide = int(np.argmax(steps))
        before, after = frames[int(order[wide])].file.name, frames[int(order[wide + 1])].file.name
        missing = round(float(steps[wide] / np.median(steps))) - 1
        gap = (
            f"; {missing} {'are' if missing > 1 else 'is'} missing between {before} and {after}" if missing > 0 else ""
        )
        raise GeometryError(
            f"Slices are {steps.min():.2f} to {steps.max():.2f} mm apart{gap}.",
            f"A volume needs one spacing (within {TOLERANCE_MM:g} mm).",
            "Fetch the missing slices again, or leave this series out.",
        )
    step = (path[-1] - path[0]) / (len(order) - 1)
    sideways = step - (step @ normal) * normal
    if np.linalg.norm(sideways) > max(_MAX_TILT * float(step @ normal), 1e-3):
        angle = np.degrees(np.arctan2(np.linalg.norm(sideways), step @ normal))
        raise GeometryError(
            f"The slices from {frames[int(order[0])].file.name} on are sheared by {angle:.1f} degrees (gantry tilt).",
            "The slices of a volume are stacked along their normal.",
            "Resample the series without tilt first, or leave it out.",
        )
    off = np.linalg.norm(path - (path[0] + np.arange(len(order))[:, None] * step), axis=1)
    if off.max() > TOLERANCE_MM * 5:
        raise GeometryError(
            f"{frames[int(order[int(np.argmax(off))])].file.name} lies {off.max():.2f} mm off the line of its series.",
            "The slices of a volume lie on one straight line.",
            "Leave this series out, or correct its positions.",
        )
    return step
