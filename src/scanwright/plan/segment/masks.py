"""Measuring the masks of the training part: how large the structures are, and how common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scanwright.core import Case, Cohort, CohortError, Emit, LabelMap, Progress, ScanwrightError, silent


@dataclass(frozen=True)
class MaskFacts:
    """What masks are like.

    Args:
        share: Median share of a case's voxels that each code has, where it occurs.
        held: Share of the cases in which each code occurs.
        n_measured: Cases.
    """

    share: tuple[float, ...]
    held: tuple[float, ...]
    n_measured: int

    @property
    def rarest(self) -> float:
        """Smallest share of any structure; 1 if there is none."""
        return min((s for s in self.share if s > 0), default=1.0)


def measure_masks(
    cohort: Cohort,
    load: Callable[[Case], LabelMap],
    *,
    n_codes: int,
    limit: int = 60,
    seed: int = 0,
    emit: Emit = silent,
) -> MaskFacts:
    """Measure the masks of some training cases.

    Args:
        cohort: A split cohort for ``segment``.
        load: Reads a case's codes on its image's grid.
        n_codes: Codes that masks may hold.
        limit: Most cases to read; which ones depends on their ids and the seed only.
        seed: Draws the cases.
        emit: Receiver of progress.

    Returns:
        The facts.

    Raises:
        CohortError: No mask could be read, or all of them are empty.
    """
    training = [c for c in cohort.of("train") or cohort.cases if c.masks]
    drawn = sorted(training, key=lambda c: hashlib.sha256(f"{seed}:{c.id}".encode()).digest())[:limit]
    shares, problem = [], ""
    for number, case in enumerate(drawn, start=1):
        try:
            counts = np.bincount(np.minimum(load(case).array, 255).reshape(-1), minlength=256)
            shares.append(counts[1 : n_codes + 1] / counts.sum())
        except ScanwrightError as error:
            problem = problem or f"{case.id}: {error}"
        emit(Progress(stage="plan", step="measuring masks", done=number, total=len(drawn)))
    table = np.array(shares).reshape(len(shares), n_codes)
    if not table.any():
        raise CohortError(
            f"None of {len(drawn)} training masks holds a structure." + (f" {problem}" if problem else ""),
            "A segmentation is learnt from masks with something in them.",
            "Check the masks, or which label values stand for what with --structures.",
        )
    held = (table > 0).mean(axis=0)
    share = [float(np.median(column[column > 0])) if column.any() else 0.0 for column in table.T]
    return MaskFacts(tuple(share), tuple(float(h) for h in held), len(shares))
