"""Plans that a person has edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scanwright.core import Budget, Cohort, Fingerprint, Plan, PlanError
from scanwright.plan import Machine, Speed, check_plan, make_plan, replan_problems

pytest.importorskip("torch")


@pytest.fixture
def whole(cohort: Callable[..., Cohort]) -> Cohort:
    return cohort(classes=("benign", "malignant"))


@pytest.fixture
def plan(whole: Cohort, fingerprint: Callable[..., Fingerprint], laptop: Machine, speed: Speed) -> Plan:
    facts = fingerprint(n_per_class={"benign": 500, "malignant": 200})
    return make_plan(whole, facts, budget=Budget(600), machine=laptop, speed=speed)


def changed(plan: Plan, room: str, **values: Any) -> Plan:
    inner = getattr(plan, room).model_copy(update=values)
    return plan.model_copy(update={room: inner})


def test_a_fresh_plan_fits(plan: Plan, whole: Cohort) -> None:
    assert replan_problems(plan, whole) == []
    check_plan(plan, whole)


EDITS: dict[str, tuple[Callable[[Plan], Plan], str]] = {
    "task": (lambda p: p.model_copy(update={"task": "multiclass"}), "serves one task"),
    "classes": (lambda p: p.model_copy(update={"classes": ("benign", "malignent")}), "Did you mean 'malignant'"),
    "weights": (lambda p: p.model_copy(update={"class_weights": (1.0, 2.0, 3.0)}), "3 class weights for 2 classes"),
    "size": (lambda p: changed(p, "preprocessing", size=(64,)), "size is 2 numbers"),
    "orientation": (lambda p: changed(p, "preprocessing", orientation="RAX"), "one letter each"),
    "spacing": (lambda p: changed(p, "preprocessing", spacing_mm=(1.0, -1.0)), "positive numbers"),
    "dimension": (lambda p: changed(p, "preprocessing", dimension=3), "cohort's images are 2-D"),
    "intensity": (lambda p: changed(p, "preprocessing", intensity=p.preprocessing.intensity.model_copy(update={"low": 9.0, "high": 3.0})), "low lies below high"),
    "std": (lambda p: changed(p, "preprocessing", intensity=p.preprocessing.intensity.model_copy(update={"std": (0.0,)})), "std is positive"),
    "flip": (lambda p: changed(p, "augmentation", flip_axes=(2,)), "has the axes 0, 1"),
    "hue": (lambda p: changed(p, "augmentation", hue=0.1), "hue or saturation"),
    "smoothing": (lambda p: changed(p, "training", label_smoothing=1.0), "from 0 to below 1"),
    "patience": (lambda p: changed(p, "training", patience=0), "at least 1"),
    "empty": (lambda p: p.model_copy(update={"candidates": ()}), "no candidate"),
    "model": (lambda p: p.model_copy(update={"candidates": (p.candidates[0].model_copy(update={"model": "resnet99"}),)}), "Did you mean 'resnet9'"),
    "argument": (lambda p: p.model_copy(update={"candidates": (p.candidates[0].model_copy(update={"arguments": {"widht": 3}}),)}), "Did you mean 'width'"),
    "twice": (lambda p: p.model_copy(update={"candidates": (p.candidates[0],) * 2}), "name of its own"),
    "steps": (lambda p: p.model_copy(update={"candidates": (p.candidates[0].model_copy(update={"final_steps": 0}),)}), "All of them are positive"),
    "kind": (lambda p: p.model_copy(update={"candidates": (p.candidates[0].model_copy(update={"kind": "classical"}),)}), "a network one"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_a_wrong_edit_is_named_with_its_rule_and_its_fix(plan: Plan, whole: Cohort, name: str) -> None:
    edit, words = EDITS[name]
    wrong = edit(plan)
    assert any(words in text for text in replan_problems(wrong, whole)), replan_problems(wrong, whole)
    with pytest.raises(PlanError, match=r"\S") as caught:
        check_plan(wrong, whole)
    assert caught.value.fact
    assert caught.value.rule
    assert caught.value.fix


def test_a_left_right_flip_of_sided_labels_is_refused(cohort: Callable[..., Cohort], plan: Plan) -> None:
    sided = cohort(classes=("left", "right"))
    edited = changed(plan.model_copy(update={"classes": ("left", "right")}), "augmentation", flip_axes=(1,))
    with pytest.raises(PlanError, match="depends on the side"):
        check_plan(edited, sided)
