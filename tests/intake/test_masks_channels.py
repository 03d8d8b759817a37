"""Channels: one-hot masks in arrays, and MR sequences that are files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from scanwright.core import Cohort, CohortError, FormatError, LabelMap
from scanwright.intake import check, scan
from scanwright.io import codes_of, read_cohort, read_truth, read_volume, write_cohort

SIZE = (20, 28)


def masks_of(cohort: Cohort, n: int) -> dict[str, np.ndarray]:
    """Every structure of a case, read as training reads it."""
    case, code = cohort.cases[n], cohort.mask_code
    assert code is not None
    grid = read_volume(case.source, root=cohort.root).grid
    truth: LabelMap = read_truth(case.masks, code, like=grid, root=cohort.root)
    assert truth.grid == grid
    return {
        name: np.isin(truth.array, [n for n, own in enumerate(codes_of(code), start=1) if k in own])
        for k, name in enumerate(cohort.classes)
    }


def layers(n: int) -> np.ndarray:
    """``(H, W)`` of 0, 1 and 2: a tall box and a wide one, so that no turn maps a mask to itself."""
    found = np.zeros(SIZE, np.uint8)
    found[2 + n : 12 + n, 3:7] = 1
    found[4:8, 12 : 22 + n] = 2
    return found


def save(root: Path, masks: np.ndarray, *, packed: bool, colour: bool = False) -> Path:
    shape = (len(masks), *SIZE, 3) if colour else (len(masks), *SIZE)
    images = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    if packed:
        np.savez(root / "data.npz", images=images, masks=masks)
    else:
        np.save(root / "images.npy", images)
        np.save(root / "masks.npy", masks)
    return root


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("on", [1, 255, 1.0, True])
def test_one_channel_is_on_in_each_pixel(tmp_path: Path, packed: bool, first: bool, on: Any) -> None:
    whole = np.stack([layers(n) for n in range(5)])
    hot = (whole[..., None] == np.arange(3)) * on
    save(tmp_path, np.moveaxis(hot, 3, 1) if first else hot, packed=packed, colour=first)
    cohort = scan(tmp_path)
    assert (cohort.task, cohort.dimension, cohort.classes) == ("segment", 2, ("structure 1", "structure 2"))
    said = {g.what: g.value for g in cohort.guesses}
    assert said["structures"] == "structure 1 = channel 2, structure 2 = channel 3"
    assert said["background"] == "channel 1"
    for n in (0, 4):
        for value, name in enumerate(cohort.classes, start=1):
            np.testing.assert_array_equal(masks_of(cohort, n)[name][..., 0], whole[n] == value)
    assert not {"mask-value", "damaged-mask"} & {f.kind for f in check(cohort)}
    (tmp_path / "run").mkdir()
    write_cohort(tmp_path / "run", cohort)
    assert read_cohort(tmp_path / "run").mask_code == cohort.mask_code


def test_channels_without_a_background_are_all_structures_and_may_be_named(tmp_path: Path) -> None:
    whole = np.stack([layers(n) for n in range(4)])
    save(tmp_path, np.stack([whole == 1, whole == 2], axis=-1), packed=False)
    assert scan(tmp_path).classes == ("structure 1", "structure 2")
    (tmp_path / "labels.txt").write_text("1 spine\n2 rib\n")
    assert scan(tmp_path).classes == ("spine", "rib")
    cohort = scan(tmp_path, structures="2=rib")
    assert cohort.classes == ("rib",)
    np.testing.assert_array_equal(masks_of(cohort, 3)["rib"][..., 0], whole[3] == 2)
    with pytest.raises(CohortError, match="speaks of the channel 3"):
        scan(tmp_path, structures="3=rib")


def test_channels_of_volumes(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 3, (4, 9, 10, 11))
    np.save(tmp_path / "images.npy", np.random.default_rng(1).random((4, 9, 10, 11)).astype(np.float32))
    np.save(tmp_path / "masks.npy", np.stack([whole == 1, whole == 2], axis=1))
    cohort = scan(tmp_path)
    assert cohort.dimension == 3
    np.testing.assert_array_equal(masks_of(cohort, 2)["structure 2"], whole[2] == 2)


def test_channels_that_overlap_are_regions(tmp_path: Path) -> None:
    whole = np.stack([layers(n) for n in range(4)])
    outer, inner = whole > 0, whole == 2
    save(tmp_path, np.stack([outer, inner], axis=-1).astype(np.uint8), packed=False)
    cohort = scan(tmp_path)
    assert cohort.mask_code is not None
    assert cohort.mask_code.are_regions
    assert any(g.what == "regions" and "overlap" in g.why for g in cohort.guesses)
    found = masks_of(cohort, 1)
    np.testing.assert_array_equal(found["structure 1"][..., 0], outer[1])
    np.testing.assert_array_equal(found["structure 2"][..., 0], inner[1])
    many = np.random.default_rng(0).integers(0, 2, (4, *SIZE, 9))
    save(tmp_path, many, packed=False)
    with pytest.raises(CohortError, match="9 channels that overlap in .* ways"):
        scan(tmp_path)


def test_chances_are_no_masks(tmp_path: Path) -> None:
    save(tmp_path, np.random.default_rng(0).random((4, *SIZE, 3)).astype(np.float32), packed=False)
    with pytest.raises(FormatError, match=r"masks\.npy\[0\] holds .* different values"):
        scan(tmp_path)


# ---------------------------------------------------------------- MR sequences

NAMES = {
    "one folder": "{case}_{word}.nii.gz",
    "a folder for each case": "{case}/{case}_{word}.nii.gz",
    "bare names": "{case}/{word}.nii.gz",
    "BraTS 2023": "{case}/{case}-{word}.nii.gz",
}
OLD, NEW = ("t1", "t1ce", "t2", "flair"), ("t1n", "t1c", "t2w", "t2f")


def brats(root: Path, form: str, words: tuple[str, ...], n: int = 5) -> Path:
    for k in range(n):
        for c, word in enumerate((*words, "seg")):
            path = root / form.format(case=f"Glioma_{k:03d}", word=word)
            path.parent.mkdir(parents=True, exist_ok=True)
            array = np.full((8, 9, 7), 10 * k + c, np.int16)
            if word == "seg":
                array = np.zeros((8, 9, 7), np.int16)
                array[2:5, 3:6, 2:4], array[2, 3, 2] = 1, 4
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    return root


@pytest.mark.parametrize("form", list(NAMES))
def test_sequences_are_the_channels_of_one_case(tmp_path: Path, form: str) -> None:
    words = NEW if "2023" in form else OLD
    cohort = scan(brats(tmp_path, NAMES[form], words))
    assert [c.id for c in cohort.cases] == [f"Glioma_{k:03d}" for k in range(5)]
    assert (cohort.modality, cohort.dimension, cohort.task) == ("MR", 3, "segment")
    assert any(g.what == "channels" and g.value == ", ".join(words) for g in cohort.guesses)
    volume = read_volume(cohort.cases[3].source, root=tmp_path)
    assert volume.array[:, 0, 0, 0].tolist() == [30, 31, 32, 33]
    assert masks_of(cohort, 3)["structure 1"].sum() == 17
    assert not cohort.skipped


def test_a_case_without_one_of_its_sequences_is_named(tmp_path: Path) -> None:
    brats(tmp_path, NAMES["one folder"], OLD)
    (tmp_path / "Glioma_002_t2.nii.gz").unlink()
    cohort = scan(tmp_path)
    assert [c.id for c in cohort.cases] == [f"Glioma_{k:03d}" for k in (0, 1, 3, 4)]
    reasons = {s.source.split(" | ")[0]: s.reason for s in cohort.skipped}
    assert reasons["Glioma_002_t1.nii.gz"] == "it has 3 of 4 channels; t2 is not there"
    assert "no image for this mask" in reasons["Glioma_002_seg.nii.gz"]
    found = {f.kind: f for f in check(cohort)}
    assert "Glioma_002_t1.nii.gz" in found["image-without-channel"].text


def test_sequences_with_masks_of_their_own_are_images(tmp_path: Path) -> None:
    for k in range(3):
        for word in ("t1", "t2"):
            for end in ("", "_seg"):
                array = np.zeros((6, 6, 6), np.int16)
                array[1:4, 2:5, 3] = k + 1 if not end else 1
                nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / f"x{k}_{word}{end}.nii.gz")
    cohort = scan(tmp_path)
    assert len(cohort) == 6
    assert cohort.cases[0].masks == ("x0_t1_seg.nii.gz",)
