"""Are the heat maps true to the network? Deletion and insertion, against maps of pure chance.

A map is faithful when blurring away the places that it marks costs the answer more, and
bringing back only those places restores more, than the same with random maps that are just
as smooth. What a map looks like plays no part.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.inference.predictor import Predictor
from scanwright.inference.saliency import blurred, evidence

Array = NDArray[np.float32]

FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8, 1.0)
"""Shares of the image that are blurred away or brought back, most marked places first."""

COARSE_FRACTIONS = (0.0, 0.1, 0.3, 1.0)
"""The same where the network is slow."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What happens to one case as places are taken away and brought back.

    Args:
        deletion: Evidence left after blurring each share of the image, ``(F,)`` logit units.
        insertion: Evidence after bringing back each share into the blurred image, ``(F,)``.
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
        """Evidence that the blur takes away in all."""
        return float(self.deletion[0] - self.deletion[-1])


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


def follow(predictor: Predictor, array: Array, target: int, order_by: Array, fractions: tuple[float, ...]) -> Curves:
    """Delete and insert places in the order of a map and follow the evidence.

    Args:
        predictor: The model.
        array: ``(C, *size)`` prepared array.
        target: Class whose evidence is followed.
        order_by: ``(*size)`` map; the largest values go first.
        fractions: Shares of the image, rising from 0 to 1.

    Returns:
        The two curves.

    Source:
        Petsiuk, Das and Saenko, RISE, BMVC 2018; blurred instead of grey fill.
    """
    fill = blurred(array)
    places = np.empty(order_by.size, dtype=np.int64)
    places[np.argsort(-order_by, axis=None, kind="stable")] = np.arange(order_by.size)
    ranks = places.reshape(order_by.shape)
    chosen = np.stack([ranks < round(f * order_by.size) for f in fractions])[:, None]
    batch = np.concatenate([np.where(chosen, fill, array), np.where(chosen, array, fill)]).astype(np.float32)
    logits = predictor.run(batch)["logits"]
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
    fractions: tuple[float, ...] = FRACTIONS,
    n_chance: int = 3,
) -> CaseScore:
    """Examine the map of one case.

    Args:
        predictor: The model.
        array: ``(C, *size)`` prepared array.
        target: Class whose evidence is followed.
        maps: The map to examine and the map of another case with the same answer, if there is one.
        generator: Source of chance.
        fractions: Shares of the image.
        n_chance: Random maps to compare with.

    Returns:
        The score.
    """
    own, other = maps
    marked = follow(predictor, array, target, own, fractions)
    chance = tuple(follow(predictor, array, target, chance_map(own, generator), fractions) for _ in range(n_chance))
    gaps = {}
    for name, control in CONTROLS.items():
        made = control(array, own, other)
        if made is not None:
            gaps[name] = follow(predictor, array, target, made, fractions).gap
    return CaseScore(target, marked, chance, gaps)


def seconds_per_run(predictor: Predictor, array: Array) -> float:
    """Seconds that one image of a batch of eight takes, after one warming run."""
    batch = np.repeat(array[None], 8, axis=0)
    predictor.run(batch)
    began = time.perf_counter()
    predictor.run(batch)
    return max((time.perf_counter() - began) / len(batch), 1e-6)
