"""Single objects (nuclei, cells): average precision at an overlap, and panoptic quality."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from scanwright.core.errors import InputError
from scanwright.evaluation.masks.overlap import Overlap, overlap_of
from scanwright.evaluation.masks.surface import Floats, Mask

LADDER = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Thresholds .5, .55 ... .95 of the mean average precision."""


def instance_figures(
    truth_ids: NDArray[np.integer],
    answer_ids: NDArray[np.integer],
    iou: float = 0.5,
    *,
    ignored: Mask | None = None,
) -> dict[str, float]:
    """Figures of separated objects in one case.

    An answered object is right when it is paired with a true one at an intersection over union of
    at least ``iou``; pairs are one to one, as many as possible and among those the best.

    Args:
        truth_ids: Object ids of any shape, 0 background.
        answer_ids: Same shape.
        iou: Above 0, up to 1.
        ignored: Voxels that belong to neither.

    Returns:
        ``tp``, ``fp``, ``fn``; ``ap`` = tp / (tp + fp + fn); ``ap_mean``, its mean over
        :data:`LADDER`; ``precision``, ``recall``, ``f1``; ``segmentation_quality`` (mean overlap of
        the pairs), ``panoptic_quality`` (its product with ``f1``). NaN where both are empty.

    Raises:
        InputError: Shapes or ``iou`` do not fit.

    Source:
        Data Science Bowl 2018 and StarDist (``ap``, ``ap_mean``); Kirillov et al. 2019 (panoptic
        quality, which there asks for an overlap above .5).

    Example:
        >>> truth, answer = np.array([1, 1, 0, 2, 2]), np.array([7, 7, 0, 0, 3])
        >>> instance_figures(truth, answer, iou=0.6)["ap"]
        0.3333333333333333
    """
    if np.shape(truth_ids) != np.shape(answer_ids):
        raise InputError(
            f"The objects have the shapes {np.shape(truth_ids)} and {np.shape(answer_ids)}.",
            "Truth and answer lie on one grid.",
            "Resample one onto the other.",
        )
    if not 0 < iou <= 1:
        raise InputError(f"The overlap is {iou}.", "It is above 0 and at most 1.", "Give .5, for example.")
    if ignored is not None:
        truth_ids, answer_ids = np.where(ignored, 0, truth_ids), np.where(ignored, 0, answer_ids)
    overlap = overlap_of(truth_ids, answer_ids)
    n_true, n_answered = len(overlap.truth_size), len(overlap.answer_size)
    matched = _matched(overlap, iou)
    tp = len(matched)
    ladder = [_share(len(_matched(overlap, step)), n_true, n_answered) for step in LADDER]
    f1 = 2 * tp / (n_true + n_answered) if n_true + n_answered else float("nan")
    quality = float(matched.mean()) if tp else float("nan")
    return {
        "tp": float(tp),
        "fp": float(n_answered - tp),
        "fn": float(n_true - tp),
        "ap": _share(tp, n_true, n_answered),
        "ap_mean": float(np.mean(ladder)),
        "precision": tp / n_answered if n_answered else (0.0 if n_true else float("nan")),
        "recall": tp / n_true if n_true else float("nan"),
        "f1": f1,
        "segmentation_quality": quality,
        "panoptic_quality": quality * f1 if tp else (0.0 if n_true + n_answered else float("nan")),
    }


def _share(tp: int, n_true: int, n_answered: int) -> float:
    all_objects = n_true + n_answered - tp
    return tp / all_objects if all_objects else float("nan")


def _matched(overlap: Overlap, iou: float) -> Floats:
    """Overlaps of the pairs, one to one. Above .5 an object has one partner at most."""
    all_pairs = overlap.iou
    good = all_pairs >= iou
    truth, answer, values = overlap.truth[good], overlap.answer[good], all_pairs[good]
    if len(np.unique(truth)) == len(truth) and len(np.unique(answer)) == len(answer):
        return np.asarray(values)
    rows, row = np.unique(truth, return_inverse=True)
    columns, column = np.unique(answer, return_inverse=True)
    gain = np.zeros((len(rows), len(columns)))
    gain[row, column] = 1 + values / (2 * min(gain.shape))  # one more pair outweighs any overlap
    pairs = linear_sum_assignment(gain, maximize=True)
    kept = gain[pairs]
    return np.asarray((kept[kept > 0] - 1) * 2 * min(gain.shape))
