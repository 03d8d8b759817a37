"""Where to cut: from a score to an answer, chosen on validation by a named rule.

A threshold tuned on a small or an easy validation part is noise: many thresholds do as well
there, and they differ widely elsewhere. So the cut starts where training put it, and moves
only as far as validation clearly asks: among all cuts whose figure is within two standard
errors of the best, the nearest to the start is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError

Floats = NDArray[np.float64]

STANDARD_ERRORS = 2.0
"""How clearly validation must ask before the cut moves: about 95 % of certainty."""


@dataclass(frozen=True)
class Gain:
    """What a right answer is worth under a rule.

    Args:
        positive: ``(n_positive, n_negative) -> weight`` of a positive case found.
        negative: The same for a negative case called negative.
        meaning: One plain sentence.
    """

    positive: Callable[[int, int], float]
    negative: Callable[[int, int], float]
    meaning: str


RULES: dict[str, Gain] = {
    "balanced": Gain(
        lambda p, n: 0.5 / p, lambda p, n: 0.5 / n, "Both classes count the same (balanced accuracy, Youden's J)."
    ),
    "accuracy": Gain(lambda p, n: 1 / (p + n), lambda p, n: 1 / (p + n), "Every case counts the same (accuracy)."),
    "middle": Gain(
        lambda p, n: 0.25 / p + 0.5 / (p + n),
        lambda p, n: 0.25 / n + 0.5 / (p + n),
        "Halfway: the mean of accuracy and balanced accuracy.",
    ),
}
"""Rules that weigh errors. Beside them: ``sensitivity>=0.95`` and ``specificity>=0.95`` with any number."""

TOWARDS_PRIOR = {"balanced": 0.0, "middle": 0.5, "accuracy": 1.0}
"""Where the cut starts, by rule: 0 where both classes are equally common, 1 where they are as common
as on validation; halfway for ``middle``, since how common they will be is not known."""

_FLOOR_RULE = re.compile(r"(sensitivity|specificity)>=(0?\.\d+|1(?:\.0*)?)")


def check_rule(rule: str) -> None:
    """Refuse a rule that is not known.

    Args:
        rule: A key of :data:`RULES`, ``"sensitivity>=0.95"`` or ``"specificity>=0.9"``.

    Raises:
        InputError: It is none of these.
    """
    if rule not in RULES and not _FLOOR_RULE.fullmatch(rule):
        raise InputError(
            f"The rule {rule!r} is unknown.",
            f"An operating point is chosen by {', '.join(RULES)}, sensitivity>=0.95 or specificity>=0.95.",
            "Correct the name.",
        )


def choose_cut(scores: Floats, truth: NDArray[np.intp], rule: str, *, start: float = 0.0) -> float:
    """Choose a cut for one class: a case is positive when its score reaches the cut.

    Args:
        scores: ``(N,)`` logits on validation.
        truth: ``(N,)`` 1 or 0.
        rule: See :func:`check_rule`.
        start: The cut that training aimed at.

    Returns:
        The cut in logits; ``start`` when validation holds one class only.

    Source:
        After the one-standard-error rule (Breiman et al. 1984), with two; the error of a
        difference between two cuts is that of the cases between them.
    """
    check_rule(rule)
    positive, negative = np.sort(scores[truth == 1]), np.sort(scores[truth == 0])
    if not len(positive) or not len(negative):
        return start
    floor = _FLOOR_RULE.fullmatch(rule)
    if floor:
        return _cut_for_floor(positive, negative, floor[1], float(floor[2]))
    cuts = _candidates(np.concatenate([positive, negative]), start)
    gain = RULES[rule]
    worth_p = gain.positive(len(positive), len(negative))
    worth_n = gain.negative(len(positive), len(negative))
    below_p = np.searchsorted(positive, cuts, side="left")  # positives missed at each cut
    below_n = np.searchsorted(negative, cuts, side="left")  # negatives called negative
    value = worth_n * below_n - worth_p * below_p
    best = int(value.argmax())
    between_p, between_n = np.abs(below_p - below_p[best]), np.abs(below_n - below_n[best])
    error = np.sqrt(worth_p**2 * between_p + worth_n**2 * between_n)
    fine = value[best] - value <= STANDARD_ERRORS * error + 1e-12
    return float(cuts[fine][np.abs(cuts[fine] - start).argmin()])


def _candidates(scores: Floats, start: float) -> Floats:
    """Cuts halfway between neighbouring scores, beyond both ends, and the start."""
    distinct = np.unique(scores)
    middles = (distinct[1:] + distinct[:-1]) / 2
    return np.unique(np.r_[distinct[0] - 1.0, middles, distinct[-1] + 1.0, start])


def _cut_for_floor(positive: Floats, negative: Floats, which: str, share: float) -> float:
    """The cut that keeps a share of one side and is kindest to the other.

    It lies halfway to the next score of that side, on the safe side.
    """
    if which == "sensitivity":
        keep = int(np.ceil(share * len(positive) - 1e-9))
        edge = positive[len(positive) - keep] if keep else positive[-1] + 1.0
        lower = negative[negative < edge]
        return float((edge + lower[-1]) / 2 if len(lower) else edge - 0.5)
    keep = int(np.ceil(share * len(negative) - 1e-9))
    edge = negative[keep - 1] if keep else negative[0] - 1.0
    higher = positive[positive > edge]
    return float((edge + higher[0]) / 2 if len(higher) else edge + 0.5)
