"""The difference of two models on the same cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scanwright.evaluation.paired import auroc_of, paired_difference


def two(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    good, bad = (1 / (1 + np.exp(-(truth * s + rng.normal(0, 1, n)))) for s in (2.5, 0.8))
    return np.stack([1 - good, good], 1), np.stack([1 - bad, bad], 1), truth


def test_a_better_model_is_better_and_the_turn_is_the_turn() -> None:
    good, bad, truth = two()
    found = paired_difference(good, bad, truth, task="binary", n_bootstrap=300)
    assert 0 < found.low < found.value < found.high
    back = paired_difference(bad, good, truth, task="binary", n_bootstrap=300)
    assert back.value == pytest.approx(-found.value)


def test_the_figure_is_the_auroc() -> None:
    from sklearn.metrics import roc_auc_score

    good, bad, truth = two()
    found = paired_difference(good, bad, truth, task="binary", n_bootstrap=10)
    assert found.value == pytest.approx(roc_auc_score(truth, good[:, 1]) - roc_auc_score(truth, bad[:, 1]))
    assert auroc_of(good[:, 1:], truth, task="binary") == pytest.approx(roc_auc_score(truth, good[:, 1]))


def test_the_same_model_differs_by_nothing() -> None:
    good, _, truth = two()
    found = paired_difference(good, good, truth, task="binary", n_bootstrap=50)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_patients_are_drawn_whole() -> None:
    good, bad, truth = two(60)
    groups = [f"p{k // 20}" for k in range(60)]
    wide = paired_difference(good, bad, truth, task="binary", groups=groups, n_bootstrap=400)
    assert wide.high >= wide.value >= wide.low


def test_numbers_and_missing_truths() -> None:
    truth = [1.0, 2.0, None, 4.0]
    near, far = np.array([[1.1], [2.1], [9.0], [4.1]]), np.array([[2.0], [3.0], [3.0], [5.0]])
    found = paired_difference(near, far, truth, task="regress", n_bootstrap=100)
    assert found.value == pytest.approx(0.9)
    assert math.isnan(paired_difference(near, far, [1.0] * 4, task="multiclass", n_bootstrap=5).low)
