"""Plans of made-up segmentations: dimension, spacing, window, budget, memory, reasons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scanwright.core import Budget, Case, Cohort, Fingerprint, MaskCode, Plan, ResourceError
from scanwright.plan import check_plan
from scanwright.plan.machine import Device, Machine
from scanwright.plan.segment import MaskFacts, make_segment_plan
from scanwright.plan.segment.choices import window
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
        "n_cases": {"train": 100, "val": 20, "test": 30},
        "n_per_class": {"organ": 100},
        "n_patients": 150,
        "dimension": 3,
        "modality": "CT",
        "unit": "HU",
        "n_channels": 1,
        "colour": False,
        "shape_min": (100, 100, 60),
        "shape_median": (160, 160, 80),
        "shape_max": (200, 200, 120),
        "spacing_median": (1.0, 1.0, 1.5),
        "intensity_min": -1000.0,
        "intensity_max": 1500.0,
        "intensity_percentiles": {"0.5": -990, "5": -900, "25": -300, "50": 0, "75": 50, "95": 200, "99.5": 900},
        "intensity_mean": -50.0,
        "intensity_std": 300.0,
        "integer_8_bit": False,
        "two_valued": False,
        "n_measured": 100,
    }
    return Fingerprint(**{**values, **changes})


def cohort(fingerprint: Fingerprint, classes: tuple[str, ...] = ("organ",), **code: Any) -> Cohort:
    parts = [p for p, n in fingerprint.n_cases.items() for _ in range(n)]
    cases = tuple(
        Case(f"c{k}", f"c{k}.nii", part=part, masks=("m.nii",))  # type: ignore[arg-type]
        for k, part in enumerate(parts)
    )
    values = {"values": tuple((k + 1,) for k in range(len(classes))), **code}
    return Cohort(
        "made", Path(), "table", "segment", classes, cases, fingerprint.modality, fingerprint.dimension, True,
        mask_code=MaskCode(**values),
    )  # fmt: skip


def speed(candidate: Any, job: Job) -> float:
    """Slower with voxels and width, faster in half precision."""
    voxels = candidate.batch_size
    for side in job.shape[1:]:
        voxels *= side
    wide = {"swift": 0.3, "small": 1.0, "medium": 2.2, "large": 5.0}[str(candidate.arguments["size"])]
    return 1.5e-6 * voxels * wide * (0.6 if job.precision == "bf16-mixed" else 1.0)


@pytest.fixture
def plan() -> Callable[..., Plan]:
    def make(
        fingerprint: Fingerprint, made: Cohort, budget: str = "30m", share: float = 0.05, here: Machine = LAPTOP
    ) -> Plan:
        n = len({v for values in made.mask_code.values for v in values}) if made.mask_code else 1
        codes = tuple((k,) for k in range(n))
        found = make_segment_plan(
            made, fingerprint, MaskFacts((share,) * n, (1.0,) * n, 50), codes,
            budget=Budget.parse(budget), machine=here, speed=speed,
        )  # fmt: skip
        check_plan(found, made)
        return found

    return make


def test_the_window_is_what_a_step_can_afford_and_networks_can_pool() -> None:
    for lattice, afford in (
        ((35, 50, 36), 96_000),
        ((200, 200, 60), 96_000),
        ((512, 512), 65_536),
        ((20, 300), 65_536),
    ):
        size, levels = window(lattice, afford, (0,) * len(lattice))
        assert all(n % 2 ** (levels - 1) == 0 for n in size)
        voxels = 1
        for n in size:
            voxels *= n
        assert voxels < 1.7 * afford
        assert levels >= 2


def test_a_longer_budget_gives_more_steps_or_a_larger_network(plan: Callable[..., Plan]) -> None:
    fingerprint = facts()
    made = cohort(fingerprint)
    plans = [plan(fingerprint, made, budget) for budget in ("3m", "10m", "30m", "2h")]
    work = [max(c.final_steps * c.seconds_per_step for c in p.candidates) for p in plans]
    assert work == sorted(work)
    for p, seconds in zip(plans, (180, 600, 1800, 7200), strict=True):
        assert p.training.budget_s < seconds
        race = sum(sum(c.race_steps) * c.seconds_per_step for c in p.candidates)
        most = max((c.final_steps - sum(c.race_steps)) * c.seconds_per_step for c in p.candidates)
        assert race + most <= 1.02 * p.training.budget_s
        assert all(c.name in " ".join(p.reasons) for c in p.candidates)


def test_few_slices_far_apart_are_learnt_slice_by_slice(plan: Callable[..., Plan]) -> None:
    fingerprint = facts(shape_median=(256, 256, 9), spacing_median=(1.4, 1.4, 10.0), modality="MR", unit="1")
    found = plan(fingerprint, cohort(fingerprint))
    assert found.preprocessing.dimension == 2
    assert found.segmentation is not None
    assert found.segmentation.slices == 3
    assert "slice by slice" in found.reasons["preprocessing.dimension"]


def test_the_coarse_axis_comes_last_wherever_it_was(plan: Callable[..., Plan]) -> None:
    fingerprint = facts(shape_median=(30, 256, 256), spacing_median=(5.0, 0.9, 0.9))
    found = plan(fingerprint, cohort(fingerprint))
    assert found.preprocessing.orientation == "ASR"
    assert found.preprocessing.spacing_mm is not None
    assert found.preprocessing.spacing_mm[2] == pytest.approx(5.0)
    assert found.candidates[0].arguments["flat"] == (0, 0, 2)


def test_large_volumes_are_made_coarser_in_a_short_budget_and_it_says_so(plan: Callable[..., Plan]) -> None:
    fingerprint = facts(shape_median=(512, 512, 400), spacing_median=(0.8, 0.8, 1.0))
    made = cohort(fingerprint)
    short, long = (plan(fingerprint, made, budget) for budget in ("10m", "6h"))
    assert short.preprocessing.spacing_mm is not None
    assert long.preprocessing.spacing_mm is not None
    assert min(short.preprocessing.spacing_mm) > min(long.preprocessing.spacing_mm) >= 0.8
    assert "see too little" in short.reasons["preprocessing.spacing_mm"]


def test_sides_switch_the_flip_off(plan: Callable[..., Plan]) -> None:
    fingerprint = facts()
    free = plan(fingerprint, cohort(fingerprint))
    sided = plan(fingerprint, cohort(fingerprint, ("left kidney", "right kidney"), sides=((0, 1),)))
    assert free.augmentation.flip_axes == (0,)
    assert sided.augmentation.flip_axes == ()
    assert sided.segmentation is not None
    assert sided.segmentation.mirror_axes == ()


def test_tiny_structures_get_the_loss_of_the_hardest_voxels(plan: Callable[..., Plan]) -> None:
    fingerprint = facts()
    found = plan(fingerprint, cohort(fingerprint), share=0.00007)
    assert found.segmentation is not None
    assert found.segmentation.loss == "dice_topk"
    assert found.segmentation.foreground > 0.5


def test_numbered_objects_are_learnt_as_inside_and_border(plan: Callable[..., Plan]) -> None:
    fingerprint = facts(
        dimension=2, shape_median=(360, 360, 1), spacing_median=None, modality="SM", unit="1", colour=True
    )
    found = plan(fingerprint, cohort(fingerprint, ("nucleus",), kind="instances"))
    assert found.n_outputs == 3
    assert found.preprocessing.dimension == 2
    assert found.preprocessing.channels == 3


@pytest.mark.parametrize("two_valued", [False, True])
def test_pictures_of_eight_bits_are_scaled_one_by_one(plan: Callable[..., Plan], two_valued: bool) -> None:
    """A dark and a bright slide of one cohort must look alike; an outline of two values has no spread to tell."""
    flat = {"dimension": 2, "shape_median": (256, 256, 1), "spacing_median": None, "modality": None, "unit": "1"}
    eight = {"intensity_min": 0.0, "intensity_max": 255.0, "integer_8_bit": True, "two_valued": two_valued}
    found = plan(facts(**flat, **eight), cohort(facts(**flat, **eight)))
    assert found.preprocessing.intensity.method == ("range" if two_valued else "zscore")
    if not two_valued:
        assert found.preprocessing.intensity.mean == (0.5,)
        assert found.preprocessing.intensity.std[0] * found.preprocessing.intensity.high == pytest.approx(0.5)


def test_a_step_on_a_processor_has_few_windows(plan: Callable[..., Plan]) -> None:
    fingerprint = facts(shape_median=(35, 50, 36), modality="MR", unit="1")
    here = plan(fingerprint, cohort(fingerprint))
    assert here.candidates[0].batch_size == 2
    assert here.candidates[0].arguments["norm"] == "instance"


def test_what_does_not_fit_the_memory_is_refused_in_words(plan: Callable[..., Plan]) -> None:
    small = Machine(
        cores=2, memory_mb=800, disk_mb=9_000, system="Linux", torch="2.13.0", devices=(Device("cpu", "a CPU", 800),)
    )
    fingerprint = facts()
    with pytest.raises(ResourceError, match="smallest network needs"):
        plan(fingerprint, cohort(fingerprint), here=small)
