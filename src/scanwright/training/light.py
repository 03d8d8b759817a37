"""Fit nearest cases and boosted trees on the features of a frozen base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from scanwright.core import PlanError, Task
from scanwright.models import Boosted, Light, Nearest
from scanwright.training.classical import Floats, features_of, folds_of, main_directions, rows_to_fit

if TYPE_CHECKING:
    from scanwright.training.data import Data

_SHARPNESS = (5.0, 14.0, 30.0)
_RATE = 0.1


def fit_light(model: Light, data: Data, *, seed: int) -> str:
    """Fit a head in place.

    Args:
        model: Its buffers are replaced.
        data: Training rows.
        seed: Seed for the choice of cases.

    Returns:
        What was done, in one sentence.

    Source:
        Cover and Hart 1967; Friedman 2001, as scikit-learn's ``GradientBoostingClassifier`` computes it.
    """
    rows, rng = rows_to_fit(data, seed)
    if isinstance(model, Nearest) and len(rows) > len(model.bank):
        rows = np.sort(rng.choice(rows, len(model.bank), replace=False))
    found = features_of(model, data, rows)
    mean, std = found.mean(0), found.std(0)
    std[std < 1e-6 * np.abs(mean) + 1e-8] = 1.0
    z = np.clip((found - mean) / std, -30, 30)
    turn = main_directions(z, most=model.kept)[:, : model.kept]
    model.set_features(mean=_tensor(mean), std=_tensor(std), turn=_tensor(turn))
    u = np.zeros((len(z), model.kept))
    u[:, : turn.shape[1]] = z @ turn
    labels = data.labels[rows].astype(np.float64)
    if data.plan.task == "regress":
        labels = (labels - data.targets.mean) / data.targets.std
    groups = np.array([data.store.groups[int(r)] for r in rows])
    if isinstance(model, Nearest):
        sharpness = _fit_nearest(model, u, labels, groups, data.plan.task)
        return f"{len(rows)} cases remembered, {model.k} of them vote, sharpness {sharpness:g} by cross-validation"
    if isinstance(model, Boosted):
        trees = _fit_boosted(model, u, labels, groups, data.plan.task)
        return f"fitted on {len(rows)} cases, {trees} trees by cross-validation"
    return ""


def _fit_nearest(model: Nearest, u: Floats, labels: Floats, groups: NDArray[np.str_], task: Task) -> float:
    votes, known = _votes(labels, task, model.votes.shape[1])
    weight = _balanced(labels, task)
    losses = np.zeros(len(_SHARPNESS))
    for inside, outside in folds_of(u, labels, groups, task):
        for k, sharpness in enumerate(_SHARPNESS):
            model.remember(
                _tensor(u[inside]), _tensor(votes[inside]), _tensor(known[inside]), _tensor(weight[inside]), sharpness
            )
            with torch.inference_mode():
                answers = model.answer(_tensor(u[outside]).to(model.bank.device)).cpu().numpy()
            losses[k] += _loss(answers, votes[outside], known[outside], task)
    chosen = _SHARPNESS[int(losses.argmin())] if losses.any() else _SHARPNESS[1]
    model.remember(_tensor(u), _tensor(votes), _tensor(known), _tensor(weight), chosen)
    return chosen


def _fit_boosted(model: Boosted, u: Floats, labels: Floats, groups: NDArray[np.str_], task: Task) -> int:
    n_outputs = model.leaves.shape[1]
    columns = labels if task == "multilabel" else labels[:, None]
    model.leaves.zero_()
    model.threshold.fill_(torch.finfo(torch.float32).max)
    used = 0
    for place in range(columns.shape[1]):
        y = columns[:, place]
        seen = np.isfinite(y)
        if len(np.unique(y[seen])) < 2:
            model.start[place] = (
                0.0 if task == "regress" else 4.0 * (2 * float(y[seen].mean() if seen.any() else 0) - 1)
            )
            continue
        share = model.trees // columns.shape[1]
        own = np.unique(y[seen]).astype(int) if task in ("multiclass", "ordinal") else np.array([place])
        share = share // len(own) if task in ("multiclass", "ordinal") and len(own) > 2 else share
        if share < 1:
            raise PlanError(
                f"{model.trees} trees were planned for {n_outputs} answers.",
                "Every answer needs a tree of its own in each round.",
                f'Write "trees": {20 * n_outputs} into the candidate\'s arguments.',
            )
        rounds = _rounds(u[seen], y[seen], groups[seen], task, share, model.depth)
        fitted = _grown(u[seen], y[seen], task, rounds, model.depth)
        used = _take(model, fitted, u[seen], used, own, n_outputs)
    return used


def _rounds(u: Floats, y: Floats, groups: NDArray[np.str_], task: Task, most: int, depth: int) -> int:
    """How many rounds of trees are best on cases that were left out."""
    losses = np.zeros(most)
    kind: Task = "binary" if task == "multilabel" else task
    for inside, outside in folds_of(u, y, groups, kind):
        if task != "regress" and len(np.unique(y[inside])) < len(np.unique(y)):
            continue
        fitted = _grown(u[inside], y[inside], task, most, depth)
        staged = fitted.staged_predict(u[outside]) if task == "regress" else fitted.staged_predict_proba(u[outside])
        for k, given in enumerate(staged):
            if task == "regress":
                losses[k] += float(np.abs(given - y[outside]).mean())
            else:
                place = np.searchsorted(fitted.classes_, y[outside])
                losses[k] -= float(np.log(given[np.arange(len(given)), place].clip(1e-6)).mean())
    return int(losses.argmin()) + 1 if losses.any() else most


def _grown(
    u: Floats, y: Floats, task: Task, rounds: int, depth: int
) -> GradientBoostingClassifier | GradientBoostingRegressor:
    options = {
        "n_estimators": rounds, "max_depth": depth, "learning_rate": _RATE, "subsample": 0.7,
        "max_features": "sqrt", "random_state": 0,
    }  # fmt: skip
    if task == "regress":
        return GradientBoostingRegressor(**options).fit(u, y)
    return GradientBoostingClassifier(**options).fit(u, y, sample_weight=_balanced(y, task))


def _take(
    model: Boosted,
    fitted: GradientBoostingClassifier | GradientBoostingRegressor,
    u: Floats,
    used: int,
    own: NDArray[np.integer],
    n_outputs: int,
) -> int:
    """Write scikit-learn's trees into the model's tables; gives the number of trees that are used now."""
    inner, depth = 2**model.depth - 1, model.depth
    raw = fitted.predict(u[:1]) if isinstance(fitted, GradientBoostingRegressor) else fitted.decision_function(u[:1])
    start = np.asarray(raw, dtype=np.float64).reshape(-1).copy()
    two_of_several = n_outputs > 1 and len(own) == 2 and fitted.estimators_.shape[1] == 1
    for round_ in fitted.estimators_:
        for column, tree in enumerate(round_):
            nodes = tree.tree_
            feature, threshold, leaves = _whole(nodes, depth)
            model.feature[used * inner : (used + 1) * inner] = torch.from_numpy(feature)
            model.threshold[used * inner : (used + 1) * inner] = _tensor(threshold)
            at = slice(used * (inner + 1), (used + 1) * (inner + 1))
            if two_of_several:  # one decision for two of several classes, split in halves
                model.leaves[at, own[0]], model.leaves[at, own[1]] = (
                    _tensor(-_RATE * leaves / 2),
                    _tensor(_RATE * leaves / 2),
                )
            else:
                model.leaves[at, int(own[column]) if n_outputs > 1 else 0] = _tensor(_RATE * leaves)
            start[column] -= _RATE * float(tree.predict(u[:1])[0])
            used += 1
    if two_of_several:
        model.start.fill_(-20.0)
        model.start[own[0]], model.start[own[1]] = -float(start[0]) / 2, float(start[0]) / 2
    elif n_outputs == 1:
        model.start[0] = float(start[0])
    else:
        if len(start) == n_outputs or len(own) > 1:
            model.start.fill_(-20.0)
        for column, place in enumerate(own):
            model.start[int(place)] = float(start[column])
    return used


def _whole(nodes: Any, depth: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """A tree of scikit-learn as a whole one: questions and leaves in the order of a heap."""
    left, right = nodes.children_left, nodes.children_right
    inner = 2**depth - 1
    feature, threshold, leaves = np.zeros(inner, np.int64), np.zeros(inner), np.zeros(inner + 1)

    def place(at: int, node: int) -> None:
        leaf = left[node] < 0
        if at >= inner:
            leaves[at - inner] = nodes.value[node].ravel()[0]
            return
        if not leaf:
            feature[at], threshold[at] = nodes.feature[node], nodes.threshold[node]
        place(2 * at + 1, node if leaf else left[node])
        place(2 * at + 2, node if leaf else right[node])

    place(0, 0)
    return feature, threshold, leaves


def _votes(labels: Floats, task: Task, n_outputs: int) -> tuple[Floats, Floats]:
    """Labels as columns of answers, and where they are known."""
    if task == "multilabel":
        known = np.isfinite(labels)
        return np.where(known, labels, 0.0), known.astype(np.float64)
    if n_outputs == 1:
        return labels[:, None], np.ones((len(labels), 1))
    return np.eye(n_outputs)[labels.astype(int)], np.ones((len(labels), n_outputs))


def _balanced(labels: Floats, task: Task) -> Floats:
    """Weights that make classes count alike."""
    if task == "regress" or labels.ndim > 1:
        return np.ones(len(labels))
    values, places = np.unique(labels, return_inverse=True)
    counts = np.bincount(places)
    return len(labels) / (len(values) * counts[places]) if len(values) > 1 else np.ones(len(labels))


def _loss(answers: NDArray[np.floating], votes: Floats, known: Floats, task: Task) -> float:
    if task == "regress":
        return float(np.abs(answers - votes).mean())
    if task in ("multiclass", "ordinal"):
        shifted = answers - answers.max(1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        return -float((logs * votes).sum(1).mean())
    each = np.logaddexp(0, answers) - answers * votes
    return float((each * known).sum() / max(known.sum(), 1))


def _tensor(values: NDArray[np.floating]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
