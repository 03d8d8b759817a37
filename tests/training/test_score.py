"""Scores against scikit-learn, shifts against what they claim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from scanwright.evaluation.paired import auroc
from scanwright.training.score import SHAPE_SHIFTS, SHIFTS, auroc_error, judge

RNG = np.random.default_rng(0)


def test_auroc_is_scikit_learns_with_ties() -> None:
    truth = RNG.random(200) < 0.3
    values = np.round(RNG.normal(truth, 1), 1).astype(np.float32)
    assert auroc(truth, values) == pytest.approx(roc_auc_score(truth, values))


def test_several_classes_are_averaged_one_against_the_rest() -> None:
    truth = RNG.integers(0, 3, 300)
    logits = (np.eye(3)[truth] + RNG.normal(0, 1, (300, 3))).astype(np.float32)
    found = judge({"clean": logits}, truth.astype(np.float32), "multiclass")
    shares = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    assert found.auroc == pytest.approx(roc_auc_score(truth, shares, multi_class="ovr"))
    balanced = balanced_accuracy_score(truth, logits.argmax(1))
    assert found.clean == pytest.approx(0.9 * found.auroc + 0.1 * balanced)


def test_score_is_the_mean_of_clean_and_shifted() -> None:
    truth = np.array([0, 0, 1, 1], np.float32)
    right, wrong = np.array([[-1], [-2], [1], [2]], np.float32), np.array([[1], [2], [-1], [-2]], np.float32)
    found = judge({"clean": right, "blur": right, "noise": wrong}, truth, "binary")
    assert (found.clean, found.shifted, found.score) == (1.0, 0.5, 0.75)


def test_missing_labels_are_left_out() -> None:
    labels = np.array([[1, np.nan], [0, np.nan], [np.nan, 1]], np.float32)
    logits = np.array([[2, 0], [-2, 0], [-9, 0]], np.float32)
    found = judge({"clean": logits}, labels, "multilabel")
    assert found.auroc == found.accuracy == 1.0


def test_regression_is_one_less_the_error_in_sds() -> None:
    found = judge({"clean": np.array([[1.0], [3.0]], np.float32)}, np.array([2, 3], np.float32), "regress")
    assert found.score == pytest.approx(0.5)


def test_standard_error_of_hanley_and_mcneil() -> None:
    assert auroc_error(0.893, 51, 58) == pytest.approx(0.032, abs=0.001)  # their worked example


@pytest.mark.parametrize("shifts", [SHIFTS, SHAPE_SHIFTS])
@pytest.mark.parametrize("dimension", [2, 3])
def test_shifts_are_mild_and_fixed(shifts: dict, dimension: int) -> None:
    x = torch.nn.functional.avg_pool1d(torch.randn(2, 1, 28**dimension + 8), 9, 1).reshape(2, 1, *(28,) * dimension)
    for name, shift in shifts.items():
        once = shift(x)
        assert torch.equal(once, shift(x)), name
        assert once.shape == x.shape
        assert not torch.equal(once, x), name
        assert torch.corrcoef(torch.stack([once.flatten(), x.flatten()]))[0, 1] > 0.1, name
