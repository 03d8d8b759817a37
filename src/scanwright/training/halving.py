"""The race: successive halving of the candidates, then the rest of the time for the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import monotonic
from typing import Any

from scanwright.core import Candidate
from scanwright.models import count_parameters
from scanwright.training.fit import Run, State, begin, fit
from scanwright.training.lesson import Figures

_LITTLE, _LUCK = 0.6, 0.05
"""Below the first score differences of less than the second are luck."""
_RACE_SHARE = 0.55


def race_networks(
    run: Run[Any], candidates: Sequence[Candidate]
) -> tuple[list[tuple[Candidate, State]], list[dict[str, Any]]]:
    """Successive halving: after each rung the better half goes on.

    The race is the beginning of the final schedule, so the winner loses nothing by it.

    Args:
        run: What all candidates share; its deadline is divided among those that go on.
        candidates: Networks with their steps.

    Returns:
        The networks trained to the end with their states, and one row a candidate.

    Source:
        Jamieson and Talwalkar, Non-stochastic best arm identification (AISTATS 2016).
    """
    keep = max(1, run.plan.training.ensemble)
    alive = [(candidate, begin(run, candidate)) for candidate in candidates]
    rows: dict[str, dict[str, Any]] = {}
    until = None if run.deadline is None else monotonic() + _RACE_SHARE * max(0.0, run.deadline - monotonic())
    rungs = max((len(c.race_steps) for c in candidates), default=0)
    for rung in range(rungs):
        if len(alive) <= keep:
            break
        for candidate, state in alive:
            if until is not None and monotonic() > until and state.history:
                continue
            upto = min(sum(candidate.race_steps[: rung + 1]), candidate.final_steps)
            fit(run, candidate, state, upto, until=until)
            rows[candidate.name] = race_row(
                candidate, state.step, state.score, state.seconds, count_parameters(state.net), rung + 1
            )
        order = by_merit([s.score.score if s.score else -math.inf for _, s in alive])
        alive = [alive[n] for n in order[: max(keep, math.ceil(len(alive) / 2))]]
    alive = alive[:keep]
    whole = run.deadline
    for place, (candidate, state) in enumerate(alive):
        if whole is not None:  # on a slow machine every network gets its share of what is left, not the first one all
            costs = [max(c.final_steps - s.step, 1) * max(c.seconds_per_step, 1e-9) for c, s in alive[place:]]
            run.deadline = monotonic() + costs[0] / sum(costs) * max(0.0, whole - monotonic())
            run.braked = False
        fit(run, candidate, state, candidate.final_steps)
        rows[candidate.name] = race_row(
            candidate, state.step, state.score, state.seconds, count_parameters(state.net), rungs + 1
        )
    run.deadline = whole
    return alive, list(rows.values())


def by_merit(scores: Sequence[float]) -> list[int]:
    """Places in order of merit; of networks that have all learnt little, near ones keep the plan's order.

    Args:
        scores: In the plan's order, in which recipes that have proved themselves come first.

    Returns:
        Places, best first.

    Example:
        >>> by_merit([0.82, 0.85, 0.80]), by_merit([0.497, 0.514, 0.41])
        ([1, 0, 2], [0, 1, 2])
    """
    best = max(scores, default=0.0)
    near = _LUCK if best < _LITTLE else 0.0
    return sorted(range(len(scores)), key=lambda n: (0.0, n) if scores[n] >= best - near else (best - scores[n], n))


def race_row(
    candidate: Candidate, steps: int, score: Figures | None, seconds: float, parameters: int, rung: int
) -> dict[str, Any]:
    """One row of the race, for the report."""
    figures = {k: round(float(getattr(score, k)), 5) for k in ("score", "clean", "shifted") if hasattr(score, k)}
    row = {"candidate": candidate.name, "steps": steps, **figures}
    return row | {"seconds": round(seconds, 1), "parameters": parameters, "rung": rung}
