"""Labels as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanwright.core import CohortError, InputError
from scanwright.intake.labels import encode, merge_spellings, order
from scanwright.intake.layouts import Reading, Row


def _reading(*labels: str | None, name: str = "label") -> Reading:
    return Reading(Path(), [Row(f"{k}.png", v) for k, v in enumerate(labels)], name)


def test_spellings_take_the_commonest() -> None:
    values, said = merge_spellings(["Normal", "normal", "Normal", "No_Finding", "no finding", "1", "01", None])
    assert values[:3] == ["Normal"] * 3
    assert values[3] == values[4]
    assert values[5:] == ["1", "01", None]
    assert "'normal' read as 'Normal'" in said


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        ({"sick", "healthy"}, ["healthy", "sick"]),
        ({"COVID-19", "Normal"}, ["Normal", "COVID-19"]),
        ({"benign", "malignant"}, ["benign", "malignant"]),
        ({"no tumor", "glioma"}, ["no tumor", "glioma"]),
        ({"10", "9"}, ["9", "10"]),
    ],
)
def test_the_negative_class_of_two_is_first(names: set[str], ordered: list[str]) -> None:
    assert order(names, "binary") == ordered


def test_missing_labels_stay_missing() -> None:
    encoded = encode(_reading("a", "", "b", "NaN", None, "n/a", "a"))
    assert encoded.labels == [0, None, 1, None, None, None, 0]


def test_a_number_that_is_none_stops_regression() -> None:
    with pytest.raises(InputError, match="holds 'old'"):
        encode(_reading("1.5", "2.5", "old"), "regress")


def test_no_label_at_all_and_too_many_classes() -> None:
    with pytest.raises(CohortError, match="None of the 2 cases has a label"):
        encode(_reading(None, ""))
    many = [f"name{k}x" for k in range(60)]
    with pytest.raises(InputError, match="60 different values in 61 cases"):
        encode(_reading(*many, many[0]))
    with pytest.raises(CohortError, match="Each of the 3 labelled cases has a class of its own"):
        encode(_reading("a", "b", "c"))
    with pytest.raises(InputError, match="A binary task has two"):
        encode(_reading("a", "b", "c", "a"), "binary")
