"""Patients drawn with replacement, as weights: the bootstrap behind every interval.

A resample is a row of weights (how often each patient was drawn), never a copy of the
cases. Figures that are ratios of sums then come from one matrix product for many
resamples, and rank figures (AUROC, average precision) from one sort for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_CELLS = 2_000_000
"""Weights held at once: 16 MB of float64."""


def group_index(groups: Sequence[Any] | NDArray[Any] | None, n: int) -> NDArray[np.intp]:
    """Number the groups (patients) of the cases.

    Args:
        groups: ``(N,)`` keys, or None when every case stands for itself.
        n: Number of cases.

    Returns:
        ``(N,)`` index of each case's group, 0 .. G - 1.
    """
    if groups is None:
        return np.arange(n)
    return np.unique(np.asarray([str(g) for g in groups]), return_inverse=True)[1].reshape(-1)


def draw_weights(n_groups: int, n_bootstrap: int, seed: int, chunk: int | None = None) -> Iterator[NDArray[np.float64]]:
    """Draw groups with replacement, several resamples at a time.

    Args:
        n_groups: Number of groups, G.
        n_bootstrap: Number of resamples, R.
        seed: Seed of the generator; the draws do not depend on ``chunk``.
        chunk: Resamples in one array; None for about 16 MB.

    Yields:
        ``(r, G)`` how often each group was drawn; each row sums to G.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 8 (clusters).
    """
    generator = np.random.default_rng(seed)
    size = chunk or max(1, _CELLS // max(n_groups, 1))
    for start in range(0, n_bootstrap, size):
        rows = [
            np.bincount(generator.integers(0, n_groups, n_groups), minlength=n_groups)
            for _ in range(min(size, n_bootstrap - start))
        ]
        yield np.asarray(rows, dtype=np.float64)


def sum_by_group(values: NDArray[np.float64], group: NDArray[np.intp]) -> NDArray[np.float64]:
    """Add the rows of each group.

    Args:
        values: ``(N, F)``.
        group: ``(N,)`` from :func:`group_index`.

    Returns:
        ``(G, F)`` sums.
    """
    n_groups = int(group.max()) + 1
    if n_groups == len(group) and np.array_equal(group, np.arange(len(group))):
        return values
    adder = sparse.csr_matrix((np.ones(len(group)), (group, np.arange(len(group)))), shape=(n_groups, len(group)))
    return np.asarray(adder @ values)


def resample(
    compute: Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]],
    n_groups: int,
    *,
    n_bootstrap: int,
    seed: int,
    cells: int | None = None,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Compute figures on the cohort itself and on its resamples.

    Args:
        compute: Takes ``(r, G)`` weights, gives name → ``(r, …)`` figures.
        n_groups: G.
        n_bootstrap: R.
        seed: Seed of the draws.
        cells: Length of the longest row that ``compute`` makes, to bound memory; G if None.

    Returns:
        The figures themselves, name → ``(…)``, and those of the resamples, name → ``(R, …)``.
    """
    point = {name: values[0] for name, values in compute(np.ones((1, n_groups))).items()}
    chunk = max(1, _CELLS // max(n_groups, cells or 1))
    parts = [compute(weights) for weights in draw_weights(n_groups, n_bootstrap, seed, chunk)]
    drawn = {
        name: np.concatenate([p[name] for p in parts]) if parts else np.empty((0, *np.shape(point[name])))
        for name in point
    }
    return point, drawn


def percentile_bounds(
    drawn: NDArray[np.float64], centre: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The middle 95 % of the resamples.

    Resamples in which a figure cannot be computed (a class was not drawn) are left out;
    where fewer than half remain the bounds are NaN: there is no honest interval.

    Args:
        drawn: ``(R, …)``.
        centre: ``(…)`` figures of the cohort itself, for a figure that resampling pushes one way
            (repeated cases make the calibration error look larger): the percentiles are moved
            by the distance of their median from it. None to leave them.

    Returns:
        2.5th and 97.5th percentile, each ``(…)``.
    """
    shape = drawn.shape[1:]
    low, high = np.full(shape, np.nan), np.full(shape, np.nan)
    flat = drawn.reshape(len(drawn), int(np.prod(shape)))
    for column in range(flat.shape[1]):
        values = flat[:, column]
        values = values[~np.isnan(values)]
        if len(values) and 2 * len(values) >= len(drawn):
            index = np.unravel_index(column, shape) if shape else ()
            shift = 0.0 if centre is None else np.median(values) - centre[index]
            low[index], high[index] = np.percentile(values, (2.5, 97.5)) - shift
    return low, high
