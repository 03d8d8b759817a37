"""From source values to 0 .. 1: one function per method, in one visible table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import FormatError, Intensity

_SAMPLE = 1 << 19
"""Values that percentiles of a large array are taken from (every n-th voxel)."""


def finite(array: NDArray[Any]) -> NDArray[np.float32]:
    """Values as float32 with nothing infinite left.

    Args:
        array: Any real values.

    Returns:
        The same shape; NaN and minus infinity become the lowest finite value, plus
        infinity the highest.

    Raises:
        FormatError: No value is finite.
    """
    values = array.astype(np.float32) if array.dtype != np.float32 else array
    if array.dtype.kind in "bui":
        return values
    # One pass: the sum is finite exactly when every value is (float64 cannot overflow from float32).
    if np.isfinite(values.sum(dtype=np.float64)):
        return values
    good = values[np.isfinite(values)]
    if good.size == 0:
        raise FormatError(
            "Not one intensity of the image is a finite number.",
            "An image needs finite intensities.",
            "Look at the file in a viewer, and leave it out if it is empty.",
        )
    low, high = good.min(), good.max()
    return np.nan_to_num(values, nan=low, posinf=high, neginf=low)


def percentiles(values: NDArray[Any], q: Sequence[float]) -> NDArray[np.float64]:
    """Percentiles of an array, quickly and always the same.

    Args:
        values: Finite values of any shape.
        q: Percentages, 0 .. 100.

    Returns:
        One value each. Beyond half a million values every n-th one is looked at.

    Source:
        Linear interpolation of order statistics, as ``numpy.percentile``.
    """
    flat = values.reshape(-1)
    if flat.size > _SAMPLE:
        flat = flat[:: flat.size // _SAMPLE]
    n = flat.size
    ranks = np.asarray(q, dtype=np.float64) / 100 * (n - 1)
    below = np.floor(ranks).astype(int)
    above = np.minimum(below + 1, n - 1)
    if flat.dtype == np.uint8:
        cumulated = np.cumsum(np.bincount(flat, minlength=256))
        lower, upper = (np.searchsorted(cumulated, i, side="right").astype(np.float64) for i in (below, above))
    else:
        ordered = np.partition(flat, np.unique(np.concatenate([below, above])))
        lower, upper = ordered[below].astype(np.float64), ordered[above].astype(np.float64)
    return np.asarray(lower + (ranks - below) * (upper - lower))


def _between(array: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Clip to ``low .. high`` and scale to 0 .. 1; all zeros when there is nothing between."""
    values = finite(array)
    if not high > low:
        return np.zeros(values.shape, np.float32)
    # One multiplication and one addition, in float32: the same bits on every machine.
    scaled = values - np.float32(low)
    scaled *= np.float32(1.0 / (high - low))
    return np.clip(scaled, np.float32(0), np.float32(1), out=scaled)


def window(array: NDArray[Any], spec: Intensity) -> NDArray[np.float32]:
    """A fixed window in the source's unit (HU, say)."""
    return _between(array, spec.low, spec.high)


def value_range(array: NDArray[Any], spec: Intensity) -> NDArray[np.float32]:
    """Everything from ``low`` to ``high`` of the source's type, whatever the case holds."""
    return _between(array, spec.low, spec.high)


def percentile(array: NDArray[Any], spec: Intensity) -> NDArray[np.float32]:
    """Between two percentiles of the case; lowest to highest where these coincide."""
    values = array if array.dtype == np.uint8 else finite(array)
    low, high = percentiles(values, (spec.low, spec.high))
    if not high > low:
        low, high = float(values.min()), float(values.max())
    return _between(values, float(low), float(high))


def zscore(array: NDArray[Any], spec: Intensity) -> NDArray[np.float32]:
    """Standard deviations from the mean of the case's foreground.

    The foreground is what lies above the ``low`` percentile; ``-high .. high`` standard
    deviations become 0 .. 1.
    """
    values = finite(array)
    floor = percentiles(values, (spec.low,))[0]
    front = values[values > floor]
    if front.size < 2:
        front = values.reshape(-1)
    mean, spread = float(front.mean(dtype=np.float64)), float(front.std(dtype=np.float64))
    return _between(values, mean - spec.high * spread, mean + spec.high * spread)


INTENSITY: dict[str, Callable[[NDArray[Any], Intensity], NDArray[np.float32]]] = {
    "window": window,
    "range": value_range,
    "percentile": percentile,
    "zscore": zscore,
}
"""Every intensity method: values of any type in, float32 from 0 to 1 out, same shape."""
