"""Every way in which masks may lie beside images, made small."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from scanwright.core import Cohort, CohortError, InputError
from scanwright.intake import scan
from scanwright.intake.masks.names import naming_of, sides_of
from scanwright.intake.masks.pairing import key_of
from scanwright.intake.masks.wish import asked_of
from scanwright.io import read_cohort, read_truth, read_volume, write_cohort

Draw = Callable[..., Path]


def nifti(path: Path, array: Any, affine: Any = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(array), np.eye(4) if affine is None else affine), path)
    return path


def png(path: Path, array: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path)
    return path


def square(value: int = 255, size: int = 48, at: int = 10) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[at : at + 9, at : at + 12] = value
    return mask


def pairs(cohort: Cohort) -> dict[str, tuple[str, ...]]:
    return {c.source: c.masks for c in cohort.cases}


def decathlon(root: Path, labels: dict[str, Any], n: int = 6, channels: int = 1, **more: Any) -> Path:
    rng = np.random.default_rng(0)
    for k in range(n):
        for c in range(channels):
            end = f"_{c:04d}" if channels > 1 else ""
            nifti(root / "imagesTr" / f"case_{k:02d}{end}.nii.gz", rng.normal(size=(8, 9, 7)).astype(np.float32))
        mask = np.zeros((8, 9, 7), np.uint8)
        mask[2:4, 2:5, 2:4], mask[5, 5, 5] = 1, 2
        nifti(root / "labelsTr" / f"case_{k:02d}.nii.gz", mask)
    (root / "dataset.json").write_text(json.dumps({"labels": labels, **more}))
    return root


def test_nnunet_regions_ignore_channels_and_fold(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    root = decathlon(tmp_path, labels, channels=2, channel_names={"0": "T1", "1": "FLAIR"}, file_ending=".nii.gz")
    nifti(root / "imagesTs" / "case_90_0000.nii.gz", np.zeros((8, 9, 7), np.float32))
    folds = [{"train": [f"case_{k:02d}" for k in range(4)], "val": ["case_04", "case_05"]}]
    (root / "splits_final.json").write_text(json.dumps(folds))
    cohort = scan(root)
    assert cohort.classes == ("whole", "core")
    assert cohort.mask_code is not None
    assert (cohort.mask_code.values, cohort.mask_code.ignore) == (((1, 2), (2,)), 3)
    assert cohort.mask_code.are_regions
    assert cohort.cases[0].source == "imagesTr/case_00_0000.nii.gz | imagesTr/case_00_0001.nii.gz"
    assert read_volume(cohort.cases[0].source, root=root).n_channels == 2
    assert [c.part for c in cohort.cases] == ["train"] * 4 + ["val"] * 2
    assert [(s.source, s.reason) for s in cohort.skipped] == [
        ("imagesTs/case_90_0000.nii.gz", "imagesTs has no labels")
    ]
    assert cohort.modality == "MR"


def test_decathlon_names_misses_and_four_axes(tmp_path: Path) -> None:
    root = decathlon(tmp_path, {"0": "background", "1": "liver", "2": "tumour"})
    nifti(root / "imagesTr" / "lonely.nii.gz", np.zeros((8, 9, 7), np.float32))
    nifti(root / "labelsTr" / "orphan.nii.gz", np.zeros((8, 9, 7), np.uint8))
    volume = np.stack([np.full((8, 9, 7), 5), np.full((8, 9, 7), 9)], axis=3).astype(np.int16)
    for k in range(6):
        nifti(root / "imagesTr" / f"case_{k:02d}.nii.gz", volume)
    cohort = scan(root)
    assert cohort.classes == ("liver", "tumour")
    assert {(s.source, s.reason.split(" in ")[0]) for s in cohort.skipped} == {
        ("imagesTr/lonely.nii.gz", "there is no mask for it"),
        ("labelsTr/orphan.nii.gz", "there is no image for this mask"),
    }
    read = read_volume(cohort.cases[0].source, root=root)
    assert (read.channel, read.array.shape, read.array[1].max()) == ("channel", (2, 8, 9, 7), 9)


def test_structures_may_be_joined_renamed_and_left_out(tmp_path: Path) -> None:
    root = decathlon(tmp_path, {"0": "background", "1": "liver", "2": "tumour"})
    cohort = scan(root, structures="liver+2=organ")
    assert cohort.classes == ("organ",)
    assert cohort.mask_code is not None
    assert cohort.mask_code.values == ((1, 2),)
    only = scan(root, structures="2=lesion")
    assert only.mask_code is not None
    assert (only.mask_code.values, only.mask_code.background) == (((2,),), (1,))
    grid = read_volume(only.cases[0].source, root=root).grid
    assert read_truth(only.cases[0].masks, only.mask_code, like=grid, root=root).array.sum() == 1
    with pytest.raises(InputError, match="'spleen', which is no label value"):
        scan(root, structures="spleen=organ")


def test_a_cohort_with_masks_is_written_and_read_again(tmp_path: Path) -> None:
    root = decathlon(tmp_path / "d", {"0": "background", "1": "liver", "2": "tumour"})
    cohort = scan(root, structures="2=lesion")
    (tmp_path / "run").mkdir()
    write_cohort(tmp_path / "run", cohort)
    again = read_cohort(tmp_path / "run")
    assert (again.mask_code, again.cases) == (cohort.mask_code, cohort.cases)


@pytest.mark.parametrize("folder", ["masks", "labels", "gt", "Segmentation", "manual_masks"])
def test_folders_by_stem_with_parts(tmp_path: Path, draw: Draw, folder: str) -> None:
    for part in ("train", "val", "test"):
        for k in range(3):
            draw(tmp_path / part / "images" / f"{part}{k}.jpg", k, 48)
            png(tmp_path / part / folder / f"{part}{k}.png", square())
    cohort = scan(tmp_path)
    assert pairs(cohort)["train/images/train0.jpg"] == (f"train/{folder}/train0.png",)
    assert [c.part for c in cohort.cases].count("val") == 3
    assert cohort.mask_code is not None
    assert cohort.mask_code.values == ((255,),)


def test_one_stem_in_two_folders_keeps_each_to_its_own(tmp_path: Path, draw: Draw) -> None:
    for site in ("a", "b"):
        for k in range(3):
            draw(tmp_path / "images" / site / f"{k}.png", k, 48)
            png(tmp_path / "masks" / site / f"{k}.png", square())
    cohort = scan(tmp_path, task="segment")
    assert len(cohort) == 6
    assert all(m == (s.replace("images", "masks"),) for s, m in pairs(cohort).items())


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("case1.png", "case1_mask.png"),
        ("case1.png", "case1-seg.png"),
        ("img_1.png", "mask_1.png"),
        ("volume-1.png", "segmentation-1.png"),
        ("brain1_image.png", "brain1_label.png"),
        ("21_training.png", "21_training_manual1.png"),
    ],
)
def test_masks_beside_images_by_the_end_of_their_names(tmp_path: Path, draw: Draw, image: str, mask: str) -> None:
    for k in (1, 2, 3):
        draw(tmp_path / image.replace("1", str(k), 1), k, 48)
        png(tmp_path / mask.replace("1", str(k), 1), square())
    assert pairs(scan(tmp_path)) == {image.replace("1", str(k), 1): (mask.replace("1", str(k), 1),) for k in (1, 2, 3)}


def test_a_folder_for_each_patient_with_image_and_mask(tmp_path: Path) -> None:
    for k in range(3):
        nifti(tmp_path / f"patient{k}" / "image.nii.gz", np.random.default_rng(k).normal(size=(6, 6, 6)))
        nifti(tmp_path / f"patient{k}" / "mask.nii.gz", np.eye(6, dtype=np.uint8)[..., None] * np.ones(6, np.uint8))
    cohort = scan(tmp_path)
    assert [c.id for c in cohort.cases] == ["patient0", "patient1", "patient2"]
    assert cohort.cases[1].masks == ("patient1/mask.nii.gz",)


def test_one_file_for_each_structure(tmp_path: Path, draw: Draw) -> None:
    for k in range(4):
        draw(tmp_path / "images" / f"{k}.png", k, 48)
        png(tmp_path / "masks" / "left lung" / f"{k}.png", square(at=4))
        if k != 2:
            png(tmp_path / "masks" / "right lung" / f"{k}.png", square(at=28))
    cohort = scan(tmp_path, task="segment")
    assert cohort.classes == ("left lung", "right lung")
    assert cohort.mask_code is not None
    assert (cohort.mask_code.kind, cohort.mask_code.sides) == ("files", ((0, 1),))
    assert pairs(cohort)["images/2.png"] == ("masks/left lung/2.png", "")
    write_cohort(tmp_path, cohort)
    assert read_cohort(tmp_path).cases == cohort.cases, "a structure that is not there keeps its place"


def test_further_pieces_of_a_mask_are_one_truth(tmp_path: Path, draw: Draw) -> None:
    for k in range(3):
        draw(tmp_path / f"benign ({k}).png", k, 48)
        png(tmp_path / f"benign ({k})_mask.png", square(at=4))
        png(tmp_path / f"benign ({k})_mask_1.png", square(at=30))
    cohort = scan(tmp_path)
    assert cohort.mask_code is not None
    case = cohort.cases[0]
    assert len(case.masks) == 2
    grid = read_volume(case.source, root=tmp_path).grid
    assert read_truth(case.masks, cohort.mask_code, like=grid, root=tmp_path).array.sum() == 2 * 9 * 12


def test_colours_become_structures(tmp_path: Path, draw: Draw) -> None:
    for k in range(3):
        draw(tmp_path / "images" / f"{k}.png", k, 48)
        mask = np.zeros((48, 48, 3), np.uint8)
        mask[4:10, 4:10], mask[20:30, 20:30] = (255, 0, 0), (0, 0, 255)
        png(tmp_path / "masks" / f"{k}.png", mask)
    cohort = scan(tmp_path)
    assert cohort.mask_code is not None
    assert (cohort.mask_code.kind, cohort.mask_code.colours) == ("colours", ((255, 0, 0), (0, 0, 255)))
    grid = read_volume(cohort.cases[0].source, root=tmp_path).grid
    truth = read_truth(cohort.cases[0].masks, cohort.mask_code, like=grid, root=tmp_path)
    assert np.bincount(truth.array.ravel()).tolist() == [48 * 48 - 136, 36, 100]
    assert scan(tmp_path, structures="2=vein").classes == ("vein",)


def test_jpeg_masks_are_cut_at_128_and_photographs_refused(tmp_path: Path, draw: Draw) -> None:
    for k in range(3):
        draw(tmp_path / "a" / "images" / f"{k}.png", k, 96)
        (tmp_path / "a" / "masks").mkdir(exist_ok=True)
        Image.fromarray(square(size=96)).save(tmp_path / "a" / "masks" / f"{k}.jpg", quality=90)
        draw(tmp_path / "b" / "images" / f"{k}.png", k, 96)
        draw(tmp_path / "b" / "masks" / f"{k}.png", k, 96)
    cohort = scan(tmp_path / "a")
    assert any(g.what == "mask threshold" and "128" in g.value for g in cohort.guesses)
    assert cohort.mask_code is not None
    grid = read_volume(cohort.cases[0].source, root=tmp_path / "a").grid
    truth = read_truth(cohort.cases[0].masks, cohort.mask_code, like=grid, root=tmp_path / "a")
    assert truth.array.sum() == pytest.approx(9 * 12, abs=6)
    with pytest.raises(CohortError, match="is no mask: the files there hold .* different values"):
        scan(tmp_path / "b")


def test_values_are_named_by_a_file_and_sides_found(tmp_path: Path, draw: Draw) -> None:
    for k in range(3):
        draw(tmp_path / "images" / f"{k}.png", k, 48)
        png(tmp_path / "masks" / f"{k}.png", square(7) + square(20, at=30))
    assert scan(tmp_path).classes == ("structure 1", "structure 2")
    (tmp_path / "labels.txt").write_text("7 kidney_left\n20 kidney_right\n")
    cohort = scan(tmp_path)
    assert cohort.classes == ("kidney_left", "kidney_right")
    assert cohort.mask_code is not None
    assert (cohort.mask_code.values, cohort.mask_code.sides) == (((7,), (20,)), ((0, 1),))


def test_touching_objects_are_instances_and_a_fixed_set_of_organs_is_not(tmp_path: Path, draw: Draw) -> None:
    for k in range(6):
        for kind in ("cells", "organs"):
            draw(tmp_path / kind / "images" / f"{k}.png", k, 48)
            mask = np.zeros((48, 48), np.uint16)
            for n in range(9 + 3 * k if kind == "cells" else 9):
                mask[4 * (n // 6) : 4 * (n // 6) + 4, 8 * (n % 6) : 8 * (n % 6) + 8] = n + 1
            png(tmp_path / kind / "masks" / f"{k}.png", mask)
    cells, organs = scan(tmp_path / "cells"), scan(tmp_path / "organs")
    assert cells.mask_code is not None
    assert organs.mask_code is not None
    assert (cells.mask_code.kind, organs.mask_code.kind) == ("instances", "labels")
    assert len(organs.classes) == 9
    assert scan(tmp_path / "organs", structures="instances").classes == ("object",)


@pytest.mark.parametrize("packed", [False, True])
def test_arrays_of_images_and_masks(tmp_path: Path, packed: bool) -> None:
    arrays = {}
    for part, n in (("train", 5), ("valid", 3)):
        arrays[f"{part}_images"] = np.random.default_rng(0).random((n, 32, 32, 1)).astype(np.float32)
        arrays[f"{part}_labels"] = np.stack([square(1, 32, at=5 + k) for k in range(n)])
    if packed:
        np.savez(tmp_path / "data.npz", **arrays)
    else:
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
    cohort = scan(tmp_path)
    assert (cohort.task, cohort.dimension, len(cohort)) == ("segment", 2, 8)
    case = cohort.cases[6]
    mask = "data.npz::valid_labels[1]" if packed else "valid_labels.npy[1]"
    assert (case.masks, case.part) == ((mask,), "val")
    assert cohort.mask_code is not None
    grid = read_volume(case.source, root=tmp_path).grid
    truth = read_truth(case.masks, cohort.mask_code, like=grid, root=tmp_path)
    assert np.argwhere(truth.array)[0].tolist() == [6, 6, 0]


def test_a_table_with_a_mask_column(tmp_path: Path, draw: Draw) -> None:
    rows = ["picture,segmentation_path,diagnosis,patient_id,split"]
    for k in range(8):
        draw(tmp_path / "a" / f"{k}.png", k, 48)
        png(tmp_path / "b" / f"m{k}.png", square())
        rows.append(f"a/{k}.png,{'' if k == 7 else f'b/m{k}.png'},{'ill' if k % 2 else 'well'},p{k // 2},train")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    assert scan(tmp_path).task == "binary"
    for place in (tmp_path, tmp_path / "table.csv"):
        cohort = scan(place, task="segment")
        assert pairs(cohort) == {f"a/{k}.png": (f"b/m{k}.png",) for k in range(7)}
        assert (cohort.cases[3].patient, cohort.cases[3].covariates["diagnosis"]) == ("p1", "ill")
        assert [s.source for s in cohort.skipped if "no mask" in s.reason] == ["a/7.png"]


def test_the_phantoms_truth_is_nodules(tmp_path: Path) -> None:
    from scanwright.phantom import LABELS, write_phantom

    write_phantom("chest-ct", tmp_path / "ct", patients=4, size=64, faults=False)
    cohort = scan(tmp_path / "ct", task="segment")
    assert (cohort.classes, len(cohort), cohort.dimension) == (("nodule",), 4, 3)
    assert cohort.mask_code is not None
    assert cohort.mask_code.values == ((LABELS["nodule"],),)
    assert all(LABELS[other] in cohort.mask_code.background for other in ("heart", "rib", "lung-left"))
    assert {c.covariates["label"] for c in cohort.cases} == {"normal", "nodule"}


def test_words() -> None:
    assert asked_of("1=liver, 2+3=tumour") == asked_of("1=liver,2 + 3=tumour")
    with pytest.raises(InputError, match="names no structure"):
        asked_of("liver")
    with pytest.raises(InputError, match="names 'a' twice"):
        asked_of("1=a,2=a")
    assert naming_of({"0": "background", "1": "Anterior"}, "x").values == {"Anterior": (1,)}
    assert sides_of(["L femur", "R femur", "sacrum"]) == ((0, 1),)
    assert key_of("Image_01L_1stHO") == key_of("Image_01L") == "01l"
