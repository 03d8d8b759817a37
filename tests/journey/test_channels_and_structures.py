"""Which files are one case, and which structures of another cohort are the model's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np

from scanwright.core import Cohort
from scanwright.intake import scan
from scanwright.io import codes_of, read_truth, read_volume
from scanwright.journey.answering import asked_cases, with_channels
from scanwright.journey.segment.elsewhere import as_the_model_says


def save(path: Path, array: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(array), np.eye(4)), path)
    return path


def test_files_of_channels_are_one_case(tmp_path: Path) -> None:
    for site in ("a", "b"):
        for n in range(2):
            for c in range(2):
                save(tmp_path / site / f"x{n}_{c:04d}.nii.gz", np.full((4, 5, 6), 10 * n + c, np.int16))
    save(tmp_path / "a" / "lonely_0000.nii.gz", np.zeros((4, 5, 6), np.int16))
    asked = asked_cases([tmp_path])
    found = {name: read for name, read, _ in with_channels(asked, 2)}
    assert len(found) == 5
    name = next(n for n in found if n.endswith("a/x1.nii.gz"))
    assert found[name]().array[:, 0, 0, 0].tolist() == [10, 11]
    assert any("lonely_0000" in n for n in found), "a case that lacks a channel is answered with a reason"
    assert len(with_channels(asked, 1)) == len(asked) == 9
    assert len(with_channels(asked, 3)) == 9


def test_frames_that_are_pictures_stay_apart(tmp_path: Path) -> None:
    from PIL import Image

    for n in range(3):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"film_{n:04d}.png")
    assert len(with_channels(asked_cases([tmp_path]), 3)) == 3


def test_structures_that_the_model_does_not_know_are_background(tmp_path: Path) -> None:
    mask = np.zeros((6, 6, 6), np.uint8)
    mask[0:2], mask[2:4], mask[4:6, :3] = 1, 2, 3
    for n in range(3):
        save(tmp_path / "images" / f"{n}.nii.gz", np.random.default_rng(n).normal(size=(6, 6, 6)))
        save(tmp_path / "masks" / f"{n}.nii.gz", mask)
    (tmp_path / "labels.txt").write_text("1 liver\n2 spleen\n3 kidney\n")
    model: Any = SimpleNamespace(plan=SimpleNamespace(classes=("kidney", "liver")))
    cohort: Cohort = as_the_model_says(scan(tmp_path), model)
    assert cohort.classes == ("kidney", "liver")
    assert cohort.mask_code is not None
    case = cohort.cases[0]
    like = read_volume(case.source, root=tmp_path).grid
    truth = read_truth(case.masks, cohort.mask_code, like=like, root=tmp_path)
    sizes = {
        cohort.classes[own[0]]: int((truth.array == n).sum())
        for n, own in enumerate(codes_of(cohort.mask_code), start=1)
    }
    assert sizes == {"kidney": 36, "liver": 72}
    assert int((truth.array == 0).sum()) == 108
