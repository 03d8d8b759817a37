"""The examination of a model's heat maps, and the choice of an explainer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Emit, InputError, Interval, Progress, silent
from scanwright.explain.faithfulness import (
    COARSE_FRACTIONS,
    CONTROLS,
    FILLS,
    FRACTIONS,
    CaseScore,
    Depth,
    Pool,
    score_case,
    seconds_per_run,
    strongest_fills,
)
from scanwright.inference.predictor import Predictor
from scanwright.inference.saliency import EXPLAINERS

Array = NDArray[np.float32]

FEWEST_CASES = 8
"""Fewer cases than this decide nothing."""

LEVEL = 0.025
"""How often maps of pure chance may pass."""

MOST_CASES = 200
_N_SHUFFLES = 4000
_N_BOOTSTRAP = 2000
_TOLD_FRACTION = 0.2
_MOST_POOLED = 48
_TAKING = "taking away"


@dataclass(frozen=True)
class Examination:
    """Whether heat maps are true to the network, and how that was found.

    Args:
        method: The explainer, a key of ``EXPLAINERS``.
        passed: Whether they are significantly better than chance: fewer than ``LEVEL`` of
            random maps would do as well, and the interval of ``score`` lies above 0. None if
            too few cases could be examined to tell.
        score: Mean advantage over random maps of the same smoothness, as a share of the
            evidence that is lost when the whole image is taken away; 0 is chance. NaN if none.
        n_cases: Cases examined.
        sentence: The verdict for a clinician.
        classes: The same for each answered class: ``passed``, ``score``, ``n_cases``, ``sentence``.
        curves: Mean share of the evidence left: ``fractions``, ``deletion``, ``insertion``,
            ``deletion_chance``, ``insertion_chance``.
        controls: Mean advantage over maps that do not know the network (``edges``) or the
            image (``other case``); near or below 0 means that they do as well.
        case_scores: Score of each examined case.
        case_rows: Row of each examined case in the arrays.
        chance: How often random maps would do as well, 0 .. 1; 1 if there was no case.
        fills: Class to what its taken-away places were replaced with, a key of ``FILLS``.
        seed: Seed of the choice of cases and of the random maps.
        seconds: Time spent.
    """

    method: str
    passed: bool | None
    score: Interval
    n_cases: int
    sentence: str
    classes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    controls: Mapping[str, Interval] = field(default_factory=dict)
    case_scores: tuple[float, ...] = ()
    case_rows: tuple[int, ...] = ()
    chance: float = 1.0
    fills: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for ``"explanation"`` in ``trust.json``."""
        return {
            "method": self.method,
            "passed": self.passed,
            "score": _plain(self.score),
            "chance": round(self.chance, 5),
            "n_cases": self.n_cases,
            "sentence": self.sentence,
            "classes": {name: dict(facts) for name, facts in self.classes.items()},
            "curves": {name: [round(float(v), 5) for v in values] for name, values in self.curves.items()},
            "controls": {name: _plain(value) for name, value in self.controls.items()},
            "fills": dict(self.fills),
            "seed": self.seed,
            "seconds": round(self.seconds, 2),
        }


def examine(
    predictor: Predictor,
    arrays: NDArray[np.floating[Any]],
    *,
    targets: NDArray[np.integer[Any]] | None = None,
    method: str = "cam",
    seconds: float = 10.0,
    seed: int = 0,
    level: float = LEVEL,
    emit: Emit = silent,
) -> Examination:
    """Examine a model's heat maps on cases that it was not trained on.

    Args:
        predictor: The model.
        arrays: ``(N, C, *size)`` prepared arrays, such as the store's validation rows.
        targets: ``(N,)`` classes whose evidence is followed; the model's own answers if None.
        method: A key of ``EXPLAINERS``.
        seconds: Time to spend. More time examines more cases, up to 200; one case is always
            finished.
        seed: Seed of the choice of cases and of the random maps.
        level: How often maps of pure chance may pass, 0 .. 1.
        emit: Receives progress.

    Returns:
        The verdict. With fewer than eight cases ``passed`` is None.

    Raises:
        InputError: There is no explainer of that name, or the network does not support it.
    """
    _check_method(method)
    began = time.perf_counter()
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(arrays))[:MOST_CASES]
    if not len(order):
        return _verdict(predictor, method, Depth(), [], (seed, level), 0.0)
    pool = _pool(predictor, arrays, order, targets, seconds)
    depth = _depth(predictor, pool, seconds, method, generator)
    scores: list[CaseScore] = []
    latest: dict[int, Array] = {}
    for n, at in enumerate(order):
        array = np.asarray(arrays[at], dtype=np.float32)
        outputs = predictor.run(array[None])
        target = int(predictor.targets(outputs["logits"])[0] if targets is None else targets[at])
        own = EXPLAINERS[method](predictor, array[None], np.array([target]), outputs=outputs)[0]
        scores.append(score_case(predictor, array, target, (own, latest.get(target)), generator, depth))
        latest[target] = own
        spent = time.perf_counter() - began
        total = min(len(order), max(n + 1, int(seconds / spent * (n + 1))))
        emit(
            Progress(
                stage="explain",
                step=method,
                done=n + 1,
                total=total,
                left_s=max(0.0, spent / (n + 1) * (total - n - 1)),
            )
        )
        if spent * (n + 2) / (n + 1) > seconds:
            break
    scored = list(zip((int(r) for r in order), scores, strict=False))
    return _verdict(predictor, method, depth, scored, (seed, level), time.perf_counter() - began)


def best_explainer(
    predictor: Predictor,
    arrays: NDArray[np.floating[Any]],
    *,
    targets: NDArray[np.integer[Any]] | None = None,
    seconds: float = 20.0,
    seed: int = 0,
    emit: Emit = silent,
) -> Examination:
    """Choose the explainer whose maps are truest on validation.

    The class activation map costs nothing at prediction, so another one takes its place only
    where it passes and the class activation map does not, or where it is clearly truer
    (its interval lies wholly above). Each is examined at its share of ``LEVEL``, so that trying
    several does not let chance pass more often.

    Args:
        predictor: The model.
        arrays: ``(N, C, *size)`` prepared arrays of the validation part.
        targets: ``(N,)`` classes whose evidence is followed; the model's own answers if None.
        seconds: Time to spend in all.
        seed: Seed of the choice of cases and of the random maps.
        emit: Receives progress.

    Returns:
        The chosen explainer's examination; its ``method`` names it.
    """
    methods = [name for name in EXPLAINERS if name != "cam" or "cam" in predictor.engine.outputs]
    best: Examination | None = None
    for n, name in enumerate(methods):
        share = (seconds - (best.seconds if best else 0.0)) / (len(methods) - n)
        level = LEVEL / len(methods)
        found = examine(
            predictor, arrays, targets=targets, method=name, seconds=share, seed=seed, level=level, emit=emit
        )
        if best is None or _clearly_better(found, best):
            best = found
    if best is None:
        raise InputError("No explainer fits this network.", "There must be one at least.", "Use occlusion.")
    return best


def _clearly_better(found: Examination, than: Examination) -> bool:
    if found.passed is not True:
        return False
    return than.passed is not True or found.score.low > than.score.high


def _check_method(method: str) -> None:
    if method not in EXPLAINERS:
        raise InputError(
            f"There is no explainer {method!r}.", f"Explainers are {', '.join(EXPLAINERS)}.", "Choose one of these."
        )


def _pool(
    predictor: Predictor,
    arrays: NDArray[np.floating[Any]],
    order: NDArray[np.intp],
    targets: NDArray[np.integer[Any]] | None,
    seconds: float,
) -> Pool:
    """Cases to choose fills on; few where the network is slow."""
    once = seconds_per_run(predictor, np.asarray(arrays[order[0]], dtype=np.float32))
    n = int(np.clip(seconds / 5 / (once * (1 + len(FILLS))), 2, _MOST_POOLED))
    rows = np.sort(order[:n])
    some = np.asarray(arrays[rows], dtype=np.float32)
    asked = predictor.targets(predictor.run(some)["logits"]) if targets is None else np.asarray(targets)[rows]
    return Pool(some, asked.astype(np.int64))


def _depth(predictor: Predictor, pool: Pool, seconds: float, method: str, generator: np.random.Generator) -> Depth:
    """How thoroughly each case can be examined, so that enough cases fit the time."""
    once = seconds_per_run(predictor, pool.arrays[0])
    fills = strongest_fills(predictor, pool, generator)
    own = 64 if method == "occlusion" else 1
    for fractions, n_chance in ((FRACTIONS, 3), (FRACTIONS, 1)):
        runs = own + 2 * len(fractions) * (1 + n_chance + len(CONTROLS))
        if once * runs * 2 * FEWEST_CASES <= seconds:
            return Depth(fractions, n_chance, fills, pool)
    return Depth(COARSE_FRACTIONS, 1, fills, pool)


# ---------------------------------------------------------------- verdict


def _verdict(
    predictor: Predictor,
    method: str,
    depth: Depth,
    scored: Sequence[tuple[int, CaseScore]],
    drawn: tuple[int, float],
    seconds: float,
) -> Examination:
    seed, level = drawn
    scores = [score for _, score in scored]
    scale = float(np.mean([abs(s.marked.whole) for s in scores])) if scores else 0.0
    scale = scale if scale > 1e-9 else 1.0
    shares = np.array([s.advantage for s in scores]) / scale
    score = _interval(shares, seed)
    chance = chance_of(scores, seed)
    passed = _passed(score, chance, len(shares), level)
    classes = {}
    for target in sorted({s.target for s in scores}):
        mine = [s for s in scores if s.target == target]
        own = _interval(np.array([s.advantage for s in mine]) / scale, seed)
        by_chance = chance_of(mine, seed)
        verdict = _passed(own, by_chance, len(mine), level)
        classes[predictor.classes[target]] = {
            "passed": verdict,
            "score": _plain(own),
            "chance": round(by_chance, 5),
            "n_cases": len(mine),
            "sentence": _sentence(verdict, mine, depth.fills.get(target, _TAKING)),
        }
    controls = {}
    for name in CONTROLS:
        gaps = np.array([s.marked.gap - s.controls[name] for s in scores if name in s.controls]) / scale
        if len(gaps):
            controls[name] = _interval(gaps, seed)
    return Examination(
        method=method,
        passed=passed,
        score=score,
        n_cases=len(shares),
        sentence=_sentence(passed, scores, _said(depth.fills, scores)),
        classes=classes,
        curves=_mean_curves(scores),
        controls=controls,
        case_scores=tuple(float(v) for v in shares),
        case_rows=tuple(row for row, _ in scored),
        chance=chance,
        fills={predictor.classes[t]: depth.fills[t] for t in sorted({s.target for s in scores}) if t in depth.fills},
        seed=seed,
        seconds=seconds,
    )


def chance_of(scores: Sequence[CaseScore], seed: int) -> float:
    """How often random maps would have the advantage of the examined ones.

    Were the maps pure chance, any of a case's maps (the examined and the random ones) could as
    well have been the examined one. So these are exchanged at random within each case, and the
    mean advantage is worked out again. That is exact for any number of cases, which the
    bootstrap interval of a mean is not: with eight cases it lets twice too many pass.

    Args:
        scores: Examined cases, each with the same number of random maps.
        seed: Seed of the exchanges.

    Returns:
        Share of the exchanges, the real one included, with at least the same mean advantage; 1 for no case.

    Source:
        Permutation test within blocks; with the real one counted, Phipson and Smyth, SAGMB 9 (2010).
    """
    if not scores:
        return 1.0
    gaps = np.array([[s.marked.gap, *(c.gap for c in s.chance)] for s in scores])  # N, 1 + random maps
    n_chance = gaps.shape[1] - 1
    advantages = gaps - (gaps.sum(axis=1, keepdims=True) - gaps) / n_chance  # of each map over the others
    observed = advantages[:, 0].mean()
    picks = np.random.default_rng(seed).integers(0, n_chance + 1, (_N_SHUFFLES - 1, len(scores)))
    means = advantages[np.arange(len(scores)), picks].mean(axis=1)
    ties = 1e-12 * max(float(np.abs(advantages).max()), 1e-300)
    return float((1 + np.count_nonzero(means >= observed - ties)) / _N_SHUFFLES)


def _passed(score: Interval, chance: float, n: int, level: float) -> bool | None:
    return None if n < FEWEST_CASES else chance <= level and score.low > 0


def _interval(values: NDArray[np.float64], seed: int) -> Interval:
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(0, len(values), (_N_BOOTSTRAP, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))


def _mean_curves(scores: Sequence[CaseScore]) -> dict[str, list[float]]:
    """Mean curves over the cases, as a share of what is lost with the whole image."""
    if not scores:
        return {}

    def mean(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.mean(rows, axis=0)
        return result

    start = mean([s.marked.deletion for s in scores])
    bottom, span = start[-1], start[0] - start[-1]
    span = span if abs(span) > 1e-9 else 1.0
    chance = [c for s in scores for c in s.chance]
    found = {
        "deletion": start,
        "insertion": mean([s.marked.insertion for s in scores]),
        "deletion_chance": mean([c.deletion for c in chance]),
        "insertion_chance": mean([c.insertion for c in chance]),
    }
    shares = {name: [float(v) for v in (curve - bottom) / span] for name, curve in found.items()}
    return {"fractions": list(scores[0].marked.fractions), **shares}


def _said(fills: Mapping[int, str], scores: Sequence[CaseScore]) -> str:
    """The fill, where all cases had the same; else a word for any."""
    used = {fills.get(score.target, _TAKING) for score in scores}
    return used.pop() if len(used) == 1 else _TAKING


def _sentence(passed: bool | None, scores: Sequence[CaseScore], fill: str) -> str:
    n = len(scores)
    if passed is None:
        cases = f"{n} case" + ("" if n == 1 else "s")
        return f"Only {cases} could be examined, too few to say whether the heat maps are true to the model."
    if not passed:
        return (
            f"On {n} validation cases {fill} the marked places changed the answer no more than {fill} "
            "places at random, so the heat maps are not shown."
        )
    fractions = scores[0].marked.fractions
    at = int(np.argmin(np.abs(np.array(fractions) - _TOLD_FRACTION)))
    lost = float(np.mean([s.marked.deletion[0] - s.marked.deletion[at] for s in scores]))
    by_chance = float(np.mean([c.deletion[0] - c.deletion[at] for s in scores for c in s.chance]))
    if by_chance > 1e-9 and lost > 1.05 * by_chance:
        told = f"{lost / by_chance:.1f} times as much as {fill} as large a place at random"
    elif lost > max(by_chance, 1e-9):
        told = f"more than {fill} as large a place at random"
    else:
        return (
            f"On {n} validation cases the marked places carried more of the answer than places at random: "
            "the heat maps show what the model uses."
        )
    measure = f"{fill} the most marked {fractions[at]:.0%} of the image costs the answer {told}"
    return f"On {n} validation cases {measure}: the heat maps show what the model uses."


def _plain(value: Interval) -> dict[str, float | None]:
    numbers = {"value": value.value, "low": value.low, "high": value.high}
    return {name: round(v, 5) if np.isfinite(v) else None for name, v in numbers.items()}
