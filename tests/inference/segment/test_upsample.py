"""Structures come back where they are in the body, whatever the turn and the spacing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scanwright.core import Grid, Volume
from scanwright.inference.engines import open_engine
from scanwright.inference.segment import Decision, Slab, lay_out_half, on_source, slide, slide_slabs
from scanwright.preprocessing import lattice, lay_out

TURNED = {
    "LPS, axes permuted": np.array([[0, -0.9, 0, 60], [0, 0, -1.4, 70], [1.1, 0, 0, -20], [0, 0, 0, 1.0]]),
    "oblique": np.array([[1.0, -0.25, 0.1, -30], [0.25, 1.0, 0, -40], [-0.1, 0, 2.0, 5], [0, 0, 0, 1.0]]),
    "RAS": np.diag([1.0, 1.3, 2.5, 1.0]),
}
LANDMARK = np.array([31.0, 34.0, 30.0])


def letter(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The letter F, 60 mm high, and a ball of 9 mm around the landmark, in world coordinates."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    centre = grid.world((np.array(grid.shape) - 1) / 2)
    x, y, z = np.moveaxis(grid.world(index) - centre, -1, 0)
    body = (np.abs(y) < 8) & (np.abs(z) < 30)
    stem = (x > -20) & (x < -10)
    bars = (x > -20) & (((z > 20) & (x < 18)) | ((z > -2) & (z < 8) & (x < 8)))
    mark = (x - 14) ** 2 + (y - 5) ** 2 + (z + 18) ** 2 < 9**2
    return body & (stem | bars), mark


@pytest.mark.parametrize("name", list(TURNED))
@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0), (1.7, 1.5, 2.2)])
def test_the_letter_f_and_a_landmark_come_back(network: Any, plan: Any, name: str, spacing: Any) -> None:
    shape = {"LPS, axes permuted": (70, 80, 60), "oblique": (80, 80, 40), "RAS": (80, 60, 32)}[name]
    grid = Grid(shape, TURNED[name])
    stem, mark = letter(grid)
    volume = Volume(np.stack([stem, mark]).astype(np.uint8) * 255, grid)
    chosen = plan(("letter", "mark"), size=(24, 24, 24), channels=2, orientation="RAS", spacing_mm=spacing)
    kernel = np.array([[-8.0, -8.0], [8.0, -8.0], [-8.0, 8.0]]).reshape(3, 2, 1, 1, 1)
    engine = open_engine(network((24, 24, 24), kernel, [8.0, 0.0, 0.0]), threads=1).engine
    slabs = slide_slabs(engine, lay_out_half(volume, chosen.preprocessing), chosen)
    found = on_source(slabs, lattice(grid, chosen.preprocessing), Decision.of(chosen), n_outputs=3)
    for number, truth in ((1, stem), (2, mark)):
        answer = found.labels == number
        dice = 2 * (answer & truth).sum() / (answer.sum() + truth.sum())
        assert dice > (0.999 if spacing is None else 0.93), (number, dice)
    where = grid.world(np.argwhere(found.labels == 2)).mean(axis=0)
    expected = grid.world((np.array(shape) - 1) / 2) + np.array([14, 5, -18])
    assert np.abs(grid.index(where) - grid.index(expected)).max() < 0.5
    assert found.chances is not None
    assert ((found.chances > 0.5) == (found.labels > 0)).mean() > 0.99


def test_the_lattice_of_the_source_itself_is_taken_over_exactly(plan: Any) -> None:
    random = np.random.default_rng(1)
    grid = Grid((9, 10, 11), np.diag([1.0, 2.0, 3.0, 1.0]))
    logits = random.normal(size=(4, 9, 10, 11)).astype(np.float32)
    slabs = [Slab(1, n, n + 2, logits[:, :, n : n + 2]) for n in range(0, 10, 2)]
    found = on_source(slabs, lattice(grid, plan().preprocessing), Decision(), n_outputs=4)
    np.testing.assert_array_equal(found.labels, logits.argmax(axis=0))
    powers = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(found.chances, 1 - powers[0] / powers.sum(axis=0), atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spacing", [(0.6, 2.0, 3.5), (2.0, 0.7, 0.9)])
def test_slab_by_slab_gives_what_the_whole_gives(plan: Any, axis: int, spacing: Any) -> None:
    random = np.random.default_rng(2)
    grid = Grid((19, 21, 12), np.diag([1.0, 1.0, 2.0, 1.0]))
    placement = lattice(grid, plan(spacing_mm=spacing, orientation="LAS").preprocessing)
    shape = tuple(a.n_out for a in placement.axes)
    logits = random.normal(size=(3, *shape)).astype(np.float32)
    whole = on_source([Slab(axis, 0, shape[axis], logits)], placement, Decision(), n_outputs=3)
    pieces = []
    for n in range(0, shape[axis], 2):
        cut = (slice(None),) * (axis + 1) + (slice(n, n + 2),)
        pieces.append(Slab(axis, n, min(n + 2, shape[axis]), logits[cut]))
    found = on_source(pieces, placement, Decision(), n_outputs=3)
    assert (found.labels == whole.labels).mean() > 0.9999
    np.testing.assert_allclose(found.chances, whole.chances, atol=1e-5)


def test_resampled_logits_agree_with_scipy(plan: Any) -> None:
    from scipy import ndimage

    grid = Grid((24, 20, 16), np.eye(4))
    placement = lattice(grid, plan(spacing_mm=(2.0, 2.0, 2.0)).preprocessing)
    logits = np.random.default_rng(3).normal(size=(2, 12, 10, 8)).astype(np.float32)
    found = on_source([Slab(0, 0, 12, logits)], placement, Decision(), n_outputs=2)
    index = np.meshgrid(*((np.arange(n) + 0.5) / 2 - 0.5 for n in (24, 20, 16)), indexing="ij")
    expected = np.stack([ndimage.map_coordinates(one, index, order=1, mode="nearest") for one in logits])
    margin = np.abs(expected[1] - expected[0]) > 1e-4
    np.testing.assert_array_equal(found.labels[margin], expected.argmax(axis=0)[margin])


def test_regions_may_overlap_and_have_thresholds_of_their_own(plan: Any) -> None:
    grid = Grid((2, 2, 1), np.eye(4))
    logits = np.array([[[2.0, 2.0], [-2.0, 0.5]], [[2.0, -2.0], [2.0, -3.0]]], np.float32)[..., None]
    placement = lattice(grid, plan().preprocessing)
    found = on_source(
        [Slab(0, 0, 2, logits)], placement, Decision("regions", thresholds=(0.7, 0.5), each=True), n_outputs=2
    )
    assert found.regions is not None
    np.testing.assert_array_equal(found.regions[0, ..., 0], [[True, True], [False, False]])  # sigmoid(0.5) is 0.62
    np.testing.assert_array_equal(found.regions[1, ..., 0], [[True, False], [True, False]])
    np.testing.assert_array_equal(found.labels[..., 0], [[2, 1], [2, 0]])
    np.testing.assert_allclose(found.each, 1 / (1 + np.exp(-logits)), atol=1e-3)
    np.testing.assert_allclose(found.chances[..., 0], 1 / (1 + np.exp([[-2.0, -2.0], [-2.0, -0.5]])), atol=1e-6)


def test_half_the_memory_changes_no_value(plan: Any, monkeypatch: Any) -> None:
    from scanwright.core import Intensity
    from scanwright.inference.segment import prepared

    monkeypatch.setattr(prepared, "_PIECE_VALUES", 4096)
    random = np.random.default_rng(4)
    grid = Grid((30, 26, 24), TURNED["LPS, axes permuted"])
    volume = Volume(random.integers(-1000, 1000, (1, *grid.shape)).astype(np.int16), grid, unit="HU")
    spec = plan(
        orientation="RAS",
        spacing_mm=(1.4, 1.4, 2.0),
        intensity=Intensity(method="window", low=-800, high=300, mean=(0.4,), std=(0.3,)),
    ).preprocessing
    pieces: list[int] = []
    monkeypatch.setattr(prepared, "lay_out", lambda *given: pieces.append(1) or lay_out(*given))
    np.testing.assert_array_equal(lay_out_half(volume, spec), lay_out(volume, spec))
    assert len(pieces) > 3, "the piecewise way was taken"


def test_a_picture_with_a_2d_network(network: Any, plan: Any) -> None:
    chosen = plan(dimension=2, size=(16, 16))
    rows = np.zeros((1, 40, 23, 1), dtype=np.uint8)
    rows[0, 5:30, 4:9] = rows[0, 5:10, 4:20] = 255
    volume = Volume(rows, Grid.of_picture(40, 23))
    engine = open_engine(network((16, 16), np.array([-8.0, 8.0]).reshape(2, 1, 1, 1), [4.0, -4.0]), threads=1).engine
    array = lay_out(volume, chosen.preprocessing)
    slabs = slide_slabs(engine, array, chosen)
    found = on_source(slabs, lattice(volume.grid, chosen.preprocessing), Decision.of(chosen), n_outputs=2)
    np.testing.assert_array_equal(found.labels, rows[0] // 255)
    assert slide(engine, array, chosen).shape == (2, 40, 23, 1)
