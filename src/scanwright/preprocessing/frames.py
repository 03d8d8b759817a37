"""Sequences: which axis the frames lie on, which of them a network sees, and its clock.

A sequence is a volume whose last axis steps through frames: slices of a stack, pictures of a
clip, visits over time. A network sees at most a fixed number of them, and knows when each was
taken from one more channel, the clock.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Frames, Grid, InputError, Volume

ABSENT = -1.0
"""What the clock shows on frames that are not there."""


def as_clip(volume: Volume) -> Volume:
    """Bring the frames of a sequence to the last axis.

    Args:
        volume: A stack of slices; a time series of pictures (DICOM multi-frame, 4-D NIfTI); or frames
            that lie on the last axis already.

    Returns:
        ``(C, I, J, T)``; a stack of known spacing gets its depths in mm as ``moments``.

    Raises:
        InputError: A time series of volumes, or a single frame.
    """
    if volume.channel == "time" and volume.n_channels > 1:
        if not volume.grid.is_picture:
            raise InputError(
                f"The image is a time series of {volume.n_channels} volumes of {volume.grid.shape[2]} slices.",
                "The frames of a sequence are pictures.",
                "Give one slice of each time point, or learn from single volumes without --sequence.",
            )
        grid = Grid(
            (*volume.grid.shape[:2], volume.n_channels), volume.grid.affine, spacing_known=volume.grid.spacing_known
        )
        return replace(volume, array=np.moveaxis(volume.array, 0, -1)[None, :, :, 0], grid=grid, channel="channel")
    if volume.grid.is_picture:
        raise InputError(
            "The image is a single picture.",
            "A sequence has two frames or more.",
            "Give all frames of the case: a folder of numbered pictures, a multi-frame file or a stack.",
        )
    if not volume.moments and volume.grid.spacing_known and volume.channel != "time":
        step = volume.grid.spacing[2]
        depths = tuple(round(step * k, 4) for k in range(volume.grid.shape[2]))
        return replace(volume, moments=depths, moment_unit="mm")
    return volume


def picked(n: int, most: int) -> NDArray[np.intp]:
    """Which frames a network sees: all, or ``most`` of them evenly from the first to the last.

    Args:
        n: Frames of the case.
        most: Frames that the network takes.

    Returns:
        Rising indices.

    Example:
        >>> picked(5, 3).tolist(), picked(2, 3).tolist()
        ([0, 2, 4], [0, 1])
    """
    if n <= most:
        return np.arange(n)
    return np.asarray(np.rint(np.linspace(0, n - 1, most)), dtype=np.intp)


def clock(clip: Volume, spec: Frames) -> NDArray[np.float32]:
    """What the clock shows on each frame of the prepared array.

    Args:
        clip: From :func:`as_clip`.
        spec: Frames of the plan.

    Returns:
        ``(most,)``: units since the first frame divided by the usual step; frame numbers where the case
        has no moments in the plan's unit; :data:`ABSENT` where there is no frame.
    """
    n = clip.grid.shape[2]
    at = picked(n, spec.most)
    known = len(clip.moments) == n and clip.moment_unit == spec.unit and spec.unit != "frame"
    since = np.asarray(clip.moments if known else np.arange(n), dtype=np.float64)
    shown = np.full(spec.most, ABSENT, dtype=np.float32)
    shown[: len(at)] = np.clip((since[at] - since[0]) / (spec.step if known else 1.0), 0, 2000)
    return shown


def spread_back(values: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Give every frame of the source what the nearest frame that was seen got.

    Args:
        values: ``(..., most)`` of the prepared array.
        n: Frames of the source.

    Returns:
        ``(..., n)``.
    """
    at = picked(n, values.shape[-1])
    nearest = np.abs(np.arange(n)[:, None] - at[None]).argmin(axis=1)
    return np.ascontiguousarray(values[..., nearest])
