"""The whole way from a volume to a network's array, and a map's way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Frames, Grid, InputError, Intensity, Preprocessing, Volume
from scanwright.preprocessing.channels import REC601, select_channels
from scanwright.preprocessing.clahe import clahe
from scanwright.preprocessing.frames import as_clip, clock, picked, spread_back
from scanwright.preprocessing.intensity import INTENSITY
from scanwright.preprocessing.orientation import reorient, reorient_grid, turn_to
from scanwright.preprocessing.placement import Axis, Placement, apply_axes, place

_HALF_MAX = 65504.0


def prepare(volume: Volume, spec: Preprocessing) -> NDArray[np.float32]:
    """Make the array that a network takes.

    Channels are chosen, the volume is turned, its values become 0 .. 1, it is resampled
    (with anti-aliasing), then come CLAHE, contrast and brightness, the mean and standard
    deviation of the training part, and padding with the lowest value. Safe to call from
    many threads.

    Args:
        volume: Intensities in the source's unit. NaN and infinities are replaced by the
            lowest and highest finite values.
        spec: What the network takes.

    Returns:
        ``spec.shape`` float32, rounded to half precision: ``(C, *spec.size)``, or ``(C + 1, I, J, T)`` of a
        sequence, whose last channel is the clock. Frames that are not there are 0.

    Raises:
        InputError: A volume was given where a picture is taken, or the reverse; a single frame where
            a sequence is.
        GeometryError: ``spec.spacing_mm`` is set and the source has no spacing.
        FormatError: Not one intensity is finite.
    """
    clip = None if spec.frames is None else as_clip(_turned(volume, spec))
    seen = volume if clip is None or spec.frames is None else _seen(clip, spec.frames)
    values, placement = prepare_values(seen, spec)
    mean, std = _constants(spec.intensity, values.shape[0])
    values = (values - mean) * (np.float32(1) / std)
    values = _pad(values, placement)
    half = np.clip(values, -_HALF_MAX, _HALF_MAX).astype(np.float16).astype(np.float32)
    if spec.dimension == 2 and clip is None:
        half = half[..., 0]
    if half.shape[0] < spec.channels:
        half = np.repeat(half, spec.channels, axis=0)
    if clip is not None and spec.frames is not None:
        half = _with_clock(half, clock(clip, spec.frames))
    return np.ascontiguousarray(half)


def _turned(volume: Volume, spec: Preprocessing) -> Volume:
    """A stack whose place is known, with its slices along the last axis and the right way up."""
    known = spec.orientation and volume.grid.spacing_known and not volume.grid.is_picture
    return reorient(volume, str(spec.orientation)) if known else volume


def _seen(clip: Volume, spec: Frames) -> Volume:
    """The frames that the network sees, as a volume of their own."""
    at = picked(clip.grid.shape[2], spec.most)
    grid = Grid((*clip.grid.shape[:2], len(at)), clip.grid.affine, spacing_known=clip.grid.spacing_known)
    return replace(clip, array=clip.array[..., at], grid=grid, moments=())


def _with_clock(pictures: NDArray[np.float32], shown: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(C + 1, I, J, T)``: the frames with zeros after the last one, and the clock on a channel of its own."""
    channels, rows, columns, n = pictures.shape
    array = np.zeros((channels + 1, rows, columns, len(shown)), dtype=np.float32)
    array[:channels, ..., :n] = pictures
    array[channels] = shown.astype(np.float16)
    return array


def prepare_values(volume: Volume, spec: Preprocessing) -> tuple[NDArray[np.float32], Placement]:
    """Everything up to the mean and standard deviation.

    Args:
        volume: Intensities in the source's unit.
        spec: What the network takes.

    Returns:
        ``(C or 1, i, j, k)`` float32 from about 0 to 1 on the whole prepared lattice
        (padding is zero), and where that lies.

    Raises:
        InputError: See :func:`prepare`.
        GeometryError: See :func:`prepare`.
        FormatError: See :func:`prepare`.
    """
    placement = place(volume.grid, spec)
    array = placement.turn.apply(select_channels(volume, spec.channels))
    if array.dtype.kind not in "buif":
        raise InputError(
            f"The intensities are of type {array.dtype}.", "An image holds real numbers.", "Convert them to float32."
        )
    values = INTENSITY[spec.intensity.method](array, spec.intensity)
    values = apply_axes(values, placement.axes)
    if spec.intensity.clahe:
        values = _equalise(values, spec.intensity.clahe_clip)
    if spec.intensity.contrast != 1.0 or spec.intensity.brightness != 0.0:
        values = (values - np.float32(0.5)) * np.float32(spec.intensity.contrast) + np.float32(
            0.5 + spec.intensity.brightness
        )
    return values, placement


def restore(values: NDArray[np.floating], grid: Grid, spec: Preprocessing) -> NDArray[np.float32]:
    """Put a map on the prepared array back on the source's own grid.

    Args:
        values: ``spec.size``, or a coarser or finer map over the same field.
        grid: Grid of the source that was prepared.
        spec: The preprocessing that was used.

    Returns:
        ``(I, J, K)`` float32 on ``grid``; linear between map voxels, zero where the network
        saw nothing (cut away by a crop).

    Raises:
        InputError: The map has not the dimension of the preprocessing.
        GeometryError: See :func:`prepare`.
    """
    array = np.asarray(values, dtype=np.float32)
    if spec.frames is not None:
        return _restore_frames(array, grid, spec)
    if array.ndim != spec.dimension:
        raise InputError(
            f"A map of shape {array.shape} cannot be put back.",
            f"The preprocessing is {spec.dimension}-D.",
            "Give the map of one class, without channel axis.",
        )
    if array.ndim == 2:
        array = array[..., None]
    placement = place(grid, spec)
    backwards = tuple(axis.reverse(n) for axis, n in zip(placement.axes, array.shape, strict=True))
    spread = apply_axes(array[None], (backwards[0], backwards[1], backwards[2]))[0]
    return np.ascontiguousarray(placement.turn.undo(spread))


def _restore_frames(values: NDArray[np.float32], grid: Grid, spec: Preprocessing) -> NDArray[np.float32]:
    """Each map on its own frame; frames that were passed over get their nearest neighbour's."""
    if spec.orientation and grid.spacing_known and not grid.is_picture:
        plain = spec.model_copy(update={"orientation": None})
        turned = _restore_frames(values, reorient_grid(grid, spec.orientation), plain)
        return np.ascontiguousarray(turn_to(grid, spec.orientation).undo(turned))
    n = grid.shape[2]
    kept = values[..., : len(picked(n, values.shape[2]))]
    axes = place(grid, spec).axes
    back = (
        axes[0].reverse(kept.shape[0]),
        axes[1].reverse(kept.shape[1]),
        Axis(kept.shape[2], kept.shape[2], 0.0, 1.0),
    )
    spread = apply_axes(np.ascontiguousarray(kept)[None], back)[0]
    return spread_back(np.pad(spread, ((0, 0), (0, 0), (0, values.shape[2] - kept.shape[2]))), n)


def _constants(spec: Intensity, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation as ``(n, 1, 1, 1)``; one number stands for all channels."""
    mean, std = (np.asarray(v, dtype=np.float32) for v in (spec.mean, spec.std))
    std = np.where(std > 1e-6, std, np.float32(1))
    return tuple(np.broadcast_to(v[:n] if v.size > n else v, (n,)).reshape(n, 1, 1, 1) for v in (mean, std))  # type: ignore[return-value]


def _equalise(values: NDArray[np.float32], clip: float) -> NDArray[np.float32]:
    """CLAHE slice by slice; colour keeps its hue, since only the luma is evened out."""
    result = np.empty_like(values)
    for k in range(values.shape[-1]):
        plane = values[..., k]
        if plane.shape[0] == 1:
            result[0, ..., k] = clahe(plane[0], clip=clip)
            continue
        luma = np.tensordot(np.asarray(REC601, np.float32), plane, axes=1)
        result[..., k] = np.clip(plane + (clahe(luma, clip=clip) - luma), 0, 1)
    return result


def _pad(values: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Fill what lies beside the source with the lowest value on it."""
    inside = [axis.inside for axis in placement.axes]
    if all(i.all() for i in inside):
        return values
    on = inside[0][:, None, None] & inside[1][None, :, None] & inside[2][None, None, :]
    if not on.any():
        return values
    return np.where(on, values, values[:, on].min())
