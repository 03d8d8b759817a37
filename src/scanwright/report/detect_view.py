"""From the evaluation of a detection to the tables, charts and drawings of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scanwright.core import Evaluation, Interval
from scanwright.inference.segment.pictures import COLOURS
from scanwright.report.charts import Axes, Series, draw
from scanwright.report.contents import ReportContents
from scanwright.report.detect_words import DETECT_FIGURES
from scanwright.report.phrases import bounds, number
from scanwright.report.pictures import CRISP, embed
from scanwright.report.views import MAX_LINES, WHO, Cell, Figure, cell

NOTHING = "nothing"
MAX_DRAWN = 9
MAX_SAMPLES = 12
MAX_WORST = 10
_RANKS = {
    "median": "A typical case",
    "best": "The best case",
    "worst": "The worst case",
    "alone": "Sure boxes where no true one is",
}


_COLUMNS = ("ap50", "ap75", "cpm", "sensitivity", "precision", "false_positives")
_TILES = ("ap50", "map", "sensitivity", "precision")


def class_legend(names: Sequence[str]) -> list[dict[str, str]]:
    """The colour that each class has in the drawings: those of ``inference.detect.draw_boxes``.

    Args:
        names: Classes, in order.

    Returns:
        ``number`` (empty), ``name`` and ``colour`` (``#rrggbb``).
    """
    shown = [COLOURS[k % len(COLOURS)] for k in range(len(names))]
    return [
        {"number": "", "name": name, "colour": "#" + bytes(rgb).hex()} for name, rgb in zip(names, shown, strict=True)
    ]


def detect_view(contents: ReportContents, judged: Evaluation | None) -> dict[str, Any]:
    """What only the page of a detection needs.

    Args:
        contents: What to show.
        judged: The model's evaluation, or None.

    Returns:
        Names to plain values.
    """
    samples, drawn = _drawings(contents)
    return {
        "tiles": [
            {
                "title": DETECT_FIGURES[n].title,
                "meaning": DETECT_FIGURES[n].meaning,
                "cell": _cell(n, judged.metrics.get(n)),
            }
            for n in _TILES
        ]
        if judged
        else [],
        "counts_caption": "Boxes of each class in each part",
        "scored_on": "validation",
        "samples": samples,
        "grouped": {},
        "legend": class_legend(contents.cohort.classes) if len(contents.cohort.classes) > 1 else [],
        "drawn": drawn,
        "comparison": _comparison(contents, judged) if judged else {},
        "per_class": class_table(judged) if judged else {},
        "confusion": box_confusion(judged) if judged else {},
        "figures": detect_figures(judged) if judged else [],
        "worst": _worst(judged) if judged else {},
    }


def _cell(name: str, interval: Interval | None) -> Cell:
    if interval is None or not math.isfinite(interval.value):
        return Cell("–", "")
    if DETECT_FIGURES[name].bounds == (0.0, 1.0):
        return cell(interval, (0.0, 1.0))
    return Cell(number(interval.value, 2), bounds(interval, 2))


def _comparison(contents: ReportContents, judged: Evaluation) -> dict[str, Any]:
    found = {who: contents.judged(who, judged.part) for who in ("model", "floor")}
    shown = {who: e for who, e in found.items() if e is not None}
    rows = [
        {
            "title": facts.title,
            "meaning": facts.meaning,
            "better": facts.better,
            "cells": [_cell(name, e.metrics.get(name)) for e in shown.values()],
        }
        for name, facts in DETECT_FIGURES.items()
        if any(math.isfinite(e.metrics[name].value) for e in shown.values() if name in e.metrics)
    ]
    return {"heads": [WHO[who] for who in shown], "rows": rows}


def class_table(judged: Evaluation) -> dict[str, Any]:
    """Figures of each class.

    Args:
        judged: The model's evaluation.

    Returns:
        ``heads`` and ``rows`` (name, colour, true boxes, cells); empty with one class.
    """
    if len(judged.classes) < 2 or not judged.per_class:
        return {}
    colours = {row["name"]: row["colour"] for row in class_legend(judged.classes)}
    rows = [
        {
            "name": name,
            "colour": colours.get(name, ""),
            "n": int(sum(float(row.get(f"true:{name}", 0)) for row in judged.cases)),
            "cells": [_cell(n, judged.per_class.get(name, {}).get(n)) for n in _COLUMNS],
        }
        for name in judged.classes
    ]
    return {"heads": [DETECT_FIGURES[n].title for n in _COLUMNS], "rows": rows}


def box_confusion(judged: Evaluation) -> dict[str, Any]:
    """Shown boxes and true ones, class by class, with nothing as the last row and column.

    Args:
        judged: The model's evaluation.

    Returns:
        ``classes`` and ``rows`` (name, total, cells of count, share and rightness).
    """
    if not judged.confusion:
        return {}
    names = (*judged.classes, NOTHING)
    rows = []
    for k, row in enumerate(judged.confusion):
        total = sum(row)
        cells = [{"n": n, "share": n / total if total else 0.0, "right": j == k} for j, n in enumerate(row)]
        rows.append({"name": names[k], "total": total, "cells": cells})
    return {"classes": names, "rows": rows}


def detect_figures(judged: Evaluation) -> list[Figure]:
    """Precision over recall, free-response curve, and AP over the overlap that is asked for.

    Args:
        judged: The model's evaluation.

    Returns:
        Charts that have something to show.
    """
    unit = (-0.01, 1.01)
    made = []
    for name, title, axes, words in (
        (
            "pr",
            "Precision over recall",
            Axes(
                "Precision over recall at IoU 0.5",
                "share of the things found",
                "share of the boxes that are right",
                unit,
                unit,
            ),
            "From left to right less sure boxes are shown as well. The area under the line is the AP.",
        ),
        (
            "froc",
            "FROC",
            Axes("FROC curve", "false boxes a case", "share of the things found", (0.0, _alarms(judged)), unit),
            "How many things are found as more false boxes are accepted: the nearer to the upper left corner the better.",
        ),
        (
            "iou",
            "AP by overlap",
            Axes("AP by overlap", "overlap (IoU) from which a box counts as right", "AP", (0.1, 0.95), unit),
            "Where the line falls, boxes are found and fit loosely.",
        ),
    ):
        lines = dict(list(judged.curves.get(name, {}).items())[:MAX_LINES])
        if not lines:
            continue
        series = [Series(c, line["x"], line["y"], n, "line") for n, (c, line) in enumerate(lines.items())]
        legend = tuple((n, "line", c) for n, c in enumerate(lines)) if len(lines) > 1 else ()
        made.append(Figure(title, draw(series, axes), words, legend))
    return made


def _alarms(judged: Evaluation) -> float:
    most = max((v for line in judged.curves.get("froc", {}).values() for v in line["x"]), default=1.0)
    return max(min(most, 16.0), 0.1)


def _worst(judged: Evaluation) -> dict[str, Any]:
    rows = [
        {
            "case": str(row["case"]),
            "cells": [
                f"{row['true']:.0f}",
                f"{row['right']:.0f}",
                f"{row['shown'] - row['right']:.0f}",
                number(float(row["f1"])),
            ],
        }
        for row in judged.cases[:MAX_WORST]
    ]
    heads = ["things", "found", "false boxes", "F1"]
    return {"heads": heads, "rows": rows, "all": len(judged.cases)} if rows else {}


def _drawings(contents: ReportContents) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    order = [*_RANKS]
    rows = sorted(contents.segments, key=lambda row: order.index(str(row["rank"])))[: MAX_DRAWN + 3]
    chosen = list(contents.samples)[:MAX_SAMPLES]
    uris = iter(embed([*(p for _, p in chosen), *(row["picture"] for row in rows)], CRISP))
    samples = [{"caption": str(c), "uri": next(uris), "tiny": False} for c, _ in chosen]
    drawn, last = [], ""
    for row in rows:
        title = _RANKS[str(row["rank"])]
        drawn.append(
            {
                "case": str(row["case"]),
                "title": "" if title == last else title,
                "f1": "" if row.get("f1") is None else number(float(row["f1"])),
                "sentence": str(row.get("sentence") or ""),
                "uri": next(uris),
            }
        )
        last = title
    return samples, drawn
