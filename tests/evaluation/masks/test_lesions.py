"""Lesions, objects and probability maps, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from scanwright.core.errors import InputError
from scanwright.evaluation.masks import (
    RATES,
    Froc,
    Reliability,
    case_figures,
    components,
    froc,
    instance_figures,
    match_lesions,
)


def points(*at: tuple[int, int, int], shape: tuple[int, int, int] = (9, 9, 9)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    for one in at:
        mask[one] = True
    return mask


@pytest.mark.parametrize(
    ("second", "pieces"),
    [((3, 3, 4), {6: 1, 18: 1, 26: 1}), ((3, 4, 4), {6: 2, 18: 1, 26: 1}), ((4, 4, 4), {6: 2, 18: 2, 26: 1})],
)
def test_face_edge_and_corner_neighbours(second: tuple, pieces: dict) -> None:
    mask = points((3, 3, 3), second)
    assert {c: components(mask, c)[1] for c in (6, 18, 26)} == pieces


def test_an_unknown_connectivity_is_refused() -> None:
    with pytest.raises(InputError, match="6, 18 or 26"):
        components(points((0, 0, 0)), 8)


def test_two_of_three_lesions_found_and_one_false_alarm() -> None:
    truth = points((0, 0, 0), (0, 0, 1), (4, 4, 4), (8, 8, 8))
    answer = points((0, 0, 1), (4, 4, 4), (4, 4, 5), (0, 8, 0))
    matches = match_lesions(truth, answer)
    assert matches.found.tolist() == [True, True, False]
    assert matches.false.tolist() == [False, True, False]  # pieces in order along i, then j
    found = case_figures(truth, answer, spacing_mm=(1, 1, 1))
    assert found["lesion_sensitivity"] == pytest.approx(2 / 3)
    assert (found["false_positives"], found["n_lesions"]) == (1.0, 3.0)


def test_an_asked_overlap_turns_a_touch_into_a_miss() -> None:
    truth, answer = points((0, 0, 0), (0, 0, 1)), points((0, 0, 1), (0, 0, 2))  # IoU 1/3
    assert match_lesions(truth, answer, iou=0.3).found.tolist() == [True]
    missed = match_lesions(truth, answer, iou=0.4)
    assert (missed.found.tolist(), missed.false.tolist()) == ([False], [True])


def two_cases() -> list[tuple[np.ndarray, np.ndarray]]:
    first = np.zeros((9, 9, 9), dtype=np.float32)
    first[0, 0, 0:2] = 0.875, 0.375  # finds lesion 1; their mean is .625
    first[4, 4, 4] = 0.4  # finds lesion 2
    first[8, 0, 0] = 0.625  # false
    second = np.zeros((9, 9, 9), dtype=np.float32)
    second[0, 0, 0], second[8, 8, 8], second[4, 4, 4] = 0.8, 0.3, 0.05  # false, false, below the threshold
    return [(points((0, 0, 0), (4, 4, 4)), first), (points(), second)]


def test_froc_by_hand() -> None:
    made = froc(two_cases())
    assert made.n_lesions == 2
    assert made.curve() == {"x": [0, 0, 0.5, 1, 1, 1.5], "y": [0, 0.5, 0.5, 0.5, 1, 1]}
    assert made.at_rates()[0].tolist() == [0.5, 0.5, 0.5, 1, 1, 1, 1]
    assert made.cpm == pytest.approx(5.5 / 7)
    assert len(RATES) == 7


def test_froc_by_mean_probability_ranks_a_lesion_lower() -> None:
    made = froc(two_cases(), score="mean")  # lesion 1 now ties with the false alarm beside it
    assert made.curve()["y"][:3] == [0, 0, 0.5]
    assert made.curve()["x"][:3] == [0, 0.5, 1.0]


def test_froc_draws_cases_by_weight() -> None:
    made = froc(two_cases())
    drawn = made.at_rates(np.array([[2.0, 0.0], [0.0, 2.0]]))
    assert drawn[0].tolist() == [0.5, 0.5, 0.5, 1, 1, 1, 1]  # its one alarm scores above its second lesion
    assert np.isnan(drawn[1]).all()  # no lesion was drawn


def test_froc_of_nothing() -> None:
    assert np.isnan(Froc().at_rates()).all()
    blind = froc([(points((1, 1, 1)), np.zeros((9, 9, 9)))])
    assert (blind.cpm, blind.curve()) == (0.0, {"x": [0], "y": [0]})
    assert froc([(points(), np.zeros((9, 9, 9)))]).curve() == {"x": [], "y": []}


def test_ignored_voxels_raise_no_alarm() -> None:
    made, (truth, chances) = Froc(), two_cases()[0]
    made.add(truth, chances, ignored=points((8, 0, 0), (4, 4, 4)))
    assert (made.n_lesions, made.curve()) == (1, {"x": [0, 0], "y": [0, 1]})


def test_froc_refuses_other_grids() -> None:
    with pytest.raises(InputError, match="one grid"):
        Froc().add(points(), np.zeros((2, 2, 2)))


def test_objects_by_hand() -> None:
    truth = np.array([[5, 5, 5, 5], [0, 0, 0, 0], [7, 7, 0, 9], [7, 7, 0, 9]])
    answer = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [2, 2, 2, 0], [2, 2, 2, 4]])
    # IoU: 5-1 3/4, 7-2 4/6, 9-4 1/2
    found = instance_figures(truth, answer, iou=0.6)
    assert (found["tp"], found["fp"], found["fn"]) == (2, 1, 1)
    assert found["ap"] == pytest.approx(0.5)
    assert found["panoptic_quality"] == pytest.approx((3 / 4 + 4 / 6) / 3)
    assert found["segmentation_quality"] == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((2 / 3,) * 3)
    # three pairs at .5, two at .55 .6 .65, one at .7 .75, none above
    assert found["ap_mean"] == pytest.approx((1 + 3 * 2 / 4 + 2 * 1 / 5) / 10)
    assert instance_figures(truth, answer)["ap"] == 1.0


def test_objects_are_paired_one_to_one_below_half() -> None:
    truth, answer = np.array([1, 1, 1, 2, 2]), np.array([3, 3, 4, 4, 4])
    # 1-3 2/3, 1-4 1/5, 2-4 2/3
    found = instance_figures(truth, answer, iou=0.1)
    assert (found["tp"], found["segmentation_quality"]) == (2, pytest.approx(2 / 3))
    split = instance_figures(np.array([1, 1]), np.array([1, 2]), iou=0.5)  # both halves have IoU 1/2
    assert (split["tp"], split["fp"], split["fn"]) == (1, 1, 0)


def test_objects_where_there_are_none() -> None:
    none, one = np.zeros(4, int), np.array([0, 3, 3, 0])
    assert math.isnan(instance_figures(none, none)["ap"])
    assert (instance_figures(none, one)["ap"], instance_figures(one, none)["ap"]) == (0.0, 0.0)
    assert instance_figures(one, none)["panoptic_quality"] == 0.0
    assert instance_figures(one, np.array([1, 3, 3, 0]), ignored=np.array([1, 0, 0, 0], bool))["ap"] == 1.0
    assert instance_figures(one * 10**9, one)["ap"] == 1.0  # ids are names, not places in a table


@pytest.mark.parametrize(
    ("answer", "iou", "match"), [(np.zeros(3, int), 0.5, "one grid"), (np.zeros(4, int), 0, "above 0")]
)
def test_objects_that_do_not_fit_are_refused(answer: np.ndarray, iou: float, match: str) -> None:
    with pytest.raises(InputError, match=match):
        instance_figures(np.zeros(4, int), answer, iou)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(bool, (12, 11)), st.permutations(range(1, 40)))
def test_names_of_objects_do_not_matter(mask: np.ndarray, names: list) -> None:
    ids, n = ndimage.label(mask)
    renamed = np.array([0, *names, *range(100, 200)])[ids]
    if n:
        found = instance_figures(ids, renamed)
        assert (found["tp"], found["ap_mean"], found["panoptic_quality"]) == (n, 1.0, 1.0)


def test_reliability_by_hand_over_two_cases() -> None:
    made = Reliability(n_bins=4)
    made.add(np.array([0.1, 0.2, 0.6]), np.array([False, True, True]))
    made.add(np.array([0.7, 1.0, 0.001, 0.9]), np.array([False, True, True, False]), np.array([0, 0, 0, 1], bool))
    assert made.curve() == {"x": [0.15, 0.65, 1.0], "y": [0.5, 0.5, 1.0], "n": [2, 2, 1]}
    assert made.ece == pytest.approx((2 * 0.35 + 2 * 0.15) / 5)
    assert (made.n_below, made.there_below) == (1, 1)
    assert math.isnan(Reliability().ece)


def test_reliability_in_blocks_is_the_same() -> None:
    rng = np.random.default_rng(0)
    chances = rng.random((210, 200, 100)).astype(np.float32)  # more than one block
    truth = rng.random(chances.shape) < chances
    made = Reliability()
    made.add(chances, truth)
    assert made.n_voxels.sum() + made.n_below == chances.size
    assert made.ece < 0.002  # the truth was drawn with these probabilities
    assert made.there.sum() + made.there_below == truth.sum()
    with pytest.raises(InputError, match="one grid"):
        made.add(chances, truth[:2])
