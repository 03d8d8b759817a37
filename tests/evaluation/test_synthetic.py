"""Figures of synthetic images, against closed forms and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scanwright.core import InputError
from scanwright.evaluation.synthetic import (
    SYNTHETIC,
    frechet_distance,
    kernel_distance,
    memorised,
    nearest,
    precision_recall,
    thresholds,
)


def test_frechet_distance_of_gaussians_of_one_number() -> None:
    # two points at m - s and m + s have mean m and variance 2 s² (n - 1 in the denominator)
    a, b = np.array([[0.0], [2.0]]), np.array([[4.0], [10.0]])
    # means 1 and 7, standard deviations √2 and √18: 6² + (√18 - √2)² = 36 + 8
    assert frechet_distance(a, b) == pytest.approx(44.0)


def test_frechet_distance_of_known_gaussians() -> None:
    rng = np.random.default_rng(0)
    n = 40_000
    a = rng.normal(size=(n, 3)) * [1.0, 2.0, 0.5]
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    b = (rng.normal(size=(n, 3)) * [1.0, 2.0, 0.5]) @ turn + [0.0, 0.0, 3.0]
    # covariances diag(1, 4, ¼) and diag(4, 1, ¼) commute: Σ(√a - √b)² = 1 + 1, and the means lie 3 apart
    assert frechet_distance(a, b) == pytest.approx(11.0, abs=0.15)


def test_frechet_distance_does_not_need_covariances_that_commute() -> None:
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(4, 4))
    a, b = rng.normal(size=(400, 4)) @ mix, rng.normal(size=(300, 4)) @ mix.T + 1
    from scipy.linalg import sqrtm

    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(0) - b.mean(0)
    expected = gap @ gap + np.trace(one + two - 2 * np.real(sqrtm(one @ two)))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_by_hand() -> None:
    a, b = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    # k(x, y) = (x y + 1)³: inside a: k(0, 1) = 1; inside b: k(1, 2) = 27; across: k = 1, 1, 8, 27, mean 37 / 4
    mean, spread = kernel_distance(a, b, n_blocks=3)
    assert mean == pytest.approx(1 + 27 - 2 * 37 / 4)
    assert spread == pytest.approx(0)


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(2)
    same = [kernel_distance(rng.normal(size=(60, 5)), rng.normal(size=(60, 5)), n_blocks=1)[0] for _ in range(300)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(300)
    moved = kernel_distance(rng.normal(size=(500, 5)), rng.normal(size=(500, 5)) + 1)[0]
    assert moved > 10 * np.std(same)


def test_precision_and_recall_by_hand() -> None:
    # real points on a line one apart: with k = 1 every ball reaches 1; synthetic: two among them, two far away
    real = np.array([[0.0], [1.0], [2.0], [3.0]])
    synthetic = np.array([[0.5], [1.5], [50.0], [60.0]])
    precision, recall = precision_recall(real, synthetic, k=1)
    assert precision == pytest.approx(0.5)
    # balls around .5 and 1.5 reach 1: they hold 0, 1, 2; those around 50 and 60 reach 10 and hold nothing real
    assert recall == pytest.approx(0.75)


def test_a_generator_of_one_image_is_precise_and_recalls_next_to_nothing() -> None:
    rng = np.random.default_rng(3)
    real = rng.normal(size=(300, 4))
    one = real[np.linalg.norm(real, axis=1).argmin()] + 1e-3 * rng.normal(size=(300, 4))
    precision, recall = precision_recall(real, one)
    assert precision == 1
    assert recall < 0.02


def test_nearest_finds_copies_exactly() -> None:
    rng = np.random.default_rng(4)
    among = rng.normal(size=(200, 30)) * 1e3
    rows = np.concatenate([among[[7, 90]], among[[3]] + 0.5])
    distance, where = nearest(rows, among)
    assert where.tolist() == [7, 90, 3]
    assert distance[:2].tolist() == [0, 0]
    assert distance[2] == pytest.approx(0.5 * np.sqrt(30))


def test_copies_are_alarming_and_new_images_are_not() -> None:
    rng = np.random.default_rng(5)
    train, unseen, fresh = (rng.normal(size=(n, 20)) for n in (400, 300, 1000))
    limits = thresholds(nearest(unseen, train)[0], nearest(unseen * 2, train * 2)[0])
    honest = memorised(nearest(fresh, train)[0], nearest(fresh * 2, train * 2)[0], limits=limits)
    assert not honest.copies[100:].all()
    assert honest.share < 0.03

    copied = fresh.copy()
    copied[:50] = train[:50] + 0.01 * rng.normal(size=(50, 20))
    found = memorised(nearest(copied, train)[0], nearest(copied * 2, train * 2)[0], limits=limits)
    assert found.alarm
    assert found.copies[:50].all()
    assert found.share == pytest.approx((50 + honest.copies[50:].sum()) / 1000)


def test_near_in_pixels_alone_is_no_copy() -> None:
    found = memorised([0.1, 0.1, 5.0], [5.0, 0.1, 0.1], limits=(1.0, 1.0))
    assert found.copies.tolist() == [False, True, False]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="rows of the same length"):
        frechet_distance(np.zeros((5, 3)), np.zeros((5, 4)))
    with pytest.raises(InputError, match="more than 3 of each"):
        precision_recall(np.zeros((3, 2)), np.zeros((9, 2)))


@pytest.mark.parametrize("name", SYNTHETIC)
def test_every_figure_has_its_words(name: str) -> None:
    row = SYNTHETIC[name]
    assert row.title
    assert row.source
    assert row.meaning.endswith(".")
