"""The known faults of the real cohorts are found without being told."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanwright.core import Finding
from scanwright.intake import check, groups_of_duplicates, repair, scan


def _of(findings: list[Finding], kind: str) -> Finding:
    return next(f for f in findings if f.kind == kind)


def test_pneumonia_shares_eight_pictures_between_train_and_val(kit: Path) -> None:
    cohort = scan(kit / "pneumoniamnist" / "pneumoniamnist.npz")
    findings = check(cohort)
    shared = _of(findings, "duplicate-across-parts")
    assert shared.severity == "stop"
    assert len(shared.groups) == 8
    assert findings[0] is shared, "worst first"

    arrays = np.load(kit / "pneumoniamnist" / "pneumoniamnist.npz")
    where = defaultdict(set)
    for part in ("train", "val", "test"):
        for i, picture in enumerate(arrays[f"{part}_images"]):
            where[hashlib.sha256(picture.tobytes()).digest()].add((part, i))
    truth = {frozenset(v) for v in where.values() if len({p for p, _ in v}) > 1}
    found = {frozenset((i.split("-")[0], int(i.split("-")[1])) for i in g) for g in shared.groups}
    assert found == truth

    repeats = _of(findings, "exact-duplicate")
    assert "18 in train" in repeats.text
    assert "3 in test" in repeats.text
    assert not any(i.startswith("test") for i in repeats.drop)

    mended, said = repair(cohort, findings)
    assert {c.id for c in mended.of("val")} == {c.id for c in cohort.of("val")}, "what is judged on stays whole"
    assert len(mended.of("test")) == 624
    assert len(said) == 2
    assert not [f for f in check(mended) if f.severity == "stop"]
    assert all(len(g) > 1 for g in groups_of_duplicates(findings))


def test_busi_contradiction_and_real_near_duplicates(kit: Path) -> None:
    cohort = scan(kit / "busi" / "images")
    findings = check(cohort)
    contradiction = _of(findings, "contradicting-labels")
    assert set(contradiction.cases) == set(contradiction.drop) == {"malignant (145)", "benign (433)"}
    near = _of(findings, "near-duplicate")
    assert near.severity in ("warn", "info")
    assert any({"benign (233)", "benign (299)"} <= set(g) for g in near.groups)
    # every pair that the search calls near does look alike, measured another way
    for group in near.groups[:10]:
        files = [kit / "busi" / "images" / i.split(" ")[0] / f"{i}.png" for i in group[:2]]
        first, second = (np.asarray(Image.open(f).convert("L"), float) for f in files)
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.8, "groups are chains of near pairs"
    mended, _ = repair(cohort, findings, kinds=["contradicting-labels"])
    assert len(mended) == 778


def test_busi_near_duplicates_lie_in_different_parts_of_its_table(kit: Path) -> None:
    finding = _of(check(scan(kit / "busi")), "near-duplicate-across-parts")
    assert finding.severity == "stop"
    assert any({"benign (3)", "benign (320)"} <= set(g) for g in finding.groups)


def test_mias_is_small_and_has_two_breasts_per_patient(kit: Path) -> None:
    findings = check(scan(kit / "mini_mias_256"))
    assert "too small for firm conclusions" in _of(findings, "small-test").text
    pairs = _of(findings, "several-images")
    assert len(pairs.groups) == 161
    assert all(len(g) == 2 and int(g[1][3:]) == int(g[0][3:]) + 1 for g in pairs.groups)
    assert not [f for f in findings if "duplicate" in f.kind], "no film is taken for another"


@pytest.mark.slow
def test_seventy_thousand_digits_hold_no_near_duplicate_by_chance(kit: Path) -> None:
    findings = check(scan(kit / "mnist"))
    assert not [f for f in findings if "duplicate" in f.kind]
