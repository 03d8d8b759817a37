"""How a budget is divided: what the rest of the run needs, the race, the final training.

Only arithmetic. ``planned_s`` adds up what a set of candidates may take at worst, so that a
plan can be held against its budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scanwright.core import ON_A_BASE, Candidate

SAFETY = 0.88
"""Share of the time left for training that is planned with: machines are noisy."""
RACE_SHARE = 0.3
"""Share of the training time that goes to rungs of the race."""
EVALUATIONS = 12
AFTER = 4
"""Looks at validation after training: flips at test time and the choice of an ensemble."""
_STARTING, _FINISHING = 4.0, 17.0
"""Seconds of a run before its first image, and after the last one was judged: imports, export, heat maps, report."""
_LOOK = (2048, 512, 5)
"""One look at validation: up to 2048 clean cases, and 5 acquisition shifts of up to 512."""
_FORWARD = 1 / 3
"""Cost of a forward pass, as a share of a training step."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What costs depend on.

    Args:
        n_train: Training cases.
        n_val: Validation cases.
        n_judged: Cases of val and test.
        n_cases: All cases.
        voxels: Of one prepared image, channels included.
        source_voxels: Of one source image.
    """

    n_train: int
    n_val: int
    n_judged: int
    n_cases: int
    voxels: int
    source_voxels: int


def reserve_s(budget_s: float, sizes: Sizes, *, cores: int = 2) -> float:
    """Seconds of a run that are not training.

    Args:
        budget_s: The whole budget.
        sizes: Of the cohort.
        cores: Processor cores that read and prepare.

    Returns:
        Imports, scan, measuring, preparing, evaluation, explanation, export and report;
        never more than 45 % of the budget.
    """
    read = sizes.n_cases * (8e-4 + 6e-8 * sizes.source_voxels) / max(cores, 1)
    measure = min(0.04 * budget_s, 12.0)
    return min(_STARTING + read + after_s(sizes.n_judged, sizes.voxels) + measure, 0.45 * budget_s)


def after_s(n_judged: int, voxels: int) -> float:
    """Seconds of a run that come after training.

    Args:
        n_judged: Cases of val and test.
        voxels: Of one prepared image, channels included.

    Returns:
        Export, evaluation, explanation and report.
    """
    return _FINISHING + n_judged * (1e-3 + 2e-7 * voxels)


def classical_s(sizes: Sizes) -> float:
    """Seconds to fit the classical candidates and the linear baseline."""
    seen = min(sizes.n_train, 8000) + min(sizes.n_val, _LOOK[0]) + _LOOK[2] * min(sizes.n_val, _LOOK[1])
    return 3.0 + seen * (5e-4 + 7e-7 * min(sizes.voxels, 24**3))


def frozen_s(tuned: Candidate, sizes: Sizes, n_heads: int) -> float:
    """Seconds to fit heads on a frozen base.

    Args:
        tuned: The candidate that trains the same base, its step measured.
        sizes: Of the cohort.
        n_heads: Candidates on the frozen base.

    Returns:
        The features of the training cases once, and for each head a look at validation, perhaps mirrored.
    """
    once = min(sizes.n_train, 8000) / tuned.batch_size * tuned.seconds_per_step * _FORWARD
    heads = 1.0 + (2e-3 * min(sizes.n_train, 8000) if n_heads > 1 else 0.0)  # of trees, on few directions
    return heads + once + 2 * n_heads * look_s(tuned, sizes.n_val)


def look_s(candidate: Candidate, n_val: int) -> float:
    """Seconds of one look at validation, clean and under shifts.

    Args:
        candidate: A network whose step was measured.
        n_val: Validation cases.

    Returns:
        Seconds; 0 for a classical candidate.
    """
    clean, shifted, kinds = _LOOK
    cases = min(n_val, clean) + kinds * min(n_val, shifted)
    return cases / candidate.batch_size * candidate.seconds_per_step * _FORWARD


def least_steps(candidate: Candidate, n_train: int, *, hurry: bool = False) -> int:
    """Fewest steps that make a network worth training.

    Args:
        candidate: Its batch size.
        n_train: Training cases.
        hurry: Whether it is the last network left, which may be trained for less.

    Returns:
        Three epochs, but sixty thousand cases are enough, and twenty epochs in small cohorts; in a
        hurry, and where weights are not fresh, a quarter of that.
    """
    cases = max(min(3 * n_train, 60_000), min(20 * n_train, 10_000))
    hurry = hurry or candidate.model == "tuned"
    return max(8, math.ceil(cases / candidate.batch_size / (4 if hurry else 1)))


def most_steps(candidate: Candidate, n_train: int) -> int:
    """Steps beyond which more of them buy nothing: 60 epochs of large cohorts, 400 of small ones."""
    epochs = min(400.0, max(60.0, 1_000_000 / max(n_train, 1)))
    return max(400, math.ceil(epochs * n_train / candidate.batch_size))


def divide(
    networks: Sequence[Candidate], seconds: float, sizes: Sizes, *, ensemble: int = 1, hurry: bool = False
) -> tuple[Candidate, ...]:
    """Give each network its steps: rungs of successive halving, then the rest to the winners.

    Each rung takes the same time, shared equally by those still in it, so the race costs
    the same whoever wins it.

    Args:
        networks: Networks with their measured ``seconds_per_step``.
        seconds: Time for all of it.
        sizes: Of the cohort.
        ensemble: How many of the best are trained to the end.
        hurry: Whether a shorter training is better than none; see :func:`least_steps`.

    Returns:
        The same networks with ``race_steps`` and ``final_steps``. Those are zero for a
        network that cannot get :func:`least_steps`: leave it out and divide again.
    """
    if not networks:
        return ()
    survivors = rungs(len(networks))
    race = RACE_SHARE * seconds if survivors else 0.0
    finals = max(1, min(ensemble, len(networks)))
    done = []
    for network in networks:
        look = look_s(network, sizes.n_val)
        most = most_steps(network, sizes.n_train)
        cap = most * RACE_SHARE / max(len(survivors), 1)  # a race must not be longer than what may follow it
        raced = tuple(
            max(0, math.floor(min((race / len(survivors) / n - look) / network.seconds_per_step, cap)))
            for n in survivors
        )
        last = (seconds - race) / finals - (EVALUATIONS + AFTER) * look
        final = sum(raced) + math.floor(last / network.seconds_per_step)
        enough = final >= least_steps(network, sizes.n_train, hurry=hurry) and min(raced, default=1) >= 1 and last > 0
        final = min(final, most) if enough else 0
        done.append(network.model_copy(update={"race_steps": raced if enough else (), "final_steps": final}))
    return tuple(done)


def rungs(n: int) -> tuple[int, ...]:
    """Networks in each rung of a race of ``n``: half of them, rounded up, go on.

    Example:
        >>> rungs(5), rungs(2), rungs(1)
        ((5, 3, 2), (2,), ())
    """
    found = []
    while n > 1:
        found.append(n)
        n = math.ceil(n / 2)
    return tuple(found)


def planned_s(candidates: Sequence[Candidate], sizes: Sizes, *, ensemble: int = 1) -> float:
    """What training may take at worst.

    Args:
        candidates: Of a plan.
        sizes: Of the cohort.
        ensemble: How many of the best are trained to the end.

    Returns:
        Seconds of classical fits, the race with the most expensive survivors, the final
        training of the most expensive winners, and all looks at validation.
    """
    networks = [c for c in candidates if c.kind == "network"]
    fitted = {c.model for c in candidates if c.kind == "classical"}
    total = classical_s(sizes) if fitted - {"linear"} else float(bool(fitted))
    for tuned in (c for c in networks if c.model == "tuned"):
        total += frozen_s(tuned, sizes, sum(c.model in ON_A_BASE and c.kind == "classical" for c in candidates))
    for rung, n in enumerate(rungs(len(networks))):
        costs = sorted(
            (c.race_steps[rung] * c.seconds_per_step + look_s(c, sizes.n_val) for c in networks), reverse=True
        )
        total += sum(costs[:n])
    finals = sorted(
        (
            (c.final_steps - sum(c.race_steps)) * c.seconds_per_step + (EVALUATIONS + AFTER) * look_s(c, sizes.n_val)
            for c in networks
        ),
        reverse=True,
    )
    return total + sum(finals[: max(1, ensemble)])
