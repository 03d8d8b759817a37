"""Free-response curve: lesions found against false alarms a case, over all thresholds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.core.errors import InputError
from scanwright.evaluation.masks.lesions import components, matches_of
from scanwright.evaluation.masks.overlap import overlap_of
from scanwright.evaluation.masks.surface import Floats, Mask, common_box

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives a case at which LUNA16 reads the curve."""


class Froc:
    """Candidates of many cases, and the curve that they make.

    A candidate is a connected piece of the probability map at a low threshold, scored by its
    highest (or mean) probability. It finds every true lesion that it matches (see
    :func:`~scanwright.evaluation.masks.lesions.match_lesions`); a lesion takes the score of its
    best candidate; a candidate that matches none is a false alarm.

    Args:
        low: Threshold of the candidates, 0 .. 1. Too low a one melts candidates together.
        score: ``"max"`` or ``"mean"`` probability of the voxels.
        connectivity: 26, 18 or 6.
        iou: Least overlap of a match; 0 for any shared voxel.

    Source:
        Setio et al. 2017 (LUNA16): sensitivity at :data:`RATES`, linear between points of the
        curve, and their mean, the CPM. There a candidate is a point within the lesion's radius.
    """

    def __init__(
        self, *, low: float = 0.1, score: Literal["max", "mean"] = "max", connectivity: int = 26, iou: float = 0.0
    ) -> None:
        self.low, self.score, self.connectivity, self.iou = low, score, connectivity, iou
        self._lesions: list[Floats] = []
        self._alarms: list[Floats] = []

    def __len__(self) -> int:
        return len(self._lesions)

    @property
    def n_lesions(self) -> int:
        """True lesions of all cases."""
        return sum(map(len, self._lesions))

    def add(self, truth: Mask, chances: NDArray[np.floating], *, ignored: Mask | None = None) -> None:
        """Take in one case.

        Args:
            truth: ``(I, J, K)`` lesions.
            chances: Same shape, probability of a lesion, 0 .. 1.
            ignored: Voxels that belong to neither.

        Raises:
            InputError: Shapes do not fit.
        """
        if truth.shape != chances.shape:
            raise InputError(
                f"Truth has the shape {truth.shape}, the probabilities {chances.shape}.",
                "Both lie on one grid.",
                "Resample one onto the other.",
            )
        high = chances >= self.low
        if ignored is not None:
            truth, high = truth & ~ignored, high & ~ignored
        box = common_box(truth, high) or (slice(0, 0),) * truth.ndim
        lesions, _ = components(truth[box], self.connectivity)
        pieces, n_pieces = components(high[box], self.connectivity)
        scores = self._scores(chances[box], pieces, n_pieces)
        matches = matches_of(overlap_of(lesions, pieces), self.iou)
        best = np.full(len(matches.found), -np.inf)
        np.maximum.at(best, matches.truth, scores[matches.answer])
        self.add_scores(best, scores[matches.false])

    def _scores(self, chances: NDArray[np.floating], pieces: NDArray[np.int32], n_pieces: int) -> Floats:
        if not n_pieces:
            return np.empty(0)
        measure = ndimage.maximum if self.score == "max" else ndimage.mean
        return np.asarray(measure(chances, pieces, np.arange(1, n_pieces + 1)), dtype=np.float64)

    def add_scores(self, lesions: Iterable[float], alarms: Iterable[float]) -> None:
        """Take in one case whose candidates are already matched.

        Args:
            lesions: Score of the best candidate of each true lesion, -inf for one without.
            alarms: Scores of the false candidates.
        """
        self._lesions.append(np.asarray(list(lesions), dtype=np.float64))
        self._alarms.append(np.asarray(list(alarms), dtype=np.float64))

    def curve(self) -> dict[str, list[float]]:
        """``x`` false positives a case, rising; ``y`` share of the lesions found; empty without lesions."""
        if not self.n_lesions:
            return {"x": [], "y": []}
        alarms, found = self._points(np.ones((1, len(self))))
        return {"x": [round(float(v), 6) for v in alarms[0]], "y": [round(float(v), 6) for v in found[0]]}

    def at_rates(self, weights: Floats | None = None) -> Floats:
        """Sensitivity at each of :data:`RATES`.

        Args:
            weights: ``(r, N)`` how often each case counts; None for once each.

        Returns:
            ``(r, 7)``, 0 .. 1; NaN where there is no lesion. Beyond the last point of the curve its
            height is kept.
        """
        counted = np.ones((1, len(self))) if weights is None else weights
        if not len(self):
            return np.full((len(counted), len(RATES)), np.nan)
        alarms, found = self._points(counted)
        return np.stack([np.interp(RATES, x, y) for x, y in zip(alarms, found, strict=True)])

    @property
    def cpm(self) -> float:
        """Mean sensitivity over :data:`RATES`; NaN without lesions."""
        return float(self.at_rates().mean())

    @property
    def n_scores(self) -> int:
        """Length of the curve before ties are joined."""
        return self.n_lesions + sum(map(len, self._alarms))

    def _points(self, weights: Floats) -> tuple[Floats, Floats]:
        """``(r, M)`` false positives a case and sensitivity, from the strictest threshold on."""
        scores = np.concatenate([*self._lesions, *self._alarms])
        case = np.concatenate(
            [np.repeat(np.arange(len(self)), [len(s) for s in part]) for part in (self._lesions, self._alarms)]
        )
        is_lesion = np.arange(len(scores)) < self.n_lesions
        order = np.argsort(-scores, kind="stable")
        order = order[np.isfinite(scores[order])]
        last = np.flatnonzero(np.diff(scores[order], append=-np.inf) != 0)  # ties move together
        drawn = weights[:, case[order]]
        start = np.zeros((len(weights), 1))
        found = np.cumsum(drawn * is_lesion[order], axis=1)[:, last]
        alarms = np.cumsum(drawn * ~is_lesion[order], axis=1)[:, last]
        n_lesions = (weights @ np.array([len(s) for s in self._lesions], dtype=np.float64))[:, None]
        n_cases = weights.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.hstack([start, alarms]) / n_cases, np.hstack([start, found]) / n_lesions


def froc(
    cases: Iterable[tuple[Mask, NDArray[np.floating]]],
    *,
    low: float = 0.1,
    score: Literal["max", "mean"] = "max",
    connectivity: int = 26,
    iou: float = 0.0,
) -> Froc:
    """Free-response curve of many cases, one in memory at a time.

    Args:
        cases: Truth and probability map of each, both ``(I, J, K)``.
        low: See :class:`Froc`.
        score: See :class:`Froc`.
        connectivity: See :class:`Froc`.
        iou: See :class:`Froc`.

    Returns:
        The curve, with its figures.

    Raises:
        InputError: Shapes do not fit.
    """
    made = Froc(low=low, score=score, connectivity=connectivity, iou=iou)
    for truth, chances in cases:
        made.add(truth, chances)
    return made
