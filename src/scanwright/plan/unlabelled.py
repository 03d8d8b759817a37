"""A plan for learning without labels: one network, all of the time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from scanwright.core import (
    Budget,
    Candidate,
    Cohort,
    Emit,
    Fingerprint,
    InputError,
    Memory,
    Plan,
    Said,
    Training,
    silent,
)
from scanwright.plan.choices import choose_preprocessing
from scanwright.plan.kinds import choose_augmentation, kind_of
from scanwright.plan.machine import Machine
from scanwright.plan.machine import machine as look_at_machine
from scanwright.plan.memory import PROCESS_MB, limit_mb, training_mb
from scanwright.plan.planner import choose_device, require_torch
from scanwright.plan.speed import Job, Speed, cost, measured_speed, remembered
from scanwright.plan.timetable import SAFETY

BASES = ("resnet9", "resnet18", "resnet34", "resnet50", "densenet121", "vit", "resnet3d")
"""Models that may learn without labels."""
_BATCH = 64
_EPOCHS = 400
_MOST_SIDE = 40


def plan_unlabelled(
    cohort: Cohort,
    fingerprint: Fingerprint,
    *,
    model: str | None = None,
    budget: Budget,
    seed: int = 0,
    devices: str = "auto",
    machine: Machine | None = None,
    speed: Speed | None = None,
    cache: Path | None = None,
    emit: Emit = silent,
) -> Plan:
    """Choose size, network and steps for learning without labels.

    Args:
        cohort: Images with the parts ``train`` and ``val``; labels are not looked at.
        fingerprint: From :func:`measure`.
        model: A name of :data:`BASES`; for pictures ``resnet9``, for volumes ``resnet3d`` if None.
        budget: Time for all of it.
        seed: Goes into the plan.
        devices: As for ``make_plan``.
        machine: What it will run on; looked at if None.
        speed: How long a step takes; measured if None.
        cache: Folder that remembers measured speeds.
        emit: Receiver of events.

    Returns:
        A plan with one candidate.

    Raises:
        InputError: The model is unknown.
        MissingExtraError: torch is not installed.
    """
    here = machine or look_at_machine()
    require_torch(here)
    device = choose_device(devices, here)
    name = model or ("resnet3d" if fingerprint.dimension == 3 else "resnet9")
    if name not in BASES:
        raise InputError(
            f"The model {name!r} cannot learn without labels.",
            f"--model is one of {', '.join(BASES)}.",
            "Write --model resnet18, or leave it out.",
        )
    kind, _ = kind_of(cohort, fingerprint)
    seconds = SAFETY * 0.85 * budget.seconds
    spec, reasons = choose_preprocessing(
        cohort, fingerprint, kind=kind, seconds=seconds / 2, cores=here.cores, gpu=device != "cpu"
    )
    augmentation, why = choose_augmentation(cohort, fingerprint, kind)
    n = len(cohort.of("train"))
    batch = _BATCH
    while batch > 4 and batch > n / 2:
        batch //= 2
    one = Candidate(
        name=name,
        model=name,
        arguments=_arguments(name, min(spec.size)),
        batch_size=batch,
        learning_rate=1e-3,
        weight_decay=0.01,
    )
    job = Job(spec.shape, 1, device=device)
    limit = limit_mb(here, device)
    pair = one.model_copy(update={"batch_size": 2 * batch})
    while (
        PROCESS_MB + (need := training_mb(pair, cost(pair, spec.shape, 1), spec.shape, mixed=False)) > limit
        and batch > 4
    ):
        batch //= 2
        pair = pair.model_copy(update={"batch_size": 2 * batch})
    ask = remembered(speed or measured_speed(min(max(0.003 * budget.seconds, 0.15), 1.5)), here, cache)
    step_s = ask(pair, job)
    steps = max(8, min(math.floor(seconds / step_s), math.ceil(_EPOCHS * n / batch)))
    found = cost(one, spec.shape, 1)
    one = one.model_copy(
        update={
            "batch_size": batch,
            "seconds_per_step": step_s,
            "final_steps": steps,
            "parameters": found.parameters,
            "memory_mb": round(PROCESS_MB + need, 1),
        }
    )
    epochs = steps * batch / max(n, 1)
    emit(
        Said(
            stage="plan",
            text=f"{name} learns from {n} images without labels: {steps} steps, {epochs:.0f} epochs, {step_s * 1000:.0f} ms a step.",
        )
    )
    fields: dict[str, Any] = {"precision": "32-true", "ema": 0.99 if steps < 500 else 0.998}
    return Plan(
        task="regress",
        classes=("nothing",),
        preprocessing=spec,
        augmentation=augmentation,
        training=Training(
            budget_s=round(seconds, 1), warmup=0.1, balanced_sampling=False, patience=10_000, evaluations=10, **fields
        ),
        candidates=(one,),
        memory=Memory(predicted_mb=round(PROCESS_MB + need, 1), limit_mb=round(limit, 1)),
        seed=seed,
        reasons=reasons | why,
    )


def _arguments(name: str, side: int) -> dict[str, int | float | str | bool | tuple[int, ...]]:
    """Arguments of a network for images of a size."""
    small = side <= _MOST_SIDE
    if name == "resnet9":
        return {"width": 24, "stem": 1 if small else 2 if side <= 80 else 4, "pools": 2 if 40 < side <= 80 else 3}
    if name == "resnet3d":
        return {"width": 16, "stages": 3 if small else 4}
    if name == "vit":
        patch = 4 if small else 8 if side <= 96 else 16
        return {"patch": patch, "grid": math.ceil(side / patch), "depth": 6}
    return {"small": True} if side <= 64 else {}
