"""Touching objects come apart, and nothing grows across background."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scanwright.core import ModelFileError
from scanwright.inference.segment.instances import InstanceRule, objects


def discs(shape: tuple[int, int], *places: tuple[float, float, float]) -> tuple[Any, Any]:
    """Probabilities of inside and of foreground for discs with a border of two pixels."""
    i, j = np.mgrid[: shape[0], : shape[1]]
    away = np.min([np.hypot(i - a, j - b) - r for a, b, r in places], axis=0)
    return (away < -2).astype(np.float32)[..., None], (away < 0).astype(np.float32)[..., None]


def test_two_touching_discs_are_two_objects_split_in_the_middle() -> None:
    inside, front = discs((40, 60), (20, 18, 11), (20, 40, 11))
    found = objects(inside, front)
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, front > 0)
    middle = np.argwhere(found == 1)[:, 1].max()
    assert middle in (28, 29)
    assert abs(int((found == 1).sum()) - int((found == 2).sum())) <= 25


def test_the_nearest_seed_of_another_component_is_not_taken() -> None:
    front = np.zeros((5, 40, 1), np.float32)
    inside = np.zeros_like(front)
    front[1, 0:30] = inside[1, 0:2] = 1  # a long bar whose start is far at its left end
    front[3, 20:40] = inside[3, 20:40] = 1  # another object, two pixels below the bar's right end
    found = objects(inside, front, InstanceRule(smallest=1))
    np.testing.assert_array_equal(found[1, :30, 0], 1)
    np.testing.assert_array_equal(found[3, 20:, 0], 2)


def test_small_objects_are_dropped_and_those_without_an_inside_kept() -> None:
    front = np.zeros((20, 20, 1), np.float32)
    inside = np.zeros_like(front)
    front[0:2, 0:2] = inside[0, 0] = 1
    front[10:14, 10:14] = 1
    found = objects(inside, front, InstanceRule(smallest=5))
    assert found.max() == 1
    assert np.count_nonzero(found) == 16


def test_balls_in_a_volume() -> None:
    i, j, k = np.mgrid[:20, :30, :16]
    away = np.minimum(
        np.sqrt((i - 10) ** 2 + (j - 9) ** 2 + (k - 8) ** 2), np.sqrt((i - 10) ** 2 + (j - 20) ** 2 + (k - 8) ** 2)
    )
    found = objects((away < 4).astype(np.float32), (away < 6.5).astype(np.float32), spacing=(1.0, 1.0, 2.0))
    assert found.max() == 2
    assert found[10, 9, 8] == 1
    assert found[10, 20, 8] == 2


def test_nothing_is_nothing() -> None:
    assert not objects(np.zeros((8, 8, 1)), np.zeros((8, 8, 1))).any()


def test_a_rule_is_written_and_read() -> None:
    rule = InstanceRule(0.6, 0.4, 7)
    assert InstanceRule.from_dict(rule.to_dict()) == rule
    with pytest.raises(ModelFileError, match="rule of objects"):
        InstanceRule.from_dict({"seeds": 1})
