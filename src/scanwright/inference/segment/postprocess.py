"""Rules that clean structures up, and the sweep that chooses them on validation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.core import Grid, ModelFileError, Plan
from scanwright.inference.segment.pieces import counts, voxel_amount
from scanwright.inference.segment.upsample import OnSource

_TOUCHING = np.ones((3, 3, 3), dtype=bool)
_IGNORED = 255
MARGIN = 0.002
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SIZES_ML = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
SIZES_VOXELS = (0, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
KEEP = (0, 1, 2)


@dataclass(frozen=True)
class StructureRule:
    """How one structure is cleaned up.

    Args:
        threshold: Least probability, 0 .. 1, where the structure stands alone against the rest.
        smallest_ml: Pieces with less volume are dropped; where the spacing is known.
        smallest_voxels: Pieces with fewer voxels are dropped.
        keep: Only this many of the largest pieces stay; 0 keeps all.
    """

    threshold: float = 0.5
    smallest_ml: float = 0.0
    smallest_voxels: int = 0
    keep: int = 0

    @property
    def drops(self) -> bool:
        """Whether pieces may be dropped at all."""
        return self.smallest_ml > 0 or self.smallest_voxels > 0 or self.keep > 0

    def stay(self, sizes: NDArray[np.integer], voxel_ml: float | None) -> NDArray[np.bool_]:
        """Which pieces stay.

        Args:
            sizes: Voxels of each piece.
            voxel_ml: Volume of a voxel; None where the spacing is unknown.

        Returns:
            One truth value for each piece.
        """
        stays = np.asarray(sizes >= self.smallest_voxels)
        if voxel_ml is not None and self.smallest_ml > 0:
            stays &= sizes * voxel_ml >= self.smallest_ml
        if self.keep:
            largest = np.argsort(-sizes, kind="stable")[: self.keep]
            among = np.zeros(len(sizes), dtype=bool)
            among[largest] = True
            stays &= among
        return stays


@dataclass(frozen=True)
class PostRule:
    """How structures are cleaned up, by name; structures that are not named are left alone."""

    structures: Mapping[str, StructureRule] = field(default_factory=dict)

    def of(self, name: str) -> StructureRule:
        """The rule of a structure."""
        return self.structures.get(name, StructureRule())

    def thresholds(self, names: Sequence[str]) -> tuple[float, ...]:
        """Least probability of each structure, in the order of the names."""
        return tuple(self.of(name).threshold for name in names)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: asdict(rule) for name, rule in self.structures.items()}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> PostRule:
        """Read what :meth:`to_dict` gave.

        Args:
            told: Name to the fields of :class:`StructureRule`.

        Raises:
            ModelFileError: A field is unknown.
        """
        try:
            return cls({str(name): StructureRule(**rule) for name, rule in told.items()})
        except (TypeError, AttributeError):
            raise ModelFileError(
                f"The rules of structures are {told}.",
                "Each structure has threshold, smallest_ml, smallest_voxels and keep.",
                "Make the model file anew with `scanwright run`.",
            ) from None


def apply(
    rule: PostRule,
    labels: NDArray[np.integer],
    names: Sequence[str],
    *,
    regions: NDArray[np.bool_] | None = None,
    voxel_ml: float | None = None,
) -> int:
    """Drop pieces by a rule, in place. Thresholds are applied earlier, where probabilities are.

    Args:
        rule: What to drop.
        labels: ``(I, J, K)``; structure n of ``names`` is n + 1. Changed.
        names: Of the structures.
        regions: ``(n, I, J, K)`` where structures overlap; changed, and painted anew.
        voxel_ml: Volume of a voxel; None where the spacing is unknown.

    Returns:
        How many pieces were dropped.
    """
    dropped = 0
    boxes = ndimage.find_objects(labels, max_label=len(names)) if regions is None else []
    for n, name in enumerate(names):
        own = rule.of(name)
        if not own.drops:
            continue
        if regions is not None:
            box: Any = (ndimage.find_objects(regions[n].view(np.uint8)) or [None])[0]
        else:
            box = boxes[n]
        if box is None:
            continue
        inner = labels[box] if regions is None else regions[n][box]
        mask = inner == n + 1 if regions is None else inner
        parts, n_parts = ndimage.label(mask, structure=_TOUCHING)
        stays = own.stay(counts(parts, n_parts)[1:], voxel_ml)
        gone = np.concatenate([[False], ~stays])
        inner[gone[parts]] = 0
        dropped += int(gone.sum())
    if regions is not None and dropped:
        labels[:] = 0
        for n, region in enumerate(regions):
            labels[region] = n + 1
    return dropped


@dataclass(frozen=True, eq=False)
class SweepCase:
    """A validation case, before anything was dropped.

    Args:
        truth: ``(n, I, J, K)`` bool, the true structures.
        answer: ``(n, I, J, K)`` bool at a threshold of one half; may be empty with ``chances``.
        chances: ``(n, I, J, K)`` probability of each structure where it stands alone against the
            rest (regions, or a single structure); None where structures compete.
        ignored: ``(I, J, K)`` bool, voxels that do not count; None if all do.
        voxel_ml: Volume of a voxel; None where the spacing is unknown.
    """

    truth: NDArray[np.bool_]
    answer: NDArray[np.bool_] | None = None
    chances: NDArray[np.floating] | None = None
    ignored: NDArray[np.bool_] | None = None
    voxel_ml: float | None = None

    @classmethod
    def of(cls, found: OnSource, truth: NDArray[np.integer], grid: Grid, plan: Plan) -> SweepCase:
        """Make a case of an answer and its truth.

        Args:
            found: On the source's grid; with ``each`` where thresholds of regions are to be chosen.
            truth: ``(I, J, K)`` true codes on the same grid, 255 where unknown.
            grid: Of the source.
            plan: Of the task ``segment``, with labels or regions.

        Returns:
            The case.
        """
        codes = plan.segmentation.codes if plan.segmentation else ()
        n = range(len(plan.classes))
        masks = np.stack([np.isin(truth, [c for c, own in enumerate(codes, 1) if i in own]) for i in n])
        chances, answer = found.each, found.regions
        if answer is None:
            answer = np.stack([found.labels == i + 1 for i in n])
            if len(plan.classes) == 1 and found.chances is not None:
                chances = found.chances[None]
        ignored = truth == _IGNORED
        voxel_ml = voxel_amount(grid) if grid.spacing_known and not grid.is_picture else None
        return cls(masks, answer, chances, ignored if ignored.any() else None, voxel_ml)


@dataclass(frozen=True, eq=False)
class _Table:
    """Pieces of one structure in one case at one threshold: all that any rule needs."""

    sizes: NDArray[np.int64]
    counted: NDArray[np.int64]
    hits: NDArray[np.int64]
    n_true: int
    voxel_ml: float | None

    def dice(self, rule: StructureRule) -> float:
        """Dice of what stays; 1 where both are empty."""
        stays = rule.stay(self.sizes, self.voxel_ml)
        total = int(self.counted[stays].sum()) + self.n_true
        return 2 * int(self.hits[stays].sum()) / total if total else 1.0


def sweep(
    cases: Iterable[SweepCase], names: Sequence[str], *, margin: float = MARGIN, single: Collection[str] = ()
) -> tuple[PostRule, dict[str, dict[str, float]]]:
    """Choose rules on validation by mean Dice.

    Threshold, smallest size and number of pieces are chosen one after the other, each only where it
    gains more than ``margin`` over what was chosen before. Cases are looked at one at a time: of
    each only the sizes of its pieces and their overlap with the truth are kept.

    Args:
        cases: Validation cases, made when they are asked for.
        names: Of the structures.
        margin: Gain in mean Dice below which nothing is changed.
        single: Structures that are known to be one piece: their largest piece alone is kept where
            that loses nothing.

    Returns:
        The rule, and for each structure its mean Dice ``before`` and ``after``.
    """
    tables: dict[str, dict[float, list[_Table]]] = {name: {} for name in names}
    for case in cases:
        for n, name in enumerate(names):
            for threshold in THRESHOLDS if case.chances is not None else (0.5,):
                tables[name].setdefault(threshold, []).append(_table(case, n, threshold))
    chosen: dict[str, StructureRule] = {}
    figures: dict[str, dict[str, float]] = {}
    for name in names:
        if not tables[name]:
            continue
        rule, before, after = _choose(tables[name], margin, name in single)
        figures[name] = {"before": before, "after": after}
        if rule != StructureRule():
            chosen[name] = rule
    return PostRule(chosen), figures


def _table(case: SweepCase, n: int, threshold: float) -> _Table:
    if case.chances is not None:
        answer = case.chances[n] > threshold
    else:
        answer = np.zeros(case.truth.shape[1:], dtype=bool) if case.answer is None else case.answer[n]
    truth = case.truth[n]
    parts, n_parts = ndimage.label(answer, structure=_TOUCHING)
    flat = parts.reshape(-1)
    at = np.flatnonzero(flat)
    of, true = flat[at], truth.reshape(-1)[at]
    counts = np.ones(len(at), dtype=bool) if case.ignored is None else ~case.ignored.reshape(-1)[at]
    sizes, counted, hits = (
        np.bincount(of[chosen], minlength=n_parts + 1)[1:] for chosen in (slice(None), counts, counts & true)
    )
    n_true = int(np.count_nonzero(truth if case.ignored is None else truth & ~case.ignored))
    return _Table(sizes, counted, hits, n_true, case.voxel_ml)


def _choose(
    tables: Mapping[float, Sequence[_Table]], margin: float, single: bool
) -> tuple[StructureRule, float, float]:
    def mean(rule: StructureRule) -> float:
        return float(np.mean([table.dice(rule) for table in tables[rule.threshold]]))

    def better(rule: StructureRule, options: Iterable[StructureRule], figure: float) -> tuple[StructureRule, float]:
        best = max(options, key=lambda option: (mean(option), -_strength(option)), default=rule)
        gained = mean(best)
        return (best, gained) if gained > figure + margin else (rule, figure)

    rule = StructureRule()
    before = figure = mean(rule)
    known = all(table.voxel_ml is not None for table in tables[0.5])
    rule, figure = better(rule, [StructureRule(t) for t in tables], figure)
    sizes: list[StructureRule] = (
        [StructureRule(rule.threshold, smallest_ml=s) for s in SIZES_ML]
        if known
        else [StructureRule(rule.threshold, smallest_voxels=s) for s in SIZES_VOXELS]
    )
    rule, figure = better(rule, sizes, figure)
    keeps = [StructureRule(rule.threshold, rule.smallest_ml, rule.smallest_voxels, keep) for keep in KEEP]
    rule, figure = better(rule, keeps, figure)
    if single and mean(keeps[KEEP.index(1)]) >= figure:
        rule = keeps[KEEP.index(1)]
        figure = mean(rule)
    return rule, before, figure


def _strength(rule: StructureRule) -> float:
    """How far a rule departs from doing nothing; of equals the gentlest is taken."""
    return abs(rule.threshold - 0.5) + rule.smallest_ml + rule.smallest_voxels + (1 / rule.keep if rule.keep else 0)
