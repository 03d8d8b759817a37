"""Images that are nearly the same: a search that misses none above its threshold, then a closer look.

The search. Every image has a small picture (32 x 32, or 12 x 12 x 12) and a picture of its detail
(64 x 64, 24 x 24 x 24, or as small as the former in very large cohorts), both of zero mean and unit
norm. Pairs whose small pictures correlate by ``BROAD`` and whose detail by ``FINE`` are candidates.

The closer look. Radiographs of one view are alike in all of this, whoever lies before the detector.
So what the images of the cohort share (`template`) is taken away from the fine detail of the two,
at up to 128 pixels, and what is their own must correlate. How much is enough depends on the cohort:
``MARGIN`` times as much as its different images do, within ``LEAST`` and ``SURE``. Two patients
that are known to be different are taken for one only from ``SURE`` on: so do re-encoded, brighter or
smaller copies agree. Tiny images (48 pixels and less) have little detail: every threshold is
stricter there and nothing is taken away.

Measured: 108 copies planted in four cohorts (JPEG of quality 30 and 75, brightness, gamma, contrast,
0.75 and 0.5 of the size, noise) agree by 0.92 and more, half the size and JPEG of quality 50 together by
0.7 to 0.9 (one of 12 is missed). Of 1,781 candidates of different patients among 1,000 synthetic ones the best agree by 0.71
and none is taken. In BUSI the weakest pairs (0.40 to 0.48) are the same lesion a moment apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Cohort, ScanwrightError
from scanwright.intake.checks.survey import Survey, fine_detail, shrink, unit
from scanwright.intake.checks.template import Template, fit_template
from scanwright.io import read_volume

TINY = 48
"""Longest side of a tiny image, in pixels."""

BROAD, FINE = 0.985, 0.80
BROAD_TINY, FINE_TINY, FINEST_TINY = 0.995, 0.985, 0.97
LEAST, SURE, MARGIN = 0.35, 0.75, 4.0

Pair = tuple[int, int, float]
"""Two indices into the cases, the first smaller, and how much the images agree, 0 .. 1."""

_DIMENSIONS = 24
_BLOCK = 2048
_SAMPLE = 4000
_MOST = 20_000
_MOST_CANDIDATES = 2_000_000
_WORTH_A_LOOK = 0.30
_ALIKE = 0.5
_SIDES = {2: (128, 96, 64, 48, 32, 16), 3: (48, 32, 24, 16)}
_SHARED_BY = {2: 256, 3: 48}
_SHARE = 64
_KEPT = 1024


def near_pairs(cohort: Cohort, survey: Survey) -> list[Pair]:
    """Pairs of cases whose images are nearly, not exactly, the same.

    Args:
        cohort: The cohort.
        survey: Its survey.

    Returns:
        The pairs, at most 20,000 (the ones that agree most).
    """
    where = _distinct(survey)
    if len(where) < 2:
        return []
    tiny = _tiny(survey)
    found = _candidates_in_detail(survey, where, *((BROAD_TINY, FINE_TINY) if tiny else (BROAD, FINE)))
    if not len(found):
        return []
    look = _Closer(cohort)
    if tiny:
        return [(i, j, r) for i, j in found[:_MOST].tolist() if (r := look.plain(i, j)) >= FINEST_TINY]
    others = _different(survey, where, cohort.dimension, _SHARED_BY[cohort.dimension])
    found = _worth_a_look(survey, found, others, cohort.dimension)
    look.others = others
    pairs = []
    for i, j in found.tolist():
        agreement, alike = look.own(i, j)
        if agreement >= _enough(cohort, i, j, alike):
            pairs.append((i, j, agreement))
    return pairs


def near_groups(pairs: Sequence[Pair]) -> list[list[int]]:
    """Groups of images that are one, without chains from one patient to the next.

    Two groups become one through a pair that is ``SURE``, or when at least half of the pairs
    between them are near.

    Args:
        pairs: What `near_pairs` found.

    Returns:
        Disjoint groups of two and more, each sorted, in the order of their first case.
    """
    near: dict[int, set[int]] = defaultdict(set)
    for i, j, _ in pairs:
        near[i].add(j)
        near[j].add(i)
    group = {i: [i] for i in near}
    for i, j, agreement in sorted(pairs, key=lambda p: -p[2]):
        one, two = group[i], group[j]
        if one is two:
            continue
        if agreement < SURE and 2 * sum(len(near[a].intersection(two)) for a in one) < len(one) * len(two):
            continue
        one += two
        group.update((k, one) for k in two)
    unique = {id(g): sorted(g) for g in group.values() if len(g) > 1}
    return sorted(unique.values())


def _distinct(survey: Survey) -> NDArray[np.intp]:
    """One of each exact copy is enough: the groups of copies are joined later."""
    usable = np.array([d is not None for d in survey.digests]) & (np.abs(survey.small).max(axis=1, initial=0) > 0)
    where = np.flatnonzero(usable)
    _, first = np.unique(np.array([survey.digests[i] for i in where], dtype="S16"), return_index=True)
    return where[np.sort(first)]


def _enough(cohort: Cohort, i: int, j: int, alike: float) -> float:
    one, two = cohort.cases[i].patient, cohort.cases[j].patient
    if one and two:
        return LEAST if one == two else SURE
    return min(max(MARGIN * alike, LEAST), SURE)


def _candidates_in_detail(survey: Survey, where: NDArray[np.intp], broad: float, fine: float) -> NDArray[np.intp]:
    """``(P, 2)`` sorted pairs that agree in their broad forms and in their detail."""
    kept: list[NDArray[np.intp]] = [np.empty((0, 2), np.intp)]
    n = 0
    for a, b in _candidates(survey.small[where], broad):
        a, b = where[a], where[b]
        alike = _dots(survey.detail, a, b) >= fine
        kept.append(np.sort(np.stack([a[alike], b[alike]], axis=1), axis=1))
        n += len(kept[-1])
        if n > _MOST_CANDIDATES:
            break
    return np.unique(np.concatenate(kept), axis=0)


def _different(survey: Survey, where: NDArray[np.intp], dimension: int, most: int) -> NDArray[np.intp]:
    """A sample of images of which no two agree in what is left when their mean is taken away."""
    some = np.random.default_rng(0).permutation(where)[: 2 * most]
    rows = _fine(survey, some, dimension)
    rows = unit(rows - rows.mean(axis=0)) if len(some) > 3 else rows
    close = rows @ rows.T >= _ALIKE
    chosen: list[int] = []
    for k in range(len(some)):
        if len(chosen) < most and not close[k, chosen].any():
            chosen.append(k)
    return some[chosen]


def _fine(survey: Survey, which: NDArray[np.intp], dimension: int) -> NDArray[np.float32]:
    """The finest detail at the size of the survey, ``(N, D)``."""
    side = round(survey.detail.shape[1] ** (1 / dimension))
    block = survey.detail[which].astype(np.float32).reshape(-1, *(side,) * dimension)
    return unit(fine_detail(block, dimension, share=_SHARE))


def _worth_a_look(
    survey: Survey, pairs: NDArray[np.intp], others: NDArray[np.intp], dimension: int
) -> NDArray[np.intp]:
    """The pairs that agree in what is their own already at the size of the survey, the best first."""
    template = fit_template(_fine(survey, others, dimension))
    images, at = np.unique(pairs, return_inverse=True)
    at = at.reshape(pairs.shape)
    own = np.empty((len(images), survey.detail.shape[1]), np.float16)
    for s in range(0, len(images), 512):
        own[s : s + 512] = template.own(_fine(survey, images[s : s + 512], dimension))
    agreement = _dots(own, at[:, 0], at[:, 1])
    order = np.argsort(-agreement, kind="stable")[:_MOST]
    return pairs[order[agreement[order] >= _WORTH_A_LOOK]]


class _Closer:
    """Looks at the images themselves, and keeps the last ones that it has read.

    Args:
        cohort: The cohort.
    """

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort
        self.others: NDArray[np.intp] = np.empty(0, np.intp)
        self._grey: dict[int, tuple[NDArray[np.float32], tuple[int, ...]] | None] = {}
        self._templates: dict[int, Template] = {}

    def plain(self, i: int, j: int) -> float:
        """Correlation of the finest detail of two images; 0 when one cannot be read."""
        both = self._both(i, j)
        return float(both[0] @ both[1]) if both is not None else 0.0

    def own(self, i: int, j: int) -> tuple[float, float]:
        """Correlation of what is their own, and how alike different images of the cohort are."""
        both = self._both(i, j)
        if both is None:
            return 0.0, 1.0
        template = self._template(round(both.shape[1] ** (1 / self.cohort.dimension)))
        return float(template.agreement(both[:1], both[1:])[0]), template.alike

    def _both(self, i: int, j: int) -> NDArray[np.float32] | None:
        one, two = self._read(i), self._read(j)
        if one is None or two is None:
            return None
        sides = _SIDES[self.cohort.dimension]
        least = min(*one[1], *two[1])
        return self._detail([one[0], two[0]], next((s for s in sides if s <= least), least))

    def _template(self, side: int) -> Template:
        if side not in self._templates:
            read = [found[0] for k in self.others.tolist() if (found := self._read(k)) is not None]
            self._templates[side] = fit_template(self._detail(read, side))
        return self._templates[side]

    def _detail(self, pictures: Iterable[NDArray[np.float32]], side: int) -> NDArray[np.float32]:
        d = self.cohort.dimension
        return unit(fine_detail(np.stack([shrink(p, (side,) * d) for p in pictures]), d, share=_SHARE))

    def _read(self, i: int) -> tuple[NDArray[np.float32], tuple[int, ...]] | None:
        """The image in grey, no larger than needed, and the sides that it had; None if damaged."""
        if i not in self._grey:
            while len(self._grey) >= _KEPT:
                self._grey.pop(next(iter(self._grey)))
            try:
                grey = _grey(self.cohort, i)
            except ScanwrightError:
                self._grey[i] = None
            else:
                most = _SIDES[self.cohort.dimension][0]
                self._grey[i] = shrink(grey, tuple(min(s, most) for s in grey.shape)), grey.shape
        return self._grey[i]


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


def _grey(cohort: Cohort, i: int) -> NDArray[np.float32]:
    array = read_volume(cohort.cases[i].source, root=cohort.root).array.astype(np.float32).mean(axis=0)
    return array[..., array.shape[-1] // 2] if cohort.dimension == 2 else array
