"""Which pieces of one image lie on which pieces of another: a sparse joint histogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DENSE = 4_000_000
"""Longest histogram that is counted without sorting."""


@dataclass(frozen=True)
class Overlap:
    """Pieces of two images of ids, and the pairs of them that share a voxel.

    Args:
        truth_size: ``(T,)`` voxels of each true piece.
        answer_size: ``(A,)`` voxels of each answered piece.
        truth: ``(P,)`` index of the true piece of each pair.
        answer: ``(P,)`` index of the answered piece of each pair.
        shared: ``(P,)`` voxels that they share.
    """

    truth_size: NDArray[np.intp]
    answer_size: NDArray[np.intp]
    truth: NDArray[np.intp]
    answer: NDArray[np.intp]
    shared: NDArray[np.intp]

    @property
    def iou(self) -> NDArray[np.float64]:
        """``(P,)`` intersection over union of each pair."""
        union = self.truth_size[self.truth] + self.answer_size[self.answer] - self.shared
        return np.asarray(self.shared / union, dtype=np.float64)


def overlap_of(truth_ids: NDArray[np.integer], answer_ids: NDArray[np.integer]) -> Overlap:
    """Count shared voxels of all pairs of pieces in one pass.

    Args:
        truth_ids: Ids of any shape, 0 background; ids need not follow one another.
        answer_ids: Same shape.

    Returns:
        Sizes and pairs; pieces stand in order of their ids.
    """
    truth_on, answer_on = truth_ids > 0, answer_ids > 0
    truth_at, truth_size = _numbered(truth_ids[truth_on])
    answer_at, answer_size = _numbered(answer_ids[answer_on])
    n = max(len(answer_size), 1)
    keys = truth_at[answer_on[truth_on]] * n + answer_at[truth_on[answer_on]]
    if len(truth_size) * n <= _DENSE:
        counts = np.bincount(keys)
        pairs = np.flatnonzero(counts)
        shared = counts[pairs]
    else:
        pairs, shared = np.unique(keys, return_counts=True)
    truth, answer = np.divmod(pairs, n)
    return Overlap(truth_size, answer_size, truth, answer, shared)


def _numbered(ids: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index of each voxel's piece among those that occur, and how many voxels each has."""
    if not ids.size or int(ids.max()) > _DENSE:
        _, at, sizes = np.unique(ids, return_inverse=True, return_counts=True)
        return at.reshape(-1), sizes
    counts = np.bincount(ids)
    there = np.flatnonzero(counts)
    place = np.zeros(len(counts), dtype=np.intp)
    place[there] = np.arange(len(there))
    return place[ids], counts[there]
