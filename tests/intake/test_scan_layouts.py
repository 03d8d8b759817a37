"""Every way in which classes and numbers may lie on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

from scanwright.core import Said
from scanwright.intake import scan


def test_class_folders_with_clutter(folders: Path) -> None:
    (folders / "__MACOSX" / "sick").mkdir(parents=True)
    (folders / "__MACOSX" / "sick" / "._s1.png").write_bytes(b"x")
    (folders / "sick" / ".hidden.png").write_bytes(b"x")
    (folders / "readme.txt").write_text("hello")
    cohort = scan(folders)
    assert cohort.counts() == {"all": {"healthy": 12, "sick": 12}}
    assert cohort.classes == ("healthy", "sick")
    assert cohort.name == "cohort"
    assert cohort.dimension == 2


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "Validation", "Testing"), ("train", "valid", "test")]
)
def test_class_folders_under_parts(tmp_path: Path, draw: Callable[..., Path], names: tuple[str, ...]) -> None:
    for p, name in enumerate(names):
        for k in range(4):
            draw(tmp_path / name / ("covid" if k < 2 else "normal") / f"{k}.png", 10 * p + k)
    cohort = scan(tmp_path)
    assert cohort.parts_given
    assert [len(cohort.of(p)) for p in ("train", "val", "test")] == [4, 4, 4]
    assert cohort.classes == ("normal", "covid"), "the negative class comes first"
    assert len({c.id for c in cohort.cases}) == 12


def test_patient_folders_inside_and_outside_the_classes(tmp_path: Path, draw: Callable[..., Path]) -> None:
    for k in range(12):
        for view in "ab":
            draw(tmp_path / "in" / ("x" if k < 6 else "y") / f"pat{k}" / f"{view}.png", k)
            draw(tmp_path / "out" / f"pat{k}" / ("0" if view == "a" else "1") / f"{view}.png", k)
    inside, outside = scan(tmp_path / "in"), scan(tmp_path / "out")
    assert inside.classes == ("x", "y")
    assert outside.classes == ("0", "1")
    assert len({c.patient for c in inside.cases}) == len({c.patient for c in outside.cases}) == 12


def test_patients_from_file_names(tmp_path: Path, draw: Callable[..., Path]) -> None:
    for k in range(12):
        draw(tmp_path / ("x" if k < 6 else "y") / f"patient{k // 2:03d}_{k}.png", k)
    assert scan(tmp_path).cases[0].patient == "patient000"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".parquet"])
def test_tables_of_every_kind(folders: Path, suffix: str) -> None:
    frame = pandas.DataFrame(
        {
            "image": [f"h{k}" for k in range(12)] + [f"s{k}" for k in range(12)],
            "diagnosis": ["Normal", "normal ", "NORMAL"] * 4 + ["Ill"] * 11 + [None],
            "patient": [f"p{k // 2}" for k in range(24)],
            "age": [40 + k for k in range(24)],
        }
    )
    file = folders / f"t{suffix}"
    if suffix == ".xlsx":
        frame.to_excel(file, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="\t" if suffix == ".tsv" else ";")
    cohort = scan(file)
    assert cohort.layout == "table"
    assert len(cohort.classes) == 2, "spellings are merged"
    assert cohort.cases[-1].label is None, "a missing label is never guessed"
    assert [c.patient for c in cohort.cases[:3]] == ["p0", "p0", "p1"]
    assert cohort.cases[3].covariates["age"] == 43.0
    assert any(g.what == "spelling" for g in cohort.guesses)


def test_labels_may_name_a_table_elsewhere_and_several_columns(folders: Path, tmp_path: Path) -> None:
    rows = [f"healthy/h{k}.png,{k % 2},{k % 3 == 0:d},{'' if k == 5 else '1' if k % 4 else '0'}" for k in range(12)]
    table = tmp_path / "elsewhere.csv"
    table.write_text("file,mass,fluid,air\n" + "\n".join(rows))
    cohort = scan(folders, labels=f"{table}::mass,fluid,air")
    assert (cohort.task, cohort.classes) == ("multilabel", ("mass", "fluid", "air"))
    assert cohort.cases[5].label == (1, 0, None)
    assert scan(folders, labels=str(table)).task == "multilabel"


def test_joined_cells_are_multilabel(folders: Path) -> None:
    cells = ["No Finding", "Mass", "Mass|Fluid", "Fluid"] * 3
    (folders / "t.csv").write_text(
        "Image Index,Finding Labels\n" + "\n".join(f"h{k}.png,{c}" for k, c in enumerate(cells))
    )
    cohort = scan(folders / "t.csv")
    assert (cohort.task, cohort.classes) == ("multilabel", ("Fluid", "Mass"))
    assert [c.label for c in cohort.cases[:4]] == [(0, 0), (0, 1), (1, 1), (1, 0)]


@pytest.mark.parametrize(
    ("column", "cells", "task", "classes"),
    [
        ("label", ["0", "1.0", "1"], "binary", ("0", "1")),
        ("grade", ["0", "3", "2", "1"], "ordinal", ("0", "1", "2", "3")),
        ("diagnosis", ["severe", "mild", "moderate"], "ordinal", ("mild", "moderate", "severe")),
        ("category", ["BI-RADS 4b", "BI-RADS 2", "BI-RADS 4a"], "ordinal", ("BI-RADS 2", "BI-RADS 4a", "BI-RADS 4b")),
        ("class", ["cat", "dog", "ant"], "multiclass", ("ant", "cat", "dog")),
        ("target", ["0.5", "1.25", "7"], "regress", ("target",)),
    ],
)
def test_the_task_is_inferred(
    folders: Path, column: str, cells: list[str], task: str, classes: tuple[str, ...]
) -> None:
    (folders / "t.csv").write_text(
        f"image,{column}\n" + "\n".join(f"h{k}.png,{cells[k % len(cells)]}" for k in range(12))
    )
    cohort = scan(folders / "t.csv")
    assert (cohort.task, cohort.classes) == (task, classes)
    assert any(g.what == "task" and g.option == "--task" for g in cohort.guesses)


def test_a_task_may_be_forced(folders: Path) -> None:
    (folders / "t.csv").write_text("image,label\n" + "\n".join(f"h{k}.png,{k % 4}" for k in range(12)))
    assert scan(folders / "t.csv").task == "multiclass"
    assert scan(folders / "t.csv", task="regress").cases[3].label == 3.0
    assert scan(folders / "t.csv", task="ordinal").classes == ("0", "1", "2", "3")


def test_keras_names_channels_and_one_hot(tmp_path: Path) -> None:
    hot = np.eye(3)[np.arange(9) % 3]
    np.savez(
        tmp_path / "k.npz",
        x_train=np.zeros((9, 8, 8, 3), np.uint8),
        y_train=hot,
        x_test=np.ones((9, 8, 8, 3), np.uint8),
        y_test=hot,
    )
    cohort = scan(tmp_path / "k.npz")
    assert (cohort.task, cohort.dimension, len(cohort.of("test"))) == ("multiclass", 2, 9)
    assert [c.label for c in cohort.of("train")[:4]] == [0, 1, 2, 0]
    assert cohort.cases[4].source == "k.npz::x_train[4]"


def test_a_folder_of_npy_arrays(tmp_path: Path) -> None:
    for part, n in (("train", 6), ("valid", 4)):
        np.save(tmp_path / f"{part}_images.npy", np.zeros((n, 8, 8, 8), np.uint8))
        np.save(tmp_path / f"{part}_labels.npy", np.arange(n) % 2)
    cohort = scan(tmp_path)
    assert (cohort.layout, cohort.dimension) == ("npy-folder", 3)
    assert (len(cohort.of("train")), len(cohort.of("val"))) == (6, 4)
    assert cohort.cases[0].source == "train_images.npy[0]"


def test_bids(tmp_path: Path, kit: Path) -> None:
    lines = ["participant_id\tgroup\tage"]
    for k in range(4):
        folder = tmp_path / f"sub-{k:02d}" / "anat"
        folder.mkdir(parents=True)
        for kind in ("T1w", "T2w"):
            shutil.copy(kit / "nifti_misc" / "ts_example_mr_sm.nii.gz", folder / f"sub-{k:02d}_{kind}.nii.gz")
        lines.append(f"sub-{k:02d}\t{'patient' if k % 2 else 'control'}\t{60 + k}")
    (tmp_path / "participants.tsv").write_text("\n".join(lines))
    cohort = scan(tmp_path)
    assert (cohort.layout, cohort.dimension, cohort.classes) == ("bids", 3, ("control", "patient"))
    assert [c.source for c in cohort.cases] == [f"sub-{k:02d}/anat/sub-{k:02d}_T1w.nii.gz" for k in range(4)]
    assert cohort.cases[3].patient == "sub-03"


def test_dicom_class_folders_and_a_table_keyed_by_patient(tmp_path: Path, kit: Path) -> None:
    import pydicom

    sources = {"mr": "dicom_mr_t1", "ct": "dicom_ct_chest_lidc"}
    lines = ["PatientID,label"]
    for n, (name, source) in enumerate(sources.items()):
        files = sorted(
            (kit / source).iterdir(), key=lambda f: pydicom.dcmread(f, stop_before_pixels=True).ImagePositionPatient[2]
        )[:4]
        for k in range(2):
            folder = tmp_path / "tree" / name / f"case{k}"
            folder.mkdir(parents=True)
            for file in files:
                data = pydicom.dcmread(file)
                data.PatientID, data.SeriesInstanceUID = f"HOSP{n}{k}", f"1.2.3.{n}.{k}"
                data.save_as(folder / file.name)
            lines.append(f"HOSP{n}{k},{'yes' if k else 'no'}")
    folders = scan(tmp_path / "tree")
    assert folders.layout == "class-folders"
    assert folders.counts() == {"all": {"ct": 2, "mr": 2}}
    assert folders.dimension == 3
    assert len({c.patient for c in folders.cases}) == 4
    (tmp_path / "tree" / "labels.csv").write_text("\n".join(lines))
    table = scan(tmp_path / "tree")
    assert table.layout == "table"
    assert table.classes == ("no", "yes")
    assert len(table) == 4
    assert not any("HOSP" in str((c.id, c.patient, c.covariates)) for c in table.cases), "the PatientID is not shown"


def test_an_archive_is_unpacked_once(folders: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "gztar", folders.parent, "cohort"))
    events: list[object] = []
    first = scan(archive, work=tmp_path / "work", emit=events.append)
    assert first.counts() == {"all": {"healthy": 12, "sick": 12}}
    assert any(isinstance(e, Said) and "Unpacking" in e.text for e in events)
    events.clear()
    second = scan(archive, work=tmp_path / "work", emit=events.append)
    assert second.cases == first.cases
    assert not any(isinstance(e, Said) and "Unpacking" in e.text for e in events)


def test_colour_photographs_are_guessed_and_not_certain(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(6):
        (tmp_path / "ab"[k % 2]).mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(tmp_path / "ab"[k % 2] / f"{k}.png")
    cohort = scan(tmp_path)
    assert cohort.modality == "XC"
    assert "not certain" in next(g.why for g in cohort.guesses if g.what == "modality")
    assert scan(tmp_path, modality="op").modality == "OP"
