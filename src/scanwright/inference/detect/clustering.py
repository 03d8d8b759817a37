"""One box for what several views answered: overlapping windows and mirror images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanwright.evaluation.boxes import Found, iou


@dataclass(frozen=True, eq=False)
class Views:
    """Boxes of all views of one case.

    Args:
        found: Boxes on one lattice.
        view: ``(N,)`` which view each box comes from.
        trust: ``(N,)`` how much it counts, above 0: less near the border of its window.
        expected: ``(N,)`` how many views see the place of its middle.
    """

    found: Found
    view: NDArray[np.intp]
    trust: NDArray[np.float64]
    expected: NDArray[np.float64]


def cluster(views: Views, *, least: float) -> Found:
    """Weighted box clustering.

    The surest box gathers all of its class that overlap it enough, of each view the surest. Their edges are averaged,
    weighted by score and trust; the score is their mean, weighted by trust, and views that should have seen the thing
    and did not count as zero.

    Args:
        views: Boxes of all views.
        least: IoU from which two boxes are one thing.

    Returns:
        One box for each thing, surest first.

    Source:
        Jaeger et al., Retina U-Net (ML4H 2018, arXiv:1811.08661), section "Weighted Box Clustering".
    """
    corners, labels, scores = views.found.corners, views.found.labels, views.found.scores
    left = np.argsort(-scores, kind="stable")
    made: list[tuple[NDArray[np.float64], int, float]] = []
    while len(left):
        first = left[0]
        mine = labels[left] == labels[first]
        near = iou(corners[first][None], corners[left])[0] >= least
        near[0] = True
        together = left[mine & near]
        left = left[~(mine & near)]
        _, firsts = np.unique(views.view[together], return_index=True)  # of each view the surest, which comes first
        kept = together[np.sort(firsts)]
        weight = views.trust[kept]
        share = weight * scores[kept]
        missing = max(float(views.expected[kept].mean()) - len(kept), 0.0)
        score = float(share.sum() / (weight.sum() + missing * weight.mean()))
        made.append(((corners[kept] * share[:, None]).sum(axis=0) / share.sum(), int(labels[first]), score))
    order = sorted(range(len(made)), key=lambda n: -made[n][2])
    return Found(
        np.array([made[n][0] for n in order]).reshape(len(order), corners.shape[1]),
        np.array([made[n][1] for n in order], dtype=np.intp),
        np.array([made[n][2] for n in order]),
    )
