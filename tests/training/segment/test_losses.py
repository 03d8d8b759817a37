"""Losses against figures worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from scanwright.core import Segmentation  # noqa: E402
from scanwright.training.segment.losses import LOSSES, MaskTargets, overlap_loss, supervised_loss  # noqa: E402

KNOWN = torch.ones(1, 1, 2, 2)


def test_dice_by_hand() -> None:
    chances = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    truth = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    # hit 1.5, false positives 0, false negatives 0.5: 1.5 / (1.5 + 0.25) overlap
    assert float(overlap_loss(chances, truth, KNOWN)) == pytest.approx(1 - 1.5 / 1.75, abs=1e-4)
    assert float(overlap_loss(truth, truth, KNOWN)) == pytest.approx(0, abs=1e-4)
    # Tversky with alpha .3: misses weigh .7
    assert float(overlap_loss(chances, truth, KNOWN, alpha=0.3)) == pytest.approx(1 - 1.5 / 1.85, abs=1e-4)


def test_what_is_ignored_costs_nothing(boxes: Callable[..., Any]) -> None:
    _, _, plan = boxes()
    targets = MaskTargets(plan, torch.device("cpu"))
    logits = torch.zeros(1, 3, 4, 4, 4)
    codes = torch.full((1, 4, 4, 4), 255, dtype=torch.uint8)
    codes[0, 0, 0, 0] = 1
    for name in LOSSES:
        one = supervised_loss(name, [logits], codes, targets)
        wrong = logits.clone()
        wrong[:, 2, 1:] = 50.0  # sure and wrong where nobody knows
        assert float(supervised_loss(name, [wrong], codes, targets)) == pytest.approx(float(one), abs=1e-5)


def test_cross_entropy_of_an_undecided_network_is_log_3(boxes: Callable[..., Any]) -> None:
    _, _, plan = boxes()
    targets = MaskTargets(plan, torch.device("cpu"))
    codes = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    codes[0, :2] = 1
    hot, known = targets.hot(codes)
    assert hot.shape == (1, 3, 4, 4, 4)
    assert hot[0, :, 0, 0, 0].tolist() == [0, 1, 0]
    logits = torch.zeros(1, 3, 4, 4, 4)
    found = float(LOSSES["dice_ce"](logits, hot, known, targets))
    one = 1 - (32 / 3) / (32 / 3 + (32 / 3) / 2 + (64 / 3) / 2)  # "one": half of the voxels
    two = 1 - 0.0  # "two" is nowhere, and answered everywhere
    assert found == pytest.approx(math.log(3) + (one + two) / 2, abs=1e-3)


def test_regions_overlap(boxes: Callable[..., Any]) -> None:
    _, _, plan = boxes(segmentation=Segmentation(target="regions", codes=((0,), (0, 1))))
    targets = MaskTargets(plan, torch.device("cpu"))
    hot, _ = targets.hot(torch.tensor([[[[0, 1, 2, 255]]]], dtype=torch.uint8))
    assert hot[0, :, 0, 0].T.tolist() == [[0, 0], [1, 0], [1, 1], [0, 0]]
    perfect = (hot * 2 - 1) * 30
    assert (
        float(supervised_loss("dice_ce", [perfect], torch.tensor([[[[0, 1, 2, 255]]]]).to(torch.uint8), targets)) < 1e-3
    )


def test_coarser_levels_count_half(boxes: Callable[..., Any]) -> None:
    _, _, plan = boxes()
    targets = MaskTargets(plan, torch.device("cpu"))
    codes = torch.zeros(1, 8, 8, 8, dtype=torch.uint8)
    codes[0, :4] = 1
    fine = torch.zeros(1, 3, 8, 8, 8)
    hot, _ = targets.hot(codes[:, ::2, ::2, ::2])
    coarse = hot * 40
    alone = float(supervised_loss("dice_ce", [fine], codes, targets))
    both = float(supervised_loss("dice_ce", [fine, coarse], codes, targets))
    right = float(supervised_loss("dice_ce", [coarse], codes[:, ::2, ::2, ::2], targets))
    assert both == pytest.approx((alone + 0.5 * right) / 1.5, abs=1e-4)
