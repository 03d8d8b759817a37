"""Does an edited plan still fit its cohort, and itself?"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator

from scanwright.core import ON_A_BASE, Candidate, Cohort, Plan, PlanError
from scanwright.plan.kinds import paired_names
from scanwright.preprocessing import INTENSITY


def check_plan(plan: Plan, cohort: Cohort) -> None:
    """Refuse a plan that does not fit.

    Args:
        plan: Perhaps edited by a person.
        cohort: What it is for.

    Raises:
        PlanError: The first thing that is wrong, the rule, and the nearest right name.
    """
    for problem in _problems(plan, cohort):
        raise problem


def replan_problems(plan: Plan, cohort: Cohort) -> list[str]:
    """Everything that is wrong with a plan.

    Args:
        plan: Perhaps edited by a person.
        cohort: What it is for.

    Returns:
        Three sentences for each problem; empty if the plan fits.
    """
    return [str(problem) for problem in _problems(plan, cohort)]


def _problems(plan: Plan, cohort: Cohort) -> Iterator[PlanError]:
    yield from _of_cohort(plan, cohort)
    yield from _of_preprocessing(plan)
    yield from _of_augmentation(plan)
    yield from _of_detection(plan)
    yield from _of_training(plan)
    yield from _of_candidates(plan)


def _of_cohort(plan: Plan, cohort: Cohort) -> Iterator[PlanError]:
    if plan.task != cohort.task:
        yield PlanError(
            f"The plan is for the task {plan.task!r} and the cohort's is {cohort.task!r}.",
            "A plan serves one task.",
            f'Write "task": "{cohort.task}", or make the plan anew.',
        )
    if plan.classes != cohort.classes:
        missing = next((c for c in cohort.classes if c not in plan.classes), None)
        near = difflib.get_close_matches(missing or "", plan.classes, n=1)
        fix = (
            f"Did you mean {missing!r} where the plan says {near[0]!r}?"
            if missing and near
            else "Make the plan anew with `scanwright plan`."
        )
        yield PlanError(
            f"The plan's classes are {', '.join(plan.classes)}.",
            f"The cohort's classes are {', '.join(cohort.classes)}, in this order.",
            fix,
        )
    if plan.preprocessing.dimension != cohort.dimension and not (plan.task == "segment" and cohort.dimension == 3):
        yield PlanError(
            f"The plan takes {plan.preprocessing.dimension}-D images.",
            f"The cohort's images are {cohort.dimension}-D.",
            "Make the plan anew.",
        )
    if (plan.preprocessing.frames is None) == bool(cohort.frames):
        yield PlanError(
            "The plan takes sequences." if plan.preprocessing.frames else "The plan takes single images.",
            "The cohort's cases are sequences." if cohort.frames else "The cohort's cases are single images.",
            "Make the plan anew with `scanwright plan`.",
        )
    if plan.class_weights and (len(plan.class_weights) != len(plan.classes) or min(plan.class_weights) <= 0):
        yield PlanError(
            f"The plan has {len(plan.class_weights)} class weights for {len(plan.classes)} classes.",
            "There is one positive weight for each class, or none.",
            "Correct class_weights, or write [].",
        )


def _of_preprocessing(plan: Plan) -> Iterator[PlanError]:
    spec = plan.preprocessing
    if len(spec.size) != spec.dimension or min(spec.size, default=0) < 4:
        yield PlanError(
            f"The plan's size is {list(spec.size)}.",
            f"A {spec.dimension}-D size is {spec.dimension} numbers of at least 4.",
            "Correct preprocessing.size.",
        )
    n_spacings = 3 if plan.task in ("segment", "detect") else spec.dimension
    if spec.spacing_mm is not None and (len(spec.spacing_mm) != n_spacings or min(spec.spacing_mm) <= 0):
        yield PlanError(
            f"The plan's spacing is {list(spec.spacing_mm)} mm.",
            f"It is {n_spacings} positive numbers, or null.",
            "Correct preprocessing.spacing_mm.",
        )
    codes = spec.orientation
    if codes is not None and sorted("LPI".find(c) if c in "LPI" else "RAS".find(c) for c in codes.upper()) != [0, 1, 2]:
        yield PlanError(
            f"The plan's orientation is {codes!r}.",
            "It has one letter each of L/R, P/A and I/S.",
            'Write "RAS", or null.',
        )
    values = spec.intensity
    if values.method not in INTENSITY:
        near = difflib.get_close_matches(values.method, INTENSITY, n=1)
        yield PlanError(
            f"The intensity method {values.method!r} is unknown.",
            f"Methods are {', '.join(INTENSITY)}.",
            f"Did you mean {near[0]!r}?" if near else "Choose one of them.",
        )
    if values.method != "zscore" and not values.low < values.high:
        yield PlanError(
            f"The intensities go from {values.low:g} to {values.high:g}.",
            "low lies below high.",
            "Correct preprocessing.intensity.",
        )
    if values.method == "percentile" and not 0 <= values.low < values.high <= 100:
        yield PlanError(
            f"The percentiles are {values.low:g} and {values.high:g}.",
            "Percentiles lie between 0 and 100.",
            "Write 0.5 and 99.5.",
        )
    if any(len(v) not in (1, spec.channels) for v in (values.mean, values.std)) or min(values.std, default=0) <= 0:
        yield PlanError(
            f"The plan has mean {list(values.mean)} and std {list(values.std)}.",
            f"Each is one number, or {spec.channels}; std is positive.",
            "Correct preprocessing.intensity.",
        )


def _of_augmentation(plan: Plan) -> Iterator[PlanError]:
    axes, n = plan.augmentation.flip_axes, plan.preprocessing.dimension
    if any(a < 0 or a >= n for a in axes):
        yield PlanError(
            f"The plan flips the axes {list(axes)}.",
            f"A {n}-D image has the axes {', '.join(map(str, range(n)))}.",
            "Correct augmentation.flip_axes.",
        )
    side = 1 if n == 2 else 0
    paired = paired_names(plan.classes)
    if paired and side in axes:
        yield PlanError(
            f"The plan flips left and right, and the label {paired!r} depends on the side.",
            "A flip must leave every label true.",
            f"Take {side} out of augmentation.flip_axes.",
        )
    if plan.preprocessing.channels == 1 and (plan.augmentation.hue or plan.augmentation.saturation):
        yield PlanError(
            "The plan varies hue or saturation of grey images.",
            "Grey has neither.",
            "Write 0 for augmentation.hue and saturation.",
        )
    if not 0 <= plan.augmentation.probability <= 1:
        yield PlanError(
            f"The plan's augmentation.probability is {plan.augmentation.probability:g}.",
            "A chance lies between 0 and 1.",
            "Write 0.5.",
        )


def _of_training(plan: Plan) -> Iterator[PlanError]:
    training = plan.training
    shares = {"warmup": training.warmup, "label_smoothing": training.label_smoothing, "ema": training.ema}
    for name, value in shares.items():
        if not (math.isfinite(value) and 0 <= value < 1):
            yield PlanError(
                f"The plan's training.{name} is {value:g}.", "It lies from 0 to below 1.", f"Correct training.{name}."
            )
    counts = {"patience": training.patience, "evaluations": training.evaluations, "ensemble": training.ensemble}
    for name, count in counts.items():
        if count < 1:
            yield PlanError(f"The plan's training.{name} is {count}.", "It is at least 1.", f"Correct training.{name}.")


def _of_candidates(plan: Plan) -> Iterator[PlanError]:
    if not plan.candidates:
        yield PlanError("The plan has no candidate.", "At least one model must be trained.", "Make the plan anew.")
    seen: set[str] = set()
    rungs = {len(c.race_steps) for c in plan.candidates if c.kind == "network"}
    for one in plan.candidates:
        if one.name in seen:
            yield PlanError(
                f"Two candidates are called {one.name!r}.", "Every candidate has a name of its own.", "Rename one."
            )
        seen.add(one.name)
        yield from _of_model(plan, one)
        if one.kind == "network" and (
            one.batch_size < 1 or one.learning_rate <= 0 or one.final_steps < 1 or min(one.race_steps, default=1) < 1
        ):
            yield PlanError(
                f"The candidate {one.name!r} has batch_size {one.batch_size}, learning_rate {one.learning_rate:g} and {one.final_steps} steps.",
                "All of them are positive, and so is every rung of the race.",
                "Correct the candidate.",
            )
        elif one.kind == "network" and one.final_steps < sum(one.race_steps):
            yield PlanError(
                f"The candidate {one.name!r} takes {sum(one.race_steps)} steps in the race and {one.final_steps} in all.",
                "final_steps counts the race too.",
                "Raise final_steps, or lower race_steps.",
            )
    if len(rungs) > 1:
        yield PlanError(
            f"The candidates have {' and '.join(map(str, sorted(rungs)))} rungs in race_steps.",
            "All networks race over the same rungs.",
            "Give every race_steps the same length.",
        )


def _of_model(plan: Plan, one: Candidate) -> Iterator[PlanError]:
    name, model, kind = one.name, one.model, one.kind
    try:
        from scanwright.models import MODELS, arguments_of
    except ImportError:  # a light installation cannot train; training says so itself
        return
    if plan.task == "segment":
        yield from _of_segmenter(name, model)
        return
    if plan.task == "detect":
        yield from _of_detector(name, model)
        return
    if model in ON_A_BASE and plan.pretrained is None:
        yield PlanError(
            f"The candidate {name!r} begins from weights, and the plan names none.",
            "`pretrained` says where they come from.",
            "Make the plan anew with --pretrained FILE.",
        )
    row = MODELS.get(model)
    if row is None:
        near = difflib.get_close_matches(model, MODELS, n=1)
        fix = f"Did you mean {near[0]!r}?" if near else "Choose one of them."
        yield PlanError(
            f"The candidate {name!r} asks for the model {model!r}.", f"Models are {', '.join(MODELS)}.", fix
        )
        return
    if row.kind != kind:
        yield PlanError(
            f"The candidate {name!r} says that {model!r} is a {kind} model.",
            f"It is a {row.kind} one.",
            f'Write "kind": "{row.kind}".',
        )
    spec = plan.preprocessing
    if spec.n_axes not in row.dims or (row.frames and spec.frames is None):
        yield PlanError(
            f"The model {model!r} does not take {f'{spec.dimension}-D images' if spec.frames is None else 'sequences'}.",
            "It takes sequences of frames." if row.frames else f"It takes {row.dims}.",
            "Choose another model.",
        )
    known = arguments_of(model, one.arguments)
    for argument in sorted(set(one.arguments) - known):
        near = difflib.get_close_matches(argument, known, n=1)
        fix = f"Did you mean {near[0]!r}?" if near else "Remove it."
        yield PlanError(
            f"The candidate {name!r} has the argument {argument!r}.",
            f"{model} takes {', '.join(sorted(known)) or 'none'}.",
            fix,
        )


def _of_detection(plan: Plan) -> Iterator[PlanError]:
    spec, n = plan.detection, plan.preprocessing.dimension
    if (spec is None) == (plan.task == "detect"):
        yield PlanError(
            "The plan says nothing of detection." if spec is None else "The plan says how to detect.",
            "The key detection belongs to the task detect, and only to it.",
            "Make the plan anew with `scanwright plan`.",
        )
    if spec is None:
        return
    if len(spec.stride) != n or len(spec.typical) != n or min((*spec.stride, *spec.typical)) <= 0:
        yield PlanError(
            f"The plan's cells have the stride {list(spec.stride)} and boxes the usual size {list(spec.typical)}.",
            f"Both are {n} positive numbers, one an axis.",
            "Correct detection.stride and detection.typical.",
        )
    elif any(s % t for s, t in zip(plan.preprocessing.size, spec.stride, strict=False)):
        yield PlanError(
            f"The window {list(plan.preprocessing.size)} is not a whole number of cells of {list(spec.stride)} voxels.",
            "A window is divided into cells without a rest.",
            "Correct preprocessing.size.",
        )
    if plan.augmentation.elastic or plan.augmentation.mixup:
        yield PlanError(
            "The plan bends or mixes images.",
            "Boxes follow flips, turns, zooms and shifts; they cannot follow bends and mixtures.",
            "Write 0 for augmentation.elastic and augmentation.mixup.",
        )


def _of_detector(name: str, model: str) -> Iterator[PlanError]:
    from scanwright.models.detectors import DETECTORS

    if model not in DETECTORS:
        near = difflib.get_close_matches(model, DETECTORS, n=1)
        yield PlanError(
            f"The candidate {name!r} asks for the network {model!r}.",
            f"Networks for detection are {', '.join(DETECTORS)}.",
            f"Did you mean {near[0]!r}?" if near else "Choose one of them.",
        )


def _of_segmenter(name: str, model: str) -> Iterator[PlanError]:
    from scanwright.models.segmenters import SEGMENTERS

    if model not in SEGMENTERS:
        near = difflib.get_close_matches(model, SEGMENTERS, n=1)
        yield PlanError(
            f"The candidate {name!r} asks for the network {model!r}.",
            f"Networks for segmentation are {', '.join(SEGMENTERS)}.",
            f"Did you mean {near[0]!r}?" if near else "Choose one of them.",
        )
