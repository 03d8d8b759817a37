"""Budgets, cohorts, plans, events and errors as people meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scanwright import core
from scanwright.core import Budget, Case, Cohort, CohortError, InputError, Plan, PlanError, Progress, Said, parse_event


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), (" 2M ", 120), ("45", 45), ("quick", 120)],
)
def test_budgets_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert Budget.parse(text).seconds == seconds


@pytest.mark.parametrize("text", ["banana", "", "10 parsecs", "-5m", "m10"])
def test_a_budget_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a duration.*Write --budget 10m"):
        Budget.parse(text)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least 10 seconds"):
        Budget.parse("0")


def test_every_error_is_a_builtin_as_well_and_says_three_things() -> None:
    leaves = [e for e in core.ScanwrightError.__subclasses__() if e.__module__ == "scanwright.core.errors"]
    assert len(leaves) <= 8
    for leaf in leaves:
        assert issubclass(leaf, (ValueError, OSError, ImportError))
        assert str(leaf("Fact.", "Rule.", "Fix.")) == "Fact. Rule. Fix."


def cohort(**changes: object) -> Cohort:
    values = {
        "name": "c",
        "root": Path(),
        "layout": "table",
        "task": "binary",
        "classes": ("no", "yes"),
        "cases": (Case("a", "a.png", 0, "p1", "train"), Case("b", "b.png", 1, None, "test")),
    }
    return Cohort(**{**values, **changes})  # type: ignore[arg-type]


def test_cohorts_refuse_doubled_ids_and_foreign_labels() -> None:
    with pytest.raises(CohortError, match="'a' stands in"):
        cohort(cases=(Case("a", "1"), Case("a", "2")))
    with pytest.raises(CohortError, match="label 2"):
        cohort(cases=(Case("a", "1", 2),))
    with pytest.raises(CohortError, match="1, 0 or missing"):
        cohort(task="multilabel", cases=(Case("a", "1", (1,)),))


def test_a_case_without_a_patient_is_its_own_group() -> None:
    assert [c.group for c in cohort().cases] == ["p1", "b"]


def test_counts_say_what_is_in_each_part() -> None:
    assert cohort().counts() == {"train": {"no": 1}, "test": {"yes": 1}}


def plan_json() -> dict[str, object]:
    return {
        "task": "binary",
        "classes": ["no", "yes"],
        "preprocessing": {"dimension": 2, "size": [28, 28]},
        "augmentation": {},
        "training": {"budget_s": 60},
        "candidates": [{"name": "resnet9", "model": "resnet9"}],
        "memory": {"predicted_mb": 1, "limit_mb": 2},
    }


def test_a_plan_goes_through_json_unchanged_and_complete() -> None:
    plan = Plan.from_json(json.dumps(plan_json()))
    assert Plan.from_json(plan.to_json()) == plan
    assert json.loads(plan.to_json())["training"]["label_smoothing"] == 0.05
    assert plan.n_outputs == 1


def test_an_unknown_key_names_the_nearest() -> None:
    wrong = plan_json()
    wrong["training"] = {"budget_s": 60, "lable_smoothing": 0.1}
    with pytest.raises(PlanError, match=r"'training.lable_smoothing'.*Did you mean 'label_smoothing'"):
        Plan.from_json(json.dumps(wrong))


def test_events_survive_a_line_of_json() -> None:
    for event in (
        Progress(stage="train", step="x", done=1, total=2, left_s=3.5),
        Said(stage="scan", text="ä", level="warn"),
    ):
        assert parse_event(event.model_dump_json(exclude_none=True)) == event
