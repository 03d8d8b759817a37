"""Places and values of every volume in the kit, against SimpleITK and nibabel."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from scanwright.core import Volume
from scanwright.io import list_series, read_series, read_volume, write_nifti

KIT = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
FLIP = np.array([-1.0, -1.0, 1.0])
SERIES = [
    "dicom_ct_chest_lidc",
    "dicom_mr_t1",
    "dicom_pet_seg/pet",
    "dicom_ct_liver_seg/ct",
    *(f"dicom_mr_brain_tumour/PGBM-003/{n}" for n in ("FLAIR_reg", "HippoCrop", "T1post", "T1pre_reg", "T2_reg")),
]
NIFTI = ["nb_anatomical.nii", "nb_example4d.nii.gz", "nb_functional.nii", "ts_example_ct_sm.nii.gz"]
NIFTI += ["ts_example_mr_sm.nii.gz", "ts_example_seg.nii.gz", "ts_example_seg_fast.nii.gz"]
NRRD = ["nifti_misc/pr_brain1_image.nrrd", "nifti_misc/pr_brain1_label.nrrd", "nifti_misc/pr_breast1_image.nrrd"]
NRRD += ["nifti_misc/pr_breast1_label.nrrd", "dicom_ct_liver_seg/nrrd/liver_seg.nrrd"]


def kit(name: str) -> Path:
    path = KIT / name
    if not path.exists():
        pytest.skip("the benchmark kit is not beside the repository")
    return path.resolve()


def same_world(volume: Volume, image: sitk.Image, *, n: int = 400, atol: float = 0.0) -> None:
    """Random voxels of ours lie where SimpleITK says, and hold what it holds there."""
    rng = np.random.default_rng(7)
    corners = np.array(np.meshgrid(*[(0, s - 1) for s in volume.grid.shape])).reshape(3, -1).T
    index = np.concatenate([corners, rng.integers(0, volume.grid.shape, (n, 3))])
    place_lps = volume.grid.world(index) * FLIP
    values = sitk.GetArrayFromImage(image)
    for (i, j, k), place in zip(index, place_lps):
        theirs = np.array(image.TransformPhysicalPointToContinuousIndex(place.tolist()))
        nearest = np.rint(theirs).astype(int)
        error_mm = np.linalg.norm(np.array(image.TransformIndexToPhysicalPoint(nearest.tolist())) - place)
        assert error_mm < 1e-4
        assert values[tuple(nearest[::-1])] == pytest.approx(float(volume.array[0, i, j, k]), abs=atol, rel=1e-6)


@pytest.mark.parametrize("name", SERIES)
def test_dicom_series_agree_with_simpleitk(name: str) -> None:
    folder = kit(name)
    volume = read_volume(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert volume.array.shape[1:] == (image.GetHeight(), image.GetWidth(), image.GetDepth())
    same_world(volume, image)
    theirs = np.array([image.TransformIndexToPhysicalPoint((0, 0, k)) for k in (0, image.GetDepth() - 1)])
    ours = volume.grid.world([[0, 0, 0], [0, 0, image.GetDepth() - 1]]) * FLIP
    assert np.abs(theirs - ours).max() < 1e-4


@pytest.mark.parametrize("name", SERIES)
def test_every_slice_lies_where_its_own_file_says(name: str) -> None:
    folder = kit(name)
    volume = read_volume(folder)
    files = list_series(folder)[0].files
    step = max(len(files) // 12, 1)
    for k, file in list(enumerate(files))[::step]:
        image = sitk.ReadImage(str(file))
        origin = volume.grid.world((0, 0, k)) * FLIP
        assert np.abs(np.array(image.GetOrigin()) - origin).max() < 1e-4
        corner = volume.grid.world((volume.grid.shape[0] - 1, volume.grid.shape[1] - 1, k)) * FLIP
        theirs = image.TransformIndexToPhysicalPoint((volume.grid.shape[1] - 1, volume.grid.shape[0] - 1, 0))
        assert np.abs(np.array(theirs) - corner).max() < 1e-4
        values = sitk.GetArrayFromImage(image)[0]
        assert np.allclose(values, volume.array[0, :, :, k], rtol=1e-6, atol=1e-4)


def test_pet_slope_of_each_slice() -> None:
    folder = kit("dicom_pet_seg/pet")
    volume = read_volume(folder)
    assert volume.unit == "BQML"
    assert volume.array.dtype == np.float32
    for k, file in list(enumerate(list_series(folder)[0].files))[::23]:
        dataset = pydicom.dcmread(file)
        expected = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert np.allclose(volume.array[0, :, :, k], expected, rtol=1e-6)


@pytest.mark.parametrize("name", NIFTI)
def test_nifti_agrees_with_nibabel_and_simpleitk(name: str) -> None:
    path = kit(f"nifti_misc/{name}")
    volume = read_volume(path)
    theirs = nibabel.load(path)
    assert np.abs(volume.grid.affine - theirs.affine).max() < 1e-4
    data = np.asanyarray(theirs.dataobj)
    data = data[None] if data.ndim == 3 else np.moveaxis(data, 3, 0)
    assert np.allclose(volume.array, data, rtol=1e-6)
    assert (volume.channel == "time") == (theirs.ndim == 4)
    if theirs.ndim == 3:
        same_world(volume, sitk.ReadImage(str(path)))


@pytest.mark.parametrize("name", NRRD)
def test_nrrd_agrees_with_simpleitk(name: str) -> None:
    path = kit(name)
    same_world(read_volume(path), sitk.ReadImage(str(path)))


def test_hippocampus_images_and_labels_agree_with_nibabel() -> None:
    folder = kit("hippocampus")
    for path in [*sorted((folder / "imagesTr").iterdir())[:12], *sorted((folder / "labelsTr").iterdir())[:12]]:
        volume, theirs = read_volume(path), nibabel.load(path)
        assert np.abs(volume.grid.affine - theirs.affine).max() < 1e-4
        assert np.array_equal(volume.array[0], np.asanyarray(theirs.dataobj))


def test_enhanced_time_series_agrees_with_simpleitk_frame_by_frame() -> None:
    folder = kit("dicom_mr_enhanced")
    volume = read_volume(folder)
    assert volume.array.shape == (4, 64, 64, 6)
    assert volume.channel == "time"
    for t, path in enumerate(sorted(folder.glob("*.dcm"))):
        image = sitk.ReadImage(str(path))
        values = sitk.GetArrayFromImage(image)
        dataset = pydicom.dcmread(path)
        for n, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
            k = volume.grid.index(place * FLIP)
            assert np.abs(k - np.rint(k)).max() < 1e-3
            assert np.array_equal(volume.array[t, :, :, round(float(k[2]))], values[n])


def test_segmentation_lies_on_its_pet() -> None:
    pet, seg = read_volume(kit("dicom_pet_seg/pet")), read_volume(kit("dicom_pet_seg/seg"))
    assert int((seg.array > 0).sum()) > 0
    index = pet.grid.index(seg.grid.world(np.argwhere(seg.array[0] > 0)))
    assert np.abs(index - np.rint(index)).max() < 1e-2
    # a tumour is marked where the tracer is: hand check of the sense of the axes
    i, j, k = np.rint(index).astype(int).T
    assert pet.array[0, i, j, k].mean() > 5 * pet.array[0].mean()


def test_liver_segmentation_equals_dcmqi_nrrd() -> None:
    seg = read_volume(kit("dicom_ct_liver_seg/seg/liver.dcm"))
    same_world(seg, sitk.ReadImage(str(kit("dicom_ct_liver_seg/nrrd/liver_seg.nrrd"))))


def letter_f() -> np.ndarray:
    """No flip or transpose maps it to itself."""
    f = np.zeros((9, 7, 5), np.int16)
    f[1:8, 1, 1:4] = 100
    f[1, 1:6, 1:4] = 200
    f[4, 1:4, 2:4] = 300
    f[7, 5, 3] = 999  # the landmark
    return f


def oblique(spacing: tuple[float, float, float]) -> np.ndarray:
    """RAS affine: turned about two axes, origin off centre."""
    a, b = np.deg2rad(17), np.deg2rad(-31)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tip = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tip * spacing
    affine[:3, 3] = (-12.5, 33.25, 7.125)
    return affine


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_letter_f_and_landmark(tmp_path: Path, suffix: str) -> None:
    f, affine = letter_f(), oblique((0.7, 1.1, 2.3))
    path = tmp_path / f"f{suffix}"
    if suffix.startswith(".nii"):
        nibabel.save(nibabel.Nifti1Image(f, affine), path)
    else:
        image = sitk.GetImageFromArray(f.transpose(2, 1, 0))
        lps = np.diag([-1, -1, 1]) @ affine[:3, :3]
        image.SetSpacing(np.linalg.norm(lps, axis=0).tolist())
        image.SetDirection((lps / np.linalg.norm(lps, axis=0)).ravel().tolist())
        image.SetOrigin((affine[:3, 3] * FLIP).tolist())
        sitk.WriteImage(image, str(path), useCompression=suffix == ".mha")
    volume = read_volume(path)
    assert np.array_equal(volume.array[0], f)
    assert np.abs(volume.grid.affine - affine).max() < 1e-4
    landmark = volume.grid.world(np.argwhere(volume.array[0] == 999)[0])
    assert np.allclose(landmark, affine[:3, :3] @ (7, 5, 3) + affine[:3, 3], atol=1e-4)


@pytest.mark.parametrize("turned", [False, True])
def test_letter_f_as_dicom(tmp_path: Path, turned: bool) -> None:
    """Slices written by SimpleITK under names in reverse order come back upright and in place."""
    f, affine = letter_f(), oblique((1.1, 0.7, 2.3))
    lps = np.diag([-1, -1, 1]) @ affine[:3, :3]
    columns, rows = lps[:, 1] / 0.7, lps[:, 0] / 1.1
    step = np.cross(columns, rows) * 2.3
    for k in range(5):
        image = sitk.GetImageFromArray(f[None, :, :, k])
        image.SetSpacing((0.7, 1.1, 2.3))
        image.SetMetaData("0020|0032", "\\".join(f"{v:.6f}" for v in affine[:3, 3] * FLIP + k * step))
        image.SetMetaData("0020|0037", "\\".join(f"{v:.8f}" for v in (*columns, *rows)))
        image.SetMetaData("0020|000e", "1.2.3.4")
        image.SetMetaData("0008|0060", "MR")
        image.SetOrigin((affine[:3, 3] * FLIP + k * step).tolist())
        image.SetDirection(np.stack([columns, rows, step / 2.3], axis=1).ravel().tolist())
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(tmp_path / f"slice{(5 - k) if turned else k}.dcm"))
        writer.Execute(image)
    volume = read_series(tmp_path)
    assert np.array_equal(volume.array[0], f)
    landmark = volume.grid.world((7, 5, 3)) * FLIP
    expected = affine[:3, 3] * FLIP + 7 * 1.1 * rows + 5 * 0.7 * columns + 3 * step
    assert np.allclose(landmark, expected, atol=1e-4)


def test_written_nifti_is_read_by_simpleitk_at_the_same_place(tmp_path: Path) -> None:
    volume = read_volume(kit("dicom_ct_liver_seg/ct"))
    path = write_nifti(tmp_path / "ct.nii.gz", volume.array[0], volume.grid, unit="HU")
    same_world(volume, sitk.ReadImage(str(path)))
    again = read_volume(path)
    assert np.array_equal(again.array, volume.array)
    assert np.abs(again.grid.affine - volume.grid.affine).max() < 1e-4
