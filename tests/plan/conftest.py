"""Cohorts, fingerprints and machines that are made up, so that plans do not depend on this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanwright.core import Case, Cohort, Fingerprint
from scanwright.plan import Device, Job, Machine, Speed

BASE: dict[str, Any] = {
    "n_cases": {"train": 700, "val": 100, "test": 200},
    "n_per_class": {"no": 500, "yes": 200},
    "n_patients": 1000,
    "dimension": 2,
    "modality": None,
    "unit": "1",
    "n_channels": 1,
    "colour": False,
    "shape_min": (256, 256, 1),
    "shape_median": (256, 256, 1),
    "shape_max": (256, 256, 1),
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
CT = {"0.5": -1010, "5": -1000, "25": -850, "50": -300, "75": 40, "95": 300, "99.5": 1200}


@pytest.fixture
def fingerprint() -> Callable[..., Fingerprint]:
    """Make a fingerprint that differs from a plain picture cohort in what is named."""
    return lambda **changes: Fingerprint(**{**BASE, **changes})


@pytest.fixture
def ct(fingerprint: Callable[..., Fingerprint]) -> Fingerprint:
    return fingerprint(
        dimension=3, modality="CT", unit="HU", shape_min=(512, 512, 80), shape_median=(512, 512, 200), shape_max=(512, 512, 400),
        spacing_median=(0.7, 0.7, 1.5), integer_8_bit=False, intensity_min=-1024.0, intensity_max=3000.0,
        intensity_percentiles=CT, intensity_mean=-350.0, intensity_std=500.0,
    )  # fmt: skip


@pytest.fixture
def cohort() -> Callable[..., Cohort]:
    """Make a split cohort: ``cohort(classes=…, task=…, name=…, n=(train, val, test))``."""

    def make(
        *,
        classes: tuple[str, ...] = ("no", "yes"),
        task: str = "binary",
        name: str = "x",
        n: tuple[int, int, int] = (700, 100, 200),
        **facts: Any,
    ) -> Cohort:
        def label(i: int) -> Any:
            if task == "regress":
                return float(i % 17)
            if task == "multilabel":
                return tuple(int(i % (k + 2) == 0) for k in range(len(classes)))
            return (i % 10) % len(classes)

        cases = tuple(
            Case(f"{part}{i}", f"{part}{i}", label=label(i), part=part)  # type: ignore[arg-type]
            for part, count in zip(("train", "val", "test"), n, strict=True)
            for i in range(count)
        )
        return Cohort(name, Path(), "table", task, classes, cases, parts_given=True, **facts)  # type: ignore[arg-type]

    return make


@pytest.fixture
def laptop() -> Machine:
    return Machine(
        2, 8000.0, 50_000.0, (Device("cpu", "made-up processor", 8000.0, bf16=True),), "Linux x86_64", torch="2.13.0"
    )


@pytest.fixture
def workstation() -> Machine:
    devices = (Device("cpu", "made-up processor", 64_000.0), Device("cuda", "made-up GPU", 40_000.0, bf16=True))
    return Machine(16, 64_000.0, 500_000.0, devices, "Linux x86_64", torch="2.13.0")


@pytest.fixture
def speed() -> Speed:
    """Seconds that follow from the size of the work; half as many in bfloat16, 2 % of them on a GPU."""

    def ask(candidate: Any, job: Job) -> float:
        width = float(candidate.arguments.get("width", 1.0))
        work = candidate.batch_size * np.prod(job.shape) * 1e-6 * (0.3 + 0.02 * min(width, 64))
        return (
            float(work) * (0.5 if job.precision == "bf16-mixed" else 1.0) * (0.02 if job.device == "cuda" else 1.0)
            + 1e-3
        )

    return ask
