"""Sums over weighted cases that every figure is made from.

One :class:`Tally` holds the counts of r resamples at once; the figures in
``metrics.py`` are short formulas over it.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scanwright.evaluation.resampling import sum_by_group
from scanwright.evaluation.scored import Floats, Scored

N_BINS = 15
"""Equal-width bins of the expected calibration error (Guo et al. 2017)."""

_EPSILON = float(np.finfo(np.float64).eps)


class Table:
    """What does not change between resamples: sums by patient, and sorted orders.

    Args:
        scored: The cases.
    """

    def __init__(self, scored: Scored) -> None:
        self.scored = scored
        self._blocks: list[Floats] = []
        self._places: dict[str, slice] = {}
        if scored.task == "regress":
            self._add_numbers()
        else:
            self._add_classes()
        self.sums = sum_by_group(np.concatenate(self._blocks, axis=1), scored.group)
        self._blocks = []

    def _add(self, name: str, columns: Floats) -> None:
        start = sum(b.shape[1] for b in self._blocks)
        self._blocks.append(columns)
        self._places[name] = slice(start, start + columns.shape[1])

    def _add_classes(self) -> None:
        s = self.scored
        known = s.known.astype(np.float64)
        self._add("tp", known * s.truth * s.answered)
        self._add("fp", known * (1 - s.truth) * s.answered)
        self._add("fn", known * s.truth * (1 - s.answered))
        self._add("tn", known * (1 - s.truth) * (1 - s.answered))
        self._add("n", known)
        p = np.clip(s.scores, _EPSILON, 1 - _EPSILON)
        self._add("class_loss", -known * (s.truth * np.log(p) + (1 - s.truth) * np.log(1 - p)))
        for k in range(s.scores.shape[1]):
            self._add(f"gap{k}", _binned(s.scores[:, k], s.truth[:, k], known[:, k]))
        if s.single:
            rows = np.arange(len(p))
            true, said, likeliest = s.truth.argmax(axis=1), s.answered.argmax(axis=1), s.scores.argmax(axis=1)
            one = np.ones((len(p), 1))
            self._add("cases", one)
            self._add("right", (true == said).astype(np.float64)[:, None])
            self._add("loss", -np.log(p[rows, true])[:, None])
            self._add("gap", _binned(s.scores[rows, likeliest], (likeliest == true).astype(np.float64), one[:, 0]))
            if s.task == "ordinal":
                self._add("steps", np.abs(true - said).astype(np.float64)[:, None])
                self._add("square_steps", ((true - said) ** 2).astype(np.float64)[:, None])

    def _add_numbers(self) -> None:
        y, f = self.scored.truth[:, 0], self.scored.scores[:, 0]
        y0, f0 = y - y.mean(), f - f.mean()  # centred, so that sums of squares keep their digits
        columns = {"n": np.ones_like(y), "ae": np.abs(f - y), "se": (f - y) ** 2, "y": y0, "f": f0}
        columns |= {"yy": y0**2, "ff": f0**2, "yf": y0 * f0}
        for name, values in columns.items():
            self._add(name, values[:, None])

    @cached_property
    def orders(self) -> list[_Order]:
        """For each class, its known cases sorted by score."""
        s = self.scored
        return [_Order(s.scores[:, k], s.truth[:, k], s.known[:, k]) for k in range(s.scores.shape[1])]

    @cached_property
    def rank_orders(self) -> tuple[_Ranks, _Ranks]:
        """Truth and prediction of a number, sorted for Spearman's rank correlation."""
        return _Ranks(self.scored.truth[:, 0]), _Ranks(self.scored.scores[:, 0])

    def tally(self, weights: Floats) -> Tally:
        """Counts under the given ``(r, G)`` weights of patients."""
        return Tally(self, weights)

    def place(self, name: str) -> slice:
        """Columns of :attr:`sums` that hold a quantity."""
        return self._places[name]


class Tally:
    """Weighted sums of r resamples.

    Args:
        table: The cases.
        weights: ``(r, G)`` how often each patient counts.
    """

    def __init__(self, table: Table, weights: Floats) -> None:
        self.table = table
        self.weights = weights
        self._sums = weights @ table.sums

    def sum(self, name: str) -> Floats:
        """``(r, columns)`` weighted sums of a quantity; see ``Table`` for the names."""
        return self._sums[:, self.table.place(name)]

    @property
    def n_columns(self) -> int:
        """Number of classes, K."""
        return int(self.table.scored.scores.shape[1])

    @cached_property
    def positives(self) -> Floats:
        """``(r, K)`` cases of each class."""
        return self.sum("tp") + self.sum("fn")

    @cached_property
    def negatives(self) -> Floats:
        """``(r, K)`` cases of the other classes."""
        return self.sum("fp") + self.sum("tn")

    @cached_property
    def by_case(self) -> Floats:
        """``(r, N)`` weight of each case."""
        return self.weights[:, self.table.scored.group]

    @cached_property
    def ranked(self) -> tuple[Floats, Floats]:
        """AUROC and average precision of each class, each ``(r, K)``."""
        both = [order.areas(self.by_case) for order in self.table.orders]
        return np.stack([a for a, _ in both], axis=1), np.stack([p for _, p in both], axis=1)

    def over(self, numerator: Floats, denominator: Floats) -> Floats:
        """A ratio of sums, NaN where the denominator is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(denominator > 0, numerator / denominator, np.nan)


class _Order:
    """Cases of one class sorted by falling score, equal scores in one block."""

    def __init__(self, scores: Floats, truth: Floats, known: NDArray[np.bool_]) -> None:
        positive, negative = np.flatnonzero(known & (truth == 1)), np.flatnonzero(known & (truth == 0))
        self.positive = positive[np.argsort(-scores[positive], kind="stable")]
        self.negative = negative[np.argsort(-scores[negative], kind="stable")]
        p, n = -scores[self.positive], -scores[self.negative]
        self.n_above = np.searchsorted(n, p, side="left")  # negatives with a higher score
        self.n_to_block = np.searchsorted(n, p, side="right")  # ... and with the same score
        self.p_to_block = np.searchsorted(p, p, side="right")

    def areas(self, by_case: Floats) -> tuple[Floats, Floats]:
        """Area under ROC (trapezoids, ties half) and average precision (step sum), each ``(r,)``."""
        wp, wn = by_case[:, self.positive], by_case[:, self.negative]
        total_p, total_n = wp.sum(axis=1), wn.sum(axis=1)
        zero = np.zeros((len(by_case), 1))
        below_n = np.concatenate([zero, np.cumsum(wn, axis=1)], axis=1)
        below_p = np.concatenate([zero, np.cumsum(wp, axis=1)], axis=1)
        upto = below_n[:, self.n_to_block]
        beaten = total_n[:, None] - (below_n[:, self.n_above] + upto) / 2
        found = below_p[:, self.p_to_block]
        with np.errstate(divide="ignore", invalid="ignore"):
            auroc = (wp * beaten).sum(axis=1) / (total_p * total_n)
            precision = np.where(found > 0, found / (found + upto), 0.0)
            average_precision = (wp * precision).sum(axis=1) / total_p
        return np.where(total_p * total_n > 0, auroc, np.nan), np.where(total_p > 0, average_precision, np.nan)


class _Ranks:
    """A number's order, to rank weighted cases (ties get their mean rank)."""

    def __init__(self, values: Floats) -> None:
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        self.starts = np.flatnonzero(np.r_[True, np.diff(ordered) != 0])
        self.block = np.cumsum(np.r_[True, np.diff(ordered) != 0]) - 1

    def ranks(self, by_case: Floats) -> Floats:
        """``(r, N)`` mean rank of each case among the weighted copies."""
        sizes = np.add.reduceat(by_case[:, self.order], self.starts, axis=1)
        middle = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
        out = np.empty_like(by_case)
        out[:, self.order] = middle[:, self.block]
        return out


def _binned(scores: Floats, hits: Floats, known: Floats) -> Floats:
    """``(N, N_BINS)``: each case's score minus its outcome, in the column of its bin."""
    bins = np.clip(np.ceil(scores * N_BINS).astype(np.intp) - 1, 0, N_BINS - 1)  # bin m is ((m-1)/M, m/M]
    out = np.zeros((len(scores), N_BINS))
    out[np.arange(len(scores)), bins] = known * (scores - hits)
    return out
