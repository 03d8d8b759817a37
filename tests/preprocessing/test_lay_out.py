"""Lattices: places, values and labels, there and back."""

from __future__ import annotations

import numpy as np
import pytest

from scanwright.core import GeometryError, Grid, InputError, Intensity, LabelMap, Preprocessing, Volume
from scanwright.preprocessing import lattice, lattice_spacing, lay_labels, lay_out, on_grid, same_place
from scanwright.preprocessing.borders import inside_and_border

PLAIN = Intensity(method="range", low=0.0, high=1.0)


def spec(**changes: object) -> Preprocessing:
    return Preprocessing(dimension=3, size=(8, 8, 8), intensity=PLAIN).model_copy(update=changes)


def lps(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = (40, 30, -20)
    return Grid(shape, affine)


def test_the_source_s_own_voxels_are_kept() -> None:
    grid = lps((5, 6, 7), (1, 1, 2))
    values = np.random.default_rng(0).random((1, 5, 6, 7)).astype(np.float32)
    out = lay_out(Volume(values, grid), spec(orientation="RAS", spacing_mm=(1, 1, 2)))
    assert np.allclose(out[0], values[0, ::-1, ::-1], atol=1e-3)
    assert lattice_spacing(grid, spec(orientation="RAS", spacing_mm=(1, 1, 2))) == (1, 1, 2)


def test_a_landmark_keeps_its_place_in_mm() -> None:
    grid = lps((40, 50, 20), (0.8, 0.8, 3.0))
    labels = np.zeros(grid.shape, np.uint8)
    labels[10:14, 30:34, 6:8] = 1
    wanted = spec(orientation="ASR", spacing_mm=(1.0, 3.0, 1.0))
    placement = lattice(grid, wanted)
    laid = lay_labels(labels, placement)
    centre = np.argwhere(laid == 1).mean(axis=0)
    on_turned = [axis.start + axis.step * c for axis, c in zip(placement.axes, centre, strict=True)]
    index = np.zeros(3)
    for place, (axis, flip) in enumerate(zip(placement.turn.order, placement.turn.flips, strict=True)):
        index[axis] = grid.shape[axis] - 1 - on_turned[place] if flip else on_turned[place]
    true_mm = grid.world(np.argwhere(labels == 1).mean(axis=0))
    assert np.abs(grid.world(index) - true_mm).max() < 0.5
    volume_ml = (laid == 1).sum() * np.prod(lattice_spacing(grid, wanted))
    assert volume_ml == pytest.approx(4 * 4 * 2 * 0.8 * 0.8 * 3, rel=0.35)


def test_each_channel_is_scaled_alone_but_colour_together() -> None:
    grid = Grid((4, 4, 4))
    one = np.linspace(0, 1, 64, dtype=np.float32).reshape(4, 4, 4)
    array = np.stack([one, one * 1000])
    wanted = spec(channels=2, intensity=Intensity(method="percentile", low=0, high=100))
    out = lay_out(Volume(array, grid), wanted)
    assert np.allclose(out[0], out[1], atol=2e-3)
    colour = Volume(np.stack([one, one / 2, one / 4]), grid, channel="rgb")
    out = lay_out(colour, wanted.model_copy(update={"channels": 3}))
    assert out[0].max() == pytest.approx(1, abs=1e-3)
    assert out[2].max() == pytest.approx(0.25, abs=1e-3)


def test_missing_channels_and_spacing_are_named() -> None:
    with pytest.raises(InputError, match="takes 4 channels"):
        lay_out(Volume(np.zeros((1, 4, 4, 4), np.float32), Grid((4, 4, 4))), spec(channels=4))
    unknown = Grid((4, 4, 4), spacing_known=False)
    with pytest.raises(GeometryError, match="says nothing of its spacing"):
        lay_out(Volume(np.zeros((1, 4, 4, 4), np.float32), unknown), spec(spacing_mm=(1, 1, 1)))


def test_a_mask_on_another_grid_is_placed_as_simpleitk_places_it() -> None:
    import SimpleITK as sitk

    rng = np.random.default_rng(1)
    labels = (rng.random((14, 12, 10)) > 0.6).astype(np.uint8) * 3
    own = Grid((14, 12, 10), np.array([[1.1, 0, 0, 5], [0, 0.9, 0.2, -3], [0, -0.1, 2.0, 7], [0, 0, 0, 1.0]]))
    image = Grid((30, 24, 12), np.array([[0.5, 0, 0, 4], [0, 0.5, 0, -4], [0, 0, 1.7, 6], [0, 0, 0, 1.0]]))

    def itk(grid: Grid, array: np.ndarray) -> sitk.Image:
        made = sitk.GetImageFromArray(array.transpose(2, 1, 0))
        steps = np.asarray(grid.spacing)
        made.SetSpacing([float(s) for s in steps])
        made.SetOrigin([float(v) for v in grid.affine[:3, 3]])
        made.SetDirection([float(v) for v in (grid.affine[:3, :3] / steps).ravel()])
        return made

    straight = Grid(own.shape, np.array([[1.1, 0, 0, 5], [0, 0.9, 0, -3], [0, 0, 2.0, 7], [0, 0, 0, 1.0]]))
    found = on_grid(LabelMap(labels, straight), image).array
    target = itk(image, np.zeros(image.shape, np.uint8))
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(itk(straight, labels), target, sitk.Transform(), sitk.sitkNearestNeighbor)
    )
    assert (found == theirs.transpose(2, 1, 0)).mean() > 0.999  # a tie between two voxels may fall either way
    assert not same_place(own, image)


def test_a_mask_elsewhere_is_refused() -> None:
    labels = np.ones((4, 4, 4), np.uint8)
    far = np.eye(4)
    far[:3, 3] = 500
    with pytest.raises(GeometryError, match="lies outside its image: 100%"):
        on_grid(LabelMap(labels, Grid((4, 4, 4), far)), Grid((8, 8, 8)))


def test_touching_objects_get_a_border_between_them() -> None:
    objects = np.zeros((20, 20, 1), np.int32)
    objects[2:10, 2:18] = 7
    objects[10:18, 2:18] = 300
    objects[18:20, 19:20] = 5  # too thin for an inside
    learnt = inside_and_border(objects)
    assert set(np.unique(learnt)) == {0, 1, 2}
    assert ((learnt > 0) == (objects > 0)).all()
    assert (learnt[9:11, 2:18, 0] == 2).all()
    assert (learnt[5, 5:15, 0] == 1).all()
    assert (learnt[objects == 5] == 1).any()
