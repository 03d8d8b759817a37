"""The whole case on the lattice that a segmentation network sees through its window, and back.

A classifier sees every case at one size (``prepare``). A segmentation network sees windows of a
lattice that covers the whole case at the plan's spacing: ``lay_out`` makes it, ``lay_labels``
brings true label maps onto it, and :func:`lattice` says where it lies, so that answers can be
put back on the source's own grid axis by axis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanwright.core import GeometryError, Grid, InputError, Preprocessing, Volume
from scanwright.preprocessing.channels import select_channels
from scanwright.preprocessing.clahe import clahe
from scanwright.preprocessing.intensity import INTENSITY
from scanwright.preprocessing.orientation import Turn, reorient_grid, turn_to
from scanwright.preprocessing.placement import Axis, Placement, apply_axes

_HALF_MAX = 65504.0


def lattice(grid: Grid, spec: Preprocessing) -> Placement:
    """Where the lattice of a case lies on its source.

    Args:
        grid: Grid of the source.
        spec: ``orientation`` (volumes with a known place are turned to it) and ``spacing_mm``
            (one number an axis of the turned source; None keeps the source's voxels).

    Returns:
        Turn, and for each axis of the turned source its sampling. A picture's last axis is kept.

    Raises:
        GeometryError: A spacing is asked for and the source has none.
    """
    turned, turn = grid, Turn()
    if spec.orientation and not grid.is_picture and grid.spacing_known:
        turned, turn = reorient_grid(grid, spec.orientation), turn_to(grid, spec.orientation)
    steps = [1.0, 1.0, 1.0]
    if spec.spacing_mm is not None:
        if not grid.spacing_known:
            raise GeometryError(
                "The image says nothing of its spacing.",
                f"This model resamples to {' x '.join(f'{s:g}' for s in spec.spacing_mm)} mm.",
                "Give an image with a spacing, or plan without preprocessing.spacing_mm.",
            )
        steps = [s / own for s, own in zip((*spec.spacing_mm, 1.0, 1.0, 1.0)[:3], turned.spacing, strict=True)]
    axes = []
    for axis in range(3):
        n_in, step = turned.shape[axis], steps[axis]
        if turned.shape[axis] == 1 or abs(step - 1.0) < 0.02:  # the source's own voxels
            axes.append(Axis(n_in, n_in, 0.0, 1.0))
            continue
        n_out = max(1, round(n_in / step))
        step = n_in / n_out  # the lattice covers the source exactly
        axes.append(Axis(n_in, n_out, (step - 1.0) / 2, step))
    return Placement(turn, (axes[0], axes[1], axes[2]))


def lay_out(volume: Volume, spec: Preprocessing) -> NDArray[np.float32]:
    """Prepare the whole case for a segmentation network.

    Args:
        volume: Intensities in the source's unit.
        spec: Channels, orientation, spacing and intensity.

    Returns:
        ``(C, i, j, k)`` float32 on :func:`lattice`, rounded to half precision. Intensity methods
        that look at the case look at each channel alone, except in colour pictures.

    Raises:
        InputError: The image has fewer channels than the network takes, or is not of real numbers.
        GeometryError: See :func:`lattice`.
        FormatError: Not one intensity is finite.
    """
    placement = lattice(volume.grid, spec)
    array = placement.turn.apply(select_channels(volume, spec.channels))
    if array.dtype.kind not in "buif":
        raise InputError(
            f"The intensities are of type {array.dtype}.", "An image holds real numbers.", "Convert them to float32."
        )
    if array.shape[0] not in (1, spec.channels) or (array.shape[0] == 1 < spec.channels and spec.channels != 3):
        raise InputError(
            f"The image has {volume.n_channels} channels.",
            f"This model takes {spec.channels} channels.",
            "Give the files of all channels of the case.",
        )
    method = INTENSITY[spec.intensity.method]
    if volume.channel == "rgb" or array.shape[0] == 1:
        values = method(array, spec.intensity)
    else:
        values = np.concatenate([method(array[c : c + 1], spec.intensity) for c in range(len(array))])
    values = apply_axes(values, placement.axes)
    if spec.intensity.clahe:
        for c in range(len(values)):
            for k in range(values.shape[-1]):
                values[c, ..., k] = clahe(values[c, ..., k], clip=spec.intensity.clahe_clip)
    if spec.intensity.contrast != 1.0 or spec.intensity.brightness != 0.0:
        values = (values - np.float32(0.5)) * np.float32(spec.intensity.contrast)
        values += np.float32(0.5 + spec.intensity.brightness)
    mean, std = (_constants(v, len(values)) for v in (spec.intensity.mean, spec.intensity.std))
    values = (values - mean) * (np.float32(1) / np.where(std > 1e-6, std, np.float32(1))).astype(np.float32)
    values = np.clip(values, -_HALF_MAX, _HALF_MAX).astype(np.float16).astype(np.float32)
    if len(values) < spec.channels:
        values = np.repeat(values, spec.channels, axis=0)
    return np.ascontiguousarray(values)


def lay_labels(labels: NDArray[np.integer], placement: Placement) -> NDArray[np.uint8]:
    """Bring true codes onto the lattice.

    Args:
        labels: ``(I, J, K)`` codes below 256 on the source's grid.
        placement: From :func:`lattice`.

    Returns:
        ``(i, j, k)`` uint8. Where the spacing changes, every code is sampled linearly and the
        strongest wins, so that borders stay smooth.
    """
    turned = placement.turn.apply(labels)
    if all(axis.identity for axis in placement.axes):
        return np.ascontiguousarray(turned, dtype=np.uint8)
    result: NDArray[np.uint8] | None = None
    strongest: NDArray[np.float32] | None = None
    for code in np.unique(turned):
        share = apply_axes((turned == code).astype(np.float32)[None], placement.axes)[0]
        if result is None or strongest is None:
            result, strongest = np.full(share.shape, code, dtype=np.uint8), share
            continue
        wins = share > strongest
        result[wins] = code
        strongest = np.maximum(strongest, share)
    return np.ascontiguousarray(result, dtype=np.uint8)


def lattice_spacing(grid: Grid, spec: Preprocessing) -> tuple[float, float, float]:
    """Distance between voxels of the lattice, in mm (pixels where unknown).

    Args:
        grid: Grid of the source.
        spec: Orientation and spacing.

    Returns:
        Along the axes of the turned source.
    """
    placement = lattice(grid, spec)
    own = [grid.spacing[a] for a in placement.turn.order]
    i, j, k = (s * axis.step for s, axis in zip(own, placement.axes, strict=True))
    return i, j, k


def _constants(values: tuple[float, ...], n: int) -> NDArray[np.float32]:
    found = np.asarray(values, dtype=np.float32)
    return np.broadcast_to(found[:n] if found.size > n else found, (n,)).reshape(n, 1, 1, 1)
