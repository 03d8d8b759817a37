"""Regions that are part of others lie within them, whatever the network says of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from scanwright.core import Grid, Volume
from scanwright.inference import SegmentPredictor


def test_an_inner_region_lies_within_the_outer_one(network: Any, plan: Any) -> None:
    kernel = np.array([60.0, 30.0, 30.0]).reshape(3, 1, 1, 1, 1)  # the inner region is drawn larger than the outer
    logits = bytes(network((8, 8, 8), kernel, [-30.0, -10.0, -10.0]))
    chosen = plan(("whole", "core", "apart"), {"target": "regions", "codes": ((0,), (0, 1), (2,))})
    array = np.zeros((1, 12, 10, 9), np.uint8)
    array[0, 2:6, 2:6, 2:6] = 120  # only the core and what is apart
    array[0, 7:9, 2:6, 2:6] = 255
    answer = SegmentPredictor.from_network(logits, chosen, threads=1).predict(Volume(array, Grid(array.shape[1:])))
    assert answer.regions is not None
    assert answer.label_map is not None
    bright = array[0] > 0
    np.testing.assert_array_equal(answer.regions[1], bright)
    np.testing.assert_array_equal(answer.regions[0], bright, "the whole holds its core")
    np.testing.assert_array_equal(answer.regions[2], bright)
    assert answer.amounts["whole"] == answer.amounts["core"] == bright.sum() / 1000
    np.testing.assert_array_equal(answer.label_map.array[bright], 3)


def test_regions_that_only_overlap_are_left_alone(network: Any, plan: Any) -> None:
    kernel = np.array([60.0, 30.0]).reshape(2, 1, 1, 1, 1)
    logits = bytes(network((8, 8, 8), kernel, [-30.0, -10.0]))
    chosen = plan(("one", "other"), {"target": "regions", "codes": ((0,), (0, 1), (1,))})
    array = np.full((1, 8, 8, 8), 120, np.uint8)
    answer = SegmentPredictor.from_network(logits, chosen, threads=1).predict(Volume(array, Grid((8, 8, 8))))
    assert answer.amounts == {"one": 0, "other": 0.512}
