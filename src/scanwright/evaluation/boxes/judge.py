"""From boxes of many cases to figures with intervals, curves and honest warnings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scanwright.core.prediction import Evaluation, Interval
from scanwright.evaluation.boxes.matching import Found, match
from scanwright.evaluation.boxes.overlap import Floats, iou
from scanwright.evaluation.boxes.precision import average_precision, precision_recall
from scanwright.evaluation.masks.froc import RATES, Froc
from scanwright.evaluation.resampling import group_index, percentile_bounds, resample

IOUS = (0.1, 0.25, 0.5, 0.75)
"""Overlaps of which the average precision is told, as ``ap10`` .. ``ap75``."""
COCO_IOUS = tuple(round(0.5 + 0.05 * n, 2) for n in range(10))
"""Overlaps over which ``map`` is the mean."""
FROC_IOU = 0.1
SHOWN_IOU = 0.5
"""Overlap from which a shown box counts as right in sensitivity, precision and F1."""
_ALONE = 0.1
"""Overlap with any true box below which an answer stands alone."""
_MANY_ALONE = 0.05
_FEWEST_ALONE = 5
"""Boxes that stand alone below which nothing is said: one or two are ordinary mistakes."""
_POINTS = 400


def evaluate_boxes(
    truths: Sequence[Found],
    answers: Sequence[Found],
    *,
    classes: Sequence[str],
    ids: Sequence[str],
    groups: Sequence[Any] | None = None,
    threshold: float = 0.5,
    part: Literal["train", "val", "test", "external"] = "test",
    who: str = "model",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Judge the boxes of one part.

    Args:
        truths: True boxes of each case.
        answers: Answers of each case, in the same order and the same coordinates.
        classes: Names of the classes.
        ids: Names of the cases.
        groups: Patient of each case; None when every case is a patient.
        threshold: Score from which boxes are shown.
        part: Which part this is.
        who: ``"model"`` or ``"floor"``.
        n_bootstrap: Resamples of the patients; 0 gives no intervals.
        seed: Seed of the draws.

    Returns:
        ``metrics``: means over classes of ``ap10``, ``ap25``, ``ap50``, ``ap75``, ``map`` (IoU 0.5 to 0.95) and
        ``cpm``; of all shown boxes ``sensitivity``, ``precision``, ``f1`` and ``false_positives`` a case.
        ``per_class`` has the same; ``curves`` ``"pr"``, ``"froc"`` and ``"iou"``; ``confusion`` counts shown boxes,
        rows truth, columns answer, the last row and column nothing; ``cases`` one row a case, worst first.
    """
    n_classes, group = len(classes), group_index(groups, len(ids))
    tables = [_table(truths, answers, k) for k in range(n_classes)]
    counts = _shown(truths, answers, n_classes, threshold)
    frocs = [_froc(truths, answers, k) for k in range(n_classes)]

    def compute(weights: Floats) -> dict[str, Floats]:
        by_case = weights[:, group]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a class may be missing: NaN is the answer
            each = {name: np.stack([_ap(t, name, by_case) for t in tables], axis=1) for name in _names()}
            each["cpm"] = np.stack([one.at_rates(by_case).mean(axis=1) for one in frocs], axis=1)
            found = np.einsum("rm,mkf->rkf", by_case, counts)
            each |= _shares(found, by_case.sum(axis=1)[:, None])
            whole = {f"{name}:all": np.nanmean(values, axis=1) for name, values in each.items()}
            pooled = _shares(found.sum(axis=1, keepdims=True), by_case.sum(axis=1)[:, None])
            return each | whole | {f"{name}:all": values[:, 0] for name, values in pooled.items()}

    longest = max([len(t["scores"]) for t in tables] + [f.n_scores for f in frocs] + [len(ids)])
    point, drawn = resample(
        compute, int(group.max()) + 1 if len(group) else 1, n_bootstrap=n_bootstrap, seed=seed, cells=longest
    )
    bounds = {name: percentile_bounds(values) for name, values in drawn.items()}
    names = [name for name in point if not name.endswith(":all")]
    metrics = {name: _interval(point[f"{name}:all"], *bounds[f"{name}:all"]) for name in names}
    per_class = {
        c: {name: _interval(point[name][k], bounds[name][0][k], bounds[name][1][k]) for name in names}
        for k, c in enumerate(classes)
    }
    return Evaluation(
        part=part,
        task="detect",
        classes=tuple(classes),
        n_cases=len(ids),
        n_patients=int(group.max()) + 1 if len(group) else 0,
        metrics=metrics,
        per_class=per_class,
        confusion=_confusion(truths, answers, n_classes, threshold),
        curves=_curves(tables, frocs, classes),
        warnings=_warnings(truths, answers, tables, classes, threshold) if who == "model" else (),
        cases=_rows(truths, answers, classes, ids, groups, threshold),
        who=who,
    )


def mean_precision(truths: Sequence[Found], answers: Sequence[Found], n_classes: int, least: float) -> Floats:
    """Average precision of each class at one overlap, for looks at validation.

    Args:
        truths: True boxes of each case.
        answers: Answers of each case.
        n_classes: Classes.
        least: Overlap of a match.

    Returns:
        ``(n_classes,)``; NaN for a class without a true box.
    """
    found = []
    for k in range(n_classes):
        hits = [match(t.of(k), a.of(k), least) >= 0 for t, a in zip(truths, answers, strict=True)]
        scores = [a.of(k).scores for a in answers]
        case = np.repeat(np.arange(len(scores)), [len(s) for s in scores])
        n_truth = np.array([len(t.of(k)) for t in truths], dtype=np.float64)
        found.append(average_precision(np.concatenate(scores), np.concatenate(hits), case, n_truth)[0])
    return np.array(found)


def alone(truth: Found, answer: Found) -> NDArray[np.bool_]:
    """Answers that overlap no true box of any class: perhaps true ones that nobody marked.

    Args:
        truth: True boxes.
        answer: Answers.

    Returns:
        ``(N,)`` bool.
    """
    if not len(truth) or not len(answer):
        return np.ones(len(answer), dtype=bool)
    return np.asarray(iou(answer.corners, truth.corners).max(axis=1) < _ALONE)


def sure_and_alone(
    truths: Sequence[Found], answers: Sequence[Found], threshold: float
) -> tuple[float, list[NDArray[np.bool_]]]:
    """Answers that stand alone and are as sure as the typical right one.

    Args:
        truths: True boxes of each case.
        answers: Answers of each case.
        threshold: Score from which boxes are shown.

    Returns:
        The median score of shown right answers, and for each case which answers are alone and at least that sure.
    """
    right: list[float] = []
    for t, a in zip(truths, answers, strict=True):
        shown = a.above(threshold)
        for k in set(shown.labels.tolist()):
            mine = shown.of(k)
            right += mine.scores[match(t.of(k), mine, SHOWN_IOU) >= 0].tolist()
    typical = float(np.median(right)) if right else math.inf
    return typical, [alone(t, a) & (a.scores >= typical) for t, a in zip(truths, answers, strict=True)]


def box_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Rows of ``predictions.csv``: one a case."""
    return [
        {"case": row["case"], "patient": row["patient"], "part": evaluation.part}
        | {k: "" if v is None else round(v, 6) for k, v in row.items() if k not in ("case", "patient")}
        for row in evaluation.cases
    ]


def _names() -> dict[str, tuple[float, ...]]:
    return {f"ap{round(100 * t)}": (t,) for t in IOUS} | {"map": COCO_IOUS}


def _table(truths: Sequence[Found], answers: Sequence[Found], label: int) -> dict[str, Any]:
    """Scores, cases and hits at every overlap, of one class."""
    mine = [(t.of(label), a.of(label)) for t, a in zip(truths, answers, strict=True)]
    scores = [a.scores for _, a in mine]
    return {
        "scores": np.concatenate(scores) if scores else np.zeros(0),
        "case": np.repeat(np.arange(len(mine)), [len(s) for s in scores]),
        "n_truth": np.array([len(t) for t, _ in mine], dtype=np.float64),
        "hits": {
            least: np.concatenate([match(t, a, least) >= 0 for t, a in mine]) if mine else np.zeros(0, bool)
            for least in sorted({*IOUS, *COCO_IOUS})
        },
    }


def _ap(table: dict[str, Any], name: str, weights: Floats) -> Floats:
    rows = [
        average_precision(table["scores"], table["hits"][least], table["case"], table["n_truth"], weights)
        for least in _names()[name]
    ]
    return np.asarray(np.mean(rows, axis=0))


def _froc(truths: Sequence[Found], answers: Sequence[Found], label: int) -> Froc:
    curve = Froc()
    for truth, answer in zip(truths, answers, strict=True):
        t, a = truth.of(label), answer.of(label)
        taken = match(t, a, FROC_IOU)
        best = np.full(len(t), -np.inf)
        best[taken[taken >= 0]] = a.scores[taken >= 0]
        curve.add_scores(best, a.scores[taken < 0])
    return curve


def _shown(truths: Sequence[Found], answers: Sequence[Found], n_classes: int, threshold: float) -> Floats:
    """``(M, K, 3)``: shown boxes that are right, all shown ones, true ones."""
    counts = np.zeros((len(truths), n_classes, 3))
    for n, (truth, answer) in enumerate(zip(truths, answers, strict=True)):
        shown = answer.above(threshold)
        for k in range(n_classes):
            t, a = truth.of(k), shown.of(k)
            counts[n, k] = ((match(t, a, SHOWN_IOU) >= 0).sum(), len(a), len(t))
    return counts


def _shares(found: Floats, n_cases: Floats) -> dict[str, Floats]:
    hit, shown, true = (found[..., n] for n in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "sensitivity": hit / true,
            "precision": hit / shown,
            "f1": 2 * hit / (shown + true),
            "false_positives": (shown - hit) / n_cases,
        }


def _confusion(
    truths: Sequence[Found], answers: Sequence[Found], n_classes: int, threshold: float
) -> tuple[tuple[int, ...], ...]:
    table = np.zeros((n_classes + 1, n_classes + 1), dtype=int)
    for truth, answer in zip(truths, answers, strict=True):
        shown = answer.above(threshold)
        taken = match(truth, shown, SHOWN_IOU)  # whatever the class
        for label, n in zip(shown.labels, taken, strict=True):
            table[truth.labels[n] if n >= 0 else n_classes, label] += 1
        for n in set(range(len(truth))) - set(taken.tolist()):
            table[truth.labels[n], n_classes] += 1
    return tuple(tuple(int(v) for v in row) for row in table)


def _curves(
    tables: Sequence[dict[str, Any]], frocs: Sequence[Froc], classes: Sequence[str]
) -> dict[str, dict[str, dict[str, list[float]]]]:
    curves: dict[str, dict[str, dict[str, list[float]]]] = {"pr": {}, "froc": {}, "iou": {}}
    for name, table, froc in zip(classes, tables, frocs, strict=True):
        if not table["n_truth"].sum():
            continue
        _, recall, precision = precision_recall(table["scores"], table["hits"][0.5], table["n_truth"].sum())
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        curves["pr"][name] = {
            "x": _thin([0.0, *recall]),
            "y": _thin([*(envelope[:1] if len(envelope) else [0.0]), *envelope]),
        }
        line = froc.curve()
        rates = froc.at_rates()[0]
        curves["froc"][name] = {
            "x": _thin(line["x"]),
            "y": _thin(line["y"]),
            "rate": list(RATES),
            "at": _plain(rates),
        }
        levels = sorted(table["hits"])
        ones = np.ones((1, len(table["n_truth"])))
        values = [
            average_precision(table["scores"], table["hits"][v], table["case"], table["n_truth"], ones)[0]
            for v in levels
        ]
        curves["iou"][name] = {"x": list(levels), "y": _plain(values)}
    return curves


def _warnings(
    truths: Sequence[Found],
    answers: Sequence[Found],
    tables: Sequence[dict[str, Any]],
    classes: Sequence[str],
    threshold: float,
) -> tuple[str, ...]:
    found = []
    absent = [c for c, t in zip(classes, tables, strict=True) if not t["n_truth"].sum()]
    if absent:
        found.append(f"There is no true box of {', '.join(absent)} here, so nothing is known of it.")
    few = [
        f"{int(t['n_truth'].sum())} of {c}" for c, t in zip(classes, tables, strict=True) if 0 < t["n_truth"].sum() < 20
    ]
    if few:
        found.append(f"There are few true boxes ({', '.join(few)}): their figures may change much with other cases.")
    typical, marked = sure_and_alone(truths, answers, threshold)
    n_alone, n_true = int(sum(m.sum() for m in marked)), sum(map(len, truths))
    if n_alone >= max(_FEWEST_ALONE, _MANY_ALONE * n_true):
        found.append(
            f"{n_alone} boxes that overlap no true one are as sure as the typical right one (score {typical:.2f} or more; there are "
            f"{n_true} true boxes). They are mistakes of the model, or things that nobody marked, "
            "and then precision and AP are too low. Look at them in the report."
        )
    return tuple(found)


def _rows(
    truths: Sequence[Found],
    answers: Sequence[Found],
    classes: Sequence[str],
    ids: Sequence[str],
    groups: Sequence[Any] | None,
    threshold: float,
) -> tuple[dict[str, Any], ...]:
    rows = []
    for n, (truth, answer) in enumerate(zip(truths, answers, strict=True)):
        shown = answer.above(threshold)
        hits = sum(int((match(truth.of(k), shown.of(k), SHOWN_IOU) >= 0).sum()) for k in range(len(classes)))
        rows.append(
            {
                "case": str(ids[n]),
                "patient": str(ids[n] if groups is None else groups[n]),
                "f1": 2 * hits / (len(shown) + len(truth)) if len(shown) + len(truth) else 1.0,
                "true": float(len(truth)),
                "shown": float(len(shown)),
                "right": float(hits),
                **{f"true:{c}": float((truth.labels == k).sum()) for k, c in enumerate(classes)},
                **{f"shown:{c}": float((shown.labels == k).sum()) for k, c in enumerate(classes)},
            }
        )
    return tuple(sorted(rows, key=lambda row: (row["f1"], row["case"])))


def _thin(values: Sequence[float]) -> list[float]:
    """At most some hundred points, the first and last kept."""
    if len(values) <= _POINTS:
        return _plain(values)
    return _plain([values[n] for n in np.linspace(0, len(values) - 1, _POINTS).round().astype(int)])


def _plain(values: Any) -> list[float]:
    return [round(float(v), 6) for v in values]


def _interval(value: Any, low: Any, high: Any) -> Interval:
    return Interval(float(value), float(low), float(high))
