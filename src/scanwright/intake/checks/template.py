"""What all images of a cohort share, so that two can be compared in what is their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_AXES = 24
_PER_AXIS = 8
_ENOUGH = 16


@dataclass(frozen=True)
class Template:
    """The mean of the images and the principal axes of their differences.

    Args:
        mean: ``(D,)``.
        axes: ``(D, K)``, orthonormal; K may be 0.
        alike: How strongly an image of the cohort resembles its best match when both are
            different (the 90th percentile of the correlation of what is their own), -1 .. 1;
            1 when too few images were there to know.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    alike: float

    def own(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is left of images when the template is taken away.

        Args:
            rows: ``(N, D)``, each of unit norm.

        Returns:
            ``(N, D)``, each of unit norm.
        """
        left = rows - self.mean
        if self.axes.shape[1]:
            left = left - (left @ self.axes) @ self.axes.T
        return left / np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-9)

    def agreement(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        """Correlation of what is their own, pair by pair.

        Args:
            a: ``(N, D)``.
            b: ``(N, D)``.

        Returns:
            ``(N,)``, -1 .. 1.
        """
        return np.einsum("nd,nd->n", self.own(a), self.own(b))


def fit_template(rows: NDArray[np.float32]) -> Template:
    """Template of images of which no two are copies of one another.

    One axis is taken for every eight images, 24 at most: more would take away what is an
    image's own.

    Args:
        rows: ``(N, D)``, each of unit norm. With fewer than 4 nothing is shared.

    Returns:
        The template.

    Source:
        Principal components as in Turk and Pentland, J. Cognitive Neuroscience 3:71 (1991).
    """
    n, d = rows.shape
    if n < 4:
        return Template(np.zeros(d, np.float32), np.zeros((d, 0), np.float32), 1.0)
    mean = rows.mean(axis=0)
    centred = rows - mean
    k = min(_AXES, n // _PER_AXIS)
    axes = np.zeros((d, 0), np.float32)
    if k:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        first = slice(-1, -k - 1, -1)
        axes = (centred.T @ vectors[:, first] / np.sqrt(np.maximum(values[first], 1e-12))).astype(np.float32)
    bare = Template(mean, axes, 1.0)
    if n < _ENOUGH:
        return bare
    own = bare.own(rows)
    between = own @ own.T
    np.fill_diagonal(between, -1)
    return Template(mean, axes, float(np.quantile(between.max(axis=1), 0.9)))
