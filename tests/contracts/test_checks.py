"""Every check of the table keeps the same promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanwright.core import Case, Cohort
from scanwright.intake import CHECKS, KINDS
from scanwright.intake.checks import survey

HOWTO = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "check.md"


def _cohort(root: Path, *, faulty: bool) -> Cohort:
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 255, (60, 64, 64), dtype=np.uint8)
    if faulty:
        pictures[1] = pictures[0]
        pictures[50] = pictures[0]
        pictures[2] = 9
        pictures[4] = np.clip(pictures[3].astype(int) + 1, 0, 255)
    np.save(root / "a.npy", pictures)
    parts = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    cases = [
        Case(f"c{k}", f"a.npy[{k}]", None if faulty and k == 5 else k % 2, f"p{k if not faulty else k % 45}", parts[k])  # type: ignore[arg-type]
        for k in range(60)
    ]
    if faulty:
        cases.append(Case("gone", "gone.png", 1, "p99", "train"))
    return Cohort("toy", root, "npy-folder", "binary", ("no", "yes"), tuple(cases), parts_given=True)


@pytest.mark.parametrize("name", CHECKS)
def test_findings_are_of_known_kinds_and_name_cases_of_the_cohort(name: str, tmp_path: Path) -> None:
    cohort = _cohort(tmp_path, faulty=True)
    ids = {c.id for c in cohort.cases}
    for finding in CHECKS[name](cohort, survey(cohort)):
        assert finding.kind in KINDS
        assert finding.text[0].isupper() or finding.text[0].isdigit()
        assert set(finding.cases) <= ids
        assert set(finding.drop) <= set(finding.cases)
        assert bool(finding.drop) <= bool(finding.repair)
        assert all(len(g) > 1 and set(g) <= ids for g in finding.groups)
        assert not any(c.patient in finding.text.split() for c in cohort.cases if c.patient), "no patient in a text"


@pytest.mark.parametrize("name", CHECKS)
def test_a_sound_cohort_is_not_stopped(name: str, tmp_path: Path) -> None:
    cohort = _cohort(tmp_path, faulty=False)
    assert not [f for f in CHECKS[name](cohort, survey(cohort)) if f.severity == "stop"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_stands_in_the_how_to(kind: str) -> None:
    assert f"`{kind}`" in HOWTO.read_text(encoding="utf-8")
