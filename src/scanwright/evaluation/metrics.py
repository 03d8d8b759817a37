"""The visible table of figures. One row is one figure: formula, range, direction, source.

A class that has no cases in a part (or in a resample) cannot be judged: its figures are NaN
and averages over classes are taken over the others. A class that has cases and was never
answered has precision 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scanwright.core.cohort import Task
from scanwright.evaluation.scored import Floats
from scanwright.evaluation.tally import Tally

CLASS_TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel", "ordinal")
POSITIVE = 1
"""Index of the positive class of a ``binary`` task."""


@dataclass(frozen=True)
class Metric:
    """One figure.

    Args:
        title: Name in a table.
        meaning: One plain sentence for a reader who is no statistician.
        better: Direction.
        bounds: Smallest and largest possible value.
        tasks: Tasks that it is computed for.
        per_class: ``(r, K)`` figures of each class against the others; None if there are none.
        overall: ``(r,)`` figure of the whole.
        source: Definition.
        recentred: Whether resampling shifts the figure systematically, so that the percentiles are
            moved back by the shift of their median.
    """

    title: str
    meaning: str
    better: Literal["higher", "lower"]
    bounds: tuple[float, float]
    tasks: tuple[Task, ...]
    per_class: Callable[[Tally], Floats] | None
    overall: Callable[[Tally], Floats]
    source: str
    recentred: bool = False


def _mean(columns: Floats) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all classes missing: NaN is the answer
        return np.nanmean(columns, axis=1)


def _average(per_class: Callable[[Tally], Floats]) -> Callable[[Tally], Floats]:
    """The positive class for ``binary``, the mean over classes with cases for the rest."""

    def overall(t: Tally) -> Floats:
        columns = np.where(t.positives > 0, per_class(t), np.nan)
        return columns[:, POSITIVE] if t.table.scored.task == "binary" else _mean(columns)

    return overall


def _recall(t: Tally) -> Floats:
    return t.over(t.sum("tp"), t.positives)


def _specificity(t: Tally) -> Floats:
    return t.over(t.sum("tn"), t.negatives)


def _precision(t: Tally) -> Floats:
    answered = t.sum("tp") + t.sum("fp")
    return np.where(t.positives > 0, np.nan_to_num(t.over(t.sum("tp"), answered)), np.nan)


def _f1(t: Tally) -> Floats:
    return np.where(t.positives > 0, t.over(2 * t.sum("tp"), 2 * t.sum("tp") + t.sum("fp") + t.sum("fn")), np.nan)


def _class_accuracy(t: Tally) -> Floats:
    return t.over(t.sum("tp") + t.sum("tn"), t.sum("n"))


def _accuracy(t: Tally) -> Floats:
    if t.table.scored.single:
        return t.over(t.sum("right"), t.sum("cases"))[:, 0]
    return _mean(_class_accuracy(t))


def _class_balanced(t: Tally) -> Floats:
    return (_recall(t) + _specificity(t)) / 2


def _balanced_accuracy(t: Tally) -> Floats:
    task = t.table.scored.task
    if task in ("binary", "multilabel"):
        return _average(_class_balanced)(t)
    present = (t.positives > 0).sum(axis=1)
    return np.where(present > 1, _mean(_recall(t)), np.nan)


def _auroc(t: Tally) -> Floats:
    return t.ranked[0]


def _average_precision(t: Tally) -> Floats:
    return t.ranked[1]


def _class_ece(t: Tally) -> Floats:
    gaps = np.stack([np.abs(t.sum(f"gap{k}")).sum(axis=1) for k in range(t.n_columns)], axis=1)
    return t.over(gaps, t.sum("n"))


def _ece(t: Tally) -> Floats:
    task = t.table.scored.task
    if task == "binary":
        return _class_ece(t)[:, POSITIVE]
    if task == "multilabel":
        return _mean(_class_ece(t))
    return np.abs(t.sum("gap")).sum(axis=1) / t.sum("cases")[:, 0]


def _class_loss(t: Tally) -> Floats:
    return t.over(t.sum("class_loss"), t.sum("n"))


def _loss(t: Tally) -> Floats:
    task = t.table.scored.task
    if task == "regress":
        return t.over(t.sum("se"), t.sum("n"))[:, 0]
    if task == "multilabel":
        return _mean(_class_loss(t))
    return t.over(t.sum("loss"), t.sum("cases"))[:, 0]


def _mae(t: Tally) -> Floats:
    if t.table.scored.task == "ordinal":
        return t.over(t.sum("steps"), t.sum("cases"))[:, 0]
    return t.over(t.sum("ae"), t.sum("n"))[:, 0]


def _quadratic_kappa(t: Tally) -> Floats:
    k = np.arange(t.n_columns)
    n = t.sum("cases")[:, 0]
    answered = t.sum("tp") + t.sum("fp")
    by_chance = np.einsum("ri,rj,ij->r", t.positives, answered, (k[:, None] - k[None]) ** 2) / n
    return 1 - t.over(t.sum("square_steps")[:, 0], by_chance)


def _spread(t: Tally, name: str) -> Floats:
    """Weighted sum of squares around the mean: ``y``, ``f``, or ``yf`` for the cross product."""
    a, b = (name, name) if len(name) == 1 else (name[0], name[1])
    return (t.sum((a + b) if a != b else a * 2) - t.sum(a) * t.sum(b) / t.sum("n"))[:, 0]


def _r2(t: Tally) -> Floats:
    return 1 - t.over(t.sum("se")[:, 0], _spread(t, "y"))


def _pearson(t: Tally) -> Floats:
    product = np.clip(_spread(t, "y"), 0, None) * np.clip(_spread(t, "f"), 0, None)
    return np.clip(t.over(_spread(t, "yf"), np.sqrt(product)), -1, 1)


def _spearman(t: Tally) -> Floats:
    w = t.by_case
    ranks = [order.ranks(w) for order in t.table.rank_orders]
    total = w.sum(axis=1, keepdims=True)
    a, b = (r - (w * r).sum(axis=1, keepdims=True) / total for r in ranks)
    return t.over((w * a * b).sum(axis=1), np.sqrt((w * a * a).sum(axis=1) * (w * b * b).sum(axis=1)))


def _rmse(t: Tally) -> Floats:
    return np.sqrt(_loss(t))


_UNIT, _ANY, _SIGNED = (0.0, 1.0), (0.0, np.inf), (-1.0, 1.0)
_LEARN = "scikit-learn, equal to 1e-9 (tests/golden/test_metrics.py)"

METRICS: dict[str, Metric] = {
    "auroc": Metric("AUROC", "Chance that a case with the finding gets a higher score than one without; 0.5 is guessing.", "higher", _UNIT, CLASS_TASKS, _auroc, _average(_auroc), f"Hanley and McNeil 1982; {_LEARN}"),
    "average_precision": Metric("Average precision", "Precision averaged over all thresholds; guessing gives the share of the class.", "higher", _UNIT, CLASS_TASKS, _average_precision, _average(_average_precision), _LEARN),
    "accuracy": Metric("Accuracy", "Share of right answers; misleads when one class is much more common.", "higher", _UNIT, CLASS_TASKS, _class_accuracy, _accuracy, _LEARN),
    "balanced_accuracy": Metric("Balanced accuracy", "Share of right answers, each class counting the same.", "higher", _UNIT, CLASS_TASKS, _class_balanced, _balanced_accuracy, _LEARN),
    "recall": Metric("Sensitivity (recall)", "Of the cases with the finding, the share that is found.", "higher", _UNIT, CLASS_TASKS, _recall, _average(_recall), _LEARN),
    "specificity": Metric("Specificity", "Of the cases without the finding, the share that is called free of it.", "higher", _UNIT, CLASS_TASKS, _specificity, _average(_specificity), _LEARN),
    "precision": Metric("Precision (PPV)", "Of the cases called positive, the share that is.", "higher", _UNIT, CLASS_TASKS, _precision, _average(_precision), _LEARN),
    "f1": Metric("F1", "Harmonic mean of precision and sensitivity.", "higher", _UNIT, CLASS_TASKS, _f1, _average(_f1), _LEARN),
    "ece": Metric("Calibration error (ECE)", "Mean gap between stated probability and what happens.", "lower", _UNIT, CLASS_TASKS, _class_ece, _ece, "Guo et al. 2017, 15 equal-width bins", recentred=True),
    "loss": Metric("Loss", "Cross-entropy in nats, or mean squared error of a number.", "lower", _ANY, (*CLASS_TASKS, "regress"), _class_loss, _loss, _LEARN),
    "quadratic_kappa": Metric("Quadratic kappa", "Agreement beyond chance; far misses weigh more.", "higher", _SIGNED, ("ordinal",), None, _quadratic_kappa, f"Cohen 1968; {_LEARN}"),
    "mae": Metric("Mean absolute error", "Mean distance from the truth, in its unit (or in steps of an ordered class).", "lower", _ANY, ("ordinal", "regress"), None, _mae, _LEARN),
    "rmse": Metric("Root mean squared error", "Typical distance from the truth; large misses weigh more.", "lower", _ANY, ("regress",), None, _rmse, _LEARN),
    "r2": Metric("R²", "Share of the spread that is explained; 0 is no better than the mean.", "higher", (-np.inf, 1.0), ("regress",), None, _r2, _LEARN),
    "pearson": Metric("Pearson correlation", "How straight a line truth and prediction make.", "higher", _SIGNED, ("regress",), None, _pearson, "scipy.stats.pearsonr, equal to 1e-9"),
    "spearman": Metric("Spearman correlation", "How well the order of cases is kept.", "higher", _SIGNED, ("regress",), None, _spearman, "scipy.stats.spearmanr, equal to 1e-9"),
}  # fmt: skip
"""Every figure that :func:`scanwright.evaluation.evaluate` gives, in the order of tables."""


def metrics_of(task: Task) -> dict[str, Metric]:
    """Rows of :data:`METRICS` that a task has.

    Args:
        task: Any task.

    Returns:
        Name to figure, in the order of tables.

    Example:
        >>> list(metrics_of("regress"))
        ['loss', 'mae', 'rmse', 'r2', 'pearson', 'spearman']
    """
    return {name: metric for name, metric in METRICS.items() if task in metric.tasks}
