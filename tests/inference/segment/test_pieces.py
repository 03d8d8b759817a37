"""Lesions are measured in millimetres, against shapes whose figures are known."""

from __future__ import annotations

import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scanwright.core import Grid, LabelMap, Volume
from scanwright.inference.segment.pieces import amounts, lesions_of, pieces_of
from scanwright.io import read_volume


def ct(array: np.ndarray, grid: Grid) -> Volume:
    return Volume(array[None], grid, unit="HU", modality="CT")


def test_a_ball_and_a_box_are_measured() -> None:
    grid = Grid((80, 80, 40), np.diag([0.8, 0.8, 2.0, 1.0]))
    i, j, k = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    ball = ((i - 20) * 0.8) ** 2 + ((j - 30) * 0.8) ** 2 + ((k - 15) * 2.0) ** 2 <= 10**2
    labels = ball.astype(np.uint8)
    labels[60:70, 40:45, 20:22] = 1
    labels[70, 45, 22] = 1  # touches the box by a corner
    labels[5:8, 70:72, 3] = 2
    values = np.where(ball, 60, -50).astype(np.int16)
    values[20, 30, 15] = 75
    chances = np.where(labels > 0, 0.75, 0.1).astype(np.float32)
    found = lesions_of(LabelMap(labels, grid), chances, ct(values, grid), ("tumour", "node"))
    assert [(one.number, one.structure) for one in found] == [(1, "tumour"), (2, "tumour"), (3, "node")]
    first, second, third = found
    assert first.volume_ml == pytest.approx(4 / 3 * np.pi, rel=0.03)  # a ball of 1 cm radius: 4.19 mL
    assert first.longest_mm == pytest.approx(20, abs=0.9)
    assert first.perpendicular_mm == pytest.approx(20, abs=0.9)
    assert first.slice == 15
    assert first.centroid == pytest.approx((20, 30, 15), abs=1e-6)
    assert first.centroid_mm == pytest.approx((16, 24, 30), abs=1e-6)
    assert (first.low, first.high, first.unit) == (60, 75, "HU")
    assert first.probability == pytest.approx(0.75)
    assert first.side == "left", "x is 16 mm of 63 mm, and rises towards the right"
    assert second.side == "right"
    assert second.n_voxels == 101
    assert second.volume_ml == pytest.approx(101 * 0.8 * 0.8 * 2 / 1000)
    assert second.longest_mm == pytest.approx(np.hypot(9 * 0.8 + 0.8, 4 * 0.8), abs=0.25)
    assert second.box == ((60, 70), (40, 45), (20, 22))
    assert third.n_voxels == 6
    told = amounts(LabelMap(labels, grid), ("tumour", "node"))
    assert told["node"] == pytest.approx(6 * 1.28 / 1000)
    assert told["tumour"] == pytest.approx(first.volume_ml + second.volume_ml)


def test_a_picture_has_areas_and_no_side() -> None:
    grid = Grid.of_picture(30, 40, (0.5, 0.5))
    labels = np.zeros((30, 40, 1), np.uint8)
    labels[5:15, 8:28] = 1
    volume = Volume(np.zeros((1, 30, 40, 1), np.uint8), grid)
    (one,) = lesions_of(LabelMap(labels, grid), None, volume, ("lesion",))
    assert one.area_mm2 == pytest.approx(50)
    assert (one.volume_ml, one.centroid_mm, one.side) == (None, None, "")
    assert amounts(LabelMap(labels, grid), ("lesion",)) == {"lesion": pytest.approx(50)}
    unknown = Grid.of_picture(30, 40)
    (one,) = lesions_of(LabelMap(labels, unknown), None, Volume(volume.array, unknown), ("lesion",))
    assert one.area_mm2 is None
    assert one.longest_mm == pytest.approx(np.hypot(20, 9), abs=0.1), "pixels; a corner pixel's edge counts half"


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_the_side_in_a_nifti_file_follows_its_affine(tmp_path: Path, form: str) -> None:
    array = np.zeros((20, 16, 12), np.int16)
    array[2:6, 4:9, 3:7] = 90  # low i: left of the middle where i runs to the right
    labels = (array > 0).astype(np.uint8)
    sides = {}
    for name, step, code in (("right along i", 1.5, 1), ("left along i", -1.5, 1), ("unplaced", 1.5, 0)):
        affine = np.diag([step, 1.5, 2.0, 1.0])
        affine[:3, 3] = (-7 if step > 0 else 21, 4, 9)  # off zero, so that the middle counts and not x itself
        image = nibabel.Nifti1Image(array, affine)
        image.set_sform(affine, code if form == "sform" else 0)
        image.set_qform(affine, code if form == "qform" else 0)
        nibabel.save(image, tmp_path / "one.nii.gz")
        volume = read_volume(tmp_path / "one.nii.gz")
        (one,) = lesions_of(LabelMap(labels, volume.grid), None, volume, ("lesion",))
        sides[name] = one.side
    assert sides == {"right along i": "left", "left along i": "right", "unplaced": ""}


def test_overlapping_regions_and_objects() -> None:
    grid = Grid((10, 10, 10), np.eye(4))
    regions = np.zeros((2, 10, 10, 10), bool)
    regions[0, 1:9, 1:9, 1:9] = regions[1, 3:5, 3:5, 3:5] = True
    labels = LabelMap(regions[0].astype(np.uint8) + regions[1], grid)
    volume = ct(np.zeros(grid.shape, np.int16), grid)
    found = lesions_of(labels, None, volume, ("whole", "core"), regions=regions)
    assert [(one.structure, one.n_voxels) for one in found] == [("whole", 512), ("core", 8)]
    numbered = np.zeros(grid.shape, np.int32)
    numbered[0:2, 0:2, 0:2], numbered[2:5, 0:2, 0:2] = 1, 2  # touching objects stay two
    found = lesions_of(LabelMap(numbered, grid), None, volume, ("nucleus",), instances=True)
    assert [one.n_voxels for one in found] == [12, 8]


def test_only_the_largest_are_listed_and_the_rest_is_counted() -> None:
    grid = Grid((30, 30, 10), np.eye(4))
    labels = np.zeros(grid.shape, np.uint8)
    labels[::3, ::3, ::3] = 1
    labels[0:2, 0, 0] = 1
    found = pieces_of(LabelMap(labels, grid), None, ct(np.zeros(grid.shape, np.int16), grid), ("spot",), most=5)
    assert [one.n_voxels for one in found.lesions] == [2, 1, 1, 1, 1]
    assert found.warnings == ("spot has 400 pieces; the 5 largest are listed, the others have 395 voxels together.",)


def test_nothing_found_is_a_valid_result() -> None:
    grid = Grid((8, 8, 8), np.eye(4))
    empty = LabelMap(np.zeros(grid.shape, np.uint8), grid)
    assert lesions_of(empty, None, ct(np.zeros(grid.shape, np.int16), grid), ("a", "b")) == ()


@pytest.mark.slow
def test_a_thousand_lesions_in_a_large_ct_take_seconds() -> None:
    grid = Grid((512, 512, 300), np.diag([0.7, 0.7, 1.0, 1.0]))
    labels = np.zeros(grid.shape, np.uint8)
    labels[20::50, 20::50, 20::30] = 1
    labels[100:150, 100:150, 100:150] = 2
    began = time.process_time()
    found = pieces_of(LabelMap(labels, grid), None, ct(np.zeros(grid.shape, np.int16), grid), ("a", "b"))
    assert len(found.lesions) == 201
    assert time.process_time() - began < 20
