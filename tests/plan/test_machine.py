"""What the machine can do, beside psutil and made-up containers."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from scanwright.plan import machine
from scanwright.plan import machine as _function
from scanwright.plan.machine import cores, memory_mb

machine_room = __import__("scanwright.plan.machine", fromlist=["cores"])


def test_this_machine_beside_psutil() -> None:
    here = _function()
    assert 1 <= here.cores <= psutil.cpu_count()
    assert 0 < here.memory_mb <= psutil.virtual_memory().total / 2**20
    assert here.devices[0].kind == "cpu"
    assert {"system", "processor", "memory", "disk", "torch"} <= set(here.describe())
    assert machine is _function


def test_a_containers_limits_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    (tmp_path / "memory.max").write_text(str(600 * 2**20))
    (tmp_path / "memory.current").write_text(str(300 * 2**20))
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {100 * 2**20}\n")
    monkeypatch.setattr(machine_room, "_CGROUP", tmp_path)
    assert cores() == 1
    assert memory_mb() == pytest.approx(400, abs=1)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(machine_room, "_CGROUP", tmp_path / "nothing")
    assert memory_mb() > 400


def test_without_torch_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_room, "find_spec", lambda name: None)
    here = _function()
    assert here.torch is None
    assert [d.kind for d in here.devices] == ["cpu"]
    assert "pip install" in here.note
    assert here.describe()["torch"] == "not installed"
