"""How good synthetic images are: like real ones, as varied as real ones, and no copies of them.

Everything here works on rows of numbers (pixels, or features of a network) and needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanwright.core.errors import InputError

Floats = NDArray[np.floating[Any]]

ALARM_SHARE = 0.01
"""Share of near-copies from which the alarm is given: about what independent patients show by definition."""

_NEAR_PERCENT = 1.0
_CELLS = 4_000_000


@dataclass(frozen=True)
class Figure:
    """One figure of a set of synthetic images.

    Args:
        title: Name in a table.
        meaning: One plain sentence for a reader who is no statistician.
        better: Direction.
        source: Definition.
    """

    title: str
    meaning: str
    better: Literal["higher", "lower"]
    source: str


SYNTHETIC: dict[str, Figure] = {
    "fid": Figure("Fréchet distance (FID)", "Distance between two clouds of features, as if both were Gaussian; compare it with the real reference beside it.", "lower", "Heusel et al., NeurIPS 2017, on features of our own network"),
    "kid": Figure("Kernel distance (KID)", "The same without the Gaussian; 0 on average for two samples of one source.", "lower", "Bińkowski et al., ICLR 2018"),
    "precision": Figure("Precision", "Share of the synthetic images that lie among the real ones: how believable they are.", "higher", "Kynkäänniemi et al., NeurIPS 2019, k = 3"),
    "recall": Figure("Recall", "Share of the real images that lie among the synthetic ones: how much of the variety is there.", "higher", "Kynkäänniemi et al., NeurIPS 2019, k = 3"),
    "copies": Figure("Near-copies", "Share of the synthetic images that are nearer to a training image than 99 % of unseen real images are, in pixels and in features.", "lower", "after Meehan et al., AISTATS 2020"),
    "auroc_synthetic": Figure("AUROC, trained on synthetic", "A classifier that has seen synthetic images alone, tested on real ones: the test that matters.", "higher", "Ravuri and Vinyals, NeurIPS 2019"),
    "auroc_real": Figure("AUROC, trained on real", "The same recipe trained on the real images, on the same test: what the synthetic ones are compared with.", "higher", "Ravuri and Vinyals, NeurIPS 2019"),
}  # fmt: skip
"""Every figure of a set of synthetic images, in the order of tables."""


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Squared Fréchet distance of the Gaussians that fit two clouds of rows.

    Args:
        a: ``(N, D)``, N at least 2.
        b: ``(M, D)``, M at least 2.

    Returns:
        ``|mean difference|² + trace(A + B - 2 (A^½ B A^½)^½)`` of the covariances A and B; 0 or more.

    Raises:
        InputError: The shapes do not fit.

    Source:
        Dowson and Landau 1982; Heusel et al. (NeurIPS 2017). Biased upward for small N: compare equal N.
    """
    one, two = _pair(a, b)
    difference = one.mean(axis=0) - two.mean(axis=0)
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (one, two))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    shared = np.linalg.eigvalsh(root @ second @ root)
    cross = np.sqrt(np.clip(shared, 0, None)).sum()
    return max(0.0, float(difference @ difference + np.trace(first) + np.trace(second) - 2 * cross))


def kernel_distance(
    a: ArrayLike, b: ArrayLike, *, block: int = 200, n_blocks: int = 20, seed: int = 0
) -> tuple[float, float]:
    """Squared maximum mean discrepancy with a cubic kernel, unbiased, over random blocks.

    Args:
        a: ``(N, D)``.
        b: ``(M, D)``.
        block: Rows of each that one block compares; fewer where there are fewer.
        n_blocks: Blocks.
        seed: Draws the blocks.

    Returns:
        Mean over the blocks, and their standard deviation. Values may be below 0.

    Raises:
        InputError: The shapes do not fit.

    Source:
        Bińkowski et al., Demystifying MMD GANs (ICLR 2018): ``k(x, y) = (x·y / D + 1)³``.
    """
    one, two = _pair(a, b)
    n = min(block, len(one), len(two))
    generator = np.random.default_rng(seed)
    found = [
        _mmd(one[generator.choice(len(one), n, replace=False)], two[generator.choice(len(two), n, replace=False)])
        for _ in range(n_blocks)
    ]
    return float(np.mean(found)), float(np.std(found))


def precision_recall(real: ArrayLike, synthetic: ArrayLike, *, k: int = 3) -> tuple[float, float]:
    """How much of each cloud lies inside the other.

    A cloud is the union of balls around its rows that reach to their k-th nearest neighbour.

    Args:
        real: ``(N, D)``, N above ``k``.
        synthetic: ``(M, D)``, M above ``k``.
        k: Neighbour.

    Returns:
        Precision (share of ``synthetic`` inside the cloud of ``real``) and recall (the reverse).

    Raises:
        InputError: The shapes do not fit, or there are too few rows.

    Source:
        Kynkäänniemi et al., Improved precision and recall metric (NeurIPS 2019), eq. 1 and 2.
    """
    one, two = _pair(real, synthetic)
    if min(len(one), len(two)) <= k:
        raise InputError(
            f"There are {min(len(one), len(two))} images.",
            f"Precision and recall with k = {k} need more than {k} of each.",
            "Draw more.",
        )
    return _inside(two, one, k), _inside(one, two, k)


def nearest(rows: ArrayLike, among: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Nearest neighbour of each row.

    Args:
        rows: ``(N, D)``.
        among: ``(M, D)``.

    Returns:
        Euclidean distances ``(N,)``, 0 for a copy, and the neighbours' row numbers ``(N,)``.

    Raises:
        InputError: The shapes do not fit.
    """
    one, two = _pair(rows, among, least=1)
    where = np.empty(len(one), dtype=np.intp)
    for start, distances in _distances(one, two):
        where[start : start + len(distances)] = distances.argmin(axis=1)
    return np.linalg.norm(one - two[where], axis=1), where  # again, without what cancels in the fast form


@dataclass(frozen=True)
class Memorised:
    """Whether synthetic images are copies of training images.

    Args:
        copies: ``(N,)`` which synthetic images are nearer to a training image than 99 % of unseen
            real images are, in pixels and in features.
        pixels: Distance in pixels below which an image is near.
        features: Distance in features below which it is near.
        share: Share of copies.
        alarm: Whether the share is above :data:`ALARM_SHARE`.
    """

    copies: NDArray[np.bool_]
    pixels: float
    features: float
    share: float
    alarm: bool


def thresholds(unseen_pixels: ArrayLike, unseen_features: ArrayLike) -> tuple[float, float]:
    """Distances to the nearest training image below which an image counts as near.

    Args:
        unseen_pixels: ``(M,)`` distances of real images that are not in training, in pixels; copies of
            training images must be left out before.
        unseen_features: ``(M,)`` the same in features.

    Returns:
        First percentile of each.
    """
    return (
        float(np.percentile(np.asarray(unseen_pixels, dtype=np.float64), _NEAR_PERCENT)),
        float(np.percentile(np.asarray(unseen_features, dtype=np.float64), _NEAR_PERCENT)),
    )


def memorised(pixels: ArrayLike, features: ArrayLike, *, limits: tuple[float, float]) -> Memorised:
    """Find near-copies of training images.

    Args:
        pixels: ``(N,)`` distances of synthetic images to the nearest training image, in pixels.
        features: ``(N,)`` the same in features.
        limits: From :func:`thresholds`.

    Returns:
        The copies and the alarm.

    Source:
        After Meehan, Chaudhuri, Dasgupta, A three sample test to detect data copying (AISTATS 2020):
        training, unseen and synthetic images.
    """
    near = (np.asarray(pixels) < limits[0]) & (np.asarray(features) < limits[1])
    share = float(near.mean()) if near.size else 0.0
    return Memorised(near, limits[0], limits[1], share, share > ALARM_SHARE)


def _pair(a: ArrayLike, b: ArrayLike, *, least: int = 2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, two = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if one.ndim != 2 or two.ndim != 2 or one.shape[1] != two.shape[1] or min(len(one), len(two)) < least:
        raise InputError(
            f"Features of shape {one.shape} and {two.shape} were given.",
            f"Two sets of images are compared as rows of the same length, at least {least} each.",
            "Give (N, D) and (M, D).",
        )
    return one, two


def _mmd(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    n = len(a)
    inside = sum((_kernel(x, x).sum() - np.trace(_kernel(x, x))) / (n * (n - 1)) for x in (a, b))
    return float(inside - 2 * _kernel(a, b).mean())


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    cubed: NDArray[np.float64] = (a @ b.T / a.shape[1] + 1) ** 3
    return cubed


def _inside(rows: NDArray[np.float64], cloud: NDArray[np.float64], k: int) -> float:
    reach = np.empty(len(cloud))
    for start, distances in _distances(cloud, cloud):
        reach[start : start + len(distances)] = np.partition(distances, k, axis=1)[:, k]  # the first is itself
    found = [(distances <= reach[None] + 1e-12).any(axis=1) for _, distances in _distances(rows, cloud)]
    return float(np.concatenate(found).mean())


def _distances(rows: NDArray[np.float64], among: NDArray[np.float64]) -> Any:
    """Squared distances ``(r, M)`` of some rows at a time, with the number of the first."""
    size = max(1, _CELLS // max(len(among), 1))
    square = (among * among).sum(axis=1)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield start, np.clip((part * part).sum(axis=1)[:, None] + square[None] - 2 * part @ among.T, 0, None)
