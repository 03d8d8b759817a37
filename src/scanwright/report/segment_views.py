"""From the evaluation of a segmentation to the tables, charts and drawings of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scanwright.core import Evaluation, Interval
from scanwright.report.charts import Axes, Series, draw
from scanwright.report.colours import structure_legend
from scanwright.report.contents import ReportContents
from scanwright.report.overlays import Drawn, draw_plane
from scanwright.report.phrases import bounds, number
from scanwright.report.pictures import CRISP, embed
from scanwright.report.segment_figures import (
    SEGMENT_FIGURES,
    are_objects,
    column_names,
    digits_of,
    tile_names,
    title_of,
    unit_of,
)
from scanwright.report.strips import case_strips
from scanwright.report.views import MAX_LINES, WHO, Cell, Figure, cell

MAX_SAMPLES = 24
MAX_DRAWN = 9
MAX_CHARTS = 6
MAX_WORST = 10
MAX_COLUMNS = 5
_SIDES = {1: 600, 2: 420}
"""Longest side of the drawings of a case with so many planes; of more, 360 pixels."""
_RANKS = {"median": "A typical case", "best": "The best case", "worst": "The worst case"}
_MARKS = {
    "answer": "what the model drew",
    "truth": "the true outline",
    "false": "drawn, but not there",
    "missed": "there, but not drawn",
}


def segment_view(contents: ReportContents, judged: Evaluation | None) -> dict[str, Any]:
    """What only the page of a segmentation needs.

    Args:
        contents: What to show.
        judged: The model's evaluation, or None.

    Returns:
        Names to plain values.
    """
    samples, drawn, marks = _drawings(contents)
    strips, axis = case_strips(judged) if judged else ([], "")
    legend = structure_legend(contents.cohort.classes)
    return {
        "tiles": _tiles(contents, judged) if judged else [],
        "counts_caption": "Cases in each part",
        "scored_on": "validation",
        "samples": samples,
        "grouped": {},
        "legend": legend,
        "drawn": drawn,
        "marks": [(name, words) for name, words in _MARKS.items() if name in marks],
        "several": are_objects(contents),
        "comparison": _comparison(contents, judged) if judged else {},
        "structures": structures_table(contents, judged, legend) if judged else {},
        "figures": segment_figures(contents, judged) if judged else [],
        "strips": strips,
        "swatches": {row["name"]: row["colour"] for row in legend},
        "axis": axis,
        "worst": worst_table(contents, judged) if judged else {},
    }


def _cell(name: str, interval: Interval | None) -> Cell:
    facts = SEGMENT_FIGURES[name]
    if interval is None or not math.isfinite(interval.value):
        return Cell("–", "")
    if facts.bounds == (0.0, 1.0):
        return cell(interval, facts.bounds)
    digits = digits_of(name, interval.value)
    return Cell(number(interval.value, digits), bounds(interval, digits))


def _tiles(contents: ReportContents, judged: Evaluation) -> list[dict[str, Any]]:
    return [
        {"title": title_of(contents, n), "meaning": SEGMENT_FIGURES[n].meaning, "cell": _cell(n, judged.metrics[n])}
        for n in tile_names(contents, judged)
    ]


def _comparison(contents: ReportContents, judged: Evaluation) -> dict[str, Any]:
    """The model beside the floor, every figure with its interval and its meaning."""
    found = {who: contents.judged(who, judged.part) for who in ("model", "floor")}
    shown = {who: e for who, e in found.items() if e is not None}
    rows = [
        {
            "title": title_of(contents, name),
            "meaning": facts.meaning,
            "better": facts.better,
            "cells": [_cell(name, e.metrics.get(name)) for e in shown.values()],
        }
        for name, facts in SEGMENT_FIGURES.items()
        if any(math.isfinite(e.metrics[name].value) for e in shown.values() if name in e.metrics)
    ]
    return {"heads": [WHO[who] for who in shown], "rows": rows}


def structures_table(
    contents: ReportContents, judged: Evaluation, legend: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """Figures of each structure.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.
        legend: Colours of the structures.

    Returns:
        ``heads`` and ``rows`` (legend entry, number of cases, cells); empty with one structure.
    """
    if len(judged.classes) < 2 or not judged.per_class:
        return {}
    names = column_names(contents, judged)
    rows = [
        {
            "structure": entry,
            "n": sum(_is_number(row.get(f"dice:{entry['name']}")) for row in judged.cases),
            "cells": [_cell(n, judged.per_class.get(entry["name"], {}).get(n)) for n in names],
        }
        for entry in legend
    ]
    return {"heads": [title_of(contents, n) for n in names], "rows": rows, "counted": any(r["n"] for r in rows)}


def segment_figures(contents: ReportContents, judged: Evaluation) -> list[Figure]:
    """Bland–Altman of sizes, reliability of the probability map, FROC.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Returns:
        Charts that have something to show.
    """
    figures = [_froc(judged), *_bland_altman(contents, judged), _reliability(judged)]
    return [f for f in figures if f.svg]


def _bland_altman(contents: ReportContents, judged: Evaluation) -> Iterator[Figure]:
    lines = judged.curves.get("bland_altman", {})
    unit, size = unit_of(contents, "mL"), "volume" if contents.cohort.dimension == 3 else "area"
    shown = sorted(lines, key=lambda name: -_spread(lines[name]))[:MAX_CHARTS]
    ordered = sorted(shown, key=list(lines).index)
    first = next(iter(ordered), "")
    for name in ordered:
        line = lines[name]
        points = [(m, d) for m, d in zip(line["mean"], line["difference"], strict=True) if math.isfinite(m + d)]
        if not points:
            continue
        bias, ends = (list(line.get(key) or []) for key in ("bias", "limits"))
        ends = ends if all(map(math.isfinite, ends)) else []
        x = (min(p[0] for p in points), max(p[0] for p in points))
        pad = (x[1] - x[0]) * 0.05 or max(abs(x[0]) * 0.05, 0.5)
        x = (x[0] - pad, x[1] + pad)
        series = [Series("cases", [p[0] for p in points], [p[1] for p in points], 0, "points")]
        legend: list[tuple[int, str, str]] = [(0, "point", "a case")]
        if bias and math.isfinite(bias[0]):
            series.append(Series("mean difference", x, (bias[0], bias[0]), 1))
            legend.append((1, "line", f"mean difference {_signed(bias[0])} {unit}"))
        series += [Series("limit of agreement", x, (end, end), 1, "dashed") for end in ends]
        if len(ends) == 2:
            legend.append((1, "dashed", f"95 of 100 cases: {_signed(ends[0])} to {_signed(ends[1])} {unit}"))
        heights = [*(p[1] for p in points), *bias[:1], *ends, 0.0]
        room = (max(heights) - min(heights)) * 0.06 or 0.5
        axes = Axes(f"Bland–Altman of {name}", f"mean of true and drawn {size}, {unit}", f"drawn − true, {unit}", x, (min(heights) - room, max(heights) + room), level=0.0)  # fmt: skip
        more = f" Shown: the {MAX_CHARTS} of {len(lines)} structures with the widest limits." if len(lines) > len(shown) and name == first else ""  # fmt: skip
        words = f"Above 0 the model draws too much. The dashed lines hold the error of 95 of 100 cases.{more}"
        yield Figure(f"Size of {name}: drawn against true", draw(series, axes), words, tuple(legend))


def _spread(line: Mapping[str, Sequence[float]]) -> float:
    ends = [v for v in line.get("limits") or line.get("difference") or [] if math.isfinite(v)]
    return max(ends) - min(ends) if ends else 0.0


def _signed(value: float) -> str:
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return ("+" if round(value, digits) > 0 else "") + number(value, digits)


def _reliability(judged: Evaluation) -> Figure:
    unit = (-0.01, 1.01)
    axes = Axes("Reliability of the probability map", "probability that the map states", "share of places that are true", unit, unit, diagonal=True)  # fmt: skip
    series, legend = _lines(judged, "reliability", "both")
    words = (
        "On the dashed line, 80 % means that 80 of 100 such places lie in a structure. Points below it are too sure."
    )
    return Figure("Reliability of the probability map", draw(series, axes), words, legend)


def _froc(judged: Evaluation) -> Figure:
    series, legend = _lines(judged, "froc", "both")
    top = max((v for s in series for v in s.x if math.isfinite(v)), default=1.0)
    axes = Axes("FROC curve", "false pieces a case", "share of true pieces found", (0.0, max(top * 1.02, 0.1)), (-0.01, 1.01))  # fmt: skip
    words = "How many of the pieces that are there are found, as more false ones are accepted: the nearer to the upper left corner the better."
    return Figure("FROC", draw(series, axes), words, legend)


def _lines(judged: Evaluation, curve: str, style: str) -> tuple[list[Series], tuple[tuple[int, str, str], ...]]:
    lines = dict(list(judged.curves.get(curve, {}).items())[:MAX_LINES])
    series = [Series(name, line["x"], line["y"], k, style) for k, (name, line) in enumerate(lines.items())]
    return series, tuple((k, "line", name) for k, name in enumerate(lines)) if len(lines) > 1 else ()


def worst_table(contents: ReportContents, judged: Evaluation) -> dict[str, Any]:
    """The cases with the lowest Dice.

    Args:
        contents: What the report shows.
        judged: The model's evaluation.

    Returns:
        ``heads`` and ``rows`` of text; empty without cases.
    """
    cases = sorted(judged.cases, key=lambda row: _or_infinite(row.get("dice")))[:MAX_WORST]
    many = 1 < len(judged.classes) <= MAX_COLUMNS
    columns: dict[str, str] = {"dice": "Dice", **({f"dice:{c}": c for c in judged.classes} if many else {})}
    unit = unit_of(contents, "mm")
    columns |= {f"hd95_mm:{c}": f"HD95{' of ' + c if many else ''}, {unit}" for c in judged.classes[: MAX_COLUMNS if many else 1]} if len(judged.classes) == 1 or many else {}  # fmt: skip
    columns = {k: v for k, v in columns.items() if any(_is_number(row.get(k)) for row in cases)}
    people = any(row.get("patient") not in (None, "", row.get("case")) for row in cases)
    rows = [
        {"case": str(row.get("case", "")), "patient": str(row.get("patient") or "–"), "cells": [_text(k, row.get(k)) for k in columns]}
        for row in cases
    ]  # fmt: skip
    return {"heads": list(columns.values()), "people": people, "rows": rows, "all": len(judged.cases)} if rows else {}


def _text(key: str, value: object) -> str:
    return number(float(value), 2 if "_mm" in key else 3) if _is_number(value) else "–"  # type: ignore[arg-type]


def _or_infinite(value: object) -> float:
    return float(value) if _is_number(value) else math.inf  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _drawings(contents: ReportContents) -> tuple[list[dict[str, Any]], list[dict[str, Any]], frozenset[str]]:
    """Samples and explained cases with their pictures encoded, all within one budget, and the marks seen."""
    n, objects = len(contents.cohort.classes), are_objects(contents)
    order = sorted(contents.segments, key=lambda row: ([*_RANKS, row.get("rank")].index(row.get("rank")),))[:MAX_DRAWN]
    planes: list[list[tuple[str, Drawn]]] = []
    for row in order:
        side = _SIDES.get(len(row["planes"]), 360)
        planes.append([(str(p.get("name", "")), draw_plane(p, n, objects=objects, side=side)) for p in row["planes"]])
    chosen = list(contents.samples)[:MAX_SAMPLES]
    wanted = [picture for _, picture in chosen]
    wanted += [picture for case in planes for _, one in case for picture in (one.plain, one.overlay)]
    uris = iter(embed(wanted, CRISP))
    samples = [{"caption": str(c), "uri": next(uris), "tiny": max(p.shape[:2]) <= 64} for c, p in chosen]
    drawn = []
    for row, case in zip(order, planes, strict=True):
        shown = [{"name": name, "plain": next(uris), "overlay": next(uris), "close": d.close} for name, d in case]
        drawn.append({"case": str(row.get("case", "")), "dice": _text("dice", row.get("dice")), "sentence": str(row.get("sentence") or ""), "rank": str(row.get("rank", "")), "planes": shown})  # fmt: skip
    titles = [_RANKS.get(str(row["rank"]), "") for row in drawn]
    for k, row in enumerate(drawn):
        several = titles.count(titles[k]) > 1
        row["title"] = "" if k and titles[k] == titles[k - 1] else _several(titles[k]) if several else titles[k]
    return samples, drawn, frozenset().union(*(d.seen for case in planes for _, d in case))


def _several(title: str) -> str:
    return {"A typical case": "Typical cases", "The best case": "The best cases", "The worst case": "The worst cases"}.get(title, title)  # fmt: skip
