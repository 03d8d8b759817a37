"""What every intensity method promises."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from scanwright.core import Intensity
from scanwright.preprocessing import INTENSITY, percentiles

SPECS = {
    "window": Intensity(method="window", low=-1000, high=400),
    "range": Intensity(method="range", low=0, high=255),
    "percentile": Intensity(method="percentile", low=0.5, high=99.5),
    "zscore": Intensity(method="zscore", low=5, high=4),
}


def test_every_method_of_a_plan_is_in_the_table() -> None:
    assert set(INTENSITY) == set(get_args(Intensity.model_fields["method"].annotation)) == set(SPECS)


@pytest.mark.parametrize("method", INTENSITY)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64, np.bool_])
def test_values_of_any_type_become_zero_to_one(method: str, dtype: type) -> None:
    values = np.random.default_rng(0).normal(100, 60, (1, 9, 8, 7)).clip(0, 250).astype(dtype)
    before = values.copy()
    result = INTENSITY[method](values, SPECS[method])
    assert result.dtype == np.float32
    assert result.shape == values.shape
    assert result.min() >= 0
    assert result.max() <= 1
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("method", INTENSITY)
def test_order_is_kept(method: str) -> None:
    values = np.linspace(-1200, 600, 500, dtype=np.float32).reshape(1, 10, 10, 5)
    assert (np.diff(INTENSITY[method](values, SPECS[method]).ravel()) >= 0).all()


@pytest.mark.parametrize("method", INTENSITY)
@pytest.mark.parametrize("value", [0, 7.5, -3000])
def test_a_constant_image_stays_finite(method: str, value: float) -> None:
    assert np.isfinite(INTENSITY[method](np.full((1, 4, 4, 1), value, np.float32), SPECS[method])).all()


@pytest.mark.parametrize("method", ["percentile", "zscore"])
def test_methods_per_case_do_not_see_scale_and_offset(method: str) -> None:
    values = np.random.default_rng(0).gamma(2, 40, (1, 16, 16, 4)).astype(np.float32)
    np.testing.assert_allclose(
        INTENSITY[method](values * 7 + 300, SPECS[method]), INTENSITY[method](values, SPECS[method]), atol=2e-4
    )


def test_a_window_in_hu_by_hand() -> None:
    values = np.array([-2000, -1000, -300, 400, 3000], np.int16).reshape(1, 5, 1, 1)
    np.testing.assert_allclose(INTENSITY["window"](values, SPECS["window"]).ravel(), [0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_percentiles_are_those_of_numpy(dtype: type) -> None:
    values = np.random.default_rng(0).integers(0, 200, (31, 17)).astype(dtype)
    np.testing.assert_allclose(
        percentiles(values, (0.5, 5, 50, 99.5)), np.percentile(values, (0.5, 5, 50, 99.5)), rtol=1e-6
    )
