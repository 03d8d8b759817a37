"""Two opinions on one case, image and columns, made into one by weights that validation chooses.

Source:
    Late fusion as logistic opinion pooling (Hinton, Neural Computation 14:1771, 2002; stacking: Wolpert 1992).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_expit, log_softmax

from scanwright.core.cohort import Task
from scanwright.core.errors import ModelFileError

Floats = NDArray[np.float64]
_PRIOR = 0.02
"""Strength with which the weights are held near "the image alone", in likelihood of a case."""


@dataclass(frozen=True)
class Fusion:
    """How loudly each opinion speaks: ``image * logits + columns * logits``.

    Args:
        image: Weight of the image's logits.
        columns: Weight of the columns' logits.
    """

    image: float = 1.0
    columns: float = 0.0

    def logits(self, image: ArrayLike, columns: ArrayLike) -> Floats:
        """``(N, n_outputs)`` of both."""
        return self.image * np.asarray(image, dtype=np.float64) + self.columns * np.asarray(columns, dtype=np.float64)

    def to_dict(self) -> dict[str, float]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fusion:
        """Read what :meth:`to_dict` gave.

        Raises:
            ModelFileError: A weight is missing or no number.
        """
        try:
            made = cls(float(values["image"]), float(values["columns"]))
            if not np.isfinite([made.image, made.columns]).all():
                raise ValueError("not finite")
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"The weights of image and columns cannot be read ({error}).",
                "They are two numbers, image and columns.",
                "Make the model file anew with `scanwright run`.",
            ) from None
        return made


def fit_fusion(image: ArrayLike, columns: ArrayLike, truth: ArrayLike | Sequence[Any], *, task: Task) -> Fusion:
    """Weights that make the truth of validation cases likeliest.

    Calibration comes afterwards and takes care of biases and scale; two numbers cannot learn a small
    validation part by heart.

    Args:
        image: ``(N, n_outputs)`` logits (numbers, for ``regress``) of the image's model.
        columns: The same of the columns' model.
        truth: ``(N,)`` class indices or numbers, ``(N, K)`` of 1, 0 and NaN for ``multilabel``.
        task: Task.

    Returns:
        The weights; both 0 or more.
    """
    a, b = (np.asarray(v, dtype=np.float64) for v in (image, columns))
    labels = np.asarray([np.nan if t is None else t for t in truth], dtype=np.float64)  # type: ignore[union-attr]
    known = np.isfinite(labels) if labels.ndim == 1 else np.isfinite(labels).any(axis=1)
    a, b, labels = a[known], b[known], labels[known]
    if not len(labels):
        return Fusion()

    def cost(weights: Floats) -> float:
        z = weights[0] * a + weights[1] * b
        return _loss(z, labels, task) + _PRIOR * float((weights[0] - 1) ** 2 + weights[1] ** 2) / len(labels)

    found = minimize(cost, np.array([1.0, 0.1]), method="L-BFGS-B", bounds=[(0, 10), (0, 10)])
    return Fusion(round(float(found.x[0]), 6), round(float(found.x[1]), 6))


def _loss(z: Floats, labels: Floats, task: Task) -> float:
    """Mean negative log-likelihood; for numbers the squared error in units of their spread."""
    if task == "regress":
        spread = max(float(labels.std()), 1e-9)
        return float((((z[:, 0] - labels) / spread) ** 2).mean())
    if task in ("binary", "multilabel"):
        y = labels[:, None] if labels.ndim == 1 else labels
        known = np.isfinite(y)
        signs = np.where(np.nan_to_num(y) == 1, 1.0, -1.0)
        return float(-log_expit(signs * z)[known].mean())
    rows = np.arange(len(labels))
    return float(-log_softmax(z, axis=1)[rows, labels.astype(np.intp)].mean())
