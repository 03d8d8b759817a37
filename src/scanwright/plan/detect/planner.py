"""From a fingerprint, a budget and a machine to the plan of a detection."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from scanwright.core import (
    Budget,
    Candidate,
    Cohort,
    Emit,
    Fingerprint,
    Memory,
    Plan,
    Progress,
    ResourceError,
    Training,
    say_duration,
    silent,
)
from scanwright.plan.detect.boxes import BoxFacts
from scanwright.plan.detect.choices import DetectChoices, choose
from scanwright.plan.kinds import kind_of
from scanwright.plan.machine import Machine
from scanwright.plan.machine import machine as look_at_machine
from scanwright.plan.memory import PROCESS_MB, limit_mb, training_mb
from scanwright.plan.planner import choose_device, require_torch
from scanwright.plan.speed import Job, Speed, cost, measured_speed, remembered
from scanwright.plan.timetable import SAFETY

LOOKS = 10
_LOOKING = 0.12
"""Share of the training time that looks at validation may take."""
_RACE = 0.2
_WORTH_STEPS = 600
"""Steps to the end below which a network is not raced against a smaller one, which learns more in the same time."""
_PREPARE_S = 1.5e-7
"""Seconds that a processor takes to cut and change windows and to draw targets, for each voxel, beside the network."""
_RATE = {2: 2e-3, 3: 2e-3}
_SLOW_S = 3.0
_FASTER = 0.9


@dataclass(frozen=True)
class Recipe:
    """One network that may be raced.

    Args:
        model: A key of ``models.detectors.DETECTORS``.
        size: Of its builder.
        least_s: Training time from which it takes part.
        where: Devices that it is for: ``"cpu"``, ``"gpu"`` or ``"any"``.
    """

    model: str
    size: str
    least_s: float = 0.0
    where: str = "any"


DETECT_RECIPES: dict[str, Recipe] = {
    "centre-small": Recipe("centrenet", "small"),
    "centre-swift": Recipe("centrenet", "swift", where="cpu"),
    "centre-medium": Recipe("centrenet", "medium", 2400.0),
    "centre-large": Recipe("centrenet", "large", 300.0, "gpu"),
}
"""Name to recipe, in order of preference."""


def make_detect_plan(
    cohort: Cohort,
    fingerprint: Fingerprint,
    boxes: BoxFacts,
    *,
    budget: Budget,
    seed: int = 0,
    devices: str = "auto",
    machine: Machine | None = None,
    speed: Speed | None = None,
    cache: Path | None = None,
    emit: Emit = silent,
) -> Plan:
    """Choose everything for one cohort, one budget and one machine.

    Args:
        cohort: A split cohort for ``detect``.
        fingerprint: From :func:`scanwright.plan.measure`.
        boxes: From :func:`scanwright.plan.detect.measure_boxes`.
        budget: Time for the whole run.
        seed: Goes into the plan.
        devices: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``, or a number of devices.
        machine: What it will run on; looked at if None.
        speed: How long a step of a candidate takes; measured on this machine if None.
        cache: Folder that remembers measured speeds.
        emit: Receiver of progress.

    Returns:
        A complete plan.

    Raises:
        InputError: The devices asked for are not there.
        MissingExtraError: torch is not installed.
        ResourceError: Not even the smallest network fits the memory.
    """
    here = machine or look_at_machine()
    require_torch(here)
    device = choose_device(devices, here)
    kind, evidence = kind_of(cohort, fingerprint)
    reserve = _reserve_s(cohort, fingerprint, budget.seconds)
    seconds = SAFETY * (budget.seconds - reserve)
    chosen = choose(cohort, fingerprint, boxes, kind=kind, seconds=seconds, gpu=device != "cpu")
    chosen.reasons["training.budget_s"] = (
        f"Of {say_duration(budget.seconds)}, {say_duration(reserve)} are kept for reading, judging and the report, "
        f"and {1 - SAFETY:.0%} of the rest as a margin."
    )
    chosen.reasons["augmentation"] += f" ({evidence[0].upper()}{evidence[1:]}.)"
    ask = remembered(speed or measured_speed(min(max(0.003 * budget.seconds, 0.5), 3.0)), here, cache)
    candidates, memory = _fit_memory(chosen, cohort, here, device, seconds)
    candidates, precision, last = _timed(chosen, candidates, cohort, ask, here, device, emit)
    looks = _looks(chosen, candidates[0], seconds, cohort)
    candidates = _steps(chosen, candidates, seconds, looks)
    chosen.reasons["candidates"] = (
        f"The networks race for {_RACE:.0%} of the time, scored by average precision on validation; the best is trained to the end."
    )
    chosen.reasons["training.ema"] = "A moving average of the weights steadies them."
    chosen.reasons["memory"] = f"{memory.limit_mb:.0f} MB, 80 % of what is free, may be used."
    longest = max(c.final_steps for c in candidates)
    return Plan(
        task="detect",
        classes=cohort.classes,
        preprocessing=chosen.spec,
        detection=chosen.detection,
        augmentation=chosen.augmentation,
        training=Training(
            budget_s=round(seconds, 1),
            schedule="cosine",
            warmup=0.05,
            label_smoothing=0.0,
            balanced_sampling=False,
            ema=0.98 if longest < 400 else 0.99 if longest < 1500 else 0.995,
            gradient_clip=10.0,
            patience=looks,
            evaluations=looks,
            precision=precision,  # type: ignore[arg-type]
            channels_last=last,
            ensemble=1,
            devices=devices,
        ),
        candidates=tuple(candidates),
        memory=memory,
        seed=seed,
        reasons=chosen.reasons,
    )


def _reserve_s(cohort: Cohort, f: Fingerprint, budget_s: float) -> float:
    """Seconds that are not training: reading, preparing, whole cases of val and test, report."""
    voxels = math.prod(f.shape_median)
    n_judged = len(cohort.of("val")) + len(cohort.of("test"))
    return min(
        25.0 + len(cohort) * (5e-3 + 1e-7 * voxels * f.n_channels) + n_judged * (0.1 + 1e-6 * voxels), 0.45 * budget_s
    )


def _shape(chosen: DetectChoices) -> tuple[int, ...]:
    return (chosen.spec.channels, *chosen.spec.size)


def _outputs(chosen: DetectChoices, cohort: Cohort) -> int:
    return len(cohort.classes) + 2 * chosen.spec.dimension


def _fit_memory(
    chosen: DetectChoices, cohort: Cohort, here: Machine, device: str, seconds: float
) -> tuple[list[Candidate], Memory]:
    """Candidates whose step fits the memory: fewer windows a step first, then fewer networks."""
    limit, kept, most, smallest = limit_mb(here, device), [], 0.0, math.inf
    for name, recipe in DETECT_RECIPES.items():
        if recipe.where not in ("any", "cpu" if device == "cpu" else "gpu") or seconds < recipe.least_s:
            continue
        batch = chosen.batch
        while True:
            norm = "batch" if batch >= 4 or chosen.spec.dimension == 2 else "instance"
            one = Candidate(
                name=name,
                model=recipe.model,
                arguments={
                    "size": recipe.size,
                    "levels": chosen.levels,
                    "answer": chosen.answer,
                    "flat": chosen.flat,
                    "norm": norm,
                },
                batch_size=batch,
                learning_rate=_RATE[chosen.spec.dimension],
                weight_decay=0.02,
            )
            found = cost(one, _shape(chosen), _outputs(chosen, cohort))
            need = PROCESS_MB + training_mb(one, found, _shape(chosen), mixed=False)
            smallest = min(smallest, need)
            if need <= limit or batch <= 1:
                break
            batch = max(1, batch // 2)
        if need <= limit:
            kept.append(one.model_copy(update={"parameters": found.parameters, "memory_mb": round(need, 1)}))
            most = max(most, need)
    if not kept:
        raise ResourceError(
            f"The smallest network needs {smallest:.0f} MB and {limit:.0f} MB may be used.",
            "Training windows needs memory for the network and its steps.",
            "Close other programs, or use a machine with more memory.",
        )
    return kept[: 3 if device != "cpu" else 2], Memory(predicted_mb=round(most, 1), limit_mb=round(limit, 1))


def _timed(
    chosen: DetectChoices,
    candidates: list[Candidate],
    cohort: Cohort,
    ask: Speed,
    here: Machine,
    device: str,
    emit: Emit,
) -> tuple[list[Candidate], str, bool]:
    """Candidates with seconds per step, after precision and memory layout were chosen on the first."""
    job = Job(_shape(chosen), _outputs(chosen, cohort), device=device)
    found = next((x for x in here.devices if x.kind == device), here.processor)
    half = "bf16-mixed" if found.bf16 else "16-mixed" if device == "cuda" else "32-true"
    times: dict[tuple[str, bool], float] = {}
    for key in dict.fromkeys([("32-true", False), ("32-true", True), (half, False), (half, True)]):
        times[key] = ask(candidates[0], replace(job, precision=key[0], channels_last=key[1]))
        if times["32-true", False] > _SLOW_S:
            break
    best = min(times, key=lambda key: (times[key], key))
    if times[best] > _FASTER * times["32-true", False]:
        best = ("32-true", False)
    gain = times["32-true", False] / times[best]
    chosen.reasons["training.precision"] = chosen.reasons["training.channels_last"] = (
        f"{best[0]} with channels {'last' if best[1] else 'first'} was the fastest measured: {gain:.1f} times the plain step."
        if gain > 1
        else "Plain single precision was as fast as anything."
    )
    timed = []
    for number, one in enumerate(candidates, start=1):
        step = ask(one, replace(job, precision=best[0], channels_last=best[1]))
        if device == "cpu":
            step += _PREPARE_S * one.batch_size * math.prod(chosen.spec.size)
        timed.append(one.model_copy(update={"seconds_per_step": step}))
        emit(Progress(stage="plan", step="measuring networks", done=number, total=len(candidates)))
    return timed, best[0], best[1]


def _windows_of_case(chosen: DetectChoices) -> int:
    sides = zip(chosen.lattice[: chosen.spec.dimension], chosen.spec.size, strict=True)
    return math.prod(1 if n <= m else math.ceil((n - m) / (0.75 * m)) + 1 for n, m in sides)


def _looks(chosen: DetectChoices, one: Candidate, seconds: float, cohort: Cohort) -> int:
    """Looks at validation that the time allows, after the windows of a look were made to fit."""
    there = max(len(cohort.of("val")), 1) * _windows_of_case(chosen)
    window_s = one.seconds_per_step / one.batch_size / 3 + 0.01
    n = int(min(max(_LOOKING * seconds / LOOKS / window_s, 12), 200, there))
    chosen.detection = chosen.detection.model_copy(update={"look_windows": max(n, 1)})
    looks = max(2, min(LOOKS, int(_LOOKING * seconds / max(n * window_s, 1e-9))))
    chosen.reasons["detection.look_windows"] = (
        f"{looks} looks at {n} of about {there} validation windows take at most {_LOOKING:.0%} of the time or so."
    )
    return looks


def _steps(chosen: DetectChoices, candidates: list[Candidate], seconds: float, looks: int) -> list[Candidate]:
    """Race and final steps of each candidate; one that cannot get enough of them is left out."""
    n_val = chosen.detection.look_windows
    while True:
        race = _RACE * seconds if len(candidates) > 1 else 0.0
        done = []
        for one in candidates:
            look = n_val * (one.seconds_per_step / one.batch_size / 3 + 0.01)
            raced = max(1, int((race / len(candidates) - look) / one.seconds_per_step)) if race else 0
            final = raced + int((seconds - race - (looks + 4) * look) / one.seconds_per_step)
            steps = {"race_steps": (raced,) if raced else (), "final_steps": max(final, raced + 1, 1)}
            done.append(one.model_copy(update=steps))
        slow = [c for c in done if c.final_steps < _WORTH_STEPS]
        if len(done) == 1 or not slow:
            for one in done:
                chosen.reasons[f"candidates.{one.name}"] = (
                    f"{one.parameters / 1e6:.1f} million parameters, {one.seconds_per_step * 1000:.0f} ms a step of "
                    f"{one.batch_size} windows, {one.final_steps} steps if it wins."
                )
            return done
        out = max(slow, key=lambda c: c.seconds_per_step)
        chosen.reasons[f"candidates.{out.name}"] = (
            f"Left out: {out.seconds_per_step * 1000:.0f} ms a step leave it {out.final_steps} steps, where a smaller network learns more."
        )
        candidates = [c for c in candidates if c.name != out.name]
