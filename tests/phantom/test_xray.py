"""The X-ray obeys Beer-Lambert, shows the nodule where it is, and repeats itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from scanwright.core import Grid, Volume
from scanwright.core.errors import InputError
from scanwright.phantom import attenuation_per_mm, chest, project, render_ct, render_xray
from scanwright.phantom.anatomy import Ellipsoid, union_length
from scanwright.phantom.xray import line_integrals, xray_grid


def test_water_attenuates_as_nist_says() -> None:
    # NIST XCOM: 0.2059 cm²/g at 60 keV; 60 keV is the mean energy of 109 kV here
    assert float(attenuation_per_mm(0.0, 60 / 0.55)) == pytest.approx(0.02059, rel=1e-3)
    assert float(attenuation_per_mm(-1000.0)) == 0.0
    assert float(attenuation_per_mm(-500.0)) == pytest.approx(0.5 * float(attenuation_per_mm(0.0)))


def test_slab_of_water_and_lung_projects_as_by_hand() -> None:
    array = np.full((1, 40, 6, 5), -1000, dtype=np.int16)
    array[0, 5:15] = 0  # 10 rows of 2 mm water
    array[0, 20:30] = -800  # 10 rows of 2 mm lung
    affine = np.array([[0, -1.0, 0, 0], [-2.0, 0, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    integral = project(Volume(array, Grid((40, 6, 5), affine), unit="HU"), kvp=60 / 0.55)
    assert integral.shape == (6, 5)
    np.testing.assert_allclose(integral, 0.02059 * (20 + 0.2 * 20), rtol=1e-3)
    assert math.exp(-integral[0, 0]) == pytest.approx(0.610, abs=0.001)


def test_projection_wants_hounsfield_units() -> None:
    with pytest.raises(InputError, match="needs CT numbers"):
        project(Volume(np.zeros((1, 2, 2, 2)), Grid((2, 2, 2))))


def test_path_through_a_ball_is_its_chord() -> None:
    low, high = Ellipsoid((0, 5, 0), (10, 10, 10)).interval(np.array([0.0, 6.0, 11.0]), np.array([0.0, 0.0, 0.0]))
    np.testing.assert_allclose(high - low, [20, 16, 0], atol=1e-9)


def test_overlapping_organs_are_not_counted_twice() -> None:
    def of(a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
        return np.array([a]), np.array([b])

    assert union_length([of(0, 10), of(5, 12), of(20, 30), of(25, 26)], of(-5, 28))[0] == pytest.approx(20)


@pytest.mark.parametrize("seed", [3, 4])
def test_xray_and_summed_ct_are_the_same_body(seed: int) -> None:
    patient = chest(seed, rotation_deg=0.0, offset_mm=(0.0, 0.0))
    volume, _ = render_ct(patient, 3.0, noise=False)
    summed = project(volume)
    n = 96
    grid = xray_grid(patient, n)
    direct = line_integrals(patient, grid)
    # columns and slices of the CT where the X-ray's pixels lie, over the lungs and the heart
    rows, columns = np.meshgrid(np.arange(30, 58), np.arange(26, 70), indexing="ij")
    where = grid.world(np.stack([rows, columns, np.zeros_like(rows)], axis=-1))
    index = np.rint(volume.grid.index(where)).astype(int)
    from_ct = summed[index[..., 1], index[..., 2]]
    inside = direct[30:58, 26:70]
    assert np.corrcoef(from_ct.ravel(), inside.ravel())[0, 1] > 0.97
    assert np.median(from_ct / inside) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("seed", range(4))
def test_nodule_shadow_lies_at_the_projected_centre(seed: int) -> None:
    drawn = chest(seed, label="nodule")
    patient = replace(drawn, nodules=drawn.nodules[:1])
    volume, mask = render_xray(patient, size=128)
    row, column, _ = volume.grid.index(patient.nodules[0].centre)
    found = np.argwhere(mask).mean(axis=0)
    assert np.linalg.norm(found - (row, column)) * volume.grid.spacing[0] < 3.0
    area = np.pi * (patient.nodules[0].diameter_mm / 2) ** 2
    assert 0.6 * area < mask.sum() * volume.grid.spacing[0] ** 2 < 2.2 * area


def test_nodule_makes_its_place_denser() -> None:
    healthy = chest(2, label="normal")
    ill = replace(healthy, nodules=chest(2, label="nodule").nodules[:1])
    grid = xray_grid(ill, 96)
    difference = line_integrals(ill, grid) - line_integrals(healthy, grid)
    row, column, _ = np.rint(grid.index(ill.nodules[0].centre)).astype(int)
    # a ball of tissue in lung: (45 - lung) / 1000 times the diameter times water
    expected = ill.nodules[0].diameter_mm * 0.0195 * (ill.nodules[0].hu - ill.lung_hu) / 1000
    assert difference[row, column] == pytest.approx(expected, rel=0.35)


def test_patient_hangs_as_radiologists_expect() -> None:
    volume, _ = render_xray(chest(4, label="normal", rotation_deg=0.0, offset_mm=(0.0, 0.0)), size=128)
    assert volume.grid.orientation[:2] == "IL"
    picture = volume.array[0, :, :, 0].astype(float)
    low_right, low_left = picture[70:78, 46:56].mean(), picture[70:78, 72:82].mean()
    assert low_left > low_right + 200  # the heart lies to the patient's left, the picture's right
    assert picture[100:110, 40:60].mean() > picture[50:60, 30:45].mean()  # the abdomen is below


def test_same_seed_same_pixels_and_another_exam_another_noise() -> None:
    first, _ = render_xray(chest(9), size=64)
    second, _ = render_xray(chest(9), size=64)
    other, _ = render_xray(chest(9, exam=1), size=64)
    np.testing.assert_array_equal(first.array, second.array)
    assert (first.array != other.array).mean() > 0.5
    assert first.array.dtype == np.uint16
    assert first.array.max() <= 4095


def test_tiny_xray_is_refused() -> None:
    with pytest.raises(InputError, match="at least 32"):
        render_xray(chest(0), size=8)
