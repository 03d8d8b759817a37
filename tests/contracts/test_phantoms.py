"""What every kind of phantom must do."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pydicom
import pytest

from scanwright.core.events import Finished, Progress, Started
from scanwright.phantom import KINDS, write_phantom


@pytest.mark.parametrize("kind", list(KINDS))
def test_kind_writes_a_cohort_with_truth(kind: str, tmp_path: Path) -> None:
    events: list[object] = []
    out = write_phantom(kind, tmp_path / "out", patients=4, seed=2, faults=False, size=48, emit=events.append)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    steps = [e for e in events if isinstance(e, Progress)]
    assert steps[-1].done == steps[-1].total
    with (out / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["label"] for r in rows} == {"normal", "nodule"}
    with (out / "truth" / "lesions.csv").open(newline="") as file:
        lesions = [r for r in csv.DictReader(file) if r["what"] == "nodule"]
    assert {r["path"] for r in lesions} == {r["path"] for r in rows if r["label"] == "nodule"}
    for row in rows:
        place = out / row["path"]
        files = sorted(place.glob("*.dcm")) if place.is_dir() else [place]
        assert files
        assert all(pydicom.dcmread(f).pixel_array.shape == (48, 48) for f in files[:2])
    assert "No person was imaged" in (out / "README.txt").read_text(encoding="utf-8")
    assert json.loads((out / "phantom.json").read_text(encoding="utf-8"))["complete"] is True


@pytest.mark.parametrize("kind", list(KINDS))
def test_kind_describes_itself(kind: str) -> None:
    entry = KINDS[kind]
    assert entry.title
    assert entry.patients >= 4
    assert entry.size >= 32
