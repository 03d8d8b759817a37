"""Diameters of shapes whose axes are known."""

from __future__ import annotations

import numpy as np
import pytest

from scanwright.core import InputError
from scanwright.preprocessing.diameters import diameters, length_mm

Y, X = np.mgrid[:121, :151].astype(float)


@pytest.mark.parametrize("angle", [0, 17, 45, 80, 133])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.9)])
def test_an_ellipse_has_the_diameters_of_its_axes(angle: float, spacing: tuple[float, float]) -> None:
    y, x = (Y - 60) * spacing[0], (X - 75) * spacing[1]
    turn = np.radians(angle)
    u, v = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    mask = (u / 27) ** 2 + (v / 14) ** 2 <= 1
    longest, across = diameters(mask, spacing)
    assert length_mm(longest, spacing) == pytest.approx(54, abs=1.2)
    assert length_mm(across, spacing) == pytest.approx(28, abs=1.2)
    direction = np.subtract(*longest) * spacing
    assert abs(direction @ (np.sin(turn), np.cos(turn))) / np.linalg.norm(direction) > 0.995
    other = np.subtract(*across) * spacing
    assert abs(direction @ other) < 1e-6 * np.linalg.norm(direction) * np.linalg.norm(other)


@pytest.mark.parametrize("angle", [0, 30, 61])
def test_a_rectangle_has_its_diagonal_and_what_crosses_it(angle: float) -> None:
    turn, long, short = np.radians(angle), 60.0, 32.0
    u, v = (X - 75) * np.cos(turn) + (Y - 60) * np.sin(turn), -(X - 75) * np.sin(turn) + (Y - 60) * np.cos(turn)
    longest, across = diameters((np.abs(u) <= long / 2) & (np.abs(v) <= short / 2), (1.0, 1.0))
    diagonal = np.hypot(long, short)
    assert length_mm(longest, (1, 1)) == pytest.approx(diagonal, abs=1.5)
    # a line at right angles to the diagonal leaves the rectangle through its long sides
    assert length_mm(across, (1, 1)) == pytest.approx(short * diagonal / long, abs=1.5)


def test_no_pair_of_edge_points_is_further_apart() -> None:
    mask = np.random.default_rng(3).random((40, 50)) < 0.02
    spacing = (0.7, 1.3)
    edge = np.concatenate([np.argwhere(mask) + s for s in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]) * spacing
    furthest = np.linalg.norm(edge[:, None] - edge[None], axis=-1).max()
    assert length_mm(diameters(mask, spacing)[0], spacing) == pytest.approx(furthest)


def test_one_pixel_is_as_wide_as_it_is() -> None:
    mask = np.zeros((5, 5), dtype=bool)
    mask[2, 3] = True
    longest, across = diameters(mask, (2.0, 1.0))
    assert sorted(longest) == [(1.5, 3.0), (2.5, 3.0)]
    assert length_mm(across, (2.0, 1.0)) == pytest.approx(1.0)
    with pytest.raises(InputError, match="has no diameter"):
        diameters(np.zeros((3, 3), dtype=bool), (1.0, 1.0))
