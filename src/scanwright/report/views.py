"""From evaluations and learning curves to the tables and charts of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from scanwright.core import Evaluation, Interval
from scanwright.evaluation import metrics_of
from scanwright.report.charts import Axes, Series, draw
from scanwright.report.contents import ReportContents
from scanwright.report.words import bounds, number

MAX_LINES = 10
"""Classes drawn in one chart; of more, those with the lowest figures."""
WHO = {
    "model": "This model",
    "uncalibrated": "Before calibration",
    "linear": "Linear baseline",
    "majority": "Majority floor",
    "shuffled": "Frames in random order",
    "image": "Image alone",
    "columns": "Table alone",
    "floor": "Floor",
}
_TILES = {"regress": ("mae", "r2", "spearman"), "ordinal": ("auroc", "accuracy", "quadratic_kappa", "ece")}
_CLASS_COLUMNS = ("auroc", "average_precision", "recall", "specificity", "precision", "f1")


@dataclass(frozen=True)
class Figure:
    """One chart with its legend.

    Args:
        title: Caption in bold.
        svg: The drawing; empty if there is nothing to draw.
        words: What it means, in a sentence.
        legend: Colour index, style and name of each line.
    """

    title: str
    svg: Markup
    words: str
    legend: tuple[tuple[int, str, str], ...] = ()


@dataclass(frozen=True)
class Cell:
    """A figure in a table: text, interval in words, and their places on a 0–100 track."""

    value: str
    interval: str
    at: float | None = None
    start: float | None = None
    width: float | None = None


def cell(interval: Interval | None, limits: tuple[float, float] = (0.0, 1.0)) -> Cell:
    """Lay out one figure for a table.

    Args:
        interval: The figure; None gives a dash.
        limits: Ends of the track; no track if one is infinite.

    Returns:
        The cell.
    """
    if interval is None or not math.isfinite(interval.value):
        return Cell("–", "")
    low, high = max(limits[0], -1.0), limits[1]
    if not math.isfinite(low) or not math.isfinite(high):
        return Cell(number(interval.value), bounds(interval))
    spots = [
        100 * (min(max(v, low), high) - low) / (high - low)
        for v in (interval.value, interval.low, interval.high)
        if math.isfinite(v)
    ]
    if len(spots) < 3:
        return Cell(number(interval.value), "", round(spots[0], 2))
    return Cell(
        number(interval.value), bounds(interval), round(spots[0], 2), round(spots[1], 2), round(spots[2] - spots[1], 2)
    )


def tiles(judged: Evaluation) -> list[dict[str, Any]]:
    """The few figures at the top.

    Args:
        judged: The model's evaluation.

    Returns:
        Title, meaning and cell of each.
    """
    names = _TILES.get(judged.task, ("auroc", "balanced_accuracy", "accuracy", "ece"))
    table = metrics_of(judged.task)
    return [
        {"title": table[n].title, "meaning": table[n].meaning, "cell": cell(judged.metrics[n], table[n].bounds)}
        for n in names
        if n in judged.metrics
    ]


def comparison(contents: ReportContents, judged: Evaluation) -> dict[str, Any]:
    """The model beside the baselines, every figure with its interval.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Returns:
        ``heads`` (names of predictors) and ``rows`` (title, meaning, cells).
    """
    found = {
        who: contents.judged(who, judged.part)
        for who in ("model", "image", "columns", "shuffled", "linear", "majority")
    }
    shown = {who: e for who, e in found.items() if e is not None}
    rows = []
    for name, metric in metrics_of(judged.task).items():
        cells = [cell(e.metrics.get(name), metric.bounds) for e in shown.values()]
        rows.append({"title": metric.title, "meaning": metric.meaning, "better": metric.better, "cells": cells})
    return {"heads": [WHO[who] for who in shown], "rows": rows}


def classes_table(judged: Evaluation) -> dict[str, Any]:
    """Figures of each class against the others.

    Args:
        judged: The model's evaluation.

    Returns:
        ``heads`` and ``rows`` (name, number of cases, cells); empty for ``regress``.
    """
    if not judged.per_class:
        return {}
    table = metrics_of(judged.task)
    names = [n for n in _CLASS_COLUMNS if n in table]
    counts: list[int] = [sum(row) for row in judged.confusion] or [0] * len(judged.classes)
    rows = [
        {"name": c, "n": n, "cells": [cell(judged.per_class[c].get(m)) for m in names]}
        for c, n in zip(judged.classes, counts, strict=True)
    ]
    return {"heads": [table[n].title for n in names], "rows": rows, "counted": bool(judged.confusion)}


def confusion_table(judged: Evaluation) -> dict[str, Any]:
    """Counts of truth against answer, with the share of each row for its tint.

    Args:
        judged: The model's evaluation.

    Returns:
        ``classes``, ``rows`` (name, total, cells of count and share), ``worst`` confusions in words.
    """
    if not judged.confusion:
        return {}
    rows, pairs = [], []
    for k, row in enumerate(judged.confusion):
        total = sum(row)
        cells = [{"n": n, "share": n / total if total else 0.0, "right": j == k} for j, n in enumerate(row)]
        rows.append({"name": judged.classes[k], "total": total, "cells": cells})
        pairs += [(n, judged.classes[k], judged.classes[j]) for j, n in enumerate(row) if j != k and n]
    pairs.sort(key=lambda p: -p[0])
    worst = [f"{n} × “{true}” taken for “{said}”" for n, true, said in pairs[:5]]
    return {"classes": judged.classes, "rows": rows, "worst": worst}


def quality_figures(contents: ReportContents, judged: Evaluation) -> list[Figure]:
    """ROC, precision–recall and reliability; or predicted against true for a number.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Returns:
        Charts that have something to show.
    """
    if judged.task == "regress":
        return [f for f in [_scatter(judged)] if f.svg]
    unit = (-0.01, 1.01)
    roc = _class_chart(
        judged,
        "roc",
        "auroc",
        Axes("ROC curve", "false-positive rate (1 − specificity)", "sensitivity", unit, unit, diagonal=True),
    )
    pr = _class_chart(
        judged,
        "pr",
        "average_precision",
        Axes(
            "Precision–recall curve", "sensitivity (recall)", "precision", unit, unit, level=_share_of_positive(judged)
        ),
    )
    figures = [
        Figure(
            "ROC",
            roc[0],
            "Every threshold at once: the nearer to the upper left corner the better. Dashed: guessing.",
            roc[1],
        ),
        Figure(
            "Precision and recall", pr[0], "How many of those called positive are, as more of them are found.", pr[1]
        ),
        _reliability(contents, judged),
    ]
    return [f for f in figures if f.svg]


def _share_of_positive(judged: Evaluation) -> float | None:
    """Height of a guessing line in a precision–recall chart; None where classes differ."""
    if judged.task != "binary" or not judged.n_cases:
        return None
    return sum(judged.confusion[1]) / judged.n_cases


def _class_chart(
    judged: Evaluation, curve: str, metric: str, axes: Axes
) -> tuple[Markup, tuple[tuple[int, str, str], ...]]:
    lines = judged.curves.get(curve, {})
    names = sorted(lines, key=lambda c: judged.per_class[c][metric].value)[:MAX_LINES]
    series, legend = [], []
    for index, name in enumerate(sorted(names, key=list(lines).index)):
        label = f"{name} {number(judged.per_class[name][metric].value)}"
        series.append(Series(label, lines[name]["x"], lines[name]["y"], index))
        legend.append((index, "line", label))
    if curve == "roc" and judged.task == "binary" and series:
        x, y = 1 - judged.metrics["specificity"].value, judged.metrics["recall"].value
        series.append(Series("operating point", [x], [y], 1, "points"))
        legend.append((1, "point", "operating point"))
    if len(lines) > MAX_LINES:
        legend.append((-1, "none", f"the {MAX_LINES} lowest of {len(lines)} classes"))
    return draw(series, axes), tuple(legend)


def _reliability(contents: ReportContents, judged: Evaluation) -> Figure:
    unit = (-0.01, 1.01)
    axes = Axes("Reliability", "probability that the model states", "share that is true", unit, unit, diagonal=True)
    before = contents.judged("uncalibrated", judged.part)
    series, legend = [], []
    for who, evaluation, colour, style in (
        ("before calibration", before, 7, "dashed"),
        ("after calibration", judged, 0, "both"),
    ):
        if evaluation is None:
            continue
        lines = evaluation.curves.get("reliability", {})
        pooled = {name: line for name, line in lines.items() if name.startswith("(")} or lines
        for index, (name, line) in enumerate(
            list(pooled.items())[: 1 if style == "dashed" and len(pooled) > 1 else MAX_LINES]
        ):
            if style == "dashed" and len(pooled) > 1:
                continue  # several labels: one line each is enough
            label = name if len(pooled) > 1 else f"{who}, ECE {number(evaluation.metrics['ece'].value)}"
            series.append(Series(label, line["x"], line["y"], colour + index, style))
            legend.append(((colour + index) % 10, style, label))
    words = "On the dashed line, 80 % means right in 80 of 100 cases. Points below it are too sure."
    return Figure("Reliability", draw(series, axes), words, tuple(legend))


def _scatter(judged: Evaluation) -> Figure:
    name, line = next(iter(judged.curves.get("scatter", {"": {"x": [], "y": []}}).items()))
    both = [*line["x"], *line["y"]]
    ends = (min(both), max(both)) if both and min(both) < max(both) else None
    axes = Axes("Predicted against true", f"true {name}", f"predicted {name}", ends, ends, diagonal=True)
    words = "Each point is a case; on the dashed line the prediction equals the truth."
    return Figure("Predicted against true", draw([Series(name, line["x"], line["y"], 0, "points")], axes), words)


def examination_figure(examination: Mapping[str, Any] | None) -> list[Figure]:
    """How much of the evidence is left as more of the image is covered, or shown.

    Args:
        examination: See :class:`~scanwright.report.ReportContents`; ``curves`` has ``fractions``,
            ``deletion``, ``insertion`` and the same with ``_chance``.

    Returns:
        One chart, or none.
    """
    curves = dict((examination or {}).get("curves") or {})
    names = {"deletion": "map’s places covered", "deletion_chance": "covered by chance", "insertion": "only map’s places shown", "insertion_chance": "shown by chance"}  # fmt: skip
    x = list(curves.get("fractions") or [])
    series, legend = [], []
    for name, label in names.items():
        y = list(curves.get(name) or [])
        if not x or len(y) != len(x):
            continue
        colour, style = (0 if name.startswith("deletion") else 1), ("dashed" if name.endswith("chance") else "line")
        series.append(Series(label, x, y, colour, style))
        legend.append((colour, style, label))
    svg = draw(series, Axes("Examination of the heat maps", "share of the image", "evidence left"))
    words = "A faithful map takes the evidence away sooner than chance when its places are covered, and brings it back sooner when they are shown."
    return [Figure("The examination", svg, words, tuple(legend))] if svg else []


def flat_history(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with all numbers on one level, whatever nesting they came with."""
    return [{**{k: v for k, v in row.items() if k != "values"}, **dict(row.get("values") or {})} for row in history]


def learning_figures(history: Sequence[Mapping[str, Any]], *, scores: str | None = None) -> list[Figure]:
    """Loss, score and learning rate over the steps of the longest-trained candidate.

    Args:
        history: See :class:`~scanwright.report.ReportContents`.
        scores: What the scores mean, in a sentence; None for those of a classifier.

    Returns:
        Charts that have something to show.
    """
    rows = flat_history(history)
    by_candidate: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_candidate.setdefault(str(row.get("candidate", "")), []).append(row)
    if not by_candidate:
        return []
    winner = max(by_candidate, key=lambda name: max(_step(r, i) for i, r in enumerate(by_candidate[name])))
    own = by_candidate[winner]
    names = list(dict.fromkeys(k for r in own for k, v in r.items() if _is_number(v)))
    names = [
        n
        for n in names
        if n not in ("step", "epoch", "rung", "seconds", "elapsed_s", "left_s", "time", "seed", "time_s")
    ]
    rates = [n for n in names if n in ("learning_rate", "lr")]
    losses = [n for n in names if "loss" in n]
    others = [n for n in names if n not in rates and n not in losses]
    x_label = "epoch" if "step" not in own[0] and "epoch" in own[0] else "step"
    of = f" of {winner}" if winner else ""
    figures = [
        _history_chart(own, losses, Axes(f"Loss{of}", x_label, "loss"), "Loss", "Falls while the network learns. A validation loss that rises again means learning by heart."),
        _history_chart(own, others, Axes(f"Validation scores{of}", x_label, "score"), "Scores on validation", scores or "“Shifted” is the mean over mild changes of contrast, blur, noise and place: what counts in another hospital."),
        _history_chart(own, rates, Axes(f"Learning rate{of}", x_label, "learning rate"), "Schedule", "How big the steps are: a warm-up, then annealing to the end of the budget."),
    ]  # fmt: skip
    return [f for f in figures if f.svg]


def _step(row: Mapping[str, Any], index: int) -> float:
    value = row.get("step", row.get("epoch", index))
    return float(value) if _is_number(value) else float(index)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _history_chart(
    rows: Sequence[Mapping[str, Any]], names: Iterable[str], axes: Axes, title: str, words: str
) -> Figure:
    series, legend = [], []
    for colour, name in enumerate(names):
        pairs = [(_step(r, i), float(r[name])) for i, r in enumerate(rows) if _is_number(r.get(name))]
        label = pretty(name)
        series.append(Series(label, [p[0] for p in pairs], [p[1] for p in pairs], colour))
        legend.append((colour % 10, "line", label))
    return Figure(title, draw(series, axes), words, tuple(legend))


def race_table(race: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The race as a table: columns as they come, numbers shortened.

    Args:
        race: One row a candidate.

    Returns:
        ``heads`` and ``rows`` (cells as text, and whether the row won).
    """
    names = list(dict.fromkeys(k for row in race for k in row if not isinstance(row[k], dict | list | tuple)))
    names = [
        n for n in names if n not in ("won", "winner", "rung") and any(row.get(n) not in (None, 0) for row in race)
    ]
    rows = [
        {"cells": [_short(row.get(n), 1 if "seconds" in n else 3) for n in names], "won": won}
        for row, won in zip(race, _winners(race), strict=True)
    ]
    heads = [pretty(n) for n in names]
    return {"heads": heads, "rows": rows} if rows else {}


def pretty(name: str) -> str:
    """A key as words: ``"val_auroc_shifted"`` becomes ``"validation AUROC shifted"``."""
    words = {
        "val": "validation",
        "train": "training",
        "auroc": "AUROC",
        "ece": "ECE",
        "lr": "learning rate",
        "mb": "MB",
        "f1": "F1",
        "dice": "Dice",
        "map": "mean AP",
        "ap": "AP",
    }
    return " ".join(words.get(w, w) for w in name.replace("_", " ").replace("/", " ").split())


def _winners(race: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Which rows won: those that say so, else the one trained longest, else the best score."""
    if any("won" in row or "winner" in row for row in race):
        return [bool(row.get("won") or row.get("winner")) for row in race]
    keys = [tuple(float(row[n]) if _is_number(row.get(n)) else 0.0 for n in ("steps", "score")) for row in race]
    best = max(keys, default=(0.0, 0.0))
    return [key == best and any(best) for key in keys]


def _short(value: Any, digits: int = 3) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "–"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.{min(digits, 3 if abs(value) < 10 else 1 if abs(value) < 100 else 0)}f}"
    return str(value)
