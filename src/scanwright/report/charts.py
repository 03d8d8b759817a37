"""Line charts as inline SVG. Colours are CSS classes, so that light and dark are the page's business."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 12, 42


@dataclass(frozen=True)
class Series:
    """One line or cloud of points.

    Args:
        name: For the legend.
        x: Abscissae.
        y: Ordinates; values that are not finite break the line.
        colour: Index of the palette, 0 .. 9.
        style: ``"line"``, ``"dashed"``, ``"faint"``, ``"points"`` or ``"both"``.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    style: str = "line"


@dataclass(frozen=True)
class Axes:
    """Frame of a chart.

    Args:
        title: What a screen reader hears.
        x_label: Words under the chart.
        y_label: Words beside it.
        x_range: Ends; None to fit the data.
        y_range: Ends; None to fit the data.
        diagonal: ``"up"``, or None: a dashed reference line.
        level: Height of a dashed horizontal reference line, or None.
    """

    title: str
    x_label: str
    y_label: str
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    diagonal: bool = False
    level: float | None = None


def draw(series: Sequence[Series], axes: Axes) -> Markup:
    """Draw a chart.

    Args:
        series: Lines, in drawing order.
        axes: Frame.

    Returns:
        An ``<svg>`` element; empty when there is nothing finite to draw.
    """
    points = [(float(x), float(y)) for s in series for x, y in zip(s.x, s.y, strict=True)]
    points = [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]
    if not points:
        return Markup("")
    xr = axes.x_range or _fitted([p[0] for p in points], pad=0.0)
    yr = axes.y_range or _fitted([p[1] for p in points], pad=0.06)
    place = _Place(xr, yr)
    parts = [*_grid(place, axes), *_reference(place, axes)]
    for one in series:
        parts += _drawn(one, place)
    title = escape(axes.title)
    body = Markup("").join(parts)
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>').format(
        WIDTH, HEIGHT, title, title, body
    )


class _Place:
    """From values to positions in the picture."""

    def __init__(self, xr: tuple[float, float], yr: tuple[float, float]) -> None:
        self.xr, self.yr = xr, yr

    def x(self, value: float) -> float:
        low, high = self.xr
        return round(LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.yr
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Round numbers between two ends.

    Args:
        low: Lower end.
        high: Upper end, larger.
        n: About how many.

    Returns:
        Multiples of 1, 2, 2.5 or 5 times a power of ten.

    Example:
        >>> ticks(0, 1)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _fitted(values: Sequence[float], *, pad: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high - low < 1e-12:
        return low - 0.5, high + 0.5
    extra = (high - low) * pad
    return low - extra, high + extra


def _grid(place: _Place, axes: Axes) -> list[Markup]:
    out = []
    for value in ticks(*place.yr):
        y = place.y(value)
        out.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, y, y))
        out.append(Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 6, y + 4, _label(value)))
    for value in ticks(*place.xr):
        x = place.x(value)
        out.append(
            Markup('<line class="tick" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                x, x, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4
            )
        )
        out.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(x, HEIGHT - BOTTOM + 17, _label(value))
        )
    out.append(
        Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM
        )
    )
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    out.append(
        Markup('<text class="name" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            middle_x, HEIGHT - 7, axes.x_label
        )
    )
    out.append(
        Markup('<text class="name" transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>').format(
            middle_y, axes.y_label
        )
    )
    return out


def _label(value: float) -> str:
    if value and (abs(value) >= 1e5 or abs(value) < 1e-4):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:,.10g}"


def _reference(place: _Place, axes: Axes) -> list[Markup]:
    ends = None
    if axes.diagonal:
        low, high = max(place.xr[0], place.yr[0]), min(place.xr[1], place.yr[1])
        ends = (low, low, high, high)
    elif axes.level is not None:
        ends = (place.xr[0], axes.level, place.xr[1], axes.level)
    if ends is None:
        return []
    return [
        Markup('<line class="reference" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
            place.x(ends[0]), place.y(ends[1]), place.x(ends[2]), place.y(ends[3])
        )
    ]


def _drawn(one: Series, place: _Place) -> list[Markup]:
    pairs = [
        (place.x(x), place.y(y)) for x, y in zip(one.x, one.y, strict=True) if math.isfinite(x) and math.isfinite(y)
    ]
    out = []
    lone = len(pairs) == 1
    if one.style != "points" and len(pairs) > 1:
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in pairs)
        out.append(
            Markup('<path class="line s{} {}" d="{}"><title>{}</title></path>').format(
                one.colour % 10, one.style, path, one.name
            )
        )
    if one.style in ("points", "both") or lone:
        dots = [
            Markup('<circle cx="{}" cy="{}" r="{}"/>').format(
                x, y, 4.5 if lone else 3 if one.style != "points" else 2.4
            )
            for x, y in pairs
        ]
        out.append(
            Markup('<g class="dots s{} {}"><title>{}</title>{}</g>').format(
                one.colour % 10, one.style, one.name, Markup("").join(dots)
            )
        )
    return out
