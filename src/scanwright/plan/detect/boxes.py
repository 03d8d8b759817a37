"""How large and how many the boxes of a cohort are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanwright.core import Cohort, CohortError


@dataclass(frozen=True, slots=True)
class BoxFacts:
    """Measured facts of the true boxes of training.

    Args:
        usual: Geometric median of their sizes along ``(i, j, k)``, in voxels of the source.
        small: A tenth of them are smaller along ``(i, j, k)``.
        n_boxes: How many there are.
        most: Most of them in one case.
        n_empty: Cases in which there is nothing.
    """

    usual: tuple[float, float, float]
    small: tuple[float, float, float]
    n_boxes: int
    most: int
    n_empty: int


def measure_boxes(cohort: Cohort) -> BoxFacts:
    """Measure the boxes of the training part, or of all cases before the split.

    Args:
        cohort: A detection.

    Returns:
        The facts.

    Raises:
        CohortError: There is no box with an extent.
    """
    cases = [c for c in cohort.cases if c.part in ("train", None) and c.boxes is not None]
    sizes = np.array([box.size for c in cases for box in c.boxes or () if not box.is_empty]).reshape(-1, 3)
    if not len(sizes):
        raise CohortError(
            f"The training cases of {cohort.name} hold no box.",
            "Detection is learnt from boxes.",
            "Check the parts, or leave the part column out so that parts are made.",
        )
    usual, small = np.exp(np.median(np.log(sizes), axis=0)), np.percentile(sizes, 10, axis=0)
    counts = [len(c.boxes or ()) for c in cases]
    return BoxFacts(
        usual=(float(usual[0]), float(usual[1]), float(usual[2])),
        small=(float(small[0]), float(small[1]), float(small[2])),
        n_boxes=len(sizes),
        most=max(counts),
        n_empty=counts.count(0),
    )
