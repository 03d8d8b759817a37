"""Arithmetic of the budget."""

from __future__ import annotations

import pytest

from scanwright.core import Candidate
from scanwright.plan.timetable import Sizes, divide, planned_s, reserve_s, rungs

SIZES = Sizes(n_train=5000, n_val=500, n_judged=1000, n_cases=6000, voxels=784, source_voxels=784)


def networks(*seconds: float) -> list[Candidate]:
    return [Candidate(name=f"n{i}", model="cnn", seconds_per_step=s, batch_size=128) for i, s in enumerate(seconds)]


@pytest.mark.parametrize("seconds", [60, 240, 600, 3600, 21_600])
@pytest.mark.parametrize("speeds", [(0.1,), (0.05, 0.1), (0.02, 0.1, 0.3), (0.02, 0.03, 0.05, 0.1, 0.2)])
@pytest.mark.parametrize("ensemble", [1, 2, 3])
def test_what_is_divided_is_never_more_than_there_is(seconds: float, speeds: tuple[float, ...], ensemble: int) -> None:
    divided = divide(networks(*speeds), seconds, SIZES, ensemble=ensemble)
    if not all(c.final_steps for c in divided):
        return
    assert planned_s(divided, SIZES, ensemble=ensemble) <= seconds
    for one in divided:
        assert len(one.race_steps) == len(rungs(len(speeds)))
        assert sum(one.race_steps) < one.final_steps


def test_most_of_the_time_is_used() -> None:
    assert planned_s(divide(networks(0.1, 0.12), 300, SIZES), SIZES) > 0.95 * 300


def test_a_slow_network_gets_no_steps_in_a_short_time() -> None:
    fast, slow = divide(networks(0.05, 30.0), 120, SIZES)
    assert fast.final_steps > 0
    assert slow.final_steps == 0


def test_a_small_cohort_is_not_shown_for_ever() -> None:
    small = Sizes(n_train=200, n_val=40, n_judged=80, n_cases=280, voxels=784, source_voxels=784)
    (one,) = divide(networks(0.01), 6 * 3600, small)
    assert one.final_steps * one.batch_size / 200 <= 400 + 400 * 128 / 200


def test_the_reserve_grows_with_the_cohort_and_leaves_half_of_a_short_budget() -> None:
    assert 15 <= reserve_s(300, SIZES) <= 60
    assert reserve_s(10, SIZES) <= 5
    many = Sizes(n_train=50_000, n_val=5000, n_judged=15_000, n_cases=70_000, voxels=784, source_voxels=784)
    assert reserve_s(600, many) > reserve_s(600, SIZES)
