"""From a folder of images, whose labels nobody looks at, to a base that other runs begin from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Case, Cohort, CohortError, Emit, InputError, MissingExtraError, Plan, Said, Volume
from scanwright.io import Store, read_case
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.io.store import fresh_digest
from scanwright.journey import survey
from scanwright.journey.answering import asked_cases
from scanwright.journey.beginning import image_hash
from scanwright.journey.request import Request

Read = Callable[[Case], Volume]
_HELD_OUT = 20
"""One image of so many is held out, to see whether the network collapses."""
_LEAST = 16


def pretrain(request: Request, out: Path, *, model: str | None, emit: Emit) -> Path:
    """Learn a base from images without labels.

    Args:
        request: Folder, budget, seed; options that say how the folder is read.
        out: File to write. What is worked with lies in ``<out>.work`` until it is done.
        model: Network; chosen by the images if None.
        emit: Receiver of events.

    Returns:
        ``out``.

    Raises:
        CohortError: There are too few images.
        InputError: The model is unknown, or the cases are sequences.
        MissingExtraError: The training libraries are not installed.
    """
    began = monotonic()
    folder = RunFolder(out.with_name(out.name + ".work"))
    with folder.opened(emit) as tell:
        cohort, read, which = _images(folder, request, tell)
        plan, store = _prepared(folder, cohort, read, request, model, tell)
        try:
            from scanwright.training.siamese import learn_without_labels
        except ImportError as error:
            raise MissingExtraError(
                f"Pretraining needs {error.name}, which is not installed.",
                "Training is the extra [train].",
                "Run `pip install 'scanwright[train]'`.",
            ) from error
        from scanwright.io.weights import write_base

        work = folder.work / f"train-{hashlib.sha256((plan.to_json() + store.digest).encode()).hexdigest()[:16]}"
        with stage_events("train", tell, resumed=work.exists()):
            deadline = began + 0.97 * request.budget.seconds
            learnt = learn_without_labels(plan, store, work=work, emit=tell, deadline=deadline)
        tensors = {f"body.{name}": value for name, value in learnt.tensors.items()}
        facts = _facts(cohort, read, plan, which, learnt.steps, learnt.spread)
        if learnt.collapsed:
            facts["trained_on"] += " (it collapsed: every image gets the same answer)"
            tell(Said(stage="train", level="warn", text=f"{out} was written, but do not begin from it: it collapsed."))
        else:
            tell(Said(stage="train", text=f"{out} holds the base: begin from it with --pretrained {out}."))
        write_base(out, tensors, facts)
    shutil.rmtree(folder.path, ignore_errors=True)
    return out


def _images(folder: RunFolder, request: Request, emit: Emit) -> tuple[Cohort, Read, str]:
    """The images to learn from, how they are read, and which they are in words."""
    try:
        found = survey.scan(folder, request, emit)
    except (CohortError, InputError):
        if request.labels or request.layout or request.cohort is not None:  # what was asked for is not there
            raise
        cohort, read = _without_labels(request)
        emit(Said(stage="scan", text=f"No labels were found, and none are needed: {len(cohort)} images."))
        return _held_out(cohort), read, "all images"
    if found.frames:
        raise InputError(
            "The cases are sequences of frames.",
            "A base learns from single images and volumes.",
            "Write --sequence no, and every picture is one.",
        )
    cohort, _ = survey.check(folder, found, request, emit)
    held = {c.group for c in cohort.cases if c.part in ("val", "test")}
    train = tuple(
        replace(c, label=None, masks=(), boxes=None)
        for c in cohort.cases
        if c.part == "train" or (c.part is None and c.group not in held)
    )
    given = "that came with the images" if found.parts_given else f"that `scanwright run --seed {request.seed}` draws"
    which = f"the train part {given}"
    emit(
        Said(
            stage="check",
            text=f"Only {which} is learnt from, without its labels: {len(train)} of {len(cohort)} images. "
            "No image of validation or test is seen.",
        )
    )
    bare = replace(cohort, task="regress", classes=("nothing",), mask_code=None, cases=train)
    return _held_out(bare), lambda case: read_case(case, root=cohort.root), which


def _without_labels(request: Request) -> tuple[Cohort, Read]:
    """Every image under a folder, as `predict` finds them."""
    asked = asked_cases([request.source])
    root = request.source if request.source.is_dir() else request.source.parent
    readers = {name: read for name, read, _ in asked}
    cases = tuple(
        Case(id=name, source=str(place.resolve().relative_to(root.resolve())) if place != root else ".", label=None)
        for name, _, place in asked
    )
    first = next(iter(readers.values()))()
    cohort = Cohort(
        name=request.name,
        root=root,
        layout="unlabelled",
        task="regress",
        classes=("nothing",),
        cases=cases,
        modality=request.modality,
        dimension=3 if first.array.shape[3] > 1 else 2,
    )
    return cohort, lambda case: readers[case.id]()


def _held_out(cohort: Cohort) -> Cohort:
    """The same images with the parts ``train`` and ``val`` (one in twenty, at least two), by their names."""
    if len(cohort) < _LEAST:
        raise CohortError(
            f"There are {len(cohort)} images to learn from.",
            f"Learning without labels needs at least {_LEAST}, and is worth its time from some hundreds.",
            "Name a folder that holds more.",
        )
    order = sorted(cohort.cases, key=lambda c: hashlib.sha256(c.group.encode()).digest())
    apart = {c.id for c in order[: max(2, len(order) // _HELD_OUT)]}
    return cohort.with_cases(
        replace(c, label=None, masks=(), part="val" if c.id in apart else "train") for c in cohort.cases
    )


def _prepared(
    folder: RunFolder, cohort: Cohort, read: Read, request: Request, model: str | None, emit: Emit
) -> tuple[Plan, Store]:
    from scanwright.plan import machine, measure, plan_unlabelled
    from scanwright.preprocessing import prepare as prepare_volume

    with stage_events("plan", emit):
        kept = folder / "plan.json"
        wishes = f"{model} {request.budget.seconds} {request.seed} {request.devices} {fresh_digest(cohort)}"
        digest = hashlib.sha256(wishes.encode()).hexdigest()
        if folder.is_done("plan", digest, "plan.json"):
            plan = Plan.from_json(kept.read_text(encoding="utf-8"))
        else:
            fingerprint = measure(cohort, read, seed=request.seed, emit=emit)
            plan = plan_unlabelled(
                cohort,
                fingerprint,
                model=model,
                budget=request.budget,
                seed=request.seed,
                devices=request.devices,
                machine=machine(),
                cache=request.cache,
                emit=emit,
            )
            kept.write_text(plan.to_json() + "\n", encoding="utf-8")
            folder.mark_done("plan", digest)

    def ready(case: Case) -> NDArray[np.float32]:
        return prepare_volume(read(case), plan.preprocessing)

    with stage_events("prepare", emit):
        return plan, Store.build(folder.work / "store", cohort, plan.preprocessing, ready, emit=emit)


def _facts(cohort: Cohort, read: Read, plan: Plan, which: str, steps: int, spread: float) -> dict[str, str]:
    """What the file says about itself."""
    (one,) = plan.candidates
    spec = plan.preprocessing
    base = {
        "model": one.model,
        "arguments": one.arguments,
        "dimension": spec.n_axes,
        "channels": spec.shape[0],
        "side": 0,
    }
    stated = next((v for k, v in cohort.facts.items() if k.lower() in ("licence", "license")), "")
    return {
        "base": json.dumps(base),
        "licence": f"as your images ({stated})" if stated else "as your images",
        "trained_on": f"{len(cohort)} images of {cohort.name}, {which}, without labels",
        "source": f"scanwright pretrain: SimSiam, {steps} steps, spread {spread:.2f}",
        "preprocessing": spec.model_dump_json(),
        "plan_sha256": hashlib.sha256(plan.to_json().encode()).hexdigest(),
        "seen": " ".join(sorted({image_hash(read(case)) for case in cohort.cases})),
    }
