"""Plans that begin from weights of elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from scanwright.core import Budget, Cohort, Fingerprint, Plan, PlanError, Pretrained
from scanwright.plan import Machine, Sizes, Speed, check_plan, make_plan, plan_unlabelled, planned_s, reserve_s
from scanwright.plan.recipes import MOST_NETWORKS

pytest.importorskip("torch")

Make = Callable[..., Cohort]
Facts = Callable[..., Fingerprint]
RESNET = Pretrained(
    file="resnet18.pth", sha256="f" * 64, naming="torchvision", model="resnet18", channels=3,
    mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), side=56, licence=None, trained_on="ImageNet-1k",
)  # fmt: skip


@pytest.fixture
def plan(laptop: Machine, speed: Speed) -> Callable[..., Plan]:
    def make(cohort: Cohort, fingerprint: Fingerprint, budget: str = "10m", **wishes: Any) -> Plan:
        return make_plan(
            cohort,
            fingerprint,
            budget=Budget.parse(budget),
            **{"machine": laptop, "speed": speed, "pretrained": RESNET, **wishes},
        )

    return make


def test_the_base_races_frozen_and_tuned_beside_the_usual(
    plan: Callable[..., Plan], cohort: Make, fingerprint: Facts
) -> None:
    made = plan(cohort(), fingerprint())
    names = [c.name for c in made.candidates]
    assert {"resnet18-frozen", "resnet18-tuned", "features", "linear"} <= set(names)
    networks = [c for c in made.candidates if c.kind == "network"]
    assert 2 <= len(networks) <= MOST_NETWORKS["cpu"]
    assert made.pretrained == RESNET
    assert "licence unknown: ask before you use it in a product" in made.reasons["pretrained"]
    assert "ImageNet-1k" in made.reasons["pretrained"]
    check_plan(made, cohort())
    assert Plan.from_json(made.to_json()) == made


def test_small_pictures_are_enlarged_inside(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    small = {"shape_min": (28, 28, 1), "shape_median": (28, 28, 1), "shape_max": (28, 28, 1)}
    made = plan(cohort(), fingerprint(**small))
    assert made.preprocessing.size == (28, 28)
    tuned = next(c for c in made.candidates if c.model == "tuned")
    assert tuned.arguments["enlarge"] == 2
    assert "enlarged 2 times" in made.reasons["pretrained.side"]


def test_kernels_of_pictures_are_inflated_for_volumes(plan: Callable[..., Plan], cohort: Make, ct: Fingerprint) -> None:
    made = plan(cohort(dimension=3), ct, "1h")
    assert any(c.model == "frozen" for c in made.candidates)
    assert "repeated along the third axis" in made.reasons["pretrained.dimension"]
    check_plan(made, cohort(dimension=3))


@pytest.mark.parametrize("budget", ["10s", "30s", "90s", "5m", "10m", "1h"])
def test_the_budget_holds_and_a_base_that_is_too_slow_is_left_out(
    plan: Callable[..., Plan], cohort: Make, fingerprint: Facts, budget: str
) -> None:
    made, facts, whole = plan(cohort(), fingerprint(), budget), fingerprint(), cohort()
    assert made.candidates
    judged = len(whole.of("val")) + len(whole.of("test"))
    voxels = made.preprocessing.channels * math.prod(made.preprocessing.size)
    found = Sizes(
        len(whole.of("train")), len(whole.of("val")), judged, len(whole), voxels, math.prod(facts.shape_median)
    )
    seconds = Budget.parse(budget).seconds
    allowed = seconds - reserve_s(seconds, found, cores=2)
    assert planned_s(made.candidates, found, ensemble=made.training.ensemble) <= allowed
    if made.pretrained is None:
        assert "too small for its resnet18" in made.reasons["pretrained"]
    check_plan(made, whole)


def test_without_the_option_nothing_is_said_of_weights(
    plan: Callable[..., Plan], cohort: Make, fingerprint: Facts
) -> None:
    made = plan(cohort(), fingerprint(), pretrained=None)
    assert made.pretrained is None
    assert not [k for k in made.reasons if k.startswith("pretrained")]
    assert not [c for c in made.candidates if c.model in ("frozen", "tuned")]


def test_an_edited_plan_is_held_against_the_base(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    made = plan(cohort(), fingerprint())
    with pytest.raises(PlanError, match="begins from weights, and the plan names none"):
        check_plan(made.model_copy(update={"pretrained": None}), cohort())
    spoiled = [
        c.model_copy(update={"arguments": c.arguments | {"growth": 3}}) if c.model == "tuned" else c
        for c in made.candidates
    ]
    with pytest.raises(PlanError, match="has the argument 'growth'"):
        check_plan(made.model_copy(update={"candidates": tuple(spoiled)}), cohort())


def test_learning_without_labels_fills_its_budget(
    cohort: Make, fingerprint: Facts, laptop: Machine, speed: Speed
) -> None:
    facts = fingerprint()
    for name in (None, "resnet18", "vit"):
        made = plan_unlabelled(cohort(), facts, model=name, budget=Budget.parse("10m"), machine=laptop, speed=speed)
        (one,) = made.candidates
        assert one.model == (name or "resnet9")
        assert 8 <= one.final_steps * one.seconds_per_step <= 600
    from scanwright.core import InputError

    with pytest.raises(InputError, match=r"'alexnet' cannot learn without labels.*resnet18"):
        plan_unlabelled(cohort(), facts, model="alexnet", budget=Budget.parse("10m"), machine=laptop, speed=speed)
