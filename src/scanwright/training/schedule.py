"""Learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from scanwright.core import Training

Schedule = Callable[[float, float], float]
"""``(share of the steps that is done, share that warms up)`` to a factor 0 .. 1."""

_PLATEAU_TAIL = 0.1


def _cosine(done: float, warmup: float) -> float:
    if done < warmup:
        return max(done / warmup, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1 - warmup, 1e-9)))


def _one_cycle(done: float, warmup: float) -> float:
    """Up from 1/25 and down to 1/10000 along cosines (Smith and Topin 2018)."""
    if done < warmup:
        return 1 - 0.96 * 0.5 * (1 + math.cos(math.pi * done / warmup))
    low = 1e-4
    return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1 - warmup, 1e-9)))


def _plateau(done: float, warmup: float) -> float:
    """Level after the warm-up; the loop lowers it when the score stands still."""
    if done < warmup:
        return max(done / warmup, 0.01)
    return min(1.0, max((1 - done) / _PLATEAU_TAIL, 0.0))


SCHEDULES: dict[str, Schedule] = {"cosine": _cosine, "one_cycle": _one_cycle, "plateau": _plateau}
"""Name in the plan to schedule."""


def rate_factor(step: int, total: int, training: Training, *, cut: tuple[int, int] | None = None) -> float:
    """Factor on the peak learning rate.

    Args:
        step: Steps done.
        total: Steps that were planned.
        training: Schedule and warm-up.
        cut: ``(from, to)``: what is left of the schedule goes by between these steps instead.

    Returns:
        0 .. 1.

    Example:
        >>> from scanwright.core import Training
        >>> round(rate_factor(55, 100, Training(budget_s=60, warmup=0.1)), 3)
        0.5
    """
    schedule = SCHEDULES[training.schedule]
    if cut is None:
        return schedule(step / max(total, 1), training.warmup)
    start, end = cut
    before = start / max(total, 1)
    return schedule(before + (1 - before) * min((step - start) / max(end - start, 1), 1.0), training.warmup)
