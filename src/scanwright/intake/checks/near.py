"""Images that are nearly the same: a search that misses none above its threshold, then a closer look.

The rule. Every image has a small picture (32 x 32, or 12 x 12 x 12) and a picture of its fine
detail (64 x 64, 24 x 24 x 24, or as small as the former in very large cohorts), both of zero
mean and unit norm. Two images are near duplicates when the small pictures correlate by
``BROAD`` and the fine detail by ``FINE``. Fine detail is what tells two patients apart whose
radiographs have the same broad forms. At last the two images themselves are compared, at up to
128 pixels and in their finest detail (``FINEST``). Tiny images (48 pixels and less) have little
detail, so every threshold is stricter there.

Measured on the kit: in BUSI the pairs at the thresholds are the same lesion a moment apart; among
322 mammograms, 5,856 radiographs of 28 pixels and 70,000 digits no pair is found by chance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Cohort, ScanwrightError
from scanwright.intake.checks.survey import Survey, fine_detail, shrink, unit
from scanwright.io import read_volume

TINY = 48
"""Longest side of a tiny image, in pixels."""

BROAD, FINE, FINEST = 0.985, 0.80, 0.50
BROAD_TINY, FINE_TINY, FINEST_TINY = 0.995, 0.985, 0.97

_DIMENSIONS = 24
_BLOCK = 2048
_SAMPLE = 4000
_MOST = 20_000


def near_pairs(cohort: Cohort, survey: Survey) -> list[tuple[int, int]]:
    """Pairs of cases whose images are nearly, not exactly, the same.

    Args:
        cohort: The cohort.
        survey: Its survey.

    Returns:
        Pairs of indices into ``cohort.cases``, the first smaller; at most 20,000.
    """
    usable = np.array([d is not None for d in survey.digests]) & (np.abs(survey.small).max(axis=1, initial=0) > 0)
    where = np.flatnonzero(usable)
    # one of each exact copy is enough: the groups of copies are joined later
    _, first = np.unique(np.array([survey.digests[i] for i in where], dtype="S16"), return_index=True)
    where = where[np.sort(first)]
    if len(where) < 2:
        return []
    tiny = _tiny(survey)
    broad, fine, finest = (BROAD_TINY, FINE_TINY, FINEST_TINY) if tiny else (BROAD, FINE, FINEST)
    pairs: list[tuple[int, int]] = []
    for a, b in _candidates(survey.small[where], broad):
        a, b = where[a], where[b]
        for start in range(0, len(a), 8192):
            some_a, some_b = a[start : start + 8192], b[start : start + 8192]
            alike = _dots(survey.detail, some_a, some_b) >= fine
            pairs += [(int(min(i, j)), int(max(i, j))) for i, j in zip(some_a[alike], some_b[alike], strict=True)]
        if len(pairs) > _MOST:
            break
    return sorted(p for p in pairs[:_MOST] if _really(cohort, *p, finest))


def _candidates(small: NDArray[np.float16], broad: float) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs whose small pictures correlate by ``broad`` or more; none is missed.

    A projection onto the principal axes never makes two pictures farther apart, so pairs that
    are too far apart in 24 axes are done with; sorting by the first axis leaves out most blocks.
    """
    n = len(small)
    sample = small[:: max(1, n // _SAMPLE)].astype(np.float32)
    _, axes = np.linalg.eigh(sample.T @ sample)
    axes = axes[:, ::-1][:, : min(_DIMENSIONS, small.shape[1])].astype(np.float32)
    at = np.concatenate([small[s : s + _BLOCK].astype(np.float32) @ axes for s in range(0, n, _BLOCK)])
    reach = 2 * (1 - broad) + 4e-3  # squared distance, with room for half precision
    order = np.argsort(at[:, 0], kind="stable")
    at = at[order]
    square = (at**2).sum(axis=1)
    for s in range(0, n, _BLOCK):
        here, here_square = at[s : s + _BLOCK], square[s : s + _BLOCK]
        top = here[-1, 0] + np.sqrt(reach)
        for t in range(s, n, _BLOCK):
            if at[t, 0] > top:
                break
            there = at[t : t + _BLOCK]
            far = here @ (-2 * there.T)
            far += here_square[:, None]
            far += square[t : t + _BLOCK][None]
            i, j = np.nonzero(far < reach)
            if t == s:
                i, j = i[i < j], j[i < j]
            if not len(i):
                continue
            a, b = order[s + i], order[t + j]
            keep = _dots(small, a, b) >= broad
            if keep.any():
                yield a[keep], b[keep]


def _dots(rows: NDArray[np.float16], a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.float32]:
    found = np.empty(len(a), np.float32)
    for s in range(0, len(a), 8192):
        left, right = rows[a[s : s + 8192]].astype(np.float32), rows[b[s : s + 8192]].astype(np.float32)
        found[s : s + 8192] = np.einsum("ij,ij->i", left, right)
    return found


def _tiny(survey: Survey) -> bool:
    sides = [max(s[1:3]) for s in survey.shapes[:200] if s is not None]
    return bool(sides) and float(np.median(sides)) <= TINY


def _really(cohort: Cohort, i: int, j: int, finest: float) -> bool:
    """Compare the two images themselves, at the smaller one's size (128 pixels at most)."""
    try:
        one, two = (_grey(cohort, k) for k in (i, j))
    except ScanwrightError:
        return False
    limit = 128 if cohort.dimension == 2 else 48
    sides = tuple(min(a, b, limit) for a, b in zip(one.shape, two.shape, strict=True))
    detail = unit(fine_detail(np.stack([shrink(one, sides), shrink(two, sides)]), len(sides), share=64))
    return float(detail[0] @ detail[1]) >= finest


def _grey(cohort: Cohort, i: int) -> NDArray[np.float32]:
    array = read_volume(cohort.cases[i].source, root=cohort.root).array.astype(np.float32).mean(axis=0)
    return array[..., array.shape[-1] // 2] if cohort.dimension == 2 else array
