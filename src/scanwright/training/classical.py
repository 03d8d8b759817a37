"""Fit the linear head of a fixed-feature model, its strength of regularisation by cross-validation."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold
from torch import Tensor

from scanwright.core import Task
from scanwright.models import Fitted, FixedFeatures, Light
from scanwright.models.transfer import base_of
from scanwright.training.lesson import seed_of

if TYPE_CHECKING:
    from scanwright.training.data import Data

Floats = NDArray[np.float64]

_N_FIT, _N_CHOOSE, _N_COMPONENTS, _FOLDS = 8000, 2000, 256, 3
_AT_A_TIME = 32 * 224**2
"""Voxels whose features a network works out together; it leaves many numbers behind for each."""
_STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def fit_classical(model: Fitted, data: Data, *, seed: int) -> str:
    """Fit a model in place, in seconds.

    At most 8000 training cases are used; the features are standardised and turned to their 256
    main directions, a logistic regression with balanced classes (or a ridge regression) is
    fitted there, and its weights are turned back, so that the model stays linear in its features.

    Args:
        model: Its buffers and head are replaced.
        data: Training rows.
        seed: Seed for the choice of cases.

    Returns:
        What was done, in one sentence.

    Source:
        Cox 1958; scikit-learn ``LogisticRegression``, ``Ridge``.
    """
    rows, rng = rows_to_fit(data, seed)
    if isinstance(model, FixedFeatures):
        low, high = _usual_range(data, rows[:512] if len(rows) <= 512 else rng.choice(rows, 512, replace=False))
        model.set_features(low=low, high=high)
    found = features_of(model, data, rows)
    mean, std = found.mean(0), found.std(0)
    std[std < 1e-6 * np.abs(mean) + 1e-8] = 1.0
    z = np.clip((found - mean) / std, -30, 30)
    turn = main_directions(z)
    groups = [data.store.groups[int(r)] for r in rows]
    labels = data.labels[rows].astype(np.float64)
    if data.plan.task == "regress":
        labels = (labels - data.targets.mean) / data.targets.std
    weight, bias, strength = solve(
        z @ turn, labels, groups, task=data.plan.task, n_outputs=data.plan.n_outputs, rng=rng
    )
    model.set_head(mean=_tensor(mean), std=_tensor(std), weight=_tensor(weight @ turn.T), bias=_tensor(bias))
    return f"fitted on {len(rows)} cases and {found.shape[1]} features, C = {strength:g} by cross-validation"


def rows_to_fit(data: Data, seed: int) -> tuple[NDArray[np.intp], np.random.Generator]:
    """The training rows that are fitted on, at most 8000, and the generator that drew them."""
    rng = np.random.default_rng(seed_of(seed, "classical"))
    rows = data.train
    if len(rows) > _N_FIT:
        rows = np.sort(rng.choice(rows, _N_FIT, replace=False))
    return rows, rng


def features_of(model: Fitted | Light, data: Data, rows: NDArray[np.intp]) -> Floats:
    """Raw features ``(N, F)`` of some rows; those of a frozen base are worked out once for all its heads."""
    model.to(data.device).eval()
    if isinstance(model, FixedFeatures):
        return _features(model, data, rows, 256)
    voxels = int(np.prod(data.store.images.shape[2:]))
    step = int(np.clip(_AT_A_TIME // voxels, 8, 128))
    enlarge = base_of(model)[0].enlarge
    if data.frozen is None or data.frozen[0] != enlarge or not np.isin(rows, data.frozen[1]).all():
        data.frozen = (enlarge, rows, _features(model, data, rows, step))
    return data.frozen[2][np.searchsorted(data.frozen[1], rows)]


def _features(model: Fitted | Light, data: Data, rows: NDArray[np.intp], step: int) -> Floats:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), step):
            images = data.images(rows[start : start + step]).contiguous()
            parts.append(model.features(images).cpu().numpy().astype(np.float64))
    return np.concatenate(parts)


def _usual_range(data: Data, rows: NDArray[np.intp]) -> tuple[float, float]:
    values = data.images(np.sort(rows)).flatten()[:: max(1, len(rows) // 64)].cpu().numpy()
    low, high = np.percentile(values, (0.5, 99.5))
    return (float(values.min()), float(values.max())) if high - low < 1e-3 else (float(low), float(high))


def main_directions(z: Floats, *, most: int = _N_COMPONENTS) -> Floats:
    """Directions of the largest spread.

    Args:
        z: ``(N, F)`` standardised features.
        most: How many directions at most.

    Returns:
        ``(F, k)``, orthonormal; the identity where there are no more features than that.
    """
    if z.shape[1] <= most:
        return np.eye(z.shape[1])
    if len(z) >= z.shape[1]:
        _, vectors = np.linalg.eigh(z.T @ z)
        return np.ascontiguousarray(vectors[:, ::-1][:, :most])
    values, left = np.linalg.eigh(z @ z.T)
    keep = np.argsort(values)[::-1][: min(most, len(z) - 1)]
    keep = keep[values[keep] > 1e-8 * values.max()]
    directions: Floats = z.T @ left[:, keep] / np.sqrt(values[keep])
    return directions


def solve(
    u: Floats,
    labels: Floats,
    groups: list[str],
    *,
    task: Task,
    n_outputs: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, float]:
    """Fit a linear model for a task.

    Args:
        u: ``(N, k)`` features.
        labels: ``(N,)``, or ``(N, K)`` for multi-label; NaN where missing (multi-label only).
        groups: Patients of the rows.
        task: Task.
        n_outputs: Logits.
        rng: Draws the rows that the strength is chosen on.

    Returns:
        Weights ``(n_outputs, k)``, biases and the chosen strength of regularisation.
    """
    people = np.array(groups)
    if task == "multilabel":
        solved = []
        for k in range(labels.shape[1]):
            known = np.isfinite(labels[:, k])
            solved.append(_one(u[known], labels[known, k], people[known], "binary", rng))
        return np.concatenate([s[0] for s in solved]), np.concatenate([s[1] for s in solved]), solved[0][2]
    weight, bias, strength = _one(u, labels, people, task, rng)
    if task in ("binary", "regress") or len(weight) == n_outputs:
        return weight, bias, strength
    full, offset = np.zeros((n_outputs, u.shape[1])), np.full(n_outputs, -20.0)
    present = np.unique(labels).astype(int)  # classes without a training case get a very low logit
    if len(weight) == 1:  # two of several classes: one decision, split in halves
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    full[present], offset[present] = weight, bias
    return full, offset, strength


def _one(
    u: Floats, y: NDArray[np.floating], groups: NDArray[np.str_], task: Task, rng: np.random.Generator
) -> tuple[Floats, Floats, float]:
    if task != "regress" and len(np.unique(y)) < 2:
        constant = 5.0 if len(y) and y[0] == 1 else -5.0
        return np.zeros((1, u.shape[1])), np.full(1, constant), _STRENGTHS[0]
    some = rng.permutation(len(y))[:_N_CHOOSE]
    strength = _best_strength(u[some], y[some], groups[some], task)
    fitted = _fitted(u, y, task, strength)
    return np.atleast_2d(fitted.coef_), np.atleast_1d(fitted.intercept_), strength


def _best_strength(u: Floats, y: NDArray[np.floating], groups: NDArray[np.str_], task: Task) -> float:
    losses = np.zeros(len(_STRENGTHS))
    folds = folds_of(u, y, groups, task)
    if not folds:
        return 1e-3
    for inside, outside in folds:
        if task != "regress" and len(np.unique(y[inside])) < len(np.unique(y)):
            continue
        for k, strength in enumerate(_STRENGTHS):
            fitted = _fitted(u[inside], y[inside], task, strength)
            if task == "regress":
                losses[k] += float(np.abs(fitted.predict(u[outside]) - y[outside]).mean())
            else:
                losses[k] += log_loss(y[outside], fitted.predict_proba(u[outside]), labels=fitted.classes_)
    return _STRENGTHS[int(losses.argmin())]


def folds_of(
    u: Floats, y: NDArray[np.floating], groups: NDArray[np.str_], task: Task
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows to fit on and rows to judge on, three times, patients kept together.

    Args:
        u: ``(N, k)`` features.
        y: ``(N,)`` labels; of several labels a case the folds do not look at them.
        groups: Patients of the rows.
        task: Task.

    Returns:
        The folds; none where there are too few cases.
    """
    grouped = len(np.unique(groups)) < len(groups)
    even = task in ("regress", "multilabel")
    smallest = len(y) if even else int(np.unique(y, return_counts=True)[1].min())
    if smallest < 2 or len(np.unique(groups)) < _FOLDS or len(y) < 2 * _FOLDS:
        return []
    folds = min(_FOLDS, smallest)
    if even:
        splitter = GroupKFold(folds) if grouped else KFold(folds, shuffle=True, random_state=0)
    elif grouped:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    else:
        splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    return list(splitter.split(u, y, groups if grouped else None))


def _fitted(u: Floats, y: NDArray[np.floating], task: Task, strength: float) -> LogisticRegression | Ridge:
    if task == "regress":
        return Ridge(alpha=1 / strength).fit(u, y)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=200, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(u, y)


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
