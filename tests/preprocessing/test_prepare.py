"""From a volume to an array, and a map back to the source."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations, product

import numpy as np
import pytest

from scanwright.core import FormatError, GeometryError, Grid, InputError, Intensity, Preprocessing, Volume
from scanwright.preprocessing import estimate_intensity, prepare, restore
from scanwright.preprocessing.placement import apply_axes, place

BYTES = Intensity(method="range", low=0, high=255)


def picture(array: np.ndarray, **facts: object) -> Volume:
    array = array if array.ndim == 3 else array[None]
    return Volume(array[..., None], Grid.of_picture(*array.shape[1:]), **facts)  # type: ignore[arg-type]


def letter_f(shape: tuple[int, int, int] = (12, 15, 9)) -> np.ndarray:
    """An F in every plane: no flip or transpose maps it to itself."""
    f = np.zeros(shape, np.float32)
    f[2:4, 2:12, 2:6] = 1
    f[2:9, 10:12, 2:4] = 2
    f[2:7, 6:8, 3:7] = 3
    return f


def spec_2d(size: tuple[int, int], **changes: object) -> Preprocessing:
    return Preprocessing(dimension=2, size=size, **{"intensity": BYTES, **changes})  # type: ignore[arg-type]


def test_a_picture_of_the_right_size_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    ready = prepare(picture(pixels), spec_2d((28, 28)))
    assert ready.shape == (1, 28, 28)
    assert ready.dtype == np.float32
    np.testing.assert_array_equal(np.rint(ready[0] * 255).astype(np.uint8), pixels)


def test_the_result_is_what_half_precision_holds() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (61, 47), dtype=np.uint8)
    ready = prepare(
        picture(pixels),
        spec_2d((28, 28), intensity=Intensity(method="range", low=0, high=255, mean=(0.3,), std=(0.2,))),
    )
    np.testing.assert_array_equal(ready.astype(np.float16).astype(np.float32), ready)


@pytest.mark.parametrize("size", [(28, 28), (96, 50), (300, 171), (256, 77)])
def test_resizing_agrees_with_pillow(size: tuple[int, int]) -> None:
    from PIL import Image

    pixels = np.random.default_rng(1).random((256, 200)).astype(np.float32)
    theirs = np.asarray(Image.fromarray(pixels, mode="F").resize(size[::-1], Image.Resampling.BILINEAR))
    ours = apply_axes(
        pixels[None, ..., None], place(Grid.of_picture(256, 200), Preprocessing(dimension=2, size=size)).axes
    )
    np.testing.assert_allclose(ours[0, ..., 0], theirs, atol=2e-5)


def test_fine_stripes_become_grey_and_not_new_stripes() -> None:
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    ready = prepare(picture(stripes), spec_2d((56, 56)))
    assert np.abs(ready[0, 2:-2, 2:-2] - 0.5).max() < 0.05


def test_colour_becomes_luma_and_grey_becomes_three_channels() -> None:
    red = np.zeros((3, 8, 8), np.uint8)
    red[0] = 255
    assert prepare(picture(red, channel="rgb"), spec_2d((8, 8)))[0, 0, 0] == pytest.approx(0.299, abs=1e-3)
    three = prepare(picture(np.full((8, 8), 100, np.uint8)), spec_2d((8, 8), channels=3))
    assert three.shape == (3, 8, 8)
    assert np.ptp(three) == 0
    kept = prepare(picture(red, channel="rgb"), spec_2d((8, 8), channels=3))
    np.testing.assert_allclose(kept[:, 0, 0], [1, 0, 0])


def test_a_grey_picture_stored_as_rgb_is_the_same_case() -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (32, 40), dtype=np.uint8)
    one = prepare(picture(pixels), spec_2d((28, 28)))
    three = prepare(picture(np.stack([pixels] * 3), channel="rgb"), spec_2d((28, 28)))
    np.testing.assert_allclose(one, three, atol=1e-3)


def test_of_a_time_series_the_mean_is_taken_and_of_other_channels_the_first() -> None:
    frames = np.stack([np.full((4, 4), v, np.float32) for v in (0, 100, 200)])
    assert prepare(picture(frames, channel="time"), spec_2d((4, 4)))[0, 0, 0] == pytest.approx(100 / 255, abs=1e-3)
    assert prepare(picture(frames, channel="channel"), spec_2d((4, 4)))[0, 0, 0] == 0


def test_the_same_answer_from_many_threads() -> None:
    volume = picture(np.random.default_rng(2).integers(0, 4096, (200, 180)).astype(np.float32))
    spec = spec_2d((64, 64), intensity=Intensity())
    alone = prepare(volume, spec)
    with ThreadPoolExecutor(8) as pool:
        for ready in pool.map(lambda _: prepare(volume, spec), range(32)):
            np.testing.assert_array_equal(ready, alone)


def test_what_is_not_finite_is_replaced() -> None:
    pixels = np.linspace(0, 255, 64, dtype=np.float32).reshape(8, 8)
    pixels[0, 0], pixels[3, 3], pixels[7, 7] = np.nan, np.inf, -np.inf
    ready = prepare(picture(pixels), spec_2d((8, 8)))
    assert np.isfinite(ready).all()
    assert ready[0, 3, 3] == pytest.approx(pixels[7, 6] / 255, abs=1e-3)
    assert ready[0, 0, 0] == ready[0, 7, 7] == pytest.approx(pixels[0, 1] / 255, abs=1e-3)
    with pytest.raises(FormatError, match="Not one intensity"):
        prepare(picture(np.full((8, 8), np.nan, np.float32)), spec_2d((8, 8)))


def test_one_constant_value_gives_a_finite_array() -> None:
    for method in ("percentile", "zscore"):
        ready = prepare(picture(np.full((8, 8), 7.0, np.float32)), spec_2d((8, 8), intensity=Intensity(method=method)))
        assert np.isfinite(ready).all()


def test_padding_keeps_proportions_and_takes_the_lowest_value() -> None:
    tall = np.full((100, 50), 200, np.uint8)
    tall[0, 0] = 20
    ready = prepare(picture(tall), spec_2d((20, 20), fit="pad"))[0]
    assert (ready[:, 5:15].mean(axis=0) > 0.75).all()
    np.testing.assert_allclose(ready[:, :5], ready.min())
    np.testing.assert_allclose(ready[:, 15:], ready.min())


def test_cropping_keeps_proportions_and_cuts_the_longer_side() -> None:
    tall = np.zeros((100, 50), np.uint8)
    tall[25:75] = 255
    ready = prepare(picture(tall), spec_2d((20, 20), fit="crop"))[0]
    assert ready[1:-1].min() > 0.9


def test_spacing_is_kept_in_millimetres() -> None:
    array = np.zeros((1, 40, 40, 20), np.float32)
    array[0, 10:30, 10:30, 5:15] = 1  # 20 x 20 x 20 mm
    volume = Volume(array, Grid((40, 40, 20), np.diag([1.0, 1.0, 2.0, 1.0])))
    spec = Preprocessing(
        dimension=3, size=(32, 32, 32), spacing_mm=(2, 2, 2), intensity=Intensity(method="range", low=0, high=1)
    )
    ready = prepare(volume, spec)
    assert ready.sum() * 8 == pytest.approx(20**3, rel=0.02)
    with pytest.raises(GeometryError, match="says nothing of its spacing"):
        prepare(Volume(array, Grid((40, 40, 20), spacing_known=False)), spec)


def test_a_volume_for_a_picture_model_is_refused() -> None:
    volume = Volume(np.zeros((1, 8, 8, 4), np.float32), Grid((8, 8, 4)))
    with pytest.raises(InputError, match="pictures of one slice"):
        prepare(volume, spec_2d((8, 8)))
    with pytest.raises(InputError, match="volumes of several slices"):
        prepare(picture(np.zeros((8, 8), np.uint8)), Preprocessing(dimension=3, size=(8, 8, 8)))


ORIENTATIONS = ["".join(letters) for axes in permutations(("LR", "PA", "IS")) for letters in product(*axes)]


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_letter_f_stands_upright_from_all_48_orientations_and_comes_back(codes: str) -> None:
    nibabel = pytest.importorskip("nibabel")
    upright = letter_f()
    affine = np.diag([2.0, 1.5, 3.0, 1.0])
    affine[:3, 3] = (-10, 20, 5)
    image = nibabel.Nifti1Image(upright, affine)
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(codes))
    turned = image.as_reoriented(turn)
    grid = Grid(turned.shape, turned.affine)
    assert grid.orientation == codes
    volume = Volume(np.asarray(turned.dataobj)[None], grid)
    spec = Preprocessing(
        dimension=3, size=upright.shape, orientation="RAS", intensity=Intensity(method="range", low=0, high=3)
    )
    ready = prepare(volume, spec)
    np.testing.assert_allclose(ready[0] * 3, upright, atol=2e-3)
    np.testing.assert_allclose(restore(ready[0] * 3, grid, spec), volume.array[0], atol=2e-3)


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("codes", ["RAS", "PIL", "SRA"])
def test_a_landmark_comes_back_to_its_place(fit: str, codes: str) -> None:
    """The centre of a bright ball, in mm, before and after."""
    from scanwright.preprocessing import reorient_grid

    base = Grid((40, 52, 30), np.array([[1.1, 0, 0, -20], [0, 0.9, 0, 7], [0, 0, 1.6, 3], [0, 0, 0, 1.0]]))
    grid = reorient_grid(base, codes)
    where = base.world((22.0, 24.0, 13.0))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    ball = np.exp(-(((grid.world(index) - where) ** 2).sum(-1)) / 30).astype(np.float32)
    spec = Preprocessing(
        dimension=3, size=(32, 32, 32), orientation="RAS", fit=fit, intensity=Intensity(method="range", low=0, high=1)
    )  # type: ignore[arg-type]
    ready = prepare(Volume(ball[None], grid), spec)
    back = restore(ready[0], grid, spec)
    assert back.shape == grid.shape
    weights = np.where(back > 0.3, back, 0)
    found = (grid.world(index) * weights[..., None]).sum((0, 1, 2)) / weights.sum()
    np.testing.assert_allclose(found, where, atol=0.15)


def test_a_coarse_map_covers_the_same_field() -> None:
    grid = Grid.of_picture(64, 96)
    coarse = np.zeros((4, 4), np.float32)
    coarse[1, 2] = 1.0
    back = restore(coarse, grid, spec_2d((32, 32)))[..., 0]
    weights = back / back.sum()
    i, j = np.mgrid[:64, :96]
    assert (weights * (i + 0.5)).sum() == pytest.approx(64 * 1.5 / 4, abs=0.5)
    assert (weights * (j + 0.5)).sum() == pytest.approx(96 * 2.5 / 4, abs=0.5)


def test_what_a_crop_cut_away_comes_back_as_zero() -> None:
    back = restore(np.ones((20, 20), np.float32), Grid.of_picture(100, 50), spec_2d((20, 20), fit="crop"))[..., 0]
    assert back[:24].max() == 0
    assert back[76:].max() == 0
    assert back[26:74].min() == 1


def test_padding_is_not_part_of_what_comes_back() -> None:
    padded = np.zeros((20, 20), np.float32)
    padded[:, 5:15] = 1
    back = restore(padded, Grid.of_picture(100, 50), spec_2d((20, 20), fit="pad"))[..., 0]
    assert back[:, 5:45].min() == 1


def test_mean_and_spread_are_those_of_all_training_voxels() -> None:
    rng = np.random.default_rng(0)
    cases = [rng.integers(0, 256, (20, 30), dtype=np.uint8) for _ in range(5)]
    spec = spec_2d((20, 30))
    found = estimate_intensity((picture(c) for c in cases), spec)
    everything = np.concatenate([c.ravel() for c in cases]) / 255
    assert found.mean[0] == pytest.approx(everything.mean(), abs=1e-4)
    assert found.std[0] == pytest.approx(everything.std(), abs=1e-4)
    ready = np.stack([prepare(picture(c), spec.model_copy(update={"intensity": found})) for c in cases])
    assert ready.mean() == pytest.approx(0, abs=1e-2)
    assert ready.std() == pytest.approx(1, abs=1e-2)
    with pytest.raises(InputError, match="no case"):
        estimate_intensity([], spec)
