"""Figures of one structure in one case, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scanwright.core.errors import InputError
from scanwright.evaluation.masks import FIGURES, case_figures, surface_distances
from scanwright.evaluation.masks.surface import border_points, hausdorff

ALWAYS = {name for name in FIGURES if name not in ("volume_bias_ml", "brier")}
OVERLAPS = ("dice", "iou", "precision", "recall")
DISTANCES = ("hd95_mm", "assd_mm")


def empty(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=bool)


def box(shape: tuple[int, ...], *limits: tuple[int, int]) -> np.ndarray:
    mask = empty(*shape)
    mask[tuple(slice(*one) for one in limits)] = True
    return mask


def letter_f() -> np.ndarray:
    mask = empty(9, 12, 7)
    mask[2, 2:10, 3] = True  # stem
    mask[2:7, 9, 3] = True  # upper arm
    mask[2:5, 6, 3] = True  # lower arm
    return mask


def test_two_boxes_by_hand() -> None:
    truth, answer = box((4, 4, 4), (0, 2), (0, 2), (0, 2)), box((4, 4, 4), (0, 2), (0, 2), (0, 3))
    found = case_figures(truth, answer, spacing_mm=(1, 2, 5))
    assert set(found) == ALWAYS
    expected = {
        "dice": 0.8, "iou": 2 / 3, "precision": 2 / 3, "recall": 1.0, "specificity": 52 / 56,
        "hd95_mm": 5.0,  # 4 of the answer's 12 border voxels are 5 mm out
        "assd_mm": 1.0,  # 4 times 5 mm over 8 + 12 border voxels
        "nsd": 1.0,  # default tolerance: the largest spacing
        "volume_truth_ml": 0.08, "volume_answer_ml": 0.12, "volume_error_ml": 0.04,
        "lesion_sensitivity": 1.0, "false_positives": 0.0, "n_lesions": 1.0, "n_missed": 0.0, "n_invented": 0.0,
    }  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-12)
    assert case_figures(truth, answer, spacing_mm=(1, 2, 5), tolerance_mm=4.9)["nsd"] == pytest.approx(0.8)


def test_without_spacing_mm_are_pixels_and_amounts_are_counts() -> None:
    truth, answer = box((4, 4, 4), (0, 2), (0, 2), (0, 2)), box((4, 4, 4), (0, 2), (0, 2), (0, 3))
    found = case_figures(truth, answer, spacing_mm=None)
    assert (found["hd95_mm"], found["volume_truth_ml"], found["volume_error_ml"]) == (1.0, 8.0, 4.0)


def test_a_picture_has_areas_and_an_outline() -> None:
    truth, answer = box((8, 8, 1), (1, 6), (1, 6), (0, 1)), box((8, 8, 1), (1, 6), (1, 7), (0, 1))
    found = case_figures(truth, answer, spacing_mm=(0.5, 0.5, 30.0))
    assert found["volume_truth_ml"] == pytest.approx(25 * 0.25)  # mm2
    assert found["volume_error_ml"] == pytest.approx(5 * 0.25)
    assert len(border_points(truth[:, :, 0])) == 16  # a 5 x 5 square's outline, not its 25 pixels
    # the truth's right column (5 pixels): ends lie on the answer's outline, 3 are .5 away; the
    # answer's right column: 5 pixels .5 away. 16 + 18 outline pixels in all.
    assert found["assd_mm"] == pytest.approx(8 * 0.5 / 34)
    assert case_figures(truth, answer, spacing_mm=(0.5, 0.5, 30.0), tolerance_mm=0.4)["nsd"] == pytest.approx(26 / 34)


def test_the_edge_of_the_image_is_a_surface() -> None:
    whole, cut = box((4, 4, 4), (0, 4), (0, 4), (0, 4)), box((4, 4, 4), (0, 4), (0, 4), (0, 3))
    found = case_figures(whole, cut, spacing_mm=(1, 1, 1))
    # 56 and 44 border voxels; 16 of the first and 4 of the second lie 1 mm from the other surface
    assert found["assd_mm"] == pytest.approx(20 / 100)
    assert found["hd95_mm"] == 1.0
    assert math.isfinite(found["specificity"]) is False  # nothing is outside the truth


@pytest.mark.parametrize("axis", range(3))
def test_one_voxel_each_one_step_apart(axis: int) -> None:
    spacing = (0.7, 1.0, 20.0)
    truth, answer = empty(5, 5, 5), empty(5, 5, 5)
    truth[2, 2, 2] = True
    answer[tuple(3 if a == axis else 2 for a in range(3))] = True
    found = case_figures(truth, answer, spacing_mm=spacing, tolerance_mm=spacing[axis])
    assert (found["hd95_mm"], found["assd_mm"]) == pytest.approx((spacing[axis], spacing[axis]))
    assert (found["dice"], found["nsd"], found["false_positives"]) == (0.0, 1.0, 1.0)
    assert found["volume_truth_ml"] == pytest.approx(0.014)


def test_three_four_five() -> None:
    truth, answer = empty(8, 8, 8), empty(8, 8, 8)
    truth[0, 0, 0] = answer[3, 4, 0] = True
    assert case_figures(truth, answer, spacing_mm=(2, 2, 9))["hd95_mm"] == pytest.approx(10.0)


def test_anisotropy_of_one_to_twenty_takes_the_near_neighbour_in_mm() -> None:
    truth, answer = empty(50, 3, 3), empty(50, 3, 3)
    truth[0, 0, 0] = True
    answer[0, 0, 1] = answer[15, 0, 0] = True  # 20 mm away across slices, 15 mm within
    to_answer, to_truth = surface_distances(truth, answer, (1, 1, 20))
    assert to_answer.tolist() == [15.0]
    assert sorted(to_truth.tolist()) == [15.0, 20.0]


@pytest.mark.parametrize("axis", range(3))
def test_letter_f_moved_by_one_voxel_lies_one_spacing_away(axis: int) -> None:
    spacing = (0.5, 1.25, 3.0)
    moved = np.roll(letter_f(), 1, axis=axis)
    distances = surface_distances(letter_f(), moved, spacing)
    assert hausdorff(distances, 100) == pytest.approx(spacing[axis])


def test_no_flip_or_transpose_of_the_letter_f_passes_for_it() -> None:
    truth = np.pad(letter_f(), [(0, 3), (0, 0), (0, 5)])  # a cube: every transpose fits
    seen = 0
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0), (2, 0, 1)):
        for flips in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
            if order == (0, 1, 2) and not flips:
                continue
            answer = np.flip(truth.transpose(order), flips)
            found = case_figures(truth, np.ascontiguousarray(answer), spacing_mm=(1, 1, 1))
            assert found["dice"] < 1
            assert found["hd95_mm"] > 0
            seen += 1
    assert seen == 47


def test_both_empty() -> None:
    found = case_figures(empty(3, 4, 5), empty(3, 4, 5), spacing_mm=(1, 1, 1))
    for name in (*OVERLAPS, *DISTANCES, "nsd", "lesion_sensitivity"):
        assert math.isnan(found[name]), name
    assert (found["specificity"], found["volume_error_ml"], found["false_positives"]) == (1.0, 0.0, 0.0)
    assert (found["n_missed"], found["n_invented"]) == (0.0, 0.0)


def test_nothing_answered() -> None:
    found = case_figures(box((4, 4, 4), (0, 2), (0, 2), (0, 2)), empty(4, 4, 4), spacing_mm=(10, 10, 10))
    assert [found[n] for n in (*OVERLAPS, "nsd", "lesion_sensitivity")] == [0.0] * 6
    assert all(math.isnan(found[n]) for n in DISTANCES)
    assert (found["n_missed"], found["n_invented"], found["volume_error_ml"]) == (1.0, 0.0, -8.0)


def test_something_answered_where_nothing_is() -> None:
    found = case_figures(empty(4, 4, 4), box((4, 4, 4), (0, 2), (0, 2), (0, 2)), spacing_mm=(10, 10, 10))
    assert [found[n] for n in ("dice", "iou", "precision", "nsd")] == [0.0] * 4
    assert all(math.isnan(found[n]) for n in (*DISTANCES, "recall", "lesion_sensitivity"))
    assert (found["n_missed"], found["n_invented"], found["false_positives"]) == (0.0, 1.0, 1.0)
    assert found["specificity"] == pytest.approx(56 / 64)


def test_ignored_voxels_count_nowhere() -> None:
    truth, answer = box((4, 4, 4), (0, 2), (0, 2), (0, 2)), box((4, 4, 4), (0, 2), (0, 2), (0, 3))
    ignored = box((4, 4, 4), (0, 4), (0, 4), (2, 3))
    found = case_figures(truth, answer, spacing_mm=(1, 1, 1), ignored=ignored)
    assert (found["dice"], found["hd95_mm"], found["volume_answer_ml"]) == (1.0, 0.0, 0.008)
    answer[3, 3, 3] = True
    assert case_figures(truth, answer, spacing_mm=(1, 1, 1), ignored=ignored)["specificity"] == pytest.approx(39 / 40)


def test_brier_score_of_the_probabilities() -> None:
    truth = box((2, 2, 1), (0, 1), (0, 1), (0, 1))
    chances = np.array([[[0.5], [0.1]], [[0.0], [1.0]]], dtype=np.float32)
    assert case_figures(truth, truth, spacing_mm=None, chances=chances)["brier"] == pytest.approx(1.26 / 4)
    wrong = box((2, 2, 1), (1, 2), (1, 2), (0, 1))
    found = case_figures(truth, truth, spacing_mm=None, chances=chances, ignored=wrong)
    assert found["brier"] == pytest.approx(0.26 / 3)


def test_the_order_of_memory_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    truth, answer = rng.random((2, 9, 8, 7)) > 0.7
    plain = case_figures(truth, answer, spacing_mm=(1, 2, 3))
    turned = case_figures(np.asfortranarray(truth), np.asfortranarray(answer), spacing_mm=(1, 2, 3))
    assert turned == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize(
    ("truth", "answer", "spacing", "match"),
    [
        (empty(3, 3, 3), empty(3, 3, 4), (1, 1, 1), "one grid"),
        (empty(3, 3), empty(3, 3), (1, 1, 1), "one grid"),
        (np.zeros((3, 3, 3), int), empty(3, 3, 3), (1, 1, 1), "true or false"),
        (empty(3, 3, 3), empty(3, 3, 3), (1, 1), "three numbers"),
        (empty(3, 3, 3), empty(3, 3, 3), (1, 1, 0), "above 0"),
    ],
)
def test_what_does_not_fit_is_refused(truth: np.ndarray, answer: np.ndarray, spacing: tuple, match: str) -> None:
    with pytest.raises(InputError, match=match):
        case_figures(truth, answer, spacing_mm=spacing)


SHAPES = st.tuples(*[st.integers(2, 9)] * 3)
SPACINGS = st.tuples(*[st.sampled_from([0.4, 1.0, 2.5, 20.0])] * 3)
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[hnp.arrays(bool, shape)] * 2))
SYMMETRIC = ("dice", "iou", "hd95_mm", "assd_mm", "nsd")
CALM = settings(max_examples=40, deadline=None)


@CALM
@given(PAIRS, SPACINGS)
def test_truth_and_answer_may_be_swapped(pair: tuple, spacing: tuple) -> None:
    there, back = (case_figures(a, b, spacing_mm=spacing) for a, b in (pair, pair[::-1]))
    for name in SYMMETRIC:
        assert there[name] == pytest.approx(back[name], abs=1e-9, nan_ok=True)
    assert there["volume_error_ml"] == -back["volume_error_ml"]
    if pair[0].any() and pair[1].any():
        assert there["precision"] == back["recall"]


@CALM
@given(PAIRS, SPACINGS, st.permutations(range(3)), st.sets(st.integers(0, 2)))
def test_axes_may_be_permuted_and_flipped(pair: tuple, spacing: tuple, order: list, flips: set) -> None:
    plain = case_figures(*pair, spacing_mm=spacing)
    turned = [np.flip(mask.transpose(order), tuple(flips)) for mask in pair]
    found = case_figures(*turned, spacing_mm=tuple(spacing[a] for a in order))
    assert found == pytest.approx(plain, abs=1e-9, nan_ok=True)


@CALM
@given(PAIRS, SPACINGS)
def test_every_distance_is_the_nearest_of_all_pairs(pair: tuple, spacing: tuple) -> None:
    if not (pair[0].any() and pair[1].any()):
        return
    a, b = (border_points(mask) * np.array(spacing) for mask in pair)
    table = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2))
    to_answer, to_truth = surface_distances(*pair, spacing)
    assert np.sort(to_answer) == pytest.approx(np.sort(table.min(axis=1)), abs=1e-9)
    assert np.sort(to_truth) == pytest.approx(np.sort(table.min(axis=0)), abs=1e-9)


@CALM
@given(hnp.arrays(bool, st.tuples(*[st.integers(1, 18)] * 3)))
def test_border_voxels_have_a_face_outside(mask: np.ndarray) -> None:
    padded = np.pad(mask, 1)
    expected = [
        p
        for p in np.argwhere(mask)
        if not all(padded[tuple(p + 1 + step * np.eye(3, dtype=int)[a])] for a in range(3) for step in (-1, 1))
    ]
    assert border_points(mask).tolist() == [p.tolist() for p in expected]


@CALM
@given(PAIRS, SPACINGS, st.lists(st.floats(0, 30), min_size=2, max_size=4))
def test_nsd_rises_with_the_tolerance(pair: tuple, spacing: tuple, tolerances: list) -> None:
    found = [case_figures(*pair, spacing_mm=spacing, tolerance_mm=t)["nsd"] for t in sorted(tolerances)]
    assert found == sorted(found) or all(map(math.isnan, found))


@CALM
@given(PAIRS, SPACINGS)
def test_a_mask_agrees_with_itself(pair: tuple, spacing: tuple) -> None:
    mask = pair[0]
    found = case_figures(mask, mask.copy(), spacing_mm=spacing, tolerance_mm=0)
    if mask.any():
        assert [found[n] for n in (*OVERLAPS, "nsd", "lesion_sensitivity")] == [1.0] * 6
        assert [found[n] for n in (*DISTANCES, "volume_error_ml", "false_positives")] == [0.0] * 4
