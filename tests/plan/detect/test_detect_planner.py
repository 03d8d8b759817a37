"""Plans of made-up detections: shrinking, cells, window, budget, faults of edited plans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scanwright.core import Box, Budget, Case, Cohort, CohortError, Fingerprint, Plan, PlanError
from scanwright.plan import check_plan
from scanwright.plan.detect import make_detect_plan, measure_boxes
from scanwright.plan.machine import Device, Machine
from scanwright.plan.speed import Job

pytest.importorskip("torch")

LAPTOP = Machine(
    cores=2,
    memory_mb=16_000,
    disk_mb=100_000,
    system="Linux",
    torch="2.13.0",
    devices=(Device("cpu", "a CPU", 16_000),),
)


def facts(**changes: Any) -> Fingerprint:
    values: dict[str, Any] = {
        "n_cases": {"train": 205, "val": 87, "test": 72},
        "n_per_class": {"cell": 2000},
        "n_patients": 364,
        "dimension": 2,
        "modality": None,
        "unit": "1",
        "n_channels": 3,
        "colour": True,
        "shape_min": (480, 640, 1),
        "shape_median": (480, 640, 1),
        "shape_max": (480, 640, 1),
        "spacing_median": None,
        "intensity_min": 0.0,
        "intensity_max": 255.0,
        "intensity_percentiles": {"0.5": 1, "5": 6, "25": 34, "50": 76, "75": 123, "95": 184, "99.5": 231},
        "intensity_mean": 82.6,
        "intensity_std": 56.1,
        "integer_8_bit": True,
        "two_valued": False,
        "n_measured": 200,
    }
    return Fingerprint(**{**values, **changes})


def cohort(fingerprint: Fingerprint, size: tuple[float, float, float], *, small: float = 0.4) -> Cohort:
    """Of ten boxes eight have the size and two a part of it along every axis of more than a voxel."""
    parts = [p for p, n in fingerprint.n_cases.items() for _ in range(n)]
    sizes = [tuple(n * (small if m < 2 and n > 1 else 1) for n in size) for m in range(10)]
    boxes = tuple(Box(0, (5.0, 5.0, -0.5), (5 + a, 5 + b, -0.5 + c)) for a, b, c in sizes)
    cases = tuple(Case(f"c{k}", f"c{k}.png", part=part, boxes=boxes if k % 5 else ()) for k, part in enumerate(parts))  # type: ignore[arg-type]
    return Cohort("smears", Path(), "voc", "detect", ("cell",), cases, None, fingerprint.dimension, True)


def speed(candidate: Any, job: Job) -> float:
    voxels = candidate.batch_size
    for side in job.shape[1:]:
        voxels *= side
    return 1.5e-6 * voxels * {"swift": 0.3, "small": 1.0, "medium": 2.2, "large": 5.0}[str(candidate.arguments["size"])]


@pytest.fixture
def plan() -> Callable[..., Plan]:
    def make(fingerprint: Fingerprint, made: Cohort, budget: str = "30m") -> Plan:
        facts_of = measure_boxes(made)
        found = make_detect_plan(made, fingerprint, facts_of, budget=Budget.parse(budget), machine=LAPTOP, speed=speed)
        check_plan(found, made)
        assert Plan.from_json(found.to_json()) == found
        return found

    return make


def test_boxes_are_measured_in_training() -> None:
    facts_of = measure_boxes(cohort(facts(), (100.0, 100.0, 1.0)))
    assert facts_of.usual == pytest.approx((100, 100, 1))
    assert facts_of.small == pytest.approx((40, 40, 1))
    assert (facts_of.most, facts_of.n_empty) == (10, 41)
    nothing = cohort(facts(), (100.0, 100.0, 1.0))
    with pytest.raises(CohortError, match="hold no box"):
        measure_boxes(nothing.with_cases(Case(c.id, c.source, part=c.part, boxes=()) for c in nothing.cases))


def test_pictures_of_large_cells_are_shrunk_and_seen_whole(plan: Callable[..., Plan]) -> None:
    found = plan(facts(), cohort(facts(), (100.0, 100.0, 1.0)))
    spec = found.detection
    assert spec is not None
    assert spec.shrink == 2, "40 pixels become 20"
    assert spec.stride == (8, 8), "a small box spans two and a half cells"
    assert spec.typical == (6.25, 6.25)
    assert found.preprocessing.size >= (240, 320)
    assert all(n % 8 == 0 for n in found.preprocessing.size)
    assert found.n_outputs == 1 + 4
    assert found.preprocessing.channels == 3
    assert found.augmentation.elastic == found.augmentation.mixup == 0
    named = {"detection.shrink", "detection.stride", "preprocessing.size", "candidates", "training.budget_s"}
    assert named <= set(found.reasons)


def test_small_things_keep_every_pixel_and_fine_cells(plan: Callable[..., Plan]) -> None:
    found = plan(facts(), cohort(facts(), (12.0, 12.0, 1.0), small=0.8))
    assert found.detection is not None
    assert (found.detection.shrink, found.detection.stride) == (1, (4, 4))


def test_volumes_are_resampled_by_the_size_of_their_nodules(plan: Callable[..., Plan]) -> None:
    ct = facts(
        dimension=3, modality="CT", unit="HU", n_channels=1, colour=False, integer_8_bit=False,
        shape_min=(256, 256, 60), shape_median=(256, 256, 80), shape_max=(256, 256, 90), spacing_median=(1.0, 1.0, 2.5),
        n_cases={"train": 30, "val": 8, "test": 8},
    )  # fmt: skip
    found = plan(ct, cohort(ct, (20.0, 20.0, 8.0), small=0.6))
    spec = found.detection
    assert spec is not None
    assert found.preprocessing.spacing_mm == (2.0, 2.0, 2.5), "12 mm in six voxels; never finer than the source"
    assert found.preprocessing.dimension == 3
    assert found.n_outputs == 1 + 6
    assert len(spec.stride) == 3


def test_more_time_gives_more_steps(plan: Callable[..., Plan]) -> None:
    made = cohort(facts(), (100.0, 100.0, 1.0))
    short, long = (plan(facts(), made, budget) for budget in ("5m", "60m"))
    steps = [max(c.final_steps for c in p.candidates) for p in (short, long)]
    assert steps[1] > 3 * steps[0]
    assert sum(short.candidates[0].race_steps) <= short.candidates[0].final_steps


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"detection": None}, "says nothing of detection"),
        ({"augmentation": {"elastic": 0.02}}, "cannot follow bends"),
        ({"detection": {"stride": (8,)}}, "2 positive numbers"),
        ({"detection": {"stride": (7, 7)}}, "without a rest"),
        ({"candidate": "retina"}, "Networks for detection are centrenet"),
    ],
)
def test_edited_plans_that_do_not_fit_are_refused(
    plan: Callable[..., Plan], change: dict[str, Any], words: str
) -> None:
    made = cohort(facts(), (100.0, 100.0, 1.0))
    found = plan(facts(), made)
    for key, value in change.items():
        if key == "candidate":
            found = found.model_copy(update={"candidates": (found.candidates[0].model_copy(update={"model": value}),)})
        elif value is None:
            found = found.model_copy(update={key: None})
        else:
            found = found.model_copy(update={key: getattr(found, key).model_copy(update=value)})
    with pytest.raises(PlanError, match=words):
        check_plan(found, made)
