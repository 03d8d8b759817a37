"""Place: orientation, world positions, and how slices hang on a screen."""

from __future__ import annotations

import io

import nibabel
import numpy as np
import pytest
from PIL import Image

from scanwright.core import GeometryError, Grid, Volume, png_bytes

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA", "IAL", "ARS"])
def test_orientation_agrees_with_nibabel(codes: str) -> None:
    affine = nibabel.orientations.inv_ornt_aff(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt(codes), nibabel.orientations.axcodes2ornt("RAS")
        ),
        (5, 6, 7),
    )
    affine = np.linalg.inv(affine)
    assert Grid((5, 6, 7), affine).orientation == "".join(nibabel.aff2axcodes(affine))


def test_world_and_index_are_inverse_on_an_oblique_grid() -> None:
    turn, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * (0.7, 0.9, 2.5)
    affine[:3, 3] = (-10, 20, 30)
    grid = Grid((10, 11, 12), affine)
    points = RNG.uniform(0, 10, (20, 3))
    np.testing.assert_allclose(grid.index(grid.world(points)), points, atol=1e-9)
    np.testing.assert_allclose(grid.spacing, (0.7, 0.9, 2.5), atol=1e-12)
    np.testing.assert_allclose(grid.world((0, 0, 0)), (-10, 20, 30))


def test_impossible_grids_are_refused() -> None:
    with pytest.raises(GeometryError, match="three axes"):
        Grid((4, 4))  # type: ignore[arg-type]
    with pytest.raises(GeometryError, match="invertible"):
        Grid((4, 4, 4), np.zeros((4, 4)))
    with pytest.raises(GeometryError, match="do not fit"):
        Volume(np.zeros((1, 4, 4, 4)), Grid((4, 4, 5)))


def letter_f() -> np.ndarray:
    """Rows x columns; no flip or transpose maps it to itself."""
    f = np.zeros((9, 7), dtype=np.uint8)
    f[1:8, 1] = f[1, 1:6] = f[4, 1:4] = 255
    return f


def test_a_picture_is_shown_as_it_lies() -> None:
    f = letter_f()
    volume = Volume(f[None, :, :, None], Grid.of_picture(*f.shape))
    np.testing.assert_array_equal(volume.picture(), f)


@pytest.mark.parametrize("flip_i", [False, True])
@pytest.mark.parametrize("flip_j", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_an_axial_slice_hangs_with_the_right_side_on_the_left(flip_i: bool, flip_j: bool, swapped: bool) -> None:
    shown = letter_f()  # rows run to posterior, columns to the patient's left
    array = shown.T  # i to L, j to P
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    if flip_i:
        array, affine = array[::-1], affine @ np.diag([-1, 1, 1, 1])
    if flip_j:
        array, affine = array[:, ::-1], affine @ np.diag([1, -1, 1, 1])
    if swapped:
        array, affine = array.T, affine[:, [1, 0, 2, 3]]
    stack = np.repeat(array[None, :, :, None], 3, axis=3)
    np.testing.assert_array_equal(Volume(stack, Grid(stack.shape[1:], affine)).picture(1), shown)


@pytest.mark.parametrize("shape", [(5, 7), (4, 6, 3)])
def test_png_is_read_back_by_pillow(shape: tuple[int, ...]) -> None:
    picture = RNG.integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(picture)))), picture)


def test_the_display_window_is_kept() -> None:
    values = np.array([[[[-1000.0]], [[0.0]], [[40.0]], [[400.0]]]])
    volume = Volume(values, Grid((4, 1, 1)), unit="HU", window=(40, 400))
    plane = volume.picture()
    np.testing.assert_array_equal(plane.ravel(), [0, 102, 127, 255])
