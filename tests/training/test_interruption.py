"""kill -9 at random moments, typed again: bitwise the weights of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

WORKER = Path(__file__).with_name("worker.py")


def command(work: Path, *more: str) -> list[str]:
    return [sys.executable, str(WORKER), str(work), *more]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command(work), check=True, env=environment())
    return work


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_weights(undisturbed: Path, tmp_path: Path) -> None:
    rng, kills, seen = random.Random(1), 0, set()
    for _ in range(12):
        process = subprocess.Popen(command(tmp_path), env=environment())
        while process.poll() is None and not list(tmp_path.glob("*.safetensors")):
            time.sleep(0.01)  # imports take long and unevenly: count from the first file
        time.sleep(rng.uniform(0.0, 4.0))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        seen |= {p.name for p in tmp_path.glob("*.ckpt")}
    subprocess.run(command(tmp_path), check=True, env=environment())
    assert kills >= 1
    for name in ("weights.safetensors", "baseline.safetensors"):
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.slow
def test_two_processes_agree_with_one_another_and_nearly_with_one(undisturbed: Path, tmp_path: Path) -> None:
    for k in (0, 1):
        subprocess.run(command(tmp_path / str(k), "2"), check=True, env=environment())
    first, second = (load_file(tmp_path / str(k) / "weights.safetensors") for k in (0, 1))
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
    assert (tmp_path / "0" / "trained.json").read_text(encoding="utf-8").count('"2 x CPU')
