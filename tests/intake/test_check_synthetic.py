"""Synthetic images are seen where patients are needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scanwright.core import Finding
from scanwright.intake import check, repair, scan
from scanwright.io import SyntheticMark, write_synthetic


def _of(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.kind == "synthetic-image"]


def _synthetic(path: Path, seed: int, kind: str = "png") -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (1, 96, 96, 1), dtype=np.uint8)
    return write_synthetic(path, pixels, kind=kind, mark=SyntheticMark("toy", "", seed, "sick"))


def test_a_cohort_of_real_images_is_silent(folders: Path) -> None:
    assert not _of(check(scan(folders)))


@pytest.mark.parametrize("kind", ["png", "dicom"])
def test_synthetic_images_among_real_ones_are_named(folders: Path, kind: str) -> None:
    for k in range(3):
        _synthetic(folders / "sick" / f"made{k}", k, kind)
    found = _of(check(scan(folders)))
    assert len(found) == 1
    assert found[0].severity == "warn"
    assert len(found[0].cases) == 3
    assert "some would be judged on" in found[0].text


def test_in_a_test_part_they_are_left_out_and_in_train_they_may_stay(tmp_path: Path, draw: Callable[..., Path]) -> None:
    for n, part in enumerate(("train", "val", "test")):
        for k in range(8):
            draw(tmp_path / part / ("a" if k < 4 else "b") / f"{part}{k}.png", 50 * n + k)
    _synthetic(tmp_path / "train" / "a" / "made", 1)
    alone = _of(check(scan(tmp_path)))
    assert [f.severity for f in alone] == ["info"]
    _synthetic(tmp_path / "test" / "b" / "made2", 2)
    cohort = scan(tmp_path)
    findings = check(cohort)
    (found,) = _of(findings)
    assert (found.severity, found.drop) == ("warn", ("made2",))
    mended, _ = repair(cohort, [found])
    assert {c.id for c in cohort.cases} - {c.id for c in mended.cases} == {"made2"}


def test_a_cohort_of_nothing_but_synthetic_images_is_told_so(tmp_path: Path) -> None:
    for k in range(12):
        _synthetic(tmp_path / ("a" if k % 2 else "b") / f"made{k}", k)
    (found,) = _of(check(scan(tmp_path)))
    assert "All 12 images say that they are synthetic" in found.text
    assert not found.drop
