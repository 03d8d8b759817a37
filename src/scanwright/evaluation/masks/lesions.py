"""Lesions as connected pieces: which are found, which answers are false."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.core.errors import InputError
from scanwright.evaluation.masks.overlap import Overlap, overlap_of
from scanwright.evaluation.masks.surface import Mask, common_box

RANKS = {6: 1, 18: 2, 26: 3}
"""Neighbours of a voxel to the axes along which they may differ (4 and 8 in a picture: 6 and 26)."""


@dataclass(frozen=True)
class Matches:
    """How answered pieces meet true ones.

    Args:
        found: ``(T,)`` whether each true lesion is found.
        false: ``(A,)`` whether each answered piece is false.
        truth: ``(P,)`` true lesion of each accepted pair.
        answer: ``(P,)`` answered piece of each accepted pair.
    """

    found: Mask
    false: Mask
    truth: NDArray[np.intp]
    answer: NDArray[np.intp]

    @property
    def sensitivity(self) -> float:
        """Share of the true lesions that are found, 0 .. 1; NaN if there are none."""
        return float(self.found.mean()) if len(self.found) else float("nan")


def components(mask: Mask, connectivity: int = 26) -> tuple[NDArray[np.int32], int]:
    """Number the connected pieces of a mask.

    Args:
        mask: ``(I, J, K)``.
        connectivity: 26 (faces, edges, corners), 18, or 6 (faces).

    Returns:
        Ids 1, 2, 3 ... of the same shape, 0 background, and their number.

    Raises:
        InputError: The connectivity is another number.
    """
    rank = RANKS.get(connectivity)
    if rank is None:
        raise InputError(
            f"The connectivity {connectivity} does not exist.", "It is 6, 18 or 26.", "Give one of the three."
        )
    ids, n = ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, min(rank, mask.ndim)))
    return ids, int(n)


def match_lesions(truth: Mask, answer: Mask, *, connectivity: int = 26, iou: float = 0.0) -> Matches:
    """Match connected pieces of two masks by overlap.

    A true lesion and an answered piece match when they share a voxel and their intersection over
    union is at least ``iou``. A true lesion is found if any piece matches it; a piece that matches
    no lesion is a false positive. One piece may find several lesions, and several pieces one.

    Args:
        truth: ``(I, J, K)``.
        answer: Same shape.
        connectivity: See :func:`components`.
        iou: 0 .. 1; 0 for any shared voxel.

    Returns:
        What is found and what is false.

    Raises:
        InputError: The connectivity is unknown.
    """
    box = common_box(truth, answer) or (slice(0, 0),) * truth.ndim
    pieces = [components(mask[box], connectivity)[0] for mask in (truth, answer)]
    return matches_of(overlap_of(*pieces), iou)


def matches_of(overlap: Overlap, iou: float = 0.0) -> Matches:
    """Apply the rule of :func:`match_lesions` to pieces that are already counted."""
    good = overlap.iou >= iou
    truth, answer = overlap.truth[good], overlap.answer[good]
    found = np.zeros(len(overlap.truth_size), dtype=bool)
    false = np.ones(len(overlap.answer_size), dtype=bool)
    found[truth], false[answer] = True, False
    return Matches(found, false, truth, answer)
