"""Plans for made-up cohorts and machines: choices, reasons, budget, memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from scanwright.core import (
    Augmentation,
    Budget,
    Cohort,
    Fingerprint,
    InputError,
    MissingExtraError,
    Plan,
    Preprocessing,
    ResourceError,
    Training,
)
from scanwright.plan import Device, Job, Machine, Sizes, Speed, check_plan, kind_of, make_plan, planned_s, reserve_s

pytest.importorskip("torch")

Make = Callable[..., Cohort]
Facts = Callable[..., Fingerprint]
BUDGETS = ["10s", "30s", "90s", "5m", "10m", "1h", "6h"]


@pytest.fixture
def plan(laptop: Machine, speed: Speed) -> Callable[..., Plan]:
    """Plan on a made-up laptop with made-up speeds."""

    def make(cohort: Cohort, fingerprint: Fingerprint, budget: str = "10m", **wishes: Any) -> Plan:
        return make_plan(
            cohort, fingerprint, budget=Budget.parse(budget), **{"machine": laptop, "speed": speed, **wishes}
        )

    return make


def sizes(cohort: Cohort, plan: Plan, fingerprint: Fingerprint) -> Sizes:
    judged = len(cohort.of("val")) + len(cohort.of("test"))
    voxels = plan.preprocessing.channels * math.prod(plan.preprocessing.size)
    return Sizes(
        len(cohort.of("train")), len(cohort.of("val")), judged, len(cohort), voxels, math.prod(fingerprint.shape_median)
    )


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("dimension", [2, 3])
def test_training_and_reserve_fit_the_budget(
    plan: Callable[..., Plan], cohort: Make, fingerprint: Facts, ct: Fingerprint, budget: str, dimension: int
) -> None:
    facts = ct if dimension == 3 else fingerprint()
    whole = cohort(dimension=dimension)
    made = plan(whole, facts, budget)
    seconds = Budget.parse(budget).seconds
    found = sizes(whole, made, facts)
    assert made.candidates
    assert planned_s(made.candidates, found, ensemble=made.training.ensemble) <= seconds - reserve_s(
        seconds, found, cores=2
    )
    check_plan(made, whole)


def test_a_longer_budget_gives_more_steps_or_more_candidates(
    plan: Callable[..., Plan], cohort: Make, fingerprint: Facts
) -> None:
    work = []
    for budget in BUDGETS:
        made = plan(
            cohort(), fingerprint(shape_min=(28, 28, 1), shape_median=(28, 28, 1), shape_max=(28, 28, 1)), budget
        )
        work.append(sum(c.final_steps * c.seconds_per_step for c in made.candidates))
    assert work == sorted(work)
    assert work[-1] > work[0]


def test_the_shortest_budget_still_gives_a_model(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    slow: Speed = lambda candidate, job: 60.0  # noqa: E731
    made = plan(cohort(), fingerprint(), "10s", speed=slow)
    assert {c.kind for c in made.candidates} == {"classical"}
    assert "too short for a network" in made.reasons["candidates"]


def test_the_same_plan_twice(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    assert plan(cohort(), fingerprint()).to_json() == plan(cohort(), fingerprint()).to_json()


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "small": ({}, {"shape_min": (28, 28, 1), "shape_median": (28, 28, 1), "shape_max": (28, 28, 1)}),
    "radiograph": ({}, {"modality": "DX", "integer_8_bit": False, "intensity_max": 4095.0}),
    "ultrasound": ({}, {"modality": "US"}),
    "stained": ({}, {"modality": "SM", "colour": True, "n_channels": 3}),
    "several": ({"task": "multilabel", "classes": ("a", "b", "c")}, {"n_per_class": {"a": 350, "b": 233, "c": 175}}),
    "number": ({"task": "regress", "classes": ("age",)}, {"n_per_class": {"age": 700}}),
    "uneven shapes": ({}, {"shape_min": (200, 180, 1), "shape_max": (400, 300, 1)}),
}


@pytest.mark.parametrize("name", [*CASES, "ct"])
@pytest.mark.parametrize("budget", ["60s", "10m", "2h"])
def test_every_choice_that_is_not_the_default_has_a_reason(
    plan: Callable[..., Plan], cohort: Make, fingerprint: Facts, ct: Fingerprint, name: str, budget: str
) -> None:
    wishes, changes = CASES.get(name, ({"dimension": 3}, {}))
    made = plan(cohort(**wishes), ct if name == "ct" else fingerprint(**changes), budget)
    defaults = {
        "preprocessing": Preprocessing(dimension=2, size=(1, 1)),
        "augmentation": Augmentation(),
        "training": Training(budget_s=0),
    }
    for room, default in defaults.items():
        for field, value in getattr(made, room):
            if value != getattr(default, field):
                paths = (f"{room}.{field}", room)
                assert any(p in made.reasons for p in paths), f"{room}.{field} = {value} has no reason"
    for one in made.candidates:
        assert f"candidates.{one.name}" in made.reasons or one.kind == "classical"
    assert all(text.endswith((".", ".)")) and len(text) > 10 for text in made.reasons.values())
    assert Plan.from_json(made.to_json()) == made


def test_twenty_eight_stays_twenty_eight(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    facts = fingerprint(shape_min=(28, 28, 1), shape_median=(28, 28, 1), shape_max=(28, 28, 1))
    for budget in BUDGETS:
        made = plan(cohort(), facts, budget)
        assert made.preprocessing.size == (28, 28)
        assert made.preprocessing.fit == "stretch"


def test_larger_pictures_come_with_larger_budgets(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    facts = fingerprint(shape_min=(1000, 1200, 1), shape_median=(1000, 1200, 1), shape_max=(1000, 1200, 1))
    sides = [max(plan(cohort(), facts, budget).preprocessing.size) for budget in ("60s", "10m", "1h", "6h")]
    assert sides == sorted(sides)
    assert sides[0] >= 64
    assert sides[-1] == 224
    size = plan(cohort(), facts, "6h").preprocessing.size
    assert size[0] / size[1] == pytest.approx(1000 / 1200, abs=0.05)


def test_ct_is_windowed_in_hu_by_body_part(plan: Callable[..., Plan], cohort: Make, ct: Fingerprint) -> None:
    made = plan(cohort(dimension=3), ct)
    assert (
        made.preprocessing.intensity.method,
        made.preprocessing.intensity.low,
        made.preprocessing.intensity.high,
    ) == ("window", -1000, 400)
    assert made.preprocessing.orientation == "RAS"
    assert max(made.preprocessing.size) <= 64
    liver = plan(cohort(dimension=3, name="liver-lesions"), ct)
    assert (liver.preprocessing.intensity.low, liver.preprocessing.intensity.high) == (-160, 240)


def test_mr_is_scaled_per_case(plan: Callable[..., Plan], cohort: Make, ct: Fingerprint) -> None:
    mr = ct.model_copy(update={"modality": "MR", "unit": "1", "intensity_min": 0.0})
    assert plan(cohort(dimension=3), mr).preprocessing.intensity.method == "zscore"


def test_values_of_the_training_part_end_near_mean_0_and_spread_1(
    plan: Callable[..., Plan], cohort: Make, fingerprint: Facts
) -> None:
    intensity = plan(cohort(), fingerprint()).preprocessing.intensity
    assert (intensity.method, intensity.low, intensity.high) == ("range", 0, 255)
    assert intensity.mean[0] == pytest.approx(82.6 / 255, abs=1e-3)
    assert intensity.std[0] == pytest.approx(56.1 / 255, abs=1e-3)


def test_no_vertical_flip_for_radiographs_and_none_at_all_for_sided_labels(
    plan: Callable[..., Plan], cohort: Make, fingerprint: Facts
) -> None:
    facts = fingerprint(modality="DX")
    assert plan(cohort(), facts).augmentation.flip_axes == (1,)
    sided = plan(cohort(classes=("left pneumothorax", "right pneumothorax")), facts)
    assert sided.augmentation.flip_axes == ()
    assert "depends on the side" in sided.reasons["augmentation.flip_axes"]


def test_slides_have_no_up_and_digits_do(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    slide = plan(cohort(), fingerprint(modality="SM", colour=True, n_channels=3))
    assert slide.augmentation.flip_axes == (0, 1)
    assert slide.augmentation.rotate90
    assert slide.augmentation.hue > 0
    assert slide.preprocessing.channels == 3
    names = tuple("0123456789")
    digits = cohort(task="multiclass", classes=names)
    facts = fingerprint(
        shape_min=(28, 28, 1), shape_median=(28, 28, 1), shape_max=(28, 28, 1), n_per_class=dict.fromkeys(names, 70)
    )
    made = plan(digits, facts)
    assert made.augmentation.flip_axes == ()
    assert not made.augmentation.rotate90
    assert made.augmentation.hue == 0


@pytest.mark.parametrize("name", ["pneumoniamnist", "chest-xrays"])
def test_names_tell_the_kind_where_no_header_does(cohort: Make, fingerprint: Facts, name: str) -> None:
    assert kind_of(cohort(name=name), fingerprint())[0] == "radiograph"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("mini_mias_256", "mammogram"), ("busi", "ultrasound"), ("bloodcells", "microscopy"), ("folder", "grey")],
)
def test_other_names(cohort: Make, fingerprint: Facts, name: str, kind: str) -> None:
    assert kind_of(cohort(name=name), fingerprint())[0] == kind


def test_rare_classes_are_drawn_as_often(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    assert plan(cohort(), fingerprint()).training.balanced_sampling
    even = plan(cohort(), fingerprint(n_per_class={"no": 350, "yes": 350}))
    assert not even.training.balanced_sampling
    assert even.class_weights == ()


def test_memory_is_capped_and_batches_shrink_first(
    plan: Callable[..., Plan], cohort: Make, ct: Fingerprint, laptop: Machine
) -> None:
    whole = cohort(dimension=3)
    for megabytes in (16_000.0, 3000.0, 1600.0, 1250.0):
        here = Machine(2, megabytes, 1e5, (Device("cpu", "small", megabytes, bf16=True),), "Linux", torch="2.13.0")
        made = plan(whole, ct, "1h", machine=here)
        assert made.memory.limit_mb == pytest.approx(0.8 * megabytes)
        assert made.memory.predicted_mb <= made.memory.limit_mb
        assert all(c.memory_mb <= made.memory.limit_mb for c in made.candidates)
        assert "memory" in made.reasons
    with pytest.raises(ResourceError, match="MB may be used"):
        plan(whole, ct, "1h", machine=Machine(2, 300.0, 1e5, (Device("cpu", "tiny", 300.0),), "Linux", torch="2.13.0"))


def test_a_gpu_gets_wider_networks_and_mixed_precision(
    plan: Callable[..., Plan], cohort: Make, fingerprint: Facts, workstation: Machine
) -> None:
    made = plan(cohort(), fingerprint(), machine=workstation)
    assert made.training.precision == "bf16-mixed"
    assert any(c.name == "resnet18-full" for c in made.candidates)
    forced = plan(cohort(), fingerprint(), machine=workstation, devices="cpu")
    assert not any(c.name.endswith("-full") for c in forced.candidates)
    assert forced.training.devices == "cpu"


def test_a_device_that_is_not_there_is_refused(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    with pytest.raises(InputError, match="this machine has cpu"):
        plan(cohort(), fingerprint(), devices="cuda")


def test_faster_precision_is_taken_and_slower_is_not(
    plan: Callable[..., Plan], cohort: Make, fingerprint: Facts
) -> None:
    assert plan(cohort(), fingerprint()).training.precision == "bf16-mixed"

    def slow_bf16(candidate: Any, job: Job) -> float:
        return 0.2 if job.precision == "bf16-mixed" else 0.1 if job.channels_last else 0.15

    made = plan(cohort(), fingerprint(), speed=slow_bf16)
    assert made.training.precision == "32-true"
    assert made.training.channels_last


def test_a_tiny_cohort_has_batches_that_fit(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    made = plan(
        cohort(n=(12, 4, 5)), fingerprint(n_cases={"train": 12, "val": 4, "test": 5}, n_per_class={"no": 7, "yes": 5})
    )
    assert all(c.batch_size <= 6 for c in made.candidates if c.kind == "network")


def test_without_torch_the_extra_is_named(plan: Callable[..., Plan], cohort: Make, fingerprint: Facts) -> None:
    light = Machine(2, 8000.0, 1e5, (Device("cpu", "made-up", 8000.0),), "Linux", torch=None)
    with pytest.raises(MissingExtraError, match=r"scanwright\[train\]"):
        plan(cohort(), fingerprint(), machine=light)
