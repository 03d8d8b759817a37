"""The number types that leave the room: small integers as they are, everything else float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import FormatError
from scanwright.io.guard import damaged

KEPT = frozenset(np.dtype(t) for t in ("u1", "i1", "u2", "i2", "i4", "f4"))
"""Types that a volume may have: 8 and 16-bit integers, int32 and float32, native byte order."""


def settle(array: NDArray[Any], path: Path, kind: str) -> NDArray[Any]:
    """Bring an array to one of the types of :data:`KEPT` without changing a value that fits.

    Booleans become uint8; wider integers int32 where every value fits, otherwise float32;
    other floats float32. Arrays already of such a type are returned as they are.

    Args:
        array: Any array of numbers.
        path: Source, for messages.
        kind: What it was read as, for messages.

    Returns:
        The array in native byte order.

    Raises:
        FormatError: The values are complex, text or objects.
    """
    if array.dtype in KEPT and array.dtype.isnative:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind in "iu":
        native = array.dtype.newbyteorder("=")
        if native in KEPT:
            return array.astype(native)
        info = np.iinfo(np.int32)
        fits = array.size == 0 or (int(array.min()) >= info.min and int(array.max()) <= info.max)
        return array.astype(np.int32 if fits else np.float32)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    raise damaged(path, kind, f"its values are of type {array.dtype}, not numbers of an image")


def fill_not_finite(array: NDArray[Any], path: Path) -> tuple[NDArray[Any], int]:
    """Replace NaN by the smallest value of the image, and refuse infinity.

    Programs write NaN where nothing was measured, outside the field of view; an infinity
    is an overflow and means nothing.

    Args:
        array: Settled values.
        path: Source, for messages.

    Returns:
        Values without NaN, and how many there were.

    Raises:
        FormatError: A value is infinite, or all are NaN.
    """
    if array.dtype.kind != "f":
        return array, 0
    low, high = (float(np.min(array)), float(np.max(array))) if array.size else (0.0, 0.0)
    if np.isfinite(low) and np.isfinite(high):
        return array, 0
    missing = np.isnan(array)
    n_missing = int(missing.sum())
    if n_missing == array.size or np.isinf(array).any():
        what = "is NaN everywhere" if n_missing == array.size else f"holds {int(np.isinf(array).sum())} infinite values"
        raise FormatError(
            f"{path.name} {what}.",
            "Image values are finite numbers; only voxels outside the field of view may be NaN.",
            "Repair the program that wrote it, or leave it out.",
        )
    filled = array.copy()
    filled[missing] = np.nanmin(array)
    return filled, n_missing


def integral(value: float) -> bool:
    """Whether a rescale slope or intercept is a whole number that int32 arithmetic holds."""
    return float(value).is_integer() and abs(value) < 2**31
