"""Columns of a table as numbers and logits, and two opinions made into one."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from scanwright.core import ModelFileError
from scanwright.trust.columns import Column, Columns, as_number, as_word
from scanwright.trust.fusion import Fusion, fit_fusion

AGE = Column("age", "number", mean=50, std=10, flagged=True)
SEX = Column("sex", "category", levels=("f", "m"))


def model() -> Columns:
    return Columns((AGE, SEX), np.array([[1.0], [0.5], [0.0], [-2.0]]), np.array([0.25]))


def test_cells_become_numbers_by_hand() -> None:
    rows = [{"age": 60.0, "sex": "F"}, {"age": None, "sex": "m"}, {"sex": "unknown"}, {"age": 10_000, "sex": " M "}]
    assert model().features(rows).tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 0], [8, 0, 0, 1]]
    assert model().logits(rows)[:, 0].tolist() == [1.25, 0.5 + 0.25 - 2, 0.75, 8 + 0.25 - 2]


def test_what_a_row_leaves_empty_is_named() -> None:
    assert model().missing({"age": "", "sex": "F"}) == ("age",)
    assert model().missing({"age": "old", "sex": None}) == ("age", "sex")


@pytest.mark.parametrize(
    ("cell", "years"), [("2020-07-02", 2020.5), ("20200702", 2020.5), (20200702.0, 2020.5), (2020.5, 2020.5)]
)
def test_dates_become_years(cell: str | float, years: float) -> None:
    assert as_number(cell, "date") == pytest.approx(years, abs=0.01)


def test_odd_cells() -> None:
    assert as_number("3,5") == 3.5
    assert math.isnan(as_number("n/a"))
    assert math.isnan(as_number(None))
    assert as_word(2.0) == "2"
    assert as_word(float("nan")) == ""


def test_it_survives_the_model_file() -> None:
    again = Columns.from_dict(json.loads(json.dumps(model().to_dict())))
    rows = [{"age": 42, "sex": "f"}]
    assert np.array_equal(again.logits(rows), model().logits(rows))
    broken = model().to_dict()
    broken["weight"] = broken["weight"][:2]
    with pytest.raises(ModelFileError, match="cannot be read"):
        Columns.from_dict(broken)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regress"])
def test_the_better_opinion_is_listened_to(task: str) -> None:
    rng = np.random.default_rng(0)
    n = 400
    truth = rng.integers(0, 2, n) if task == "binary" else rng.integers(0, 3, n)
    signal = {
        "binary": lambda: (2.0 * truth - 1)[:, None],
        "multiclass": lambda: np.eye(3)[truth] * 2,
        "multilabel": lambda: np.eye(3)[truth] * 2 - 1,
        "regress": lambda: truth[:, None].astype(float),
    }[task]()
    labels = np.eye(3)[truth] if task == "multilabel" else truth
    noise = rng.normal(0, 3, signal.shape)
    good, bad = signal + rng.normal(0, 0.4, signal.shape), noise
    first = fit_fusion(good, bad, labels, task=task)  # type: ignore[arg-type]
    second = fit_fusion(bad, good, labels, task=task)  # type: ignore[arg-type]
    assert first.image > 5 * first.columns
    assert second.columns > 5 * second.image


def test_two_half_opinions_make_a_better_one() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=500), rng.normal(size=500)
    truth = (a + b + rng.normal(0, 0.3, 500) > 0).astype(int)
    found = fit_fusion(a[:, None], b[:, None], truth, task="binary")
    assert found.image == pytest.approx(found.columns, rel=0.3)
    right = ((found.logits(a[:, None], b[:, None])[:, 0] > 0) == truth).mean()
    assert right > max(((a > 0) == truth).mean(), ((b > 0) == truth).mean()) + 0.1


def test_without_truth_the_image_speaks_alone() -> None:
    assert fit_fusion([[1.0]], [[2.0]], [None], task="binary") == Fusion(1.0, 0.0)
    with pytest.raises(ModelFileError, match="two numbers"):
        Fusion.from_dict({"image": "loud"})
