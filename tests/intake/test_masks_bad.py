"""Bad input of a segmentation: each is found in `check`, with the case named, before any training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from scanwright.core import Cohort, CohortError, Finding
from scanwright.intake import check, repair, scan

N = 6
SHAPE = (20, 20, 12)


def save(path: Path, array: Any, affine: Any = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1.0, 1.0, 2.0, 1.0]) if affine is None else affine), path)


def mask(at: int = 4) -> np.ndarray:
    found = np.zeros(SHAPE, np.uint8)
    found[at : at + 5, 6:11, 3:7] = 1
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six volumes with a box as their truth, named in dataset.json."""
    rng = np.random.default_rng(0)
    for k in range(N):
        save(tmp_path / "images" / f"c{k}.nii.gz", rng.normal(size=SHAPE).astype(np.float32))
        save(tmp_path / "masks" / f"c{k}.nii.gz", mask(2 + k))
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "box": 1}}')
    return tmp_path


def found_in(root: Path) -> tuple[Cohort, dict[str, Finding]]:
    cohort = scan(root, task="segment")
    return cohort, {f.kind: f for f in check(cohort)}


QUIET = {"no-patient", "too-few-cases", "small-test"}


def test_a_sound_cohort_is_only_small(root: Path) -> None:
    _, found = found_in(root)
    assert set(found) == QUIET


def test_unpaired_files_are_named(root: Path) -> None:
    (root / "masks" / "c1.nii.gz").rename(root / "masks" / "d9.nii.gz")
    _, found = found_in(root)
    assert "'images/c1.nii.gz'" in found["image-without-mask"].text
    assert "'masks/d9.nii.gz'" in found["mask-without-image"].text


def test_a_value_that_is_not_in_the_table_stops(root: Path) -> None:
    wrong = mask()
    wrong[0, 0, 0] = 9
    save(root / "masks" / "c2.nii.gz", wrong)
    cohort, found = found_in(root)
    assert (found["mask-value"].severity, found["mask-value"].cases) == ("stop", ("c2",))
    assert "label value 9" in found["mask-value"].text
    left, said = repair(cohort, found.values(), kinds=["mask-value"])
    assert [c.id for c in left.cases] == ["c0", "c1", "c3", "c4", "c5"]
    assert said


def test_a_mask_of_another_place_stops_and_one_on_a_finer_grid_is_repaired(root: Path) -> None:
    far = np.diag([1.0, 1.0, 2.0, 1.0])
    far[:3, 3] = 500
    save(root / "masks" / "c3.nii.gz", mask(), far)
    fine = np.diag([0.5, 0.5, 2.0, 1.0])
    save(root / "masks" / "c4.nii.gz", np.kron(mask(), np.ones((2, 2, 1), np.uint8)), fine)
    _, found = found_in(root)
    assert (found["mask-elsewhere"].severity, found["mask-elsewhere"].drop) == ("stop", ("c3",))
    assert (found["mask-regridded"].severity, found["mask-regridded"].cases) == ("info", ("c4",))


def test_empty_single_and_repeated_masks(root: Path) -> None:
    save(root / "masks" / "c0.nii.gz", np.zeros(SHAPE, np.uint8))
    one = np.zeros(SHAPE, np.uint8)
    one[3, 3, 3] = 1
    save(root / "masks" / "c1.nii.gz", one)
    save(root / "masks" / "c5.nii.gz", mask(4))  # that of c2
    _, found = found_in(root)
    assert (found["empty-mask"].severity, found["empty-mask"].cases) == ("info", ("c0",))
    assert found["tiny-structure"].cases == ("c1",)
    assert found["repeated-mask"].groups == (("c2", "c5"),)


def test_only_empty_masks_stop(root: Path) -> None:
    for k in range(N):
        save(root / "masks" / f"c{k}.nii.gz", np.zeros(SHAPE, np.uint8))
    _, found = found_in(root)
    assert (found["empty-mask"].severity, len(found["empty-mask"].cases)) == ("stop", N)
    (root / "dataset.json").unlink()
    with pytest.raises(CohortError, match="All 6 masks that were opened are empty, such as c0"):
        scan(root)


@pytest.mark.parametrize(("folder", "kind"), [("images", "damaged-file"), ("masks", "damaged-mask")])
def test_a_truncated_file_is_named(root: Path, folder: str, kind: str) -> None:
    path = root / folder / "c4.nii.gz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, found = found_in(root)
    assert found[kind].cases == ("c4",)
    assert found[kind].drop == ("c4",)


def test_a_flat_picture_among_volumes(root: Path) -> None:
    save(root / "images" / "c5.nii.gz", np.random.default_rng(9).normal(size=(20, 20, 1)).astype(np.float32))
    save(root / "masks" / "c5.nii.gz", mask()[:, :, 4:5])
    _, found = found_in(root)
    assert found["mixed-dimension"].drop == ("c5",)


def test_long_voxels_are_told(root: Path) -> None:
    long = np.diag([0.5, 0.5, 10.0, 1.0])
    save(root / "images" / "c1.nii.gz", np.random.default_rng(9).normal(size=SHAPE).astype(np.float32), long)
    save(root / "masks" / "c1.nii.gz", mask(), long)
    _, found = found_in(root)
    assert found["anisotropy"].cases == ("c1",)
    assert "0.5 x 0.5 x 10 mm" in found["anisotropy"].text


def test_one_image_under_two_masks_contradicts_itself(root: Path) -> None:
    (root / "images" / "c5.nii.gz").write_bytes((root / "images" / "c0.nii.gz").read_bytes())
    _, found = found_in(root)
    assert found["contradicting-labels"].groups == (("c0", "c5"),)


def test_photographs_as_masks_are_refused(tmp_path: Path, draw: Callable[..., Path]) -> None:
    for k in range(3):
        draw(tmp_path / "images" / f"{k}.png", k, 48)
        noise = np.random.default_rng(k).integers(0, 255, (48, 48, 3)).astype(np.uint8)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(noise).save(tmp_path / "masks" / f"{k}.png")
    with pytest.raises(CohortError, match=r"0\.png is no mask: the files there hold .* different colours"):
        scan(tmp_path)


def test_a_missing_slice_is_found(tmp_path: Path) -> None:
    from scanwright.phantom import write_phantom

    root = write_phantom("chest-ct", tmp_path / "ct", patients=4, size=32, faults=False)
    cohort = scan(root, task="segment")
    files = sorted((root / cohort.cases[0].source).glob("*.dcm"))
    files[len(files) // 2].unlink()
    broken = {f.kind: f for f in check(scan(root, task="segment"))}
    assert broken["crooked-volume"].cases == (cohort.cases[0].id,)
    assert broken["crooked-volume"].drop == (cohort.cases[0].id,)
