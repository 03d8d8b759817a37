"""Peaks to boxes, many views to one list, boxes back on their source; numbers by hand and a letter F."""

from __future__ import annotations

import numpy as np
import pytest

from scanwright.core import Box, Detection, Grid, Preprocessing, Volume
from scanwright.evaluation.boxes import Found
from scanwright.inference.detect import Views, boxes_of, cluster, decode, draw_boxes, found_in, found_of
from scanwright.preprocessing.boxes import lay_out_shrunk, setting


def test_a_peak_becomes_the_box_that_is_answered_there() -> None:
    answers = np.zeros((2 + 4, 6, 8), np.float32)
    answers[:2] = -8
    answers[1, 2, 3] = 2.0
    answers[1, 2, 4] = 1.0  # its neighbour is no peak
    answers[2:, 2, 3] = (0.5, -0.25, np.log(2), 0.0)
    got = decode(answers, n_classes=2, stride=(4, 4), typical=(3.0, 2.0))
    assert got.labels.tolist() == [1]
    assert got.scores[0] == pytest.approx(1 / (1 + np.exp(-2)))
    # middle: cell (2.5, 2.75) * 4 + 1.5 = (11.5, 12.5); size: 2 * 3 * 4 = 24 and 2 * 4 = 8
    np.testing.assert_allclose(got.corners, [[11.5 - 12, 12.5 - 4, 11.5 + 12, 12.5 + 4]], atol=1e-5)


def views(rows: list[tuple[float, ...]], view: list[int], trust: list[float], expected: float) -> Views:
    table = np.array(rows, dtype=float)
    return Views(
        Found(table[:, :4], table[:, 4].astype(np.intp), table[:, 5]),
        np.array(view),
        np.array(trust),
        np.full(len(rows), expected),
    )


def test_weighted_box_clustering_worked_out_by_hand() -> None:
    """Two views of three that should see the thing: edges weighted by score and trust, the third counts as zero."""
    rows = [(0, 0, 10, 10, 0, 0.8), (1, 0, 11, 10, 0, 0.4), (40, 40, 50, 50, 0, 0.9)]
    got = cluster(views(rows, [0, 1, 0], [1.0, 0.5, 1.0], 3.0), least=0.5)
    assert len(got) == 2
    # score: (0.8 + 0.5 * 0.4) / (1.5 + 1 missing * 0.75) = 1 / 2.25; edges: (0 * 0.8 + 1 * 0.2) / 1 = 0.2
    assert got.scores.tolist() == pytest.approx([1 / 2.25, 0.9 / 3])
    np.testing.assert_allclose(got.corners[0], [0.2, 0, 10.2, 10])


def test_of_one_view_only_the_surest_of_a_cluster_counts_and_classes_stay_apart() -> None:
    rows = [(0, 0, 10, 10, 0, 0.9), (0, 0, 10, 9, 0, 0.3), (0, 0, 10, 10, 1, 0.5)]
    got = cluster(views(rows, [0, 0, 0], [1, 1, 1], 1.0), least=0.5)
    assert got.labels.tolist() == [0, 1]
    assert got.scores.tolist() == pytest.approx([0.9, 0.5])


def _blobs(batch: np.ndarray) -> np.ndarray:
    """A network by rule: cells of 4 x 4 pixels whose mean is high are middles of boxes of 8 x 8."""
    b, _, rows, columns = batch.shape
    mean = batch[:, 0].reshape(b, rows // 4, 4, columns // 4, 4).mean(axis=(2, 4))
    answers = np.zeros((b, 5, rows // 4, columns // 4), np.float32)
    answers[:, 0] = np.where(mean > 0.5, 3.0, -9.0)
    return answers


@pytest.mark.parametrize("mirror_axes", [(), (1,), (0, 1)])
@pytest.mark.parametrize("size", [(64, 96), (32, 32)])
def test_windows_and_mirror_images_find_the_same_boxes(size: tuple[int, int], mirror_axes: tuple[int, ...]) -> None:
    image = np.zeros((1, 64, 96, 1), np.float32)
    for i, j in ((8, 8), (28, 48), (52, 80)):  # corners of whole cells
        image[0, i : i + 4, j : j + 4] = 1
    spec = Preprocessing(dimension=2, size=size)
    detection = Detection(stride=(4, 4), typical=(2.0, 2.0), overlap=0.5)
    got = found_in(_blobs, image, spec=spec, detection=detection, n_classes=1, mirror_axes=mirror_axes)
    true = [[i + 1.5 - 4, j + 1.5 - 4, -0.5, i + 1.5 + 4, j + 1.5 + 4, 0.5] for i, j in ((8, 8), (28, 48), (52, 80))]
    assert len(got) == 3
    np.testing.assert_allclose(sorted(got.corners.tolist()), true, atol=1e-6)
    np.testing.assert_allclose(got.scores, 1 / (1 + np.exp(-3)), atol=1e-6)


def _letter(shape: tuple[int, int, int]) -> np.ndarray:
    letter = np.zeros(shape, np.float32)
    letter[4:20, 6:9] = letter[4:7, 6:16] = letter[10:13, 6:13] = 1
    return letter


def _extent(array: np.ndarray) -> list[float]:
    where = np.argwhere(array > 0.5)
    return [*(where.min(axis=0) - 0.5), *(where.max(axis=0) + 0.5)]


def test_the_box_of_a_letter_goes_with_its_shrunk_picture() -> None:
    volume = Volume(_letter((25, 31, 1))[None] * 200, Grid.of_picture(25, 31))
    spec = Preprocessing(dimension=2, size=(16, 16))
    place = setting(volume.grid, spec, 2)
    there = place.onto([Box(0, (3.5, 5.5, -0.5), (19.5, 15.5, 0.5))])
    np.testing.assert_allclose(there, [[1.5, 2.5, -0.5, 9.5, 7.5, 0.5]])
    np.testing.assert_allclose(place.back(there), [[3.5, 5.5, -0.5, 19.5, 15.5, 0.5]])
    laid = lay_out_shrunk(volume, spec, 2)
    assert laid.shape == (1, 13, 16, 1)
    assert (laid[0, 2:10, 3:5] > laid.min()).all()


def test_the_box_of_a_letter_goes_with_its_turned_volume() -> None:
    """LPS axes in the order k, i, j, 2 mm slices brought to 1 mm: box and voxels must agree."""
    affine = np.array([[0, 0, -1.0, 30], [0, -1.0, 0, 20], [2.0, 0, 0, -7], [0, 0, 0, 1]])
    array = np.zeros((8, 24, 30), np.float32)  # axes S, P, L
    array[2:6, 4:20, 6:9] = array[2:6, 4:7, 6:16] = 1
    volume = Volume(array[None] * 100, Grid(array.shape, affine))
    spec = Preprocessing(dimension=3, size=(16, 16, 16), orientation="RAS", spacing_mm=(1.0, 1.0, 1.0))
    low, high = _extent(array)[:3], _extent(array)[3:]
    box = Box(0, (low[0], low[1], low[2]), (high[0], high[1], high[2]))
    place = setting(volume.grid, spec, 1)
    there = place.onto([box])[0]
    laid = lay_out_shrunk(volume, spec, 1)[0]
    np.testing.assert_allclose(_extent(laid - laid.min() > 0.5 * (laid.max() - laid.min())), there, atol=0.51)
    np.testing.assert_allclose(place.back(there[None])[0], [*low, *high], atol=1e-9)


def test_boxes_are_drawn_where_they_are() -> None:
    volume = Volume(np.zeros((1, 60, 120, 1), np.uint8), Grid.of_picture(60, 120))
    picture = draw_boxes(volume, boxes_of(found_of([Box(0, (9.5, 19.5, -0.5), (29.5, 99.5, 0.5), score=0.9)])))
    assert picture.shape == (240, 480, 3)  # four times as large
    lit = np.argwhere(picture.max(axis=2) > 60)
    assert abs(lit.min(axis=0) - (40, 80)).max() <= 1
    assert abs(lit.max(axis=0) - (119, 399)).max() <= 1
    dashed = draw_boxes(volume, (), [Box(0, (9.5, 19.5, -0.5), (29.5, 99.5, 0.5))])
    top = dashed[40, 80:400].max(axis=1) > 200
    assert 0.4 < top.mean() < 0.8


def test_a_volume_is_hung_as_radiologists_expect() -> None:
    """Axes R, A, S: a box on the patient's right (low i) and in front (high j) is drawn at the left, on top."""
    volume = Volume(np.zeros((1, 40, 40, 4), np.float32), Grid((40, 40, 4), np.diag([-1.0, 1.0, 1.0, 1.0])))
    box = Box(0, (29.5, 29.5, 0.5), (35.5, 35.5, 2.5), score=0.5)  # i runs to the patient's left here
    picture = draw_boxes(volume, [box], k=1)
    lit = np.argwhere(picture.max(axis=2) > 60)
    side = picture.shape[0]
    assert lit[:, 0].max() < side / 2, "in front is on top"
    assert lit[:, 1].min() > side / 2, "the patient's left is at the right"
    assert draw_boxes(volume, [box], k=3).max() == 0
