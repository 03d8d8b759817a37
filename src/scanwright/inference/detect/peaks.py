"""From a network's answers on its cells to boxes in the voxels of its window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.evaluation.boxes import Found

LEAST = 0.02
"""Score below which a peak is no answer."""
_LARGEST = 4.0
"""Logarithm of the largest size, as a factor of the usual one."""


def decode(
    answers: NDArray[np.floating],
    *,
    n_classes: int,
    stride: Sequence[int],
    typical: Sequence[float],
    most: int = 300,
    least: float = LEAST,
) -> Found:
    """Peaks of the class maps, with the place and size that are answered there.

    Args:
        answers: ``(n_classes + 2 * D, *cells)``: logits of the classes; offsets of the middle in cells; logarithms
            of the sizes as factors of the usual one.
        n_classes: Classes.
        stride: Voxels of a cell along each axis.
        typical: Usual size along each axis, in cells.
        most: Most boxes.
        least: Score of the last one.

    Returns:
        Boxes in voxel indices of the window, surest first.

    Source:
        Zhou et al., Objects as Points (2019): a peak is a cell that none of its neighbours surpasses.
    """
    d = len(stride)
    heat = 1.0 / (1.0 + np.exp(-np.clip(answers[:n_classes].astype(np.float64), -30, 30)))
    peaks = heat == ndimage.maximum_filter(heat, size=(1,) + (3,) * d, mode="constant", cval=-1.0)
    places = np.argwhere(peaks & (heat >= least))
    scores = heat[tuple(places.T)]
    order = np.argsort(-scores, kind="stable")[:most]
    places, scores = places[order], scores[order]
    cells = places[:, 1:]
    told = answers[(slice(n_classes, None), *cells.T)].T.astype(np.float64)  # (N, 2 D)
    step = np.asarray(stride, dtype=np.float64)
    middle = (cells + told[:, :d]) * step + (step - 1) / 2
    size = np.exp(np.clip(told[:, d:], -_LARGEST, _LARGEST)) * np.asarray(typical) * step
    corners = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
    return Found(corners, places[:, 0].astype(np.intp), scores)
