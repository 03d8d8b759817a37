"""Figures as text: numbers, intervals and shares of a hundred."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from scanwright.core import Interval

Colour = Literal["red", "amber", "green"]
PART_WORDS = {"test": "test", "external": "external", "val": "validation", "train": "training"}
RESEARCH_USE = "Research use – not a medical device."


class Light(NamedTuple):
    """One line of the traffic light."""

    colour: Colour
    text: str


def number(value: float, digits: int = 3) -> str:
    """A figure as text; a dash where there is none."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−") if math.isfinite(value) else "–"


def bounds(interval: Interval, digits: int = 3) -> str:
    """The interval as text; empty where there is none."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return ""
    ends = [number(v, digits) for v in (interval.low, interval.high)]
    return (" to " if any(e.startswith("−") for e in ends) else "–").join(ends)


def of_hundred(interval: Interval) -> str:
    """A share as "93 of 100 (90 to 95)"."""
    if not math.isfinite(interval.value):
        return "an unknown share"
    return f"{hundredths(interval.value)} of 100{_ends(interval)}"


def hundredths(share: float) -> str:
    """A share of 100 as text; never "100" or "0" unless it is.

    Example:
        >>> hundredths(0.934), hundredths(0.998), hundredths(0.99999), hundredths(1.0)
        ('93', '99.8', '99.9', '100')
    """
    percent = 100 * share
    if percent in (0.0, 100.0) or 1.5 <= percent <= 98.5:
        return f"{percent:.0f}"
    return f"{min(max(percent, 0.1), 99.9):.1f}"


def _ends(interval: Interval) -> str:
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return ""
    return f" ({hundredths(interval.low)} to {hundredths(interval.high)})"


def with_interval(interval: Interval, digits: int = 3) -> str:
    """A figure with its interval in words."""
    inner = bounds(interval, digits)
    return number(interval.value, digits) + (f" (95 % interval {inner})" if inner else "")
