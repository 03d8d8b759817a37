"""Measured facts, on cohorts whose facts are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanwright.core import Case, Cohort, CohortError, FormatError, Grid, Volume
from scanwright.plan import measure


def cohort(n: int = 20, **facts: object) -> Cohort:
    parts = ("train", "train", "val", "test")
    cases = tuple(Case(f"c{i}", f"{i}", label=i % 2, part=parts[i % 4]) for i in range(n))  # type: ignore[arg-type]
    return Cohort("made-up", Path(), "table", "binary", ("no", "yes"), cases, **facts)  # type: ignore[arg-type]


def test_only_training_cases_are_read() -> None:
    read: list[str] = []

    def load(case: Case) -> Volume:
        read.append(case.id)
        return Volume(np.zeros((1, 8, 8, 1), np.uint8) + np.arange(8, dtype=np.uint8)[:, None], Grid.of_picture(8, 8))

    whole = cohort()
    found = measure(whole, load)
    assert set(read) == {c.id for c in whole.of("train")}
    assert found.n_measured == 10
    assert found.n_cases == {"train": 10, "val": 5, "test": 5}
    assert found.n_per_class == {"no": 5, "yes": 5}
    read.clear()
    assert measure(whole, load, limit=4).n_measured == 4
    assert len(read) == 4


def test_values_of_eight_bit_pictures() -> None:
    rng = np.random.default_rng(0)
    arrays = {f"c{i}": rng.integers(0, 256, (1, 20 + i, 30, 1), dtype=np.uint8) for i in range(20)}
    found = measure(cohort(), lambda c: Volume(arrays[c.id], Grid.of_picture(*arrays[c.id].shape[1:3])))
    assert found.integer_8_bit
    assert not found.two_valued
    assert not found.colour
    assert (found.shape_min, found.shape_max) == ((20, 30, 1), (37, 30, 1))
    assert found.intensity_percentiles["50"] == pytest.approx(127.5, abs=4)
    assert found.intensity_mean == pytest.approx(127.5, abs=2)
    assert found.intensity_std == pytest.approx(np.sqrt((256**2 - 1) / 12), abs=1)
    assert found.spacing_median is None


def test_volumes_are_measured_after_they_are_turned() -> None:
    affine = np.array([[0, 0, 3.0, 0], [-0.5, 0, 0, 0], [0, 0.7, 0, 0], [0, 0, 0, 1]])  # axes run P, S, R
    found = measure(
        cohort(dimension=3, modality="CT"),
        lambda c: Volume(np.full((1, 10, 20, 5), -1000.0, np.float32), Grid((10, 20, 5), affine), unit="HU"),
    )
    assert found.shape_median == (5, 10, 20)
    assert found.spacing_median == (3.0, 0.5, 0.7)
    assert found.unit == "HU"
    assert found.two_valued


def test_two_values_are_seen_even_where_one_is_rare() -> None:
    array = np.zeros((1, 64, 64, 64), np.uint8)
    array[0, 5, 6, 7] = 255
    found = measure(cohort(dimension=3), lambda c: Volume(array, Grid((64, 64, 64), spacing_known=False)))
    assert found.two_valued
    assert found.intensity_max == 255


def test_a_few_coloured_marks_do_not_make_a_cohort_coloured() -> None:
    def load(case: Case) -> Volume:
        grey = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 32, 32, 1), dtype=np.uint8), 3, axis=0)
        if case.id == "c0":
            grey[0] = 255
        return Volume(grey, Grid.of_picture(32, 32), channel="rgb")

    assert not measure(cohort(), load).colour
    stained = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), dtype=np.uint8)
    assert measure(cohort(), lambda c: Volume(stained, Grid.of_picture(32, 32), channel="rgb")).colour


def test_a_damaged_case_is_left_out_and_a_damaged_cohort_is_refused() -> None:
    def load(case: Case) -> Volume:
        if case.id in ("c0", "c1"):
            raise FormatError("The file is cut short.", "It must be whole.", "Copy it again.")
        return Volume(np.ones((1, 8, 8, 1), np.float32), Grid.of_picture(8, 8))

    said: list[str] = []
    found = measure(cohort(), load, emit=lambda e: said.append(getattr(e, "text", "")))
    assert found.n_measured == 8
    assert any("c0 could not be measured" in text for text in said)

    def refuse(case: Case) -> Volume:
        raise FormatError("The file is cut short.", "It must be whole.", "Copy it again.")

    with pytest.raises(CohortError, match="None of 10 training cases"):
        measure(cohort(), refuse)
