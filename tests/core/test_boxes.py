"""Boxes: edges, cuts, places in the world."""

from __future__ import annotations

import numpy as np
import pytest

from scanwright.core import Box, Case, Cohort, CohortError, GeometryError, Grid, corners_of, inside, world_extent


def test_a_box_is_cut_at_the_edges_of_its_image() -> None:
    box = Box(0, (-3.0, 2.5, -0.5), (4.5, 12.0, 0.5))
    cut = box.within((10, 8, 1))
    assert cut == Box(0, (-0.5, 2.5, -0.5), (4.5, 7.5, 0.5))
    whole = Box(1, (0.5, 0.5, -0.5), (2.5, 2.5, 0.5), score=0.5)
    assert whole.within((10, 8, 1)) is whole


def test_boxes_without_area_and_boxes_outside_hold_nothing() -> None:
    flat = Box(0, (3.0, 3.0, -0.5), (3.0, 3.0, 0.5))
    away = Box(0, (20.0, 3.0, -0.5), (25.0, 6.0, 0.5))
    good = Box(0, (1.0, 1.0, -0.5), (4.0, 3.0, 0.5))
    assert flat.is_empty
    assert inside((flat, away, good), (10, 8, 1)) == (good,)


def test_edges_that_make_no_box_are_refused() -> None:
    with pytest.raises(GeometryError, match="upper ones not below"):
        Box(0, (5.0, 0.0, -0.5), (4.0, 3.0, 0.5))
    with pytest.raises(GeometryError, match="finite"):
        Box(0, (float("nan"), 0.0, -0.5), (4.0, 3.0, 0.5))


def test_corners_keep_the_axes_asked_for() -> None:
    box = Box(0, (1, 2, 3), (4, 6, 9))
    assert corners_of([box]).tolist() == [[1, 2, 3, 4, 6, 9]]
    assert corners_of([box], 2).tolist() == [[1, 2, 4, 6]]
    assert corners_of([]).shape == (0, 6)


def test_the_place_in_the_world_is_that_of_the_eight_corners() -> None:
    affine = np.array([[0, -2.0, 0, 10], [0, 0, 3.0, 0], [-1.0, 0, 0, 5], [0, 0, 0, 1]])
    grid = Grid((20, 20, 20), affine)
    low, high = world_extent(Box(0, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)), grid)
    assert low == (0.0, 9.0, 1.0)  # x = 10 - 2 j, y = 3 k, z = 5 - i
    assert high == (6.0, 18.0, 4.0)


def test_a_cohort_counts_boxes_and_refuses_strange_ones(tmp_path: object) -> None:
    from pathlib import Path

    box = Box(1, (0.5, 0.5, -0.5), (2.5, 2.5, 0.5))
    cases = (Case("a", "a.png", boxes=(box, box)), Case("b", "b.png", boxes=()), Case("c", "c.png"))
    cohort = Cohort("x", Path(), "voc", "detect", ("red", "white"), cases)
    assert cohort.counts() == {"all": {"white": 2, "(nothing there)": 1, "(unlabelled)": 1}}
    with pytest.raises(CohortError, match="class number 1"):
        Cohort("x", Path(), "voc", "detect", ("red",), cases)
    with pytest.raises(CohortError, match="task detect"):
        Cohort("x", Path(), "voc", "binary", ("red", "white"), cases)
