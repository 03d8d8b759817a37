"""Average precision: the area under precision over recall, for many resamples at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanwright.evaluation.boxes.overlap import Floats


def average_precision(
    scores: Floats,
    hits: NDArray[np.bool_],
    case: NDArray[np.intp],
    n_truth: Floats,
    weights: Floats | None = None,
) -> Floats:
    """Average precision of one class at one overlap.

    Args:
        scores: ``(N,)`` of all answers of all cases.
        hits: ``(N,)`` whether each found a true box.
        case: ``(N,)`` case of each answer.
        n_truth: ``(M,)`` true boxes of each case.
        weights: ``(r, M)`` how often each case counts; None for once each.

    Returns:
        ``(r,)``, 0 .. 1; NaN where there is no true box.

    Source:
        Area under the precision envelope, every point of recall (Pascal VOC from 2010 on: Everingham et al.,
        IJCV 2015). COCO reads the same envelope at 101 places, which differs by less than 0.01.
    """
    counted = np.ones((1, len(n_truth))) if weights is None else weights
    total = counted @ np.asarray(n_truth, dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    drawn = counted[:, case[order]]
    right = np.cumsum(drawn * hits[order], axis=1)
    every = np.cumsum(drawn, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(every > 0, right / every, 0.0)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = right / total[:, None]
        steps = np.diff(recall, axis=1, prepend=0.0)
        return np.where(total > 0, (steps * envelope).sum(axis=1), np.nan)


def precision_recall(scores: Floats, hits: NDArray[np.bool_], n_truth: float) -> tuple[Floats, Floats, Floats]:
    """Precision and recall at every score.

    Args:
        scores: ``(N,)``.
        hits: ``(N,)``.
        n_truth: True boxes.

    Returns:
        Scores falling, recall and precision, each ``(N,)``.
    """
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(hits[order])
    return scores[order], right / max(n_truth, 1e-12), right / np.arange(1, len(order) + 1)


def best_threshold(scores: Floats, hits: NDArray[np.bool_], n_truth: float, rule: str = "f1") -> float:
    """The score from which boxes are shown.

    Args:
        scores: ``(N,)`` of all answers, all classes together.
        hits: ``(N,)``.
        n_truth: True boxes.
        rule: ``"f1"``: the best balance of what is found and what is false; ``"sensitivity>=0.9"``: the
            highest score at which that share is found.

    Returns:
        Score, halfway to the next lower answer; 0.5 without answers or truth.
    """
    if not len(scores) or n_truth <= 0:
        return 0.5
    falling, recall, precision = precision_recall(scores, hits, n_truth)
    last = np.flatnonzero(np.diff(falling, append=-np.inf) != 0)  # ties move together
    if rule == "f1":
        both = recall[last] + precision[last]
        at = int(np.argmax(np.where(both > 0, 2 * recall[last] * precision[last] / np.maximum(both, 1e-12), 0.0)))
    else:
        enough = recall[last] >= float(rule.partition(">=")[2])
        at = int(enough.argmax()) if enough.any() else len(last) - 1
    here = float(falling[last[at]])
    below = float(falling[last[at + 1]]) if at + 1 < len(last) else 0.0
    return (here + below) / 2
