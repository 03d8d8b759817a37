"""Drawings of structures: what is marked where, and colours that every eye tells apart."""

from __future__ import annotations

import numpy as np
import pytest

from scanwright.report.colours import structure_colours, structure_legend
from scanwright.report.overlays import draw_plane, paint_truth
from scanwright.report.strips import quartiles


def plane(truth: np.ndarray, answer: np.ndarray, **more) -> dict:
    return {
        "name": "axial",
        "picture": np.full(truth.shape, 120, np.uint8),
        "truth": truth,
        "answer": answer,
        "aspect": 1.0,
        **more,
    }


def block(rows: slice, columns: slice, value: int = 1, shape=(60, 60)) -> np.ndarray:
    labels = np.zeros(shape, dtype=np.int64)
    labels[rows, columns] = value
    return labels


def test_missed_and_false_places_differ_in_lightness_not_only_in_colour() -> None:
    truth, answer = block(slice(5, 55), slice(5, 40)), block(slice(5, 55), slice(20, 55))
    drawn = draw_plane(plane(truth, answer), 1, side=600)
    grey = drawn.overlay.mean(axis=2)
    missed, right, false = (grey[150:450, s] for s in (slice(70, 180), slice(220, 380), slice(420, 530)))
    assert drawn.seen == {"answer", "truth", "false", "missed"}
    assert right.std() < 3  # plain filling
    assert missed.std() > 30  # dots
    assert false.std() > 15  # stripes
    assert missed.max() > 220  # white dots
    assert false.max() < 200  # no white there
    assert false.min() < 70  # dark stripes


def test_an_answer_of_another_structure_is_false() -> None:
    labels = block(slice(10, 50), slice(10, 50))
    assert "false" in draw_plane(plane(labels, labels * 2), 2).seen
    assert draw_plane(plane(labels, labels), 2).seen == {"answer", "truth"}
    assert draw_plane(plane(labels, labels * 2), 1, objects=True).seen == {"answer", "truth"}


def test_ignored_places_are_neither_right_nor_wrong() -> None:
    labels = block(slice(10, 50), slice(10, 50))
    drawn = draw_plane(plane(np.where(labels > 0, 255, 0), labels), 1)
    assert drawn.seen == frozenset()
    assert np.array_equal(drawn.plain, drawn.overlay)


def test_empty_planes_are_shown_as_they_are() -> None:
    nothing = np.zeros((20, 30), dtype=np.int64)
    drawn = draw_plane(plane(nothing, nothing), 3)
    assert drawn.seen == frozenset()
    assert drawn.plain.shape == (240, 360, 3)
    assert np.array_equal(drawn.plain, drawn.overlay)


def test_a_small_structure_gets_a_close_up_of_its_own_place() -> None:
    truth = block(slice(300, 330), slice(100, 130), shape=(512, 512))
    drawn = draw_plane(plane(truth, truth), 1, side=360)
    assert drawn.close
    blue = drawn.overlay[..., 2].astype(int) - drawn.overlay[..., 0]
    rows, columns = np.nonzero(blue > 25)
    assert rows.mean() == pytest.approx(180, abs=12)  # in the middle of the close-up
    assert columns.mean() == pytest.approx(180, abs=12)
    assert np.ptp(rows) > 100  # and large
    white = np.argwhere(drawn.plain.min(axis=2) > 230)
    assert white.mean(axis=0) == pytest.approx([315 * 360 / 512, 115 * 360 / 512], abs=4)  # the frame is round it
    assert not draw_plane(plane(block(slice(5, 50), slice(5, 50)), truth[:60, :60]), 1).close


def test_vessels_are_filled_without_outlines() -> None:
    labels = np.zeros((400, 400), dtype=np.int64)
    labels[:, 100:103] = labels[200:203] = 1
    drawn = draw_plane(plane(labels, labels), 1, side=400)
    assert drawn.seen == {"answer"}
    assert drawn.overlay.min(axis=2).max() < 180  # nothing white


def test_samples_show_the_truth_in_its_colours() -> None:
    labels = block(slice(0, 30), slice(0, 60)) + block(slice(30, 60), slice(0, 60), 2)
    drawn = paint_truth(np.full((60, 60, 3), 120, np.uint8), labels, 2, side=300).astype(int)
    above, below = drawn[75, 150], drawn[225, 150]
    assert above[2] > above[0] + 20  # sky blue
    assert below[0] > below[2] + 20  # orange


def test_the_first_colours_are_those_of_okabe_and_ito() -> None:
    assert structure_colours(7) == [(86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0), (0, 114, 178)]  # fmt: skip
    assert structure_colours(3) == structure_colours(20)[:3]
    assert structure_colours(21)[20] == structure_colours(1)[0]
    assert [row["number"] for row in structure_legend(["a", "b"])] == ["", ""]
    assert [row["number"] for row in structure_legend(list("abcdefg"))][-1] == "7"


@pytest.mark.parametrize(("n", "least"), [(8, 7.0), (20, 5.0)])
def test_colours_are_apart_for_people_without_red_green_or_blue_cones(n: int, least: float) -> None:
    """CIE76 differences after the dichromat projections of Viénot et al. 1999 (about 2.3 is just visible)."""
    for matrix in (np.eye(3), PROTAN, DEUTAN):
        lab = cielab(np.clip(linear(np.array(structure_colours(n))) @ matrix.T, 0, 1))
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)[np.triu_indices(n, 1)]
        assert apart.min() > least


PROTAN = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
DEUTAN = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])


def linear(colours: np.ndarray) -> np.ndarray:
    c = colours / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def cielab(rgb: np.ndarray) -> np.ndarray:
    xyz = rgb @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    f = np.cbrt(xyz / np.array([0.9505, 1.0, 1.089]))
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_whiskers_reach_the_lowest_that_is_not_unusual() -> None:
    values = [1.0, 6.0, 7.0, 8.0, 9.0]  # quartiles 6, 7, 8: the fences lie at 3 and 11
    assert quartiles(values) == (6.0, 6.0, 7.0, 8.0, 9.0)
    assert quartiles([0.5]) == (0.5,) * 5
