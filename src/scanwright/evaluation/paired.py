"""Is one model better than another on the same cases? The difference, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from scanwright.core.cohort import Task
from scanwright.core.prediction import Interval
from scanwright.evaluation.resampling import group_index

Floats = NDArray[np.float64]


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    truth: ArrayLike | Sequence[Any],
    *,
    task: Task,
    groups: Sequence[str] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Interval:
    """How much better the first is than the second.

    Args:
        first: ``(N, K)`` probabilities, or ``(N, 1)`` numbers for ``regress``.
        second: The same of the other model, of the same cases.
        truth: ``(N,)`` class indices or numbers, ``(N, K)`` of 1, 0 and NaN for ``multilabel``.
        task: Task.
        groups: Patients, which are drawn with replacement, the same for both.
        n_bootstrap: Draws.
        seed: Seed of the draws.

    Returns:
        Difference of AUROC (mean over classes), for ``regress`` of the mean absolute error, turned round so that above 0 the
        first is better. NaN where a figure cannot be computed.

    Source:
        Paired bootstrap over patients (Efron and Tibshirani 1993, chapter 8).
    """
    a, b = (np.asarray(v, dtype=np.float64).reshape(len(np.asarray(v)), -1) for v in (first, second))
    labels = np.asarray([np.nan if t is None else t for t in truth], dtype=np.float64)  # type: ignore[union-attr]
    group = group_index(groups, len(labels))
    members = [np.flatnonzero(group == g) for g in range(int(group.max()) + 1)] if len(group) else []
    point = _figure(a, labels, task) - _figure(b, labels, task)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(n_bootstrap):
        rows = np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        drawn.append(_figure(a[rows], labels[rows], task) - _figure(b[rows], labels[rows], task))
    known = np.array([d for d in drawn if np.isfinite(d)])
    if 2 * len(known) < n_bootstrap or not len(known):
        return Interval(float(point), float("nan"), float("nan"))
    low, high = np.percentile(known, (2.5, 97.5))
    return Interval(float(point), float(low), float(high))


def auroc_of(scores: ArrayLike, truth: ArrayLike, *, task: Task) -> float:
    """AUROC (mean over classes) of logits or probabilities; NaN where it cannot be computed.

    Args:
        scores: ``(N, n_outputs)`` logits, or ``(N, K)`` probabilities.
        truth: ``(N,)`` class indices, or ``(N, K)`` for ``multilabel``.
        task: Any but ``regress``.
    """
    values = np.asarray(scores, dtype=np.float64)
    if task == "binary" and values.shape[1] == 1:
        values = np.concatenate([-values, values], axis=1)
    return _figure(values, np.asarray(truth, dtype=np.float64), task)


def auroc(truth: NDArray[np.bool_], values: NDArray[np.floating]) -> float:
    """Area under the ROC curve; nan if one class is absent.

    Args:
        truth: ``(n,)``.
        values: ``(n,)``; ties count half.

    Source:
        Mann-Whitney; equal to ``sklearn.metrics.roc_auc_score``.

    Example:
        >>> auroc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9], np.float32))
        0.75
    """
    n_yes = int(truth.sum())
    n_no = len(truth) - n_yes
    if not n_yes or not n_no:
        return float("nan")
    return float((rankdata(values)[truth].sum() - n_yes * (n_yes + 1) / 2) / (n_yes * n_no))


def _figure(chances: Floats, labels: NDArray[np.float64], task: Task) -> float:
    if task == "regress":
        known = np.isfinite(labels)
        return -float(np.abs(chances[known, 0] - labels[known]).mean()) if known.any() else float("nan")
    if task == "multilabel":
        return _mean([_of_known(labels[:, k], chances[:, k]) for k in range(labels.shape[1])])
    if task == "binary":
        return _of_known(np.where(np.isfinite(labels), labels == 1, np.nan), chances[:, 1])
    classes = range(chances.shape[1])
    return _mean([_of_known(np.where(np.isfinite(labels), labels == k, np.nan), chances[:, k]) for k in classes])


def _of_known(truth: NDArray[np.float64], values: Floats) -> float:
    known = np.isfinite(truth)
    return auroc(truth[known] == 1, values[known])


def _mean(values: list[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")
