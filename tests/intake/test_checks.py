"""Planted faults, each of which must be found, and clean cohorts, which must stay silent."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanwright.core import CohortError, Finding, InputError, Progress
from scanwright.intake import check, groups_of_duplicates, repair, scan
from scanwright.intake.checks.survey import digest, shrink
from scanwright.intake.checks.truth import auroc_width


def _kinds(findings: list[Finding]) -> set[str]:
    return {f.kind for f in findings}


def _of(findings: list[Finding], kind: str) -> Finding:
    return next(f for f in findings if f.kind == kind)


def test_a_clean_cohort_has_no_leak_and_no_repair(folders: Path) -> None:
    findings = check(scan(folders))
    assert not any(f.drop for f in findings)
    assert all(f.text.endswith((".", "patient.")) for f in findings)


def test_a_re_encoded_copy_is_a_near_duplicate(folders: Path) -> None:
    Image.open(folders / "sick" / "s3.png").save(folders / "sick" / "copy.jpg", quality=80)
    groups = groups_of_duplicates(check(scan(folders)))
    assert groups == [("copy", "s3")]


def test_a_smaller_and_darker_copy_is_a_near_duplicate(folders: Path) -> None:
    picture = Image.open(folders / "sick" / "s4.png").resize((72, 72), Image.Resampling.BICUBIC)
    Image.fromarray((np.asarray(picture) * 0.8).astype(np.uint8)).save(folders / "sick" / "copy.png")
    assert ("copy", "s4") in groups_of_duplicates(check(scan(folders)))


def test_the_same_pixels_in_another_file_format_are_exact(folders: Path) -> None:
    Image.open(folders / "healthy" / "h1.png").convert("RGB").save(folders / "healthy" / "again.bmp")
    finding = _of(check(scan(folders)), "exact-duplicate")
    assert set(finding.cases) == {"h1", "again"}
    assert len(finding.drop) == 1


def test_one_image_in_two_parts_stops_and_the_test_copy_is_kept(tmp_path: Path, draw: Callable[..., Path]) -> None:
    for n, part in enumerate(("train", "test")):
        for k in range(8):
            draw(tmp_path / part / ("a" if k < 4 else "b") / f"{part}{k}.png", 50 * n + k)
    shutil.copy(tmp_path / "test" / "a" / "test1.png", tmp_path / "train" / "a" / "leak.png")
    cohort = scan(tmp_path)
    findings = check(cohort)
    finding = _of(findings, "duplicate-across-parts")
    assert finding.severity == "stop"
    assert finding.drop == ("leak",)
    mended, said = repair(cohort, findings, kinds=["duplicate-across-parts"])
    assert {c.id for c in cohort.cases} - {c.id for c in mended.cases} == {"leak"}
    assert "'leak'" in said[0]


def test_damaged_and_blank_images_are_named(folders: Path) -> None:
    whole = (folders / "sick" / "s5.png").read_bytes()
    (folders / "sick" / "s5.png").write_bytes(whole[: len(whole) // 2])
    Image.new("L", (96, 96), 7).save(folders / "healthy" / "h5.png")
    findings = check(scan(folders))
    assert _of(findings, "damaged-file").drop == ("s5",)
    assert _of(findings, "blank-image").drop == ("h5",)


def test_a_patient_on_two_sides_stops(tmp_path: Path, draw: Callable[..., Path]) -> None:
    lines = ["file,label,patient,part"]
    for k in range(12):
        draw(tmp_path / f"i{k}.png", k)
        lines.append(f"i{k}.png,{k % 2},p{k // 2},{'train' if k < 6 else 'val' if k < 9 else 'test'}")
    lines[12] = "i11.png,1,p0,test"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    finding = _of(check(scan(tmp_path)), "patient-across-parts")
    assert finding.severity == "stop"
    groups = {frozenset(g) for g in finding.groups}
    assert groups == {frozenset({"i0", "i1", "i11"}), frozenset({"i8", "i9"})}
    assert set(finding.drop) == {"i0", "i1", "i8"}, "the test images stay"


def test_missing_labels_imbalance_and_colour_are_said(tmp_path: Path, draw: Callable[..., Path]) -> None:
    lines = ["file,label"]
    for k in range(30):
        draw(tmp_path / f"i{k}.png", k)
        lines.append(f"i{k}.png,{'' if k < 3 else 'rare' if k < 5 else 'common'}")
    pixels = np.stack([np.asarray(Image.open(tmp_path / "i7.png"))] * 3, axis=-1).copy()
    pixels[:20, :20] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "i7.png")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    findings = check(scan(tmp_path))
    assert {"missing-label", "class-imbalance", "mixed-colour", "too-few-cases", "small-test", "no-patient"} <= _kinds(
        findings
    )
    assert _of(findings, "missing-label").cases == ("i0", "i1", "i2")
    assert _of(findings, "mixed-colour").cases == ("i7",)


def test_findings_are_sorted_worst_first_and_progress_is_told(folders: Path) -> None:
    events: list[object] = []
    findings = check(scan(folders), emit=events.append)
    ranks = [("stop", "warn", "info").index(f.severity) for f in findings]
    assert ranks == sorted(ranks)
    last = [e for e in events if isinstance(e, Progress)][-1]
    assert last.done == last.total == 24


def test_the_hash_is_of_shape_and_values() -> None:
    picture = np.arange(24, dtype=np.uint8).reshape(1, 4, 6, 1)
    assert digest(picture) == digest(picture.astype(np.int16)) == digest(picture.astype(np.float32))
    assert digest(picture) == digest(np.repeat(picture, 3, axis=0)), "equal channels are grey"
    assert digest(picture) != digest(picture.reshape(1, 6, 4, 1))
    assert digest(picture) != digest(picture + 0.5)


def test_shrink_is_the_mean_of_areas() -> None:
    block = np.arange(64, dtype=np.float32).reshape(1, 8, 8)
    by_hand = block.reshape(1, 4, 2, 4, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(shrink(block, (4, 4)), by_hand, rtol=1e-6)
    assert shrink(block, (3, 5)).mean() == pytest.approx(block.mean(), rel=0.02)


def test_the_width_of_an_auroc_interval_is_that_of_hanley_and_mcneil() -> None:
    # their table: area .85, 50 + 50 images: standard error .0383 (by equation 2)
    assert auroc_width(50, 50) / (2 * 1.96) == pytest.approx(0.0383, abs=2e-3)


def test_repair_refuses_to_leave_one_class(folders: Path) -> None:
    cohort = scan(folders)
    everything = Finding(
        "damaged-file", "warn", "all", drop=tuple(c.id for c in cohort.cases if c.label == 1), repair="leave them out"
    )
    with pytest.raises(CohortError, match="12 of 24 cases with 1 class"):
        repair(cohort, [everything])
    with pytest.raises(InputError, match="Did you mean 'damaged-file'"):
        repair(cohort, [everything], kinds=["damage-file"])
