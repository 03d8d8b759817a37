"""Structures that are one piece in every training case."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Augmentation, Intensity, Memory, Plan, Preprocessing, Segmentation, Training
from scanwright.io import VoxelStore
from scanwright.journey.segment import judging


class Store:
    """Training cases in memory."""

    def __init__(self, cases: list[NDArray[np.uint8]]) -> None:
        self.cases = cases

    def rows(self, part: str) -> NDArray[np.intp]:
        assert part == "train", "no other part may be looked at"
        return np.arange(len(self.cases))

    def labels(self, row: int) -> NDArray[np.uint8]:
        return self.cases[row]


def found(cases: list[NDArray[np.uint8]], **segmentation: Any) -> dict[str, int]:
    plan = Plan(
        task="segment",
        classes=("organ", "lesion"),
        preprocessing=Preprocessing(dimension=3, size=(8, 8, 8), intensity=Intensity(method="range")),
        segmentation=Segmentation(**{"codes": ((0,), (1,)), **segmentation}),
        augmentation=Augmentation(),
        training=Training(budget_s=60),
        candidates=(),
        memory=Memory(predicted_mb=1, limit_mb=2),
    )
    return judging._single_pieces(plan, cast(VoxelStore, Store(cases)))


def case(*, lesions: int = 1) -> NDArray[np.uint8]:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:9, 2:9, 2:9] = 1
    for n in range(lesions):
        labels[3 + 3 * n, 4, 4] = 2
    return labels


def test_one_case_with_two_pieces_is_enough() -> None:
    assert found([case()] * 40) == {"organ": 40, "lesion": 40}
    assert found([*[case()] * 39, case(lesions=2)]) == {"organ": 40}


def test_cases_without_the_structure_say_nothing_and_few_cases_too_little() -> None:
    assert found([*[case()] * 29, *[case(lesions=0)] * 20]) == {"organ": 49}
    assert found([case()] * 29) == {}


def test_a_region_is_the_union_of_its_codes() -> None:
    inner = case()
    inner[5, 5, 5] = 2  # apart from the other lesion voxel, but inside the organ
    assert found([inner] * 30, codes=((0,), (0, 1)), target="regions") == {"organ": 30}
