"""Measured steps: done once, rounded, remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scanwright.core import Candidate
from scanwright.plan import Job, Machine
from scanwright.plan import speed as room
from scanwright.plan.speed import cost, measured_speed, on_grid, remembered

torch = pytest.importorskip("torch")
CNN = Candidate(name="cnn", model="cnn", arguments={"width": 4, "stages": 3}, batch_size=4)
JOB = Job((1, 16, 16), 1)


class Clock:
    """A speed that is another one every time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, candidate: Any, job: Job) -> float:
        self.asked += 1
        return 0.1 * self.asked


def test_the_second_plan_on_a_machine_counts_with_the_same_seconds(
    tmp_path: Path, laptop: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "load", lambda: 0.0)
    clock = Clock()
    first = remembered(clock, laptop, tmp_path)(CNN, JOB)
    assert remembered(clock, laptop, tmp_path)(CNN, JOB) == first
    assert clock.asked == 1
    assert remembered(clock, laptop, tmp_path)(CNN.model_copy(update={"batch_size": 8}), JOB) != first
    assert remembered(clock, laptop, tmp_path)(CNN, Job((1, 20, 16), 1)) != first
    assert list(tmp_path.glob("*.tmp")) == []


def test_what_was_measured_on_a_busy_machine_is_not_remembered(
    tmp_path: Path, laptop: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "load", lambda: 50.0)
    clock = Clock()
    remembered(clock, laptop, tmp_path)(CNN, JOB)
    remembered(clock, laptop, tmp_path)(CNN, JOB)
    assert clock.asked == 2


def test_a_damaged_cache_is_passed_over(tmp_path: Path, laptop: Machine) -> None:
    (tmp_path / "speed.json").write_text("{ not json")
    assert remembered(Clock(), laptop, tmp_path)(CNN, JOB) >= 0.1
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert remembered(Clock(), laptop, blocked)(CNN, JOB) >= 0.1


def test_the_grid_is_five_percent_wide_and_never_rounds_down() -> None:
    for seconds in (1e-4, 0.0123, 0.5, 7.0):
        assert seconds * 0.99999 <= on_grid(seconds) <= seconds * 1.0501


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 8, 8, 8)])
def test_a_real_step_takes_time_and_leaves_random_numbers_alone(
    shape: tuple[int, ...], precision: str, channels_last: bool
) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    seconds = measured_speed(0.05)(CNN, Job(shape, 2, precision, channels_last))
    assert seconds > 0
    assert torch.equal(torch.rand(3), expected)


def test_parameters_are_those_of_the_network_built() -> None:
    from scanwright.models import build, count_parameters

    found = cost(CNN, (1, 16, 16), 3)
    assert found.parameters == count_parameters(
        build("cnn", dimension=2, in_channels=1, n_outputs=3, width=4, stages=3)
    )
    assert found.activations > 16 * 16 * 4
