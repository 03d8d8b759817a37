"""From a locked cohort to a plan, and to prepared arrays."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Case, Cohort, Emit, Fingerprint, InputError, Plan, Said, Volume, say_duration
from scanwright.io import Store, atomic_write, read_case
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.beginning import BASE, begin, file_hash, locate, refuse_other_weights
from scanwright.journey.request import Request
from scanwright.journey.roads import AnyStore, road_of
from scanwright.journey.survey import locked_digest


def make_plan(folder: RunFolder, cohort: Cohort, request: Request, emit: Emit) -> Plan:
    """Measure the cohort and the machine, and choose; writes ``fingerprint.json`` and ``plan.json``.

    A plan that stands in the folder already, perhaps edited by a person, is kept as long
    as cohort, budget, seed and devices are the same.

    Args:
        folder: Run folder.
        cohort: Locked cohort.
        request: Budget, seed, devices, or a plan to follow.
        emit: Receiver of events.

    Returns:
        The plan.

    Raises:
        PlanError: The plan does not fit the cohort.
    """
    from scanwright.plan import check_plan

    given = _read_text(request.plan) if request.plan else ""
    wishes = f"{locked_digest(cohort)} {request.budget.seconds} {request.seed} {request.devices} {given} {request.columns or ''}"
    weights = locate(request, emit)
    wishes += f" {file_hash(weights)}" if weights else ""
    digest = hashlib.sha256(wishes.encode()).hexdigest()
    kept = ["plan.json", "fingerprint.json", *([f"work/{BASE}"] if weights else [])]
    if folder.is_done("plan", digest, *kept):
        plan = Plan.from_json(_read_text(folder / "plan.json"))
        check_plan(plan, cohort)
        return plan
    if request.columns and cohort.task in ("segment", "detect"):
        raise InputError(
            f"--columns {request.columns} was asked for, and the truth is {'masks' if cohort.task == 'segment' else 'boxes'}.",
            "Columns are learnt beside images that have a class or a number.",
            "Leave --columns out.",
        )
    with stage_events("plan", emit):
        start = begin(folder, cohort, weights, emit) if weights else None
        fingerprint, chosen = road_of(cohort.task).choose(cohort, replace(request, start=start), emit)
        if chosen is None:
            plan = Plan.from_json(given)
            refuse_other_weights(plan, start)
            emit(Said(stage="plan", text=f"Following the plan {request.plan}."))
        else:
            plan = chosen
            _say_plan(plan, emit)
        check_plan(plan, cohort)
        atomic_write(folder / "fingerprint.json", fingerprint.model_dump_json(indent=2) + "\n")
        atomic_write(folder / "plan.json", plan.to_json() + "\n")
        folder.mark_done("plan", digest)
    return plan


def training_deadline(request: Request, plan: Plan, store: AnyStore, *, started: float) -> float | None:
    """When training must have ended, so that the run keeps its budget on a machine slower than planned.

    Args:
        request: The whole run's budget.
        plan: The plan, whose training time has a margin that may be used up.
        store: Prepared arrays; the more there is to judge, the earlier training ends.
        started: ``time.monotonic()`` when the run began.

    Returns:
        A ``time.monotonic()`` value; at least a quarter of the planned time is left. None when a
        given plan is followed: its steps count, not the clock.
    """
    from scanwright.plan.timetable import SAFETY, after_s

    if request.plan:
        return None
    now = monotonic()
    n_judged = len(store.rows("val")) + len(store.rows("test"))
    voxels = math.prod(plan.preprocessing.shape)
    choosing = 0.03 * request.budget.seconds  # looks at validation after the last step
    last = started + request.budget.seconds - choosing - after_s(n_judged, voxels)
    return max(min(now + plan.training.budget_s / SAFETY, last), now + 0.25 * plan.training.budget_s)


def read_fingerprint(folder: RunFolder) -> Fingerprint:
    """The measured facts of a run's cohort."""
    return Fingerprint.model_validate(folder.json("fingerprint.json"))


def choose_labels(cohort: Cohort, request: Request, emit: Emit) -> tuple[Fingerprint, Plan | None]:
    """Measure the images, and make a plan for classes or numbers unless one was given."""
    from scanwright.plan import machine, measure
    from scanwright.plan import make_plan as choose
    from scanwright.preprocessing.frames import as_clip

    def load(case: Case) -> Volume:
        volume = read_case(case, root=cohort.root)
        return as_clip(volume) if cohort.frames else volume

    fingerprint = measure(cohort, load, seed=request.seed, emit=emit)
    if request.plan:
        return fingerprint, None
    plan = choose(
        cohort,
        fingerprint,
        budget=request.budget,
        seed=request.seed,
        devices=request.devices,
        machine=machine(),
        cache=request.cache,
        pretrained=request.start,
        emit=emit,
    )
    columns = wanted_columns(cohort, request.columns)
    if columns:
        why = f"Asked for: {len(columns)} columns are learnt beside the images; validation says how much they count."
        plan = plan.model_copy(update={"columns": columns, "reasons": plan.reasons | {"columns": why}})
    return fingerprint, plan


def wanted_columns(cohort: Cohort, wish: str | None) -> tuple[str, ...]:
    """Columns that a person asked for.

    Args:
        cohort: Its covariates.
        wish: Names joined by commas, ``"all"``, or None.

    Returns:
        Names in the order of the table.

    Raises:
        InputError: There is no such column, or no table.
    """
    from difflib import get_close_matches

    if wish is None or wish.strip().lower() in ("", "no", "none"):
        return ()
    known = list(dict.fromkeys(key for case in cohort.cases for key in case.covariates))
    if not known:
        raise InputError(
            f"--columns {wish} was asked for, and no case has further columns.",
            "Columns stand in the table that names the images and their labels.",
            "Put them into that table, or leave --columns out.",
        )
    if wish.strip().lower() == "all":
        return tuple(known)
    names = [name.strip() for name in wish.split(",") if name.strip()]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise InputError(
                f"There is no column {name!r} to learn from.",
                f"The table's further columns are {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}.",
                f"Did you mean --columns {near[0]}?" if near else "Name one of these, or all.",
            )
    return tuple(n for n in known if n in names)


def prepare(folder: RunFolder, cohort: Cohort, plan: Plan, emit: Emit) -> AnyStore:
    """Turn every case into the arrays that are trained on.

    Args:
        folder: Run folder; the store lies under ``work``.
        cohort: Locked cohort.
        plan: Preprocessing.
        emit: Receiver of events.

    Returns:
        The store.
    """
    return road_of(cohort.task).prepare(folder, cohort, plan, emit)


def prepare_rows(folder: RunFolder, cohort: Cohort, plan: Plan, emit: Emit) -> Store:
    """Turn every case into the array that a classifier takes; see :func:`prepare`."""
    from scanwright.preprocessing import prepare as prepare_volume

    def ready(case: Case) -> NDArray[np.float32]:
        return prepare_volume(read_case(case, root=cohort.root), plan.preprocessing)

    with stage_events("prepare", emit):
        return Store.build(folder.work / "store", cohort, plan.preprocessing, ready, emit=emit)


def _say_plan(plan: Plan, emit: Emit) -> None:
    size = " x ".join(str(n) for n in plan.preprocessing.size)
    if plan.preprocessing.frames is not None:
        size = f"{plan.preprocessing.frames.most} frames of {size}"
    names = ", ".join(c.name for c in plan.candidates)
    seen = "Cases are seen through windows of" if plan.segmentation or plan.detection else "Images become"
    emit(Said(stage="plan", text=f"{seen} {size}; {len(plan.candidates)} candidates race: {names}."))
    for field, reason in plan.reasons.items():
        emit(Said(stage="plan", text=f"{field}: {reason}"))
    text = f"Memory: about {plan.memory.predicted_mb:.0f} MB of {plan.memory.limit_mb:.0f} MB; training takes {say_duration(plan.training.budget_s)}."
    emit(Said(stage="plan", text=text))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"The plan {path} cannot be read ({error.strerror}).",
            "--plan takes a plan.json of another run.",
            "Check the path, or leave --plan out.",
        ) from None
