"""Overlaps, matches and average precision against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scanwright.evaluation.boxes import (
    Found,
    average_precision,
    best_threshold,
    evaluate_boxes,
    iou,
    match,
    mean_precision,
    sure_and_alone,
)


def found(*rows: tuple[float, ...]) -> Found:
    """Rows of i0, j0, i1, j1, class, score."""
    table = np.array(rows, dtype=float).reshape(-1, 6)
    return Found(table[:, :4], table[:, 4].astype(np.intp), table[:, 5])


def test_overlap_in_two_and_three_axes() -> None:
    square = np.array([[0.0, 0, 4, 4]])
    others = np.array([[2.0, 2, 6, 6], [0, 0, 4, 2], [4, 0, 8, 4], [1, 1, 1, 1]])
    np.testing.assert_allclose(iou(square, others), [[4 / 28, 8 / 16, 0, 0]])
    cube = np.array([[0.0, 0, 0, 2, 2, 2]])
    np.testing.assert_allclose(iou(cube, np.array([[0.0, 0, 1, 2, 2, 3]])), [[4 / 12]])


def test_each_truth_is_found_once_by_the_surest() -> None:
    truth = found((0, 0, 10, 10, 0, 1), (20, 20, 30, 30, 0, 1))
    answer = found((0, 0, 10, 9, 0, 0.6), (0, 0, 10, 10, 0, 0.9), (21, 20, 31, 30, 0, 0.3), (50, 50, 60, 60, 0, 0.8))
    assert match(truth, answer, 0.5).tolist() == [-1, 0, 1, -1]
    assert match(truth, answer, 0.85).tolist() == [-1, 0, -1, -1]
    assert match(found(), answer, 0.5).tolist() == [-1] * 4


def test_average_precision_worked_out_by_hand() -> None:
    """Five answers right, wrong, right, wrong, right; four true boxes, one never found.

    Recall 1/4, 1/4, 2/4, 2/4, 3/4; precision 1, 1/2, 2/3, 1/2, 3/5; envelope 1, 2/3, 2/3, 3/5, 3/5.
    AP = 1/4 * 1 + 1/4 * 2/3 + 1/4 * 3/5 = 17/30.
    """
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    hits = np.array([True, False, True, False, True])
    case, n_truth = np.array([0, 0, 1, 1, 1]), np.array([2.0, 2.0])
    assert average_precision(scores, hits, case, n_truth)[0] == pytest.approx(17 / 30)
    both = average_precision(scores, hits, case, n_truth, np.array([[1.0, 1], [2, 0], [0, 2]]))
    # the first case twice: right, wrong of 2 true boxes: 1/2; the second twice: right, wrong, right of 2: 1/2 + 1/2 * 2/3
    np.testing.assert_allclose(both, [17 / 30, 1 / 2, 1 / 2 + 1 / 3])
    assert math.isnan(average_precision(scores, hits, case, np.zeros(2))[0])


def test_the_threshold_balances_found_and_false() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.2])
    hits = np.array([True, True, False, True])
    # F1 after each answer, of 3 true boxes: 1/2, 4/5, 2/3, 6/7
    assert best_threshold(scores, hits, 3) == pytest.approx(0.1)
    assert best_threshold(scores, np.array([True, True, False, False]), 2) == pytest.approx(0.75)
    assert best_threshold(scores, hits, 3, "sensitivity>=0.6") == pytest.approx(0.75)
    assert best_threshold(np.zeros(0), np.zeros(0, bool), 3) == 0.5


def test_an_evaluation_of_two_classes() -> None:
    truths = [found((0, 0, 10, 10, 0, 1), (20, 20, 30, 30, 1, 1)), found((0, 0, 8, 8, 0, 1)), found()]
    answers = [
        found((0, 0, 10, 10, 0, 0.9), (20, 20, 30, 30, 0, 0.8)),  # the second is of the wrong class
        found((0, 0, 8, 7, 0, 0.7)),
        found((5, 5, 9, 9, 1, 0.95)),
    ]
    found_of = evaluate_boxes(truths, answers, classes=("red", "white"), ids=["a", "b", "c"], n_bootstrap=50)
    assert found_of.per_class["red"]["ap50"].value == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert found_of.per_class["white"]["ap50"].value == 0
    assert found_of.metrics["ap50"].value == pytest.approx(5 / 12)
    assert found_of.metrics["sensitivity"].value == pytest.approx(2 / 3)
    assert found_of.metrics["precision"].value == pytest.approx(2 / 4)
    assert found_of.metrics["false_positives"].value == pytest.approx(2 / 3)
    assert found_of.confusion == ((2, 0, 0), (1, 0, 0), (0, 1, 0))
    assert [row["case"] for row in found_of.cases] == ["c", "a", "b"]
    assert set(found_of.curves["pr"]) == {"red", "white"}
    low, high = found_of.metrics["ap50"].low, found_of.metrics["ap50"].high
    assert low <= found_of.metrics["ap50"].value <= high
    np.testing.assert_allclose(mean_precision(truths, answers, 2, 0.5), [5 / 6, 0])


def test_cpm_reads_the_curve_at_luna_rates() -> None:
    """One case, two things: both found before the first false box, so every rate reads 1."""
    truths = [found((0, 0, 9, 9, 0, 1), (20, 20, 29, 29, 0, 1))]
    answers = [found((0, 0, 9, 9, 0, 0.9), (20, 20, 29, 29, 0, 0.8), (60, 60, 69, 69, 0, 0.7))]
    done = evaluate_boxes(truths, answers, classes=("nodule",), ids=["a"], n_bootstrap=0)
    assert done.metrics["cpm"].value == 1
    worse = [found((0, 0, 9, 9, 0, 0.9), (60, 60, 69, 69, 0, 0.8))]  # half is found, at every rate
    assert evaluate_boxes(truths, worse, classes=("nodule",), ids=["a"], n_bootstrap=0).metrics["cpm"].value == 0.5


def test_sure_boxes_where_nobody_marked_anything_are_told() -> None:
    truths = [found(*((20.0 * n, 0, 20.0 * n + 10, 10, 0, 1) for n in range(20)))]
    right = [(20.0 * n, 0, 20.0 * n + 10, 10, 0, 0.8) for n in range(20)]
    wrong = [(20.0 * n, 50, 20.0 * n + 10, 60, 0, 0.9) for n in range(5)]
    typical, marks = sure_and_alone(truths, [found(*right, *wrong)], 0.5)
    assert typical == pytest.approx(0.8)
    assert marks[0].tolist() == [False] * 20 + [True] * 5
    done = evaluate_boxes(truths, [found(*right, *wrong)], classes=("cell",), ids=["a"], n_bootstrap=0)
    assert any("things that nobody marked" in text for text in done.warnings)
    clean = evaluate_boxes(truths, [found(*right)], classes=("cell",), ids=["a"], n_bootstrap=0)
    assert not any("nobody marked" in text for text in clean.warnings)
    few = evaluate_boxes(truths, [found(*right, *wrong[:2])], classes=("cell",), ids=["a"], n_bootstrap=0)
    assert not any("nobody marked" in text for text in few.warnings), "two sure mistakes are ordinary"


def test_a_class_that_is_never_answered_has_a_curve_that_can_be_drawn() -> None:
    truths = [found((0, 0, 10, 10, 0, 1), (20, 20, 30, 30, 1, 1))]
    done = evaluate_boxes(truths, [found((0, 0, 10, 10, 0, 0.9))], classes=("red", "white"), ids=["a"], n_bootstrap=0)
    assert done.curves["pr"]["white"] == {"x": [0.0], "y": [0.0]}
