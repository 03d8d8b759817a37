"""Which answer finds which true box: surest first, each truth once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanwright.evaluation.boxes.overlap import Floats, iou


@dataclass(frozen=True, eq=False)
class Found:
    """Boxes of one case.

    Args:
        corners: ``(N, 2 * D)`` lower edges, then upper ones.
        labels: ``(N,)`` class indices.
        scores: ``(N,)`` confidence of answers; ones for true boxes.
    """

    corners: Floats
    labels: NDArray[np.intp]
    scores: Floats

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, label: int) -> Found:
        """The boxes of one class."""
        mine = self.labels == label
        return Found(self.corners[mine], self.labels[mine], self.scores[mine])

    def above(self, threshold: float) -> Found:
        """The boxes of at least a score."""
        mine = self.scores >= threshold
        return Found(self.corners[mine], self.labels[mine], self.scores[mine])


def match(truth: Found, answer: Found, least: float) -> NDArray[np.intp]:
    """Give every answer the true box that it finds.

    Answers go by falling score; each takes the true box of largest overlap that is still free and overlaps
    by at least ``least``. Classes are not looked at: give boxes of one class.

    Args:
        truth: True boxes.
        answer: Answers.
        least: IoU of a match.

    Returns:
        ``(N,)`` index of the true box of each answer, -1 for none.

    Source:
        The COCO rule (Lin et al., ECCV 2014; cocoeval.py), without crowds.
    """
    taken = np.full(len(answer), -1, dtype=np.intp)
    if not len(truth) or not len(answer):
        return taken
    overlaps = iou(answer.corners, truth.corners)
    free = np.ones(len(truth), dtype=bool)
    for n in np.argsort(-answer.scores, kind="stable"):
        here = np.where(free, overlaps[n], -1.0)
        best = int(here.argmax())
        if here[best] >= least - 1e-12:
            taken[n], free[best] = best, False
    return taken
