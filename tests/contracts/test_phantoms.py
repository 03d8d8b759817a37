"""What every kind of phantom must do."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pydicom
import pytest

from scanwright.core.events import Finished, Progress, Started
from scanwright.phantom import KINDS, write_phantom

CLASSES = {"heart-clip": {"early", "late"}, "chest-followup": {"growing", "shrinking"}}
"""Kinds in which the order of frames is the only signal."""


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
    assert {r["label"] for r in rows} == CLASSES.get(kind, {"normal", "nodule"})
    if kind in CLASSES:
        assert len({r["patient_id"] for r in rows}) == 4
        truth = out / "truth" / ("hearts.csv" if kind == "heart-clip" else "lesions.csv")
        with truth.open(newline="") as file:
            assert {r["path"] for r in csv.DictReader(file)} == {r["path"] for r in rows}
    else:
        with (out / "truth" / "lesions.csv").open(newline="") as file:
            lesions = [r for r in csv.DictReader(file) if r["what"] == "nodule"]
        assert {r["path"] for r in lesions} == {r["path"] for r in rows if r["label"] == "nodule"}
    for row in rows:
        place = out / row["path"]
        files = sorted(place.glob("*.dcm")) if place.is_dir() else [place]
        assert files
        assert all(pydicom.dcmread(f).pixel_array.shape[-2:] == (48, 48) for f in files[:2])
    assert "No person was imaged" in (out / "README.txt").read_text(encoding="utf-8")
    assert json.loads((out / "phantom.json").read_text(encoding="utf-8"))["complete"] is True


@pytest.mark.parametrize("kind", list(KINDS))
def test_kind_describes_itself(kind: str) -> None:
    entry = KINDS[kind]
    assert entry.title
    assert entry.patients >= 4
    assert entry.size >= 32


def test_the_pictures_of_early_and_late_hearts_are_the_same_run_backwards() -> None:
    from dataclasses import replace

    from scanwright.phantom.heart import emptiness, heart, render_heart

    early = heart(11, late=False)
    late = replace(early, late=True)
    assert heart(11, late=True) == late
    forwards, backwards = (render_heart(h, size=48).array for h in (early, late))
    assert (forwards == backwards[..., ::-1]).all()
    assert emptiness(early).argmax() < early.frames / 2 < emptiness(late).argmax()


def test_the_sizes_of_growing_and_shrinking_nodules_are_drawn_alike() -> None:
    from scanwright.phantom.roster import followed

    exams = followed("chest-followup", 60, 4)
    visits: dict[str, list[float]] = {}
    for exam in exams:
        visits.setdefault(f"{exam.label} {exam.patient_id}", []).append(exam.patient.nodules[0].diameter_mm)
    for name, sizes in visits.items():
        assert 3 <= len(sizes) <= 5
        assert sizes == sorted(sizes, reverse=name.startswith("shrinking"))
    means = [sum(sum(s) / len(s) for n, s in visits.items() if n.startswith(k)) / 30 for k in ("growing", "shrinking")]
    assert abs(means[0] - means[1]) < 3
    days = [e.order.date for e in exams if e.patient_id == exams[0].patient_id]
    assert days == sorted(set(days))
