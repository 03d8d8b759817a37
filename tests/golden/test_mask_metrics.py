"""Figures of masks against MONAI, SimpleITK and DeepMind's surface-distance."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from scanwright.evaluation.masks import Froc, case_figures, instance_figures, surface_distances
from scanwright.evaluation.masks.surface import hausdorff

SHAPE, SPACING = (64, 56, 24), (1.0, 1.2, 2.5)


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    grid = np.meshgrid(*[np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)], indexing="ij")
    return sum((a - c) ** 2 for a, c in zip(grid, centre, strict=True)) <= radius**2


def blobs(seed: int, shape: tuple[int, ...] = (30, 26, 18)) -> list[np.ndarray]:
    """Two ragged masks that share much and touch the edges of the image."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(shape)
    smooth = [ndimage.gaussian_filter(common + rng.standard_normal(shape) * 0.6, 1.6) for _ in range(2)]
    return [field > 0.05 for field in smooth]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.3, 4.0), (1.0, 1.0, 20.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_surface_figures_equal_monai(seed: int, spacing: tuple[float, float, float]) -> None:
    monai = pytest.importorskip("monai.metrics", reason="MONAI is the reference")
    torch = pytest.importorskip("torch", reason="MONAI is the reference")
    truth, answer = blobs(seed)
    found = case_figures(truth, answer, spacing_mm=spacing, tolerance_mm=1.5)
    # MONAI's batches and channels: B C I J K
    pair = {"y_pred": torch.tensor(answer[None, None]), "y": torch.tensor(truth[None, None])}
    more = {"include_background": True, "spacing": spacing}
    expected = {
        "hd95_mm": monai.compute_hausdorff_distance(**pair, **more, percentile=95),
        "assd_mm": monai.compute_average_surface_distance(**pair, **more, symmetric=True),
        "nsd": monai.compute_surface_dice(**pair, **more, class_thresholds=[1.5]),
        "dice": monai.compute_dice(**pair),
        "iou": monai.compute_iou(**pair),
    }
    assert {n: found[n] for n in expected} == pytest.approx({n: float(v) for n, v in expected.items()}, abs=1e-5)


def test_a_picture_equals_monai_in_two_dimensions() -> None:
    monai = pytest.importorskip("monai.metrics", reason="MONAI is the reference")
    torch = pytest.importorskip("torch", reason="MONAI is the reference")
    truth, answer = blobs(3, (60, 50))
    found = case_figures(truth[..., None], answer[..., None], spacing_mm=(0.5, 0.8, 1.0))
    pair = {"y_pred": torch.tensor(answer[None, None]), "y": torch.tensor(truth[None, None])}
    more = {"include_background": True, "spacing": (0.5, 0.8)}
    assert found["hd95_mm"] == pytest.approx(
        float(monai.compute_hausdorff_distance(**pair, **more, percentile=95)), abs=1e-5
    )
    assert found["assd_mm"] == pytest.approx(
        float(monai.compute_average_surface_distance(**pair, **more, symmetric=True)), abs=1e-5
    )


@pytest.mark.parametrize("seed", [0, 4])
def test_overlaps_equal_simpleitk(seed: int) -> None:
    truth, answer = blobs(seed)
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (answer, truth)))  # source, target
    found = case_figures(truth, answer, spacing_mm=None)
    expected = {
        "dice": measure.GetDiceCoefficient(),
        "iou": measure.GetJaccardCoefficient(),
        "recall": 1 - measure.GetFalseNegativeError(),
        "precision": 1 - measure.GetFalseDiscoveryRate(),
    }
    assert {n: found[n] for n in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("centre", "radius"), [((32, 29, 31), 18), ((45, 45, 40), 12)])
def test_the_largest_distance_equals_simpleitk(centre: tuple, radius: float) -> None:
    """Where neither lies inside the other, the farthest point of a set is on its surface."""
    truth, answer = ball((24, 25, 28), 17), ball(centre, radius)
    images = [sitk.GetImageFromArray(mask.transpose(2, 1, 0).astype(np.uint8)) for mask in (truth, answer)]
    for image in images:
        image.SetSpacing(SPACING)
    measure = sitk.HausdorffDistanceImageFilter()
    measure.Execute(*images)
    found = hausdorff(surface_distances(truth, answer, SPACING), 100)
    assert found == pytest.approx(measure.GetHausdorffDistance(), abs=1e-4)  # its distance map is float32


# surface-distance 0.1 (PyPI), on the balls below: compute_robust_hausdorff(95), the mean of
# compute_average_surface_distance's two, compute_dice_coefficient.
DEEPMIND = [
    (((30, 30, 30), 20), ((32, 29, 31), 18), 3.905124837953327, 1.5457846897232287, 0.8404895249948143),
    (((15, 20, 20), 10), ((45, 45, 40), 12), 43.98908955638887, 32.891891203933584, 0.0),
    (((30, 30, 30), 22), ((30, 30, 30), 9), 13.148764200486674, 12.002701678020484, 0.1311949685534591),
]


@pytest.mark.parametrize(("first", "second", "hd95", "average", "dice"), DEEPMIND)
def test_near_deepmind_surface_distance(first: tuple, second: tuple, hd95: float, average: float, dice: float) -> None:
    """It takes surface elements at the corners of voxels, weighed by area: distances may differ by half a voxel's diagonal."""
    found = case_figures(ball(*first), ball(*second), spacing_mm=SPACING)
    assert found["dice"] == pytest.approx(dice, abs=1e-12)
    half_diagonal = float(np.linalg.norm(SPACING)) / 2
    assert found["hd95_mm"] == pytest.approx(hd95, abs=half_diagonal)
    assert found["assd_mm"] == pytest.approx(average, abs=half_diagonal)


def test_panoptic_quality_equals_monai() -> None:
    monai = pytest.importorskip("monai.metrics", reason="MONAI is the reference")
    torch = pytest.importorskip("torch", reason="MONAI is the reference")
    first, second = blobs(5, (90, 80))
    truth, answer = ndimage.label(first)[0], ndimage.label(second)[0]
    found = instance_figures(truth, answer, iou=0.5)
    quality = monai.compute_panoptic_quality(
        torch.tensor(answer), torch.tensor(truth), metric_name="pq", match_iou_threshold=0.5
    )
    assert found["tp"] > 0
    assert found["fp"] > 0
    assert found["panoptic_quality"] == pytest.approx(float(quality), abs=1e-5)


def test_froc_equals_monai() -> None:
    froc = pytest.importorskip("monai.metrics.froc", reason="MONAI is the reference")
    rng = np.random.default_rng(8)
    made = Froc()
    lesions = [np.round(rng.random(n), 2) for n in rng.integers(0, 4, 12)]
    alarms = [np.round(rng.random(n) * 0.8, 2) for n in rng.integers(0, 9, 12)]
    for best, false in zip(lesions, alarms, strict=True):
        made.add_scores(best, false)
    # the reference leaves out its lowest threshold: one candidate below all others makes that empty
    false = np.concatenate([*alarms, [-1.0]])
    x, y = froc.compute_froc_curve_data(false, np.concatenate(lesions), sum(map(len, lesions)), 12)
    rates = (0.25, 0.5, 1, 2, 4)
    expected = froc.compute_froc_score(x, y, rates)
    assert made.at_rates()[0][1:6].mean() == pytest.approx(float(expected), abs=1e-12)
    assert set(zip(made.curve()["x"], made.curve()["y"], strict=True)) == {
        (round(float(a), 6), round(float(b), 6)) for a, b in zip(x, y, strict=True)
    }
