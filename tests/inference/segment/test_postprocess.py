"""Rules are chosen by what they gain on validation, and do what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scanwright.core import Grid, ModelFileError
from scanwright.inference.segment.postprocess import PostRule, StructureRule, SweepCase, apply, sweep
from scanwright.inference.segment.upsample import OnSource


def blob(shape: tuple[int, int, int], *boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Cubes given by a corner and a side."""
    mask = np.zeros(shape, bool)
    for i, j, k, side in boxes:
        mask[i : i + side, j : j + side, k : k + side] = True
    return mask


def test_small_pieces_are_dropped_and_the_largest_kept() -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[blob(labels.shape, (1, 1, 1, 5), (10, 10, 10, 3), (16, 16, 16, 2))] = 1
    labels[blob(labels.shape, (1, 10, 1, 2))] = 2
    small = labels.copy()
    rule = PostRule({"a": StructureRule(smallest_ml=0.02)})
    assert apply(rule, small, ("a", "b"), voxel_ml=0.001) == 1, "eight voxels are 0.008 mL, 27 are 0.027"
    assert [(small == n).sum() for n in (1, 2)] == [125 + 27, 8]
    largest = labels.copy()
    assert apply(PostRule({"a": StructureRule(keep=1)}), largest, ("a", "b")) == 2
    assert [(largest == n).sum() for n in (1, 2)] == [125, 8]
    untouched = labels.copy()
    assert apply(PostRule(), untouched, ("a", "b")) == 0
    np.testing.assert_array_equal(untouched, labels)


def test_overlapping_regions_are_painted_anew() -> None:
    regions = np.stack([blob((12, 12, 12), (0, 0, 0, 8)), blob((12, 12, 12), (2, 2, 2, 2), (10, 10, 10, 1))])
    labels = regions[0].astype(np.uint8)
    labels[regions[1]] = 2
    assert apply(PostRule({"core": StructureRule(smallest_voxels=5)}), labels, ("whole", "core"), regions=regions) == 1
    assert regions[1].sum() == 8
    assert labels[10, 10, 10] == 0
    assert labels[2, 2, 2] == 2


def test_a_sweep_finds_the_size_that_separates_noise_from_truth() -> None:
    shape = (20, 20, 20)
    truth = blob(shape, (2, 2, 2, 6))
    noisy = truth | blob(shape, (15, 15, 15, 3))  # 27 voxels that are not true
    cases = (SweepCase(truth[None], noisy[None], voxel_ml=0.001) for _ in range(4))
    rule, figures = sweep(cases, ("tumour",))
    assert rule.of("tumour") == StructureRule(smallest_ml=0.05)
    assert figures["tumour"]["before"] == pytest.approx(2 * 216 / (216 + 243))
    assert figures["tumour"]["after"] == 1.0


def test_a_sweep_finds_the_threshold() -> None:
    truth = blob((16, 16, 16), (4, 4, 4, 8))
    chances = np.where(truth, 0.35, 0.05).astype(np.float32)
    rule, _ = sweep([SweepCase(truth[None], chances=chances[None])], ("lesion",))
    assert rule.of("lesion") == StructureRule(threshold=0.3)
    assert rule.thresholds(("lesion", "other")) == (0.3, 0.5)


def test_several_true_pieces_are_not_reduced_to_the_largest() -> None:
    truth = blob((20, 20, 20), (1, 1, 1, 5), (10, 10, 10, 4))
    rule, figures = sweep([SweepCase(truth[None], truth[None], voxel_ml=0.001)], ("lesion",))
    assert rule == PostRule()
    assert figures["lesion"] == {"before": 1.0, "after": 1.0}


def test_a_small_gain_changes_nothing_and_ignored_voxels_do_not_count() -> None:
    truth = blob((30, 30, 30), (2, 2, 2, 20))
    answer = truth | blob((30, 30, 30), (27, 27, 27, 2))  # 8 voxels beside 8000: a gain of 0.0005
    assert sweep([SweepCase(truth[None], answer[None], voxel_ml=0.001)], ("a",))[0] == PostRule()
    more = truth | blob((30, 30, 30), (24, 24, 24, 5))
    ignored = blob((30, 30, 30), (23, 23, 23, 7))
    _, figures = sweep([SweepCase(truth[None], more[None], ignored=ignored)], ("a",))
    assert figures["a"]["before"] == 1.0


def test_the_largest_piece_of_what_is_one_piece_is_kept_where_that_loses_nothing() -> None:
    truth = blob((30, 30, 30), (2, 2, 2, 20))
    answer = truth | blob((30, 30, 30), (27, 27, 27, 2))  # a gain of 0.0005: too little without knowing more
    case = SweepCase(truth[None], answer[None], voxel_ml=0.001)
    rule, figures = sweep([case], ("a",), single={"a"})
    assert rule == PostRule({"a": StructureRule(keep=1)})
    assert figures["a"]["after"] == 1.0
    two = blob((30, 30, 30), (2, 2, 2, 20), (25, 25, 25, 4))
    assert sweep([SweepCase(two[None], two[None], voxel_ml=0.001)], ("a",), single={"a"})[0] == PostRule()


def test_rules_are_written_and_read() -> None:
    rule = PostRule({"a": StructureRule(0.4, 0.02, 0, 1)})
    assert PostRule.from_dict(rule.to_dict()) == rule
    with pytest.raises(ModelFileError, match="rules of structures"):
        PostRule.from_dict({"a": {"small": 3}})


def test_a_case_is_made_of_an_answer_and_its_codes(plan: Any) -> None:
    regions = np.stack([blob((8, 8, 8), (0, 0, 0, 6)), blob((8, 8, 8), (1, 1, 1, 3))])
    chosen = plan(("whole", "core"), {"target": "regions", "codes": ((0,), (0, 1))})
    truth = np.zeros((8, 8, 8), np.uint8)
    truth[0:5, 0:5, 0:5], truth[1:4, 1:4, 1:4], truth[7, 7, 7] = 1, 2, 255
    each = np.where(regions, 0.8, 0.1).astype(np.float16)
    found = OnSource(regions.sum(axis=0).astype(np.uint8), regions, each=each)
    case = SweepCase.of(found, truth, Grid((8, 8, 8), np.diag([2.0, 2.0, 2.0, 1.0])), chosen)
    assert [mask.sum() for mask in case.truth] == [125, 27], "code 2 belongs to both"
    assert case.voxel_ml == pytest.approx(0.008)
    assert case.ignored is not None
    assert case.ignored.sum() == 1
    rule, figures = sweep([case], ("whole", "core"))
    assert rule == PostRule()
    assert figures["whole"]["before"] == pytest.approx(2 * 125 / (125 + 216))
