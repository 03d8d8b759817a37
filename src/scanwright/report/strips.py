"""One line a structure: a box, a dot for every case, and the names of those below the whisker.

Places are percentages, so that the lines are as wide as the page while dots and words keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from scanwright.core import Evaluation
from scanwright.report.charts import ticks
from scanwright.report.phrases import number

MAX_DOTS = 400
"""Cases drawn as dots; of more, evenly spaced ones and all below the whisker."""
MAX_NAMED = 8
_HEIGHT, _TOP, _BOX = 34, 7, 20
_GOLDEN = 0.6180339887


@dataclass(frozen=True)
class Strip:
    """One structure.

    Args:
        name: Structure.
        svg: The line.
        median: As text.
        n: Cases with a figure.
        missing: Cases without one.
        below: Name and figure of cases below the whisker, worst first.
        more: How many more there are.
    """

    name: str
    svg: Markup
    median: str
    n: int
    missing: int
    below: tuple[tuple[str, str], ...]
    more: int


def case_strips(judged: Evaluation) -> tuple[list[Strip], Markup]:
    """Dice of every case, structure by structure.

    Args:
        judged: ``cases`` with ``case`` and ``dice:<structure>`` (or ``dice`` alone).

    Returns:
        A strip for each structure that has a figure, and the axis below them.
    """
    keys = {name: f"dice:{name}" for name in judged.classes}
    found = {name: _values(judged.cases, key) for name, key in keys.items()}
    if not any(found.values()):
        found = {"Dice": _values(judged.cases, "dice")}
    found = {name: pairs for name, pairs in found.items() if pairs}
    if not found:
        return [], Markup("")
    low = min(v for pairs in found.values() for _, v in pairs)
    low = max(math.floor(min(low, 0.95) * 10) / 10, 0.0)
    strips = [_strip(name, pairs, low, len(judged.cases) - len(pairs)) for name, pairs in found.items()]
    return strips, _axis(low)


def quartiles(values: Sequence[float]) -> tuple[float, float, float, float, float]:
    """Lower whisker, quartiles and upper whisker of a box plot.

    Args:
        values: Numbers, at least one.

    Returns:
        The lowest value within 1.5 interquartile ranges of the box, first quartile, median,
        third quartile, the highest such value.

    Source:
        Tukey, Exploratory Data Analysis, 1977.

    Example:
        >>> quartiles([0.1, 0.7, 0.8, 0.9, 1.0])
        (0.7, 0.7, 0.8, 0.9, 1.0)
    """
    first, middle, third = (float(q) for q in np.percentile(values, (25, 50, 75)))
    reach = 1.5 * (third - first)
    inside = [v for v in values if first - reach - 1e-12 <= v <= third + reach + 1e-12]
    return min(inside), first, middle, third, max(inside)


def _values(cases: Sequence[Mapping[str, Any]], key: str) -> list[tuple[str, float]]:
    rows = [(str(row.get("case", "")), row.get(key)) for row in cases]
    known = [(n, float(v)) for n, v in rows if isinstance(v, int | float) and math.isfinite(v)]
    return sorted(known, key=lambda pair: pair[1])


def _strip(name: str, pairs: list[tuple[str, float]], low: float, missing: int) -> Strip:
    ends = quartiles([v for _, v in pairs])
    below = [(n, v) for n, v in pairs if v < ends[0]]
    rest = pairs[len(below) :]
    step = max(math.ceil(len(rest) / MAX_DOTS), 1)
    parts = [*_box(ends, low), *_dots(rest[::step], low, "dot"), *_dots(below, low, "below")]
    words = f"{name}: Dice of {len(pairs)} cases, median {number(ends[2])}, lowest {number(pairs[0][1])}"
    svg = Markup('<svg class="dice-row" height="{}" role="img" aria-label="{}">{}</svg>').format(
        _HEIGHT, words, Markup("").join(parts)
    )
    named = tuple((n, number(v)) for n, v in below[:MAX_NAMED])
    return Strip(name, svg, number(ends[2]), len(pairs), missing, named, len(below) - len(named))


def _at(value: float, low: float) -> str:
    return f"{100 * (value - low) / (1 - low):.2f}%"


def _box(ends: tuple[float, ...], low: float) -> list[Markup]:
    a, q1, middle, q3, b = ends
    y = _TOP + _BOX / 2
    line = Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    box = Markup('<rect class="box" x="{}" y="{}" width="{}" height="{}" rx="3"/>')
    width = f"{100 * (q3 - q1) / (1 - low):.2f}%"
    return [
        line.format("whisker", _at(a, low), _at(b, low), y, y),
        *(line.format("whisker", _at(v, low), _at(v, low), y - 5, y + 5) for v in (a, b)),
        box.format(_at(q1, low), _TOP, width, _BOX),
        line.format("middle", _at(middle, low), _at(middle, low), _TOP - 3, _TOP + _BOX + 3),
    ]


def _dots(pairs: Sequence[tuple[str, float]], low: float, kind: str) -> list[Markup]:
    dot = Markup('<circle class="{}" cx="{}" cy="{}" r="{}"><title>{} {}</title></circle>')
    return [
        dot.format(kind, _at(v, low), round(_TOP + 3 + (k * _GOLDEN) % 1 * (_BOX - 6), 1), 4.5 if kind == "below" else 2.6, n, number(v))
        for k, (n, v) in enumerate(pairs)
    ]  # fmt: skip


def _axis(low: float) -> Markup:
    marks = [
        Markup('<line class="tick" x1="{0}" x2="{0}" y1="0" y2="5"/><text x="{0}" y="18" text-anchor="middle">{1}</text>').format(_at(v, low), f"{v:g}")
        for v in ticks(low, 1.0, 5)
    ]  # fmt: skip
    line = Markup('<line class="tick" x1="0%" x2="100%" y1="0.5" y2="0.5"/>')
    return Markup('<svg class="dice-row axis" height="22" aria-hidden="true">{}{}</svg>').format(
        line, Markup("").join(marks)
    )
