"""Sequences: frames on the last axis, even picks, the clock, maps back on their frames."""

from __future__ import annotations

import numpy as np
import pytest

from scanwright.core import Frames, Grid, InputError, Intensity, Preprocessing, Volume
from scanwright.preprocessing import prepare
from scanwright.preprocessing.frames import as_clip, clock, picked, spread_back
from scanwright.preprocessing.prepare import restore

DAYS = Frames(most=4, by="visit", unit="days", step=10.0)


def spec(frames: Frames, **more: object) -> Preprocessing:
    values = {"size": (8, 12), "intensity": Intensity(method="range", low=0, high=1, mean=(0.0,), std=(1.0,))}
    return Preprocessing(dimension=2, frames=frames, **{**values, **more})


def clip(n: int, **facts: object) -> Volume:
    array = np.zeros((1, 16, 24, n), np.float32) + np.arange(n, dtype=np.float32) / 100
    grid = Grid((16, 24, n), Grid.of_picture(16, 24).affine, spacing_known=False)
    return Volume(array, grid, **facts)  # type: ignore[arg-type]


def test_every_frame_is_prepared_and_the_clock_says_when() -> None:
    made = prepare(clip(3, moments=(0.0, 5.0, 40.0), moment_unit="days"), spec(DAYS))
    assert made.shape == (2, 8, 12, 4) == spec(DAYS).shape
    assert np.allclose(made[0, 0, 0], [0.0, 0.01, 0.02, 0.0], atol=1e-4)
    assert made[1, 3, 3].tolist() == [0.0, 0.5, 4.0, -1.0]


def test_long_cases_give_frames_evenly_from_the_first_to_the_last() -> None:
    made = prepare(clip(10), spec(Frames(most=4, by="time")))
    assert np.allclose(made[0, 0, 0] * 100, [0, 3, 6, 9], atol=1e-2)
    assert made[1, 0, 0].tolist() == [0, 3, 6, 9]


def test_moments_in_another_unit_do_not_count() -> None:
    assert clock(clip(3, moments=(0.0, 1.0, 9.0), moment_unit="s"), DAYS).tolist() == [0, 1, 2, -1]


def test_the_frames_of_a_time_series_come_to_the_last_axis() -> None:
    series = Volume(np.arange(5.0)[:, None, None, None] * np.ones((5, 6, 7, 1)), Grid.of_picture(6, 7), channel="time")
    found = as_clip(series)
    assert found.array.shape == (1, 6, 7, 5)
    assert found.array[0, 2, 3].tolist() == [0, 1, 2, 3, 4]


def test_a_stack_has_its_depths_for_moments() -> None:
    stack = Volume(np.zeros((1, 4, 4, 3), np.float32), Grid((4, 4, 3), np.diag([1.0, 1.0, 2.5, 1.0])))
    found = as_clip(stack)
    assert (found.moments, found.moment_unit) == ((0.0, 2.5, 5.0), "mm")


def test_stacks_are_turned_so_that_slices_lie_along_the_last_axis() -> None:
    values = np.zeros((1, 5, 16, 24), np.float32) + np.arange(5, dtype=np.float32)[:, None, None] / 10
    affine = np.array([[0, 0, -1.0, 0], [0, -1.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])  # first axis goes up
    volume = Volume(values, Grid((5, 16, 24), affine))
    stacked = spec(Frames(most=5, by="slice", unit="mm", step=3.0), orientation="PLS")
    made = prepare(volume, stacked)
    assert np.allclose(made[0, 4, 6], [0.0, 0.1, 0.2, 0.3, 0.4], atol=1e-3)
    assert made[1, 0, 0].tolist() == [0, 1, 2, 3, 4]
    marked = np.zeros((8, 12, 5), np.float32)
    marked[..., 3] = 1.0
    back = restore(marked, volume.grid, stacked)
    assert back.shape == (5, 16, 24)
    assert back.mean(axis=(1, 2)).round(3).tolist() == [0, 0, 0, 1, 0]


def test_maps_go_back_to_their_own_frames() -> None:
    marked = np.zeros((8, 12, 4), np.float32)
    marked[:, :6, 2] = 1.0
    back = restore(marked, clip(10).grid, spec(Frames(most=4, by="time")))
    assert back.shape == (16, 24, 10)
    assert back[:, :10].max(axis=(0, 1)).round(2).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0]
    assert back[:, 14:].max() == 0


@pytest.mark.parametrize(("n", "most"), [(2, 8), (8, 8), (9, 8), (100, 7)])
def test_picks_rise_and_keep_both_ends(n: int, most: int) -> None:
    at = picked(n, most)
    assert len(at) == min(n, most)
    assert (np.diff(at) > 0).all()
    assert (at[0], at[-1]) == (0, n - 1)
    assert spread_back(np.arange(most, dtype=np.float32)[None], n).shape == (1, n)


def test_a_single_picture_and_volumes_in_time_are_refused() -> None:
    with pytest.raises(InputError, match="single picture"):
        prepare(Volume(np.zeros((1, 8, 8, 1)), Grid.of_picture(8, 8)), spec(DAYS))
    series = Volume(np.zeros((3, 8, 8, 4)), Grid((8, 8, 4)), channel="time")
    with pytest.raises(InputError, match="time series of 3 volumes"):
        prepare(series, spec(DAYS))


def test_colour_keeps_its_channels() -> None:
    array = np.zeros((3, 16, 24, 2), np.uint8)
    array[0], array[1, ..., 1] = 255, 255
    grid = Grid((16, 24, 2), Grid.of_picture(16, 24).affine, spacing_known=False)
    colour = spec(DAYS, channels=3, intensity=Intensity(method="range", low=0, high=255, mean=(0.0,), std=(1.0,)))
    made = prepare(Volume(array, grid, channel="rgb"), colour)
    assert made.shape == (4, 8, 12, 4)
    assert made[:, 0, 0].tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 1, -1, -1]]
