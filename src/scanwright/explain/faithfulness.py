"""Are the heat maps true to the network? Deletion and insertion, against maps of pure chance.

A map is faithful when taking away the places that it marks costs the answer more, and
bringing back only those places restores more, than the same with random maps that are just
as smooth. What a map looks like plays no part.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.inference.predictor import Predictor
from scanwright.inference.saliency import blurred, clock_of, evidence

Array = NDArray[np.float32]

FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8, 1.0)
"""Shares of the image that are taken away or brought back, most marked places first."""

COARSE_FRACTIONS = (0.0, 0.1, 0.3, 1.0)
"""The same where the network is slow."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What happens to one case as places are taken away and brought back.

    Args:
        deletion: Evidence left after taking away each share of the image, ``(F,)`` logit units.
        insertion: Evidence after bringing back each share into the empty image, ``(F,)``.
        fractions: The shares.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    fractions: tuple[float, ...]

    @property
    def gap(self) -> float:
        """Area under insertion minus area under deletion: the larger, the truer the map."""
        return float(np.trapezoid(self.insertion - self.deletion, self.fractions))

    @property
    def whole(self) -> float:
        """Evidence that is lost when the whole image is taken away."""
        return float(self.deletion[0] - self.deletion[-1])


@dataclass(frozen=True, eq=False)
class Depth:
    """How thoroughly each case is examined.

    Args:
        fractions: Shares of the image that are taken away.
        n_chance: Random maps to compare with.
        fills: Target to a key of :data:`FILLS`.
        pool: Cases to exchange places with.
    """

    fractions: tuple[float, ...] = FRACTIONS
    n_chance: int = 3
    fills: dict[int, str] = field(default_factory=dict)
    pool: Pool | None = None

    def fill(self, array: Array, target: int, generator: np.random.Generator) -> Array | None:
        """What taken-away places of a case are replaced with."""
        other = self.pool.other(target, generator) if self.pool is not None else None
        return FILLS[self.fills.get(target, "blurring away")](array, other)


@dataclass(frozen=True, eq=False)
class CaseScore:
    """One case of an examination.

    Args:
        target: Class whose evidence was followed.
        marked: Curves of the map.
        chance: Curves of the random maps.
        controls: Gap of each control map (:data:`CONTROLS`).
    """

    target: int
    marked: Curves
    chance: tuple[Curves, ...]
    controls: dict[str, float]

    @property
    def advantage(self) -> float:
        """Gap of the map minus the mean gap of the random maps, in logit units."""
        return self.marked.gap - float(np.mean([c.gap for c in self.chance]))


def blur(array: Array, other: Array | None) -> Array | None:
    """The image without its detail."""
    return blurred(array)


def grey(array: Array, other: Array | None) -> Array | None:
    """The image's own mean everywhere: nothing at all is left to see."""
    return np.broadcast_to(array.mean(axis=tuple(range(1, array.ndim)), keepdims=True), array.shape).astype(np.float32)


def exchange(array: Array, other: Array | None) -> Array | None:
    """The image of a case with another answer."""
    return other


FILLS: dict[str, Callable[[Array, Array | None], Array | None]] = {
    "blurring away": blur,
    "greying out": grey,
    "exchanging (for a case with another answer)": exchange,
}
"""What a place is replaced with when it is taken away, named as it stands in a sentence."""


@dataclass(frozen=True, eq=False)
class Pool:
    """A few cases to choose fills on and to exchange places with.

    Args:
        arrays: ``(P, C, *size)`` prepared arrays.
        targets: ``(P,)`` classes whose evidence is followed.
    """

    arrays: Array
    targets: NDArray[np.int64]

    def other(self, target: int, generator: np.random.Generator) -> Array | None:
        """The image of a case with another answer, None if there is none."""
        rows = np.flatnonzero(self.targets != target)
        return self.arrays[generator.choice(rows)] if len(rows) else None


def strongest_fills(predictor: Predictor, pool: Pool, generator: np.random.Generator) -> dict[int, str]:
    """For each target the fill that takes most evidence away when it covers whole images.

    A blurred chest can look more like pneumonia than a sharp one: where blurring everything
    leaves the answer as it was, blurring a part says nothing.

    Args:
        predictor: The model.
        pool: Cases to try on.
        generator: Source of chance.

    Returns:
        Target to a key of :data:`FILLS`.
    """
    before = evidence(predictor.run(pool.arrays)["logits"], pool.targets, predictor.task)
    others = [pool.other(int(target), generator) for target in pool.targets]
    chosen: dict[int, tuple[float, str]] = {}
    for name, fill in FILLS.items():
        made = [fill(array, other) for array, other in zip(pool.arrays, others, strict=True)]
        kept = np.array([n for n, one in enumerate(made) if one is not None], dtype=int)
        if not len(kept):
            continue
        filled = clock_of(pool.arrays[kept], np.stack([one for one in made if one is not None]), predictor)
        lost = before[kept] - evidence(predictor.run(filled)["logits"], pool.targets[kept], predictor.task)
        for target in np.unique(pool.targets[kept]):
            mean = float(lost[pool.targets[kept] == target].mean())
            chosen[int(target)] = max(chosen.get(int(target), (-np.inf, "")), (mean, name))
    return {target: name for target, (_, name) in chosen.items()}


def follow(
    predictor: Predictor,
    array: Array,
    target: int,
    order_by: Array,
    fractions: tuple[float, ...],
    filled: Array | None = None,
) -> Curves:
    """Delete and insert places in the order of a map and follow the evidence.

    Args:
        predictor: The model.
        array: ``(C, *size)`` prepared array.
        target: Class whose evidence is followed.
        order_by: ``(*size)`` map; the largest values go first.
        fractions: Shares of the image, rising from 0 to 1.
        filled: ``(C, *size)``, what taken-away places are replaced with; the blurred image if None.

    Returns:
        The two curves.

    Source:
        Petsiuk, Das and Saenko, RISE, BMVC 2018.
    """
    filled = blurred(array) if filled is None else filled
    places = np.empty(order_by.size, dtype=np.int64)
    places[np.argsort(-order_by, axis=None, kind="stable")] = np.arange(order_by.size)
    ranks = places.reshape(order_by.shape)
    chosen = np.stack([ranks < round(f * order_by.size) for f in fractions])[:, None]
    batch = np.concatenate([np.where(chosen, filled, array), np.where(chosen, array, filled)]).astype(np.float32)
    logits = predictor.run(clock_of(array, batch, predictor))["logits"]
    values = evidence(logits, np.full(len(logits), target), predictor.task).astype(np.float64)
    return Curves(values[: len(fractions)], values[len(fractions) :], fractions)


def chance_map(like: Array, generator: np.random.Generator) -> Array:
    """A random map that is exactly as smooth as another: same power spectrum, random phases.

    Args:
        like: ``(*size)`` map.
        generator: Source of chance.

    Returns:
        ``(*size)`` map whose large places have nothing to do with the image.

    Source:
        Phase-randomised surrogates, Theiler et al., Physica D 58 (1992).
    """
    strength = np.abs(np.fft.fftn(like - like.mean()))
    noise = np.fft.fftn(generator.standard_normal(like.shape))
    surrogate = np.fft.ifftn(strength * noise / np.maximum(np.abs(noise), 1e-12)).real
    return np.asarray(surrogate, dtype=np.float32)


def edges(array: Array, like: Array, other: Array | None) -> Array | None:
    """Edges of the image, smoothed: a map that knows nothing of the network."""
    sigma = max(1.0, min(like.shape) / 16)
    grey = array.mean(axis=0)
    return np.asarray(ndimage.gaussian_filter(ndimage.gaussian_gradient_magnitude(grey, 1.0), sigma), dtype=np.float32)


def other_case(array: Array, like: Array, other: Array | None) -> Array | None:
    """The map of another case with the same answer: right on average, wrong for this image."""
    return other


CONTROLS: dict[str, Callable[[Array, Array, Array | None], Array | None]] = {
    "edges": edges,
    "other case": other_case,
}
"""Name to ``control(array, map, map of another case) -> map or None``: told beside the verdict."""


def score_case(
    predictor: Predictor,
    array: Array,
    target: int,
    maps: tuple[Array, Array | None],
    generator: np.random.Generator,
    depth: Depth,
) -> CaseScore:
    """Examine the map of one case.

    Args:
        predictor: The model.
        array: ``(C, *size)`` prepared array.
        target: Class whose evidence is followed.
        maps: The map to examine and the map of another case with the same answer, if there is one.
        generator: Source of chance.
        depth: How thoroughly to look.

    Returns:
        The score.
    """
    own, other = maps
    filled = depth.fill(array, target, generator)

    def curves(order_by: Array) -> Curves:
        return follow(predictor, array, target, order_by, depth.fractions, filled)

    marked = curves(own)
    chance = tuple(curves(chance_map(own, generator)) for _ in range(depth.n_chance))
    gaps = {}
    for name, control in CONTROLS.items():
        made = control(array, own, other)
        if made is not None:
            gaps[name] = curves(made).gap
    return CaseScore(target, marked, chance, gaps)


def seconds_per_run(predictor: Predictor, array: Array) -> float:
    """Seconds that one image of a batch of eight takes, after one warming run."""
    batch = np.repeat(array[None], 8, axis=0)
    predictor.run(batch)
    began = time.perf_counter()
    predictor.run(batch)
    return max((time.perf_counter() - began) / len(batch), 1e-6)
