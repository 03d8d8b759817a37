"""Real segmentation cohorts: counts against the kit's own page and csv files."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from scanwright.core import Cohort, CohortError
from scanwright.intake import check, scan
from scanwright.plan import split


def parts(cohort: Cohort) -> dict[str | None, int]:
    return dict(Counter(c.part for c in cohort.cases))


def test_hippocampus_has_its_structures_and_its_given_parts(kit: Path) -> None:
    cohort = scan(kit / "hippocampus")
    assert (cohort.task, cohort.layout, cohort.dimension, cohort.modality) == ("segment", "nnunet", 3, "MR")
    assert cohort.classes == ("Anterior", "Posterior")
    assert parts(cohort) == {"train": 146, "val": 24, "test": 38}
    with (kit / "hippocampus" / "split.csv").open() as file:
        assert {c.id: c.part for c in cohort.cases} == {row["id"]: row["part"] for row in csv.DictReader(file)}
    first = cohort.cases[0]
    assert (first.source, first.masks) == (f"imagesTr/{first.id}.nii.gz", (f"labelsTr/{first.id}.nii.gz",))


def test_chase_takes_the_first_observer_and_both_eyes_of_a_child(kit: Path) -> None:
    cohort = scan(kit / "chasedb1")
    assert len(cohort) == 28
    assert len({c.patient for c in cohort.cases}) == 14
    assert all(c.masks == (f"{c.id}_1stHO.png",) for c in cohort.cases)
    assert any(g.what == "observer" and "2ndho" in g.why for g in cohort.guesses)
    done, _ = split(cohort)
    assert all(len({c.part for c in done.cases if c.patient == p}) == 1 for p in {c.patient for c in cohort.cases})


@pytest.mark.parametrize(("part", "n"), [("part1", 260), ("part2", 266)])
def test_sunnybrook_masks_are_learnt_and_the_table_names_the_patients(kit: Path, part: str, n: int) -> None:
    cohort = scan(kit / "sunnybrook_lv" / part)
    assert (cohort.task, len(cohort), len({c.patient for c in cohort.cases})) == ("segment", n, 15)
    case = next(c for c in cohort.cases if c.id.startswith("SC-HF-I-0"))
    assert case.patient == case.id.split("-IM-")[0]
    assert case.covariates["group"] == "HF-I"
    assert cohort.mask_code is not None
    assert cohort.mask_code.values == ((255,),)
    assert any(g.what == "classes" and "group" in g.value for g in cohort.guesses)


def test_sunnybrook_folders_of_parts_are_no_classes(kit: Path) -> None:
    cohort = scan(kit / "sunnybrook_lv")
    assert (cohort.task, len(cohort), len({c.patient for c in cohort.cases})) == ("segment", 526, 30)


def test_isbi_sections_stay_in_blocks_and_the_blind_test_is_left_out(kit: Path) -> None:
    cohort = scan(kit / "isbi2012_em")
    assert len(cohort) == 30
    assert parts(cohort) == {None: 30}
    order = sorted(cohort.cases, key=lambda c: int(c.id))
    assert [c.patient for c in order] == [f"block {k // 5 + 1}" for k in range(30)]
    assert sum(s.source.startswith("test/") for s in cohort.skipped) == 30
    assert any(g.what == "images left out" and "test part" in g.value for g in cohort.guesses)


def test_busi_learns_classes_unless_masks_are_asked_for(kit: Path) -> None:
    classes = scan(kit / "busi")
    assert classes.task == "multiclass"
    assert any(g.what == "masks" and "85 masks" in g.value and "--task segment" in g.why for g in classes.guesses)
    cohort = scan(kit / "busi", task="segment")
    assert parts(cohort) == {"train": 65, "val": 4, "test": 16}
    assert Counter(c.covariates["class"] for c in cohort.cases) == {"benign": 35, "malignant": 50}
    assert sum("no mask" in s.reason for s in cohort.skipped) == 780 - 85
    folders = scan(kit / "busi", task="segment", layout="mask-folders")
    assert {(c.source, c.masks) for c in folders.cases} == {(c.source, c.masks) for c in cohort.cases}


def test_dsb_values_are_objects_and_no_classes(kit: Path) -> None:
    cohort = scan(kit / "dsb2018")
    assert cohort.mask_code is not None
    assert (cohort.task, cohort.mask_code.kind, len(cohort.classes)) == ("segment", "instances", 1)
    assert parts(cohort) == {"train": 89, "val": 7, "test": 24}
    guess = next(g for g in cohort.guesses if g.what == "masks")
    assert guess.option == "--structures"
    assert scan(kit / "dsb2018", structures="instances=nucleus").classes == ("nucleus",)


def test_a_pet_series_with_its_segmentation_is_a_cohort_of_one(kit: Path) -> None:
    cohort = scan(kit / "dicom_pet_seg")
    assert (cohort.task, cohort.layout, len(cohort), cohort.modality) == ("segment", "dicom-masks", 1, "PT")
    assert "Neoplasm, Primary" in cohort.classes
    assert cohort.cases[0].masks == ("seg/tumor_User1_Manual_Trial1.dcm",)
    with pytest.raises(CohortError, match="1 labelled patients to divide. At least 3"):
        split(cohort)


def test_the_liver_segmentation_is_read_and_the_one_of_another_patient_left_out(kit: Path) -> None:
    cohort = scan(kit / "dicom_ct_liver_seg")
    assert (cohort.classes, len(cohort), cohort.cases[0].masks) == (("Liver",), 1, ("seg/liver.dcm",))
    assert any(s.source == "sr_example/seg.dcm" and "series that is not here" in s.reason for s in cohort.skipped)
    found = {f.kind: f for f in check(cohort)}
    assert "sr_example/seg.dcm" in found["mask-without-image"].text
    assert not {"mask-elsewhere", "damaged-mask", "mask-regridded"} & set(found)
