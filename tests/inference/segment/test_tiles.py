"""Windows cover everything, evenly, and count most in their middle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanwright.core import InputError
from scanwright.inference.segment.tiles import gaussian, starts, windows


@given(n=st.integers(1, 300), size=st.integers(1, 128), overlap=st.floats(0, 0.9))
def test_every_voxel_is_covered_and_the_last_window_ends_with_the_axis(n: int, size: int, overlap: float) -> None:
    found = starts(n, size, overlap)
    covered = np.zeros(max(n, size), dtype=bool)
    for start in found:
        covered[start : start + size] = True
    assert covered.all()
    assert found[0] == 0
    assert found[-1] + size == max(n, size)
    assert found == sorted(set(found))
    steps = np.diff(found)
    assert steps.size == 0 or steps.max() - steps.min() <= 1, "evenly spread"
    assert steps.size == 0 or steps.max() <= max(1, np.ceil(size * (1 - overlap))), "the overlap is kept"


def test_the_windows_are_those_of_nnu_net() -> None:
    # nnU-Net's own test case: image 110, window 64, steps of half a window
    assert starts(110, 64, 0.5) == [0, 23, 46]
    assert windows((110, 64), (64, 64), 0.5) == [(0, 0), (23, 0), (46, 0)]


def test_weights_agree_with_monai() -> None:
    from monai.data.utils import compute_importance_map

    expected = compute_importance_map((16, 20, 24), mode="gaussian", sigma_scale=0.125).numpy()
    np.testing.assert_allclose(gaussian((16, 20, 24)), expected, atol=1e-6)


def test_an_impossible_overlap_is_refused() -> None:
    with pytest.raises(InputError, match="overlap of 1 "):
        windows((10,), (5,), 1.0)
