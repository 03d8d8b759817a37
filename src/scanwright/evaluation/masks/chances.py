"""Whether the probability of a voxel means what it says, over all cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError
from scanwright.evaluation.masks.surface import Floats, Mask

_BLOCK = 4_000_000
"""Voxels counted at once."""


class Reliability:
    """Probability said beside what is there, in bins of equal width, case after case.

    Voxels said to be less likely than ``floor`` (air, far tissue) are counted apart: there are so
    many that they would drown the error of all others. Leaving them out by what was said, and not
    by the truth, keeps the other bins unbiased.

    Args:
        n_bins: Bins between 0 and 1.
        floor: Probability below which a voxel does not count.

    Source:
        Guo et al. 2017 (expected calibration error), 15 bins of equal width.
    """

    def __init__(self, n_bins: int = 15, floor: float = 0.01) -> None:
        self.n_bins, self.floor = n_bins, floor
        self.n_voxels = np.zeros(n_bins)
        self.said = np.zeros(n_bins)
        self.there = np.zeros(n_bins)
        self.n_below, self.there_below = 0, 0

    def add(self, chances: NDArray[np.floating], truth_any: Mask, ignored: Mask | None = None) -> None:
        """Take in one case.

        Args:
            chances: Any shape, probability that a voxel is in the structure (or in any), 0 .. 1.
            truth_any: Same shape, whether it is.
            ignored: Voxels that do not count.

        Raises:
            InputError: Shapes do not fit.
        """
        if chances.shape != truth_any.shape:
            raise InputError(
                f"Probabilities have the shape {chances.shape}, the truth {truth_any.shape}.",
                "Both lie on one grid.",
                "Resample one onto the other.",
            )
        flat, truth = chances.reshape(-1), truth_any.reshape(-1)
        left_out = None if ignored is None else ignored.reshape(-1)
        for start in range(0, flat.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            kept = slice(None) if left_out is None else ~left_out[part]
            self._count(flat[part][kept], truth[part][kept])

    def _count(self, said: NDArray[np.floating], there: Mask) -> None:
        high = said >= self.floor
        self.n_below += int(high.size - np.count_nonzero(high))
        self.there_below += int(np.count_nonzero(there & ~high))
        values, truth = said[high].astype(np.float64), there[high]
        bins = np.clip((values * self.n_bins).astype(np.intp), 0, self.n_bins - 1)
        self.n_voxels += np.bincount(bins, minlength=self.n_bins)
        self.said += np.bincount(bins, values, self.n_bins)
        self.there += np.bincount(bins, truth, self.n_bins)

    def curve(self) -> dict[str, list[float]]:
        """``x`` mean probability, ``y`` share that is there, ``n`` voxels; empty bins are left out."""
        filled = self.n_voxels > 0
        n = self.n_voxels[filled]
        return {"x": _plain(self.said[filled] / n), "y": _plain(self.there[filled] / n), "n": _plain(n)}

    @property
    def ece(self) -> float:
        """Mean gap between what is said and what is there, over the voxels that count; NaN if none do."""
        total = self.n_voxels.sum()
        return float(np.abs(self.said - self.there).sum() / total) if total else float("nan")


def _plain(values: Floats) -> list[float]:
    return [round(float(v), 6) for v in values]
