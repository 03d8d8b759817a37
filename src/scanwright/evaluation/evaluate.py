"""From predictions and truth to figures with intervals, and to honest warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanwright.core.cohort import Task
from scanwright.core.errors import InputError
from scanwright.core.prediction import Evaluation, Interval
from scanwright.evaluation.caution import warnings_of
from scanwright.evaluation.curves import curves_of
from scanwright.evaluation.metrics import Metric, metrics_of
from scanwright.evaluation.resampling import percentile_bounds, resample
from scanwright.evaluation.scored import Floats, Scored, as_columns, as_numbers, score_cases
from scanwright.evaluation.tally import Table

Groups = Sequence[Any] | NDArray[Any] | None


def evaluate(
    probabilities: ArrayLike,
    truth: ArrayLike | Sequence[Any],
    *,
    task: Task,
    classes: Sequence[str],
    groups: Groups = None,
    part: Literal["train", "val", "test", "external"] = "test",
    who: str = "model",
    answers: ArrayLike | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Judge predictions of one part.

    Every figure gets a 95 % percentile interval from resamples of patients (groups), drawn
    with replacement. A resample without any case of a class leaves that class out of its
    averages; a figure that fewer than half of the resamples can give has the bounds NaN.

    Args:
        probabilities: ``(N, K)``, 0 .. 1; for ``binary`` also ``(N,)`` of the positive class
            (index 1); for ``regress`` ``(N,)`` values.
        truth: ``(N,)`` class indices or numbers; ``(N, K)`` of 1, 0 and missing for
            ``multilabel``. None and NaN are missing: those cases (or labels) are left out.
        task: Task.
        classes: K names in order of the index; the name of the number for ``regress``.
        groups: ``(N,)`` patient of each case; None when every case is a patient.
        part: Which part this is.
        who: ``"model"``, ``"majority"``, ``"linear"``, or ``"uncalibrated"``.
        answers: ``(N,)`` class indices (``(N, K)`` of 1 and 0 for ``multilabel``) that the
            operating point decided; None for the likeliest class, or .5.
        n_bootstrap: Number of resamples; 0 gives no intervals (NaN).
        seed: Seed of the draws.

    Returns:
        Figures of the whole (positive class for ``binary``, mean over classes for the rest)
        and of each class against the others, confusion matrix, curves, warnings.

    Raises:
        InputError: Shapes or values do not fit.
        CohortError: No case has a label.

    Source:
        Percentile bootstrap over clusters: Efron and Tibshirani 1993. Figures: :data:`METRICS`.

    Example:
        >>> judged = evaluate([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], task="binary", classes=("no", "yes"))
        >>> judged.metrics["auroc"].value
        0.75
    """
    scored = score_cases(probabilities, truth, task=task, classes=classes, groups=groups, answers=answers, part=part)
    overall, per_class = _intervals(scored, metrics_of(task), n_bootstrap, seed)
    confusion = _confusion(scored)
    judged = Evaluation(
        part=part,
        task=task,
        classes=tuple(classes),
        n_cases=len(scored.scores),
        n_patients=scored.n_groups,
        metrics=overall,
        per_class=per_class,
        confusion=confusion,
        curves=curves_of(scored),
        who=who,
    )
    n_unlabelled = int((~scored.kept).sum())
    return Evaluation(**{**judged.__dict__, "warnings": warnings_of(judged, scored, n_unlabelled)})


def _intervals(
    scored: Scored, metrics: dict[str, Metric], n_bootstrap: int, seed: int
) -> tuple[dict[str, Interval], dict[str, dict[str, Interval]]]:
    table = Table(scored)

    def compute(weights: Floats) -> dict[str, Floats]:
        tally = table.tally(weights)
        out = {name: metric.overall(tally) for name, metric in metrics.items()}
        if scored.task != "regress":
            out |= {f"/{name}": m.per_class(tally) for name, m in metrics.items() if m.per_class is not None}
        return out

    point, drawn = resample(compute, scored.n_groups, n_bootstrap=n_bootstrap, seed=seed, cells=len(scored.scores))
    bounds = {name: _bounds(metrics[name.lstrip("/")], point[name], values) for name, values in drawn.items()}
    overall = {name: _interval(point[name], *bounds[name]) for name in metrics}
    per_class: dict[str, dict[str, Interval]] = {}
    if scored.task != "regress":
        for k, name in enumerate(scored.classes):
            figures = {
                m: (point[f"/{m}"][k], bounds[f"/{m}"][0][k], bounds[f"/{m}"][1][k])
                for m in metrics
                if f"/{m}" in point
            }
            per_class[name] = {m: _interval(*values) for m, values in figures.items()}
    return overall, per_class


def _bounds(metric: Metric, point: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    if not metric.recentred:
        return percentile_bounds(drawn)
    low, high = percentile_bounds(drawn, np.asarray(point))
    return np.clip(low, *metric.bounds), np.clip(high, *metric.bounds)


def _interval(value: Any, low: Any, high: Any) -> Interval:
    return Interval(float(value), float(low), float(high))


def _confusion(scored: Scored) -> tuple[tuple[int, ...], ...]:
    if not scored.single:
        return ()
    counts = scored.truth.T @ scored.answered
    return tuple(tuple(int(v) for v in row) for row in counts)


def paired_difference(
    probabilities_a: ArrayLike,
    probabilities_b: ArrayLike,
    truth: ArrayLike | Sequence[Any],
    groups: Groups = None,
    *,
    metric: str = "auroc",
    task: Task | None = None,
    answers: tuple[ArrayLike | None, ArrayLike | None] = (None, None),
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Interval:
    """Compare two models on the same cases: figure of A minus figure of B.

    Both are computed on the same resamples, so that what they share cancels. An interval
    that leaves out 0 is a difference at the 5 % level.

    Args:
        probabilities_a: As in :func:`evaluate`.
        probabilities_b: Of the other model, same cases in the same order.
        truth: As in :func:`evaluate`.
        groups: ``(N,)`` patients, or None.
        metric: A key of :data:`METRICS`.
        task: Task; None to tell from the shapes.
        answers: What each model decided, or None.
        n_bootstrap: Number of resamples.
        seed: Seed of the draws.

    Returns:
        The difference with its 95 % interval.

    Raises:
        InputError: The metric is unknown for the task, or shapes do not fit.

    Source:
        Paired percentile bootstrap, Efron and Tibshirani 1993.
    """
    found = task or _task_of(probabilities_a, truth)
    width = np.shape(probabilities_a)[1] if np.ndim(probabilities_a) == 2 else 2
    names = [f"class {k}" for k in range(1 if found == "regress" else max(width, 2 if found == "binary" else 1))]
    figure = metrics_of(found).get(metric)
    if figure is None:
        raise InputError(
            f"The metric {metric!r} is unknown for a {found} task.",
            f"It is one of {', '.join(metrics_of(found))}.",
            "Correct the name.",
        )
    pair = zip((probabilities_a, probabilities_b), answers, strict=True)
    scored = [score_cases(p, truth, task=found, classes=names, groups=groups, answers=a) for p, a in pair]
    first, second = Table(scored[0]), Table(scored[1])

    def compute(weights: Floats) -> dict[str, Floats]:
        return {"difference": figure.overall(first.tally(weights)) - figure.overall(second.tally(weights))}

    n = len(scored[0].scores)
    point, drawn = resample(compute, scored[0].n_groups, n_bootstrap=n_bootstrap, seed=seed, cells=n)
    return _interval(point["difference"], *percentile_bounds(drawn["difference"]))


def _task_of(probabilities: ArrayLike, truth: ArrayLike | Sequence[Any]) -> Task:
    labels = as_numbers(truth)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return "multilabel"
    if np.ndim(probabilities) == 2 and np.shape(probabilities)[1] > 1:
        return "binary" if np.shape(probabilities)[1] == 2 else "multiclass"
    return "binary" if np.isin(labels[np.isfinite(labels)], (0, 1)).all() else "regress"


def majority_baseline(train_truth: ArrayLike | Sequence[Any], n: int, task: Task, classes: Sequence[str]) -> Floats:
    """The floor: what is said without looking at the image.

    Args:
        train_truth: Labels of the training part, as in :func:`evaluate`.
        n: Number of cases to answer.
        task: Task.
        classes: K names.

    Returns:
        ``(n, K)``, each row the shares of the classes in training; ``(n, 1)`` of the mean
        training value for ``regress``.

    Raises:
        InputError: No training case has a label.
    """
    labels = as_numbers(train_truth)
    if not np.isfinite(labels).any():
        raise InputError(
            "No training case has a label.", "The floor is the commonest label.", "Name the column with --labels."
        )
    if task == "regress":
        return as_columns(np.full(n, np.nanmean(labels)), task, 1)
    if task == "multilabel":
        known = np.isfinite(labels)
        shares = np.where(known, labels, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    else:
        flat = labels.reshape(-1)
        counts = np.bincount(flat[np.isfinite(flat)].astype(np.intp), minlength=len(classes))
        shares = counts / counts.sum()
    return np.tile(shares, (n, 1)).astype(np.float64)
