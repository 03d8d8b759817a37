"""The real cohorts: counts and labels against the kit's own page and csv files."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from scanwright.intake import scan


def test_pneumonia_npz_has_the_official_counts_and_names(kit: Path) -> None:
    cohort = scan(kit / "pneumoniamnist" / "pneumoniamnist.npz")
    assert cohort.counts() == {
        "train": {"pneumonia": 3494, "normal": 1214},
        "val": {"pneumonia": 389, "normal": 135},
        "test": {"pneumonia": 390, "normal": 234},
    }
    assert (cohort.task, cohort.classes, cohort.dimension, cohort.parts_given) == (
        "binary",
        ("normal", "pneumonia"),
        2,
        True,
    )
    assert cohort.modality == "DX"
    assert "not certain" not in next(g.why for g in cohort.guesses if g.what == "layout")


def test_adrenal_folder_of_two_npz_takes_one_and_says_so(kit: Path) -> None:
    cohort = scan(kit / "adrenalmnist3d")
    assert cohort.counts()["test"] == {"normal": 229, "hyperplasia": 69}
    assert cohort.dimension == 3
    assert any(g.what == "file" and "adrenalmnist3d_64.npz" in g.why for g in cohort.guesses)
    large = scan(kit / "adrenalmnist3d" / "adrenalmnist3d_64.npz")
    assert large.cases[0].source.startswith("adrenalmnist3d_64.npz::")


def test_mnist_idx_pairs_train_and_t10k(kit: Path) -> None:
    cohort = scan(kit / "mnist")
    assert Counter(c.part for c in cohort.cases) == {"train": 60000, "test": 10000}
    assert cohort.classes == tuple("0123456789")
    assert cohort.counts()["test"]["1"] == 1135  # of the MNIST page


def test_busi_by_table_and_by_folders(kit: Path) -> None:
    table = scan(kit / "busi")
    assert table.layout == "table"
    assert {p: sum(r.values()) for p, r in table.counts().items()} == {"train": 511, "val": 88, "test": 181}
    folders = scan(kit / "busi" / "images")
    assert folders.layout == "class-folders"
    assert folders.counts()["all"] == {"benign": 437, "malignant": 210, "normal": 133}
    forced = scan(kit / "busi", layout="class-folders")
    assert len(forced) == 780, "masks are no images"
    assert table.modality == folders.modality == "US"


@pytest.mark.parametrize("path", ["mini_mias_256", "mini_mias_256/mias.csv"])
def test_mias_joins_ids_patients_and_severity(kit: Path, path: str) -> None:
    cohort = scan(kit / path)
    assert cohort.classes == ("normal", "benign", "malignant")
    assert Counter(cohort.classes[int(c.label)] for c in cohort.cases) == {"normal": 207, "benign": 63, "malignant": 52}
    with (kit / "mini_mias_256" / "mias.csv").open() as file:
        patients = {row["id"]: row["patient"] for row in csv.DictReader(file)}
    assert {c.id: c.patient for c in cohort.cases} == patients
    assert len(set(patients.values())) == 161
    assert cohort.cases[0].covariates["radius"] == 49.25
    worst = next(c for c in cohort.cases if c.id == "mdb144")
    assert cohort.classes[int(worst.label)] == "malignant", "one row says B, one says M"


def test_sunnybrook_tables_of_two_parts_are_joined(kit: Path) -> None:
    cohort = scan(kit / "sunnybrook_lv", task="multiclass")
    assert len(cohort) == 526
    assert len({c.patient for c in cohort.cases}) == 30
    assert cohort.classes == ("HF-I", "HF-NI", "HYP", "N")


def test_boxes_are_recognised_as_a_detection(kit: Path) -> None:
    cohort = scan(kit / "bccd")
    assert (cohort.task, cohort.classes) == ("detect", ("Platelets", "RBC", "WBC"))
