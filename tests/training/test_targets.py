"""Targets, losses and the sampler, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scanwright.training.schedule import SCHEDULES, rate_factor
from scanwright.training.targets import Sampler, Targets

NAN = float("nan")


def test_missing_labels_are_masked() -> None:
    targets = Targets("multilabel", 3)
    logits = torch.tensor([[0.3, -1.0, 2.0], [1.0, 0.5, -0.5]], requires_grad=True)
    loss = targets.loss(logits, targets.soft(torch.tensor([[1, NAN, 0], [NAN, NAN, 1]])))
    loss.backward()
    expected = [math.log1p(math.exp(-0.3)), math.log1p(math.exp(2.0)), math.log1p(math.exp(0.5))]
    assert loss.item() == pytest.approx(sum(expected) / 3, rel=1e-5)
    assert logits.grad is not None
    assert logits.grad[0, 1] == logits.grad[1, 0] == logits.grad[1, 1] == 0


def test_nothing_known_gives_no_loss() -> None:
    targets = Targets("multilabel", 2)
    assert targets.loss(torch.randn(2, 2), targets.soft(torch.full((2, 2), NAN))).item() == 0


def test_smoothing_and_weights_of_two_classes() -> None:
    targets = Targets("binary", 1, smoothing=0.1, class_weights=(1.0, 3.0))
    soft = targets.soft(torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(soft, torch.tensor([[0.95], [0.05]]))
    found = targets.loss(torch.zeros(2, 1), soft).item()
    assert found == pytest.approx(math.log(2) * ((1 + 2 * 0.95) + (1 + 2 * 0.05)) / 2, rel=1e-5)


def test_several_classes_are_torchs_cross_entropy() -> None:
    logits, labels = torch.randn(5, 4), torch.tensor([0.0, 3, 2, 2, 1])
    targets = Targets("multiclass", 4, smoothing=0.2)
    expected = torch.nn.functional.cross_entropy(logits, labels.long(), label_smoothing=0.2)
    torch.testing.assert_close(targets.loss(logits, targets.soft(labels)), expected)


def test_ordinal_errors_cost_more_the_further_they_are() -> None:
    targets = Targets("ordinal", 4)
    soft = targets.soft(torch.tensor([0.0]))
    near, far = (torch.full((1, 4), -4.0).index_fill(1, torch.tensor([k]), 4.0) for k in (1, 3))
    assert targets.loss(far, soft) > targets.loss(near, soft) + 1.5


def test_regression_targets_are_standardised() -> None:
    targets = Targets("regress", 1, mean=40.0, std=10.0)
    assert targets.soft(torch.tensor([55.0])).tolist() == [[1.5]]
    assert targets.loss(torch.tensor([[0.0]]), torch.tensor([[1.5]])).item() == pytest.approx(1.0)  # Huber: 1.5 - 0.5


def test_sampler_sees_every_case_once_an_epoch() -> None:
    rows = np.arange(100, 164)
    sampler = Sampler(np.zeros(64, np.float32), rows, batch=16, seed=1)
    epochs = [np.concatenate([sampler.rows(4 * e + s) for s in range(4)]) for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == rows.tolist()
    assert epochs[0].tolist() != epochs[1].tolist()


def test_sampler_is_a_function_of_the_step() -> None:
    labels, rows = np.repeat([0, 1], [50, 10]).astype(np.float32), np.arange(60)
    one = Sampler(labels, rows, batch=8, seed=4, balanced=True)
    for step in range(30):
        one.rows(step)
    two = Sampler(labels, rows, batch=8, seed=4, balanced=True)
    np.testing.assert_array_equal(one.rows(17), two.rows(17))


def test_balanced_batches_hold_as_many_of_each_class() -> None:
    labels, rows = np.repeat([0, 1, 2], [90, 7, 3]).astype(np.float32), np.arange(100)
    sampler = Sampler(labels, rows, batch=12, seed=0, balanced=True)
    for step in range(5):
        assert np.bincount(labels[sampler.rows(step)].astype(int)).tolist() == [4, 4, 4]


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_schedules_rise_and_end_at_nothing(name: str) -> None:
    from scanwright.core import Training

    training = Training(budget_s=1, schedule=name, warmup=0.2)
    factors = [rate_factor(s, 100, training) for s in range(101)]
    assert max(factors) == pytest.approx(1.0)
    assert factors[0] < 0.1
    assert factors[-1] < 1e-3
    cut = [rate_factor(s, 100, training, cut=(50, 60)) for s in range(50, 61)]
    assert cut[0] == pytest.approx(factors[50])
    assert cut[-1] == pytest.approx(factors[100])
    assert cut == sorted(cut, reverse=True)
    early = [rate_factor(s, 100, training, cut=(5, 30)) for s in range(5, 31)]
    assert max(early) == pytest.approx(1.0, abs=0.02)  # a warm-up that is cut short still warms up
