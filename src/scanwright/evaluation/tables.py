"""Evaluations as plain JSON, and predictions as one row a case."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from scanwright.core.cohort import Case, Label, Task
from scanwright.core.prediction import Evaluation, Interval
from scanwright.evaluation.scored import as_columns, default_answers

BASELINES = ("majority", "linear", "floor")


def metrics_json(evaluations: Iterable[Evaluation]) -> dict[str, Any]:
    """Lay out evaluations as ``metrics.json``.

    Args:
        evaluations: Of any parts and predictors; a later one replaces an earlier one of the
            same part and predictor.

    Returns:
        ``{"test": {"auroc": {"value", "low", "high"}, …, "per_class", "confusion", "n_cases",
        "n_patients", "warnings"}, "val": …, "baselines": {"majority": {"test": …}, …}}``.
        A figure that cannot be computed is None (null in the file). A predictor that is
        neither the model nor a baseline stands under its own name.

    Example:
        >>> from scanwright.evaluation import evaluate
        >>> judged = evaluate([0.2, 0.9], [0, 1], task="binary", classes=("no", "yes"), n_bootstrap=10)
        >>> metrics_json([judged])["test"]["auroc"]["value"]
        1.0
    """
    out: dict[str, Any] = {}
    for judged in evaluations:
        if judged.who == "model":
            place = out
        elif judged.who in BASELINES:
            place = out.setdefault("baselines", {}).setdefault(judged.who, {})
        else:
            place = out.setdefault(judged.who, {})
        place[judged.part] = _one(judged)
    return out


def _one(judged: Evaluation) -> dict[str, Any]:
    return {
        **{name: _figure(value) for name, value in judged.metrics.items()},
        "per_class": {c: {name: _figure(v) for name, v in row.items()} for c, row in judged.per_class.items()},
        "confusion": [list(row) for row in judged.confusion],
        "task": judged.task,
        "classes": list(judged.classes),
        "n_cases": judged.n_cases,
        "n_patients": judged.n_patients,
        "warnings": list(judged.warnings),
    }


def _figure(interval: Interval) -> dict[str, float | None]:
    return {name: _finite(getattr(interval, name)) for name in ("value", "low", "high")}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def prediction_rows(
    cases: Sequence[Case],
    probabilities: ArrayLike,
    answers: ArrayLike | None = None,
    *,
    task: Task,
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    """One row a case, for ``predictions.csv``.

    Args:
        cases: N cases.
        probabilities: ``(N, K)``, or ``(N,)`` values for ``regress``; see :func:`evaluate`.
        answers: What was decided; None for the likeliest class, or .5.
        task: Task.
        classes: K names.

    Returns:
        Columns ``case, patient, part, truth, predicted, correct``, ``p:<class>`` for each
        class and ``margin`` (how far the likeliest class leads; for ``multilabel`` the
        closest label's distance from .5, doubled). For ``regress``: ``case, patient, part,
        truth, predicted, error``. Names of several labels are joined by ``"; "``; what is
        not known is an empty text.
    """
    columns = as_columns(probabilities, task, len(classes))
    if task == "regress":
        return [_number_row(case, float(value)) for case, value in zip(cases, columns[:, 0], strict=True)]
    decided = default_answers(columns, task) if answers is None else np.asarray(answers).astype(np.intp)
    rows = []
    for case, row, answer in zip(cases, columns, decided, strict=True):
        top = np.sort(row)[::-1]
        margin = (
            float(np.abs(2 * row - 1).min())
            if task == "multilabel"
            else float(top[0] - top[1])
            if len(top) > 1
            else 1.0
        )
        rows.append(
            {
                **_head(case),
                "truth": _names(case.label, classes),
                "predicted": _names(tuple(answer) if task == "multilabel" else int(answer), classes),
                "correct": _correct(case.label, answer),
                **{f"p:{name}": round(float(p), 6) for name, p in zip(classes, row, strict=True)},
                "margin": round(margin, 6),
            }
        )
    return rows


def _head(case: Case) -> dict[str, Any]:
    return {"case": case.id, "patient": case.group, "part": case.part or ""}


def _number_row(case: Case, value: float) -> dict[str, Any]:
    truth = float(case.label) if isinstance(case.label, int | float) and math.isfinite(case.label) else None
    error = "" if truth is None else round(value - truth, 6)
    return {**_head(case), "truth": "" if truth is None else truth, "predicted": round(value, 6), "error": error}


def _names(label: Label, classes: Sequence[str]) -> str:
    if label is None:
        return ""
    if isinstance(label, tuple):
        return "; ".join(name for name, value in zip(classes, label, strict=True) if value == 1)
    return classes[int(label)]


def _correct(label: Label, answer: Any) -> bool | str:
    if label is None:
        return ""
    if isinstance(label, tuple):
        pairs = [(t, int(a)) for t, a in zip(label, answer, strict=True) if t is not None]
        return all(t == a for t, a in pairs) if pairs else ""
    return int(label) == int(answer)
