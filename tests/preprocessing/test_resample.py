"""Sampling on another grid, beside SimpleITK."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from scanwright.core import GeometryError, Grid, InputError, Volume
from scanwright.preprocessing import reorient, resample

FLIP = np.diag([-1.0, -1.0, 1.0])


def to_sitk(array: np.ndarray, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    spacing = np.asarray(grid.spacing)
    image.SetSpacing([float(s) for s in spacing])
    image.SetOrigin([float(v) for v in FLIP @ grid.affine[:3, 3]])
    image.SetDirection([float(v) for v in (FLIP @ (grid.affine[:3, :3] / spacing)).ravel()])
    return image


def turned(degrees: float, spacing: tuple[float, float, float], origin: tuple[float, float, float]) -> np.ndarray:
    a, b = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]]) @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


@pytest.fixture
def volume() -> Volume:
    i, j, k = np.mgrid[:31, :27, :19]
    values = np.sin(i / 3) + np.cos(j / 4) * 2 + np.sin(k / 2 + i / 6)
    noise = np.random.default_rng(0).normal(0, 0.1, values.shape)
    return Volume(
        (values + noise).astype(np.float32)[None], Grid((31, 27, 19), turned(20, (0.9, 1.1, 2.0), (-12, 9, 4)))
    )


@pytest.mark.parametrize(
    ("order", "method", "edge"), [(0, sitk.sitkNearestNeighbor, 0), (1, sitk.sitkLinear, 0), (3, sitk.sitkBSpline, 6)]
)
def test_it_agrees_with_simpleitk(volume: Volume, order: int, method: int, edge: int) -> None:
    target = Grid((25, 30, 17), turned(-13, (1.03, 0.97, 1.57), (-10.123, 11.07, 5.31)))
    ours = resample(volume, target, order=order)
    lowest = float(volume.array.min())
    image = sitk.Resample(
        to_sitk(volume.array[0], volume.grid),
        to_sitk(np.zeros(target.shape, np.float32), target),
        sitk.Transform(),
        method,
        lowest,
    )
    theirs = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    inside = (theirs != lowest) & (ours.array[0] != lowest)
    assert inside.mean() > 0.3
    assert (theirs != lowest).sum() == pytest.approx((ours.array[0] != lowest).sum(), abs=5)
    if edge:  # the two continue a spline beyond the border in different ways
        at = volume.grid.index(target.world(np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), -1)))
        inside &= ((at > edge) & (at < np.array(volume.grid.shape) - 1 - edge)).all(-1)
    np.testing.assert_allclose(ours.array[0][inside], theirs[inside], atol=1e-4 * np.ptp(volume.array))


def test_the_same_grid_gives_the_same_values(volume: Volume) -> None:
    np.testing.assert_array_equal(resample(volume, volume.grid).array, volume.array)


def test_a_turned_copy_of_the_grid_gives_the_turned_copy(volume: Volume) -> None:
    other = reorient(volume, "PSR")
    np.testing.assert_allclose(resample(volume, other.grid).array, other.array, atol=1e-4)


def test_reorienting_agrees_with_nibabel(volume: Volume) -> None:
    ours = reorient(reorient(volume, "SPL"), "RAS")
    theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.array[0], volume.grid.affine))
    np.testing.assert_array_equal(ours.array[0], np.asarray(theirs.dataobj))
    np.testing.assert_allclose(ours.grid.affine, theirs.affine, atol=1e-9)


def test_what_cannot_be_sampled_is_refused(volume: Volume) -> None:
    with pytest.raises(GeometryError, match="lies beside"):
        resample(volume, Grid((4, 4, 4), turned(0, (1, 1, 1), (500, 0, 0))))
    with pytest.raises(InputError, match="order 2"):
        resample(volume, volume.grid, order=2)
    with pytest.raises(GeometryError, match="'RAX' is unknown"):
        reorient(volume, "RAX")
