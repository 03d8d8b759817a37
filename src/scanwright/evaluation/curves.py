"""Curves for pictures: ROC, precision–recall, reliability; at most 200 points each."""

from __future__ import annotations

import numpy as np

from scanwright.evaluation.scored import Floats, Scored

MAX_POINTS = 200
ALL_LABELS = "(all labels)"
"""Name of the reliability curve of all labels together, in ``multilabel``."""
N_RELIABILITY_BINS = 10
LIKELIEST = "(likeliest class)"
"""Name of the reliability curve of the likeliest class, where exactly one class is true."""


def curves_of(scored: Scored) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Curves of every class that has cases and non-cases.

    Args:
        scored: The cases.

    Returns:
        ``"roc"`` (x false-positive rate, y recall), ``"pr"`` (x recall, y precision) and
        ``"reliability"`` (x mean probability, y share of the class, n cases, in ten bins of
        equal width): class name to lists; also :data:`LIKELIEST` or :data:`ALL_LABELS`. For ``binary`` the positive class only; for
        ``regress`` one ``"scatter"`` of x truth and y prediction.
    """
    if scored.task == "regress":
        x, y = scored.truth[:, 0], scored.scores[:, 0]
        pick = _spread_out(np.argsort(x, kind="stable"))
        return {
            "scatter": {scored.classes[0] if scored.classes else "value": {"x": _plain(x[pick]), "y": _plain(y[pick])}}
        }
    out: dict[str, dict[str, dict[str, list[float]]]] = {"roc": {}, "pr": {}, "reliability": {}}
    for k, name in enumerate(scored.classes):
        if scored.task == "binary" and k == 0:
            continue
        known = scored.known[:, k]
        truth, scores = scored.truth[known, k], scored.scores[known, k]
        if 0 < truth.sum() < len(truth):
            fpr, recall, precision = _thresholds(truth, scores)
            out["roc"][name] = _thin(np.r_[0.0, fpr], np.r_[0.0, recall])
            out["pr"][name] = _thin(np.r_[0.0, recall], np.r_[precision[0], precision])
        if len(truth):
            out["reliability"][name] = reliability(truth, scores)
    if scored.task in ("multiclass", "ordinal"):
        likeliest = scored.scores.argmax(axis=1)
        rows = np.arange(len(likeliest))
        out["reliability"][LIKELIEST] = reliability(scored.truth[rows, likeliest], scored.scores[rows, likeliest])
    if scored.task == "multilabel":
        out["reliability"][ALL_LABELS] = reliability(scored.truth[scored.known], scored.scores[scored.known])
    return out


def reliability(truth: Floats, scores: Floats) -> dict[str, list[float]]:
    """What happened beside what was said, in bins of equal width.

    Args:
        truth: ``(N,)`` 1 or 0.
        scores: ``(N,)`` probabilities.

    Returns:
        ``x`` mean probability, ``y`` share of 1, ``n`` cases; empty bins are left out.
    """
    bins = np.clip((scores * N_RELIABILITY_BINS).astype(np.intp), 0, N_RELIABILITY_BINS - 1)
    n = np.bincount(bins, minlength=N_RELIABILITY_BINS).astype(np.float64)
    filled = n > 0
    x = np.bincount(bins, scores, N_RELIABILITY_BINS)[filled] / n[filled]
    y = np.bincount(bins, truth, N_RELIABILITY_BINS)[filled] / n[filled]
    return {"x": _plain(x), "y": _plain(y), "n": _plain(n[filled])}


def _thresholds(truth: Floats, scores: Floats) -> tuple[Floats, Floats, Floats]:
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(scores[order]) != 0), len(order) - 1]  # ties move together
    tp = np.cumsum(truth[order])[last]
    fp = 1.0 + last - tp
    return fp / (len(truth) - truth.sum()), tp / truth.sum(), tp / (tp + fp)


def _thin(x: Floats, y: Floats) -> dict[str, list[float]]:
    """Leave out points on a straight line, then keep at most MAX_POINTS by length along the curve."""
    if len(x) > 2:
        turn = (x[1:-1] - x[:-2]) * (y[2:] - y[1:-1]) != (y[1:-1] - y[:-2]) * (x[2:] - x[1:-1])
        keep = np.r_[True, turn, True]
        x, y = x[keep], y[keep]
    if len(x) > MAX_POINTS:
        along = np.r_[0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
        pick = np.unique(np.searchsorted(along, np.linspace(0, along[-1], MAX_POINTS)).clip(0, len(x) - 1))
        x, y = x[pick], y[pick]
    return {"x": _plain(x), "y": _plain(y)}


def _spread_out(order: np.ndarray) -> np.ndarray:
    if len(order) <= MAX_POINTS:
        return order
    return order[np.linspace(0, len(order) - 1, MAX_POINTS).round().astype(np.intp)]


def _plain(values: Floats) -> list[float]:
    return [round(float(v), 6) for v in values]
