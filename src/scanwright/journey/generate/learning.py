"""Scan, prepare, learn: from a folder to a generator, within a budget."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import (
    Budget,
    Case,
    Cohort,
    CohortError,
    Emit,
    Fingerprint,
    InputError,
    MissingExtraError,
    Plan,
    Preprocessing,
    Said,
    say_duration,
)
from scanwright.io import RunFolder, Store, read_case
from scanwright.io.run_folder import stage_events
from scanwright.io.synthetic import check_room
from scanwright.journey.generate.asking import Wish, refuse_few, shares
from scanwright.journey.generate.writing import Look
from scanwright.journey.request import Request
from scanwright.journey.survey import check, scan

if TYPE_CHECKING:
    from scanwright.generation import Generator, Learnt

CLASSIFIER_SHARE, DRAW_SHARE, RESERVE = 0.08, 0.2, 0.04
"""Of the whole budget: each of the two classifiers; drawing to judge; judging and writing."""

_LEAST_S = 5.0
_CLASSIFIER_STEPS = (40, 600)
_LEAST_PLANNED_S = 300.0
_ANY = "image"


@dataclass
class Learning:
    """A learning that has got as far as its generator.

    Args:
        cohort: Training and validation cases; the test part is not in it.
        fingerprint: Its measured facts.
        spec: How images become arrays, -1 .. 1.
        store: The arrays.
        train: Rows that are learnt from.
        unseen: Rows of validation, without copies of training images.
        plan: How classifiers are trained; None for a cohort without classes, or where there is no time.
        seconds: Time of each step so far.
        notes: Sentences for the report.
        steps: Steps of the networks.
        history: Learning curves.
    """

    cohort: Cohort
    fingerprint: Fingerprint
    spec: Preprocessing
    store: Store
    train: NDArray[np.intp]
    unseen: NDArray[np.intp]
    plan: Plan | None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that are told apart; empty without."""
        return self.cohort.classes if len(self.cohort.classes) > 1 else ()

    def images(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """``(N, C, *size)``, -1 .. 1."""
        return np.clip(self.store.images[rows].astype(np.float32), -1, 1)

    def labels(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Class indices ``(N,)``."""
        return self.store.labels[rows].astype(np.intp)

    def said(self, emit: Emit, text: str, *, warn: bool = False) -> None:
        """Tell the person, and remember it for the report."""
        self.notes.append(text)
        emit(Said(stage="generate", text=text, level="warn" if warn else "info"))


def prepare(folder: RunFolder, wish: Wish, emit: Emit, *, most_steps: int | None = None) -> Learning:
    """Understand the folder, choose sizes, and turn training and validation images into arrays.

    Args:
        folder: Where learning keeps its files.
        wish: What was asked for.
        emit: Receiver of events.
        most_steps: Most steps of each classifier.

    Returns:
        What learning starts from.

    Raises:
        CohortError: There are too few images.
    """
    from scanwright.plan import machine, measure, split
    from scanwright.plan.choices import choose_preprocessing
    from scanwright.plan.kinds import kind_of

    began = monotonic()
    request = wish.request or Request.of(wish.source, {})
    cohort, said = _cohort(folder, request, emit)
    shares(wish.classes, cohort.classes if len(cohort.classes) > 1 else (), wish.count)  # refused before anything long
    notes: list[str] = []
    if not (cohort.of("train") and cohort.of("val")):
        cohort, notes = split(cohort, seed=wish.seed)
    cohort = cohort.with_cases(c for c in cohort.cases if c.part in ("train", "val"))
    with stage_events("prepare", emit):
        for text in (*notes, *said):
            emit(Said(stage="prepare", text=text))
        warnings = refuse_few(cohort)
        fingerprint = measure(cohort, lambda case: read_case(case, root=cohort.root), seed=wish.seed, emit=emit)
        here = machine()
        gpu = len(here.devices) > 1 and request.devices != "cpu"
        kind, _ = kind_of(cohort, fingerprint)
        seconds = 0.5 * wish.budget.seconds
        spec, _ = choose_preprocessing(cohort, fingerprint, kind=kind, seconds=seconds, cores=here.cores, gpu=gpu)
        spec, resized = generator_spec(spec, fingerprint, wish.size, gpu=gpu)
        Look.of(spec, fingerprint).format_of(wish.format)
        if wish.mark:
            check_room(*spec.size[:2])
        plan = _plan(cohort, fingerprint, spec, wish, request, emit)
        if plan is not None and most_steps is not None:
            one = plan.candidates[0]
            one = one.model_copy(update={"final_steps": min(one.final_steps, most_steps)})
            plan = plan.model_copy(update={"candidates": (one,)})
        store = Store.build(folder.work / "store", cohort, spec, lambda case: _array(case, cohort, spec), emit=emit)
        train = store.rows("train")
        known = {store.seen[row] for row in train}
        unseen = np.array([row for row in store.rows("val") if store.seen[row] not in known], dtype=np.intp)
        made = Learning(cohort, fingerprint, spec, store, train, unseen, plan)
        for text in warnings:
            made.said(emit, text, warn=True)
        for text in (*said, *resized):
            made.said(emit, text)
        if len(unseen) < len(store.rows("val")):
            n = len(store.rows("val")) - len(unseen)
            made.said(
                emit, f"{n} validation image{'s are' if n > 1 else ' is'} also in training and left out of judging."
            )
        if not made.classes:
            made.said(emit, "There are no classes: the generator draws images of one kind.")
        made.seconds["scan and prepare"] = round(monotonic() - began, 1)
    return made


def learn_generator(
    folder: RunFolder, made: Learning, wish: Wish, emit: Emit, *, seconds: float, most_steps: int | None = None
) -> Generator:
    """Learn the networks.

    Args:
        folder: Where learning keeps its files.
        made: Prepared arrays; gets steps, seconds and curves.
        wish: What was asked for.
        emit: Receiver of events.
        seconds: Time for it.
        most_steps: Most steps of each network.

    Returns:
        The generator.

    Raises:
        InputError: There is too little time.
    """
    from scanwright.generation import Generator, Means, Pupils, design, learn
    from scanwright.models import count_parameters
    from scanwright.plan import machine

    if seconds < _LEAST_S:
        raise InputError(
            f"The budget of {wish.budget} leaves {max(seconds, 0):.0f} s to learn the images.",
            f"Reading, judging and drawing take the rest, and learning needs at least {_LEAST_S:g} s.",
            "Write --budget 10m, or more.",
        )
    here = machine()
    request = wish.request or Request.of(wish.source, {})
    kind = here.devices[1].kind if len(here.devices) > 1 and request.devices != "cpu" else "cpu"
    bf16 = kind != "cpu" and here.devices[1].bf16  # on a processor this network is slower in bfloat16
    size = tuple(int(n) for n in made.spec.size)
    chosen = design(made.spec.dimension, size, made.spec.channels, len(made.classes), gpu=kind != "cpu")
    unseen = made.unseen if len(made.unseen) else made.train
    pupils = Pupils(made.images(made.train), made.labels(made.train), made.images(unseen), made.labels(unseen))
    key = hashlib.sha256(
        f"{made.store.digest} {chosen} {wish.seed} {bf16} {wish.budget.seconds} {most_steps}".encode()
    ).hexdigest()[:16]
    means = Means(kind, bf16, folder.work / f"networks-{key}", emit, wish.seed)
    learnt: Learnt = learn(chosen, pupils, means, seconds=seconds, most_steps=most_steps)
    made.steps, made.history = learnt.steps, learnt.history
    made.seconds |= {f"learning the {name}": s for name, s in learnt.seconds.items()}
    for note in learnt.notes:
        made.said(emit, note)
    n = count_parameters(learnt.flow)
    where = "their codes" if chosen.latent else "their pixels"
    steps = ", ".join(f"{name} {k:,} steps" for name, k in learnt.steps.items())
    made.said(
        emit, f"The flow walks in {where} with {n:,} weights ({steps}, {say_duration(sum(learnt.seconds.values()))})."
    )
    return Generator(chosen, learnt.flow, learnt.autoencoder, device=kind)


def generator_spec(
    spec: Preprocessing, fingerprint: Fingerprint, size: int | None, *, gpu: bool
) -> tuple[Preprocessing, list[str]]:
    """How images become arrays that are learnt: -1 .. 1, no contrast changes, sides that divide evenly.

    Args:
        spec: What a classifier would take.
        fingerprint: Measured facts.
        size: Longest side that was asked for.
        gpu: Whether there is an accelerator, which affords twice the side.

    Returns:
        The preprocessing, and sentences on what became of the size.
    """
    from scanwright.generation import LARGEST, multiple

    source = tuple(int(n) for n in fingerprint.shape_median[: spec.dimension])
    most = size or LARGEST[spec.dimension] * (2 if gpu else 1)
    longest = size or min(max(spec.size), most)
    step = multiple(longest)
    scale = longest / max(spec.size)
    made = tuple(max(8, step, round(n * scale / step) * step) for n in spec.size)
    spacing = None
    if spec.spacing_mm is not None:
        spacing = tuple(round(s * old / new, 4) for s, old, new in zip(spec.spacing_mm, spec.size, made, strict=True))
    values = spec.intensity.model_copy(
        update={"clahe": False, "contrast": 1.0, "brightness": 0.0, "mean": (0.5,), "std": (0.5,)}
    )
    words = []
    if max(made) < max(source):
        words.append(
            f"Images of {_by(source)} are learnt and drawn at {_by(made)}"
            + ("." if size else f"; --size N draws larger ones, which takes more time (up to {most} is usual here).")
        )
    return spec.model_copy(update={"size": made, "spacing_mm": spacing, "intensity": values, "frames": None}), words


def _by(size: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in size)


def _cohort(folder: RunFolder, request: Request, emit: Emit) -> tuple[Cohort, list[str]]:
    """The cohort with classes, or one of images alone."""
    try:
        cohort = scan(folder, request, emit)
    except CohortError as error:
        if request.labels or request.task:
            raise
        emit(Said(stage="scan", text=f"{error.fact} Images alone are learnt."))
        return _images_alone(request.source), []
    if len(cohort.classes) > 1 or cohort.task not in ("binary", "multiclass", "ordinal"):
        cohort, _ = check(folder, cohort, request, emit)  # the parts that `run` would draw: its test part stays unseen
    if cohort.task in ("binary", "multiclass", "ordinal"):
        return cohort.with_cases(c for c in cohort.cases if c.is_labelled), []
    cases = tuple(replace(c, label=0, masks=(), boxes=None) for c in cohort.cases if c.is_labelled)
    said = f"The task is {cohort.task}; images alone are learnt, without what they are labelled as."
    return replace(cohort, task="multiclass", classes=(_ANY,), cases=cases, mask_code=None), [said]


def _images_alone(source: Path) -> Cohort:
    """Every image of a folder or array, without labels."""
    from scanwright.intake.place import ARRAY_SUFFIXES, Place, suffix_of
    from scanwright.io import open_array, read_volume

    place = Place.of(source)
    if place.is_file and suffix_of(place.path.name) in ARRAY_SUFFIXES:
        key = place.path.name
        if suffix_of(key) == ".npz":
            with np.load(place.path, allow_pickle=False) as content:
                named = [n for n in content.files if content[n].ndim >= 3]
            key = f"{key}::{named[0]}" if named else key
        sources = [f"{key}[{row}]" for row in range(len(open_array(key, root=place.root)))]
    else:
        sources = list(place.images)
    if not sources:
        raise CohortError(
            f"No image was found in {source.name}.",
            "A generator learns from images.",
            "Name the folder that holds them.",
        )
    dimension = 3 if read_volume(sources[0], root=place.root).grid.shape[2] > 1 else 2
    cases = tuple(Case(f"image-{k:06d}", name, 0) for k, name in enumerate(sources, start=1))
    return Cohort(source.name.split(".")[0], place.root, "images", "multiclass", (_ANY,), cases, None, dimension)  # type: ignore[arg-type]


def _array(case: Case, cohort: Cohort, spec: Preprocessing) -> NDArray[np.float32]:
    from scanwright.preprocessing import prepare as prepare_volume

    return prepare_volume(read_case(case, root=cohort.root), spec)


def _plan(
    cohort: Cohort, fingerprint: Fingerprint, spec: Preprocessing, wish: Wish, request: Request, emit: Emit
) -> Plan | None:
    """How the two classifiers are trained that judge the images: one network, the same steps for both."""
    from scanwright.plan import machine, make_plan

    if len(cohort.classes) < 2 or not cohort.of("val"):
        return None
    try:
        budget = Budget(max(_LEAST_PLANNED_S, wish.budget.seconds))  # a network is wanted; its steps are set below
        plan = make_plan(
            cohort, fingerprint, budget=budget, seed=wish.seed, devices=request.devices, machine=machine(),
            cache=request.cache, emit=emit,
        )  # fmt: skip
    except ImportError as error:
        raise MissingExtraError(
            f"Learning a generator needs {error.name or 'torch'}, which is not installed.",
            "The light install predicts and serves; learning is the extra [train].",
            "Run `pip install 'scanwright[train]'`.",
        ) from error
    networks = [c for c in plan.candidates if c.kind == "network"]
    if not networks:
        return None
    pace = max(networks[0].seconds_per_step, 1e-4)
    steps = int(np.clip(CLASSIFIER_SHARE * wish.budget.seconds / pace, *_CLASSIFIER_STEPS))
    one = networks[0].model_copy(update={"race_steps": (), "final_steps": steps})
    training = plan.training.model_copy(update={"ensemble": 1, "evaluations": 6})
    return plan.model_copy(update={"preprocessing": spec, "candidates": (one,), "training": training, "columns": ()})
