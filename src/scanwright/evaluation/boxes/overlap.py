"""How much boxes overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def iou(one: Floats, other: Floats) -> Floats:
    """Intersection over union of every pair of boxes.

    Args:
        one: ``(N, 2 * D)``: lower edges, then upper ones, along D axes.
        other: ``(M, 2 * D)``.

    Returns:
        ``(N, M)``, 0 .. 1; 0 where both have no extent.

    Example:
        >>> iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [0, 0, 2, 2]])).round(4).tolist()
        [[0.3333, 1.0]]
    """
    d = one.shape[1] // 2
    low = np.maximum(one[:, None, :d], other[None, :, :d])
    high = np.minimum(one[:, None, d:], other[None, :, d:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    sizes = [np.prod(np.clip(b[:, d:] - b[:, :d], 0, None), axis=1) for b in (one, other)]
    union = sizes[0][:, None] + sizes[1][None, :] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)
