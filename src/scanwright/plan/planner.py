"""From a fingerprint, a budget and a machine to a plan in which every choice has its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scanwright.core import (
    ON_A_BASE,
    Augmentation,
    Budget,
    Candidate,
    Cohort,
    Emit,
    Fingerprint,
    InputError,
    Memory,
    MissingExtraError,
    Plan,
    Preprocessing,
    Pretrained,
    Progress,
    ResourceError,
    Training,
    say_duration,
    silent,
)
from scanwright.plan import timetable
from scanwright.plan.choices import choose_preprocessing
from scanwright.plan.kinds import choose_augmentation, kind_of
from scanwright.plan.machine import Machine
from scanwright.plan.machine import machine as look_at_machine
from scanwright.plan.memory import PROCESS_MB, limit_mb, store_mb, training_mb
from scanwright.plan.recipes import MOST_NETWORKS, RECIPES, Recipe, applicable, batch_size, candidate, transferred
from scanwright.plan.speed import Cost, Job, Speed, busy, cost, load, measured_speed, remembered
from scanwright.plan.timetable import Sizes

_FASTER = 0.9
"""A precision or layout is taken when it needs at most this share of the plain step's time."""
_ENSEMBLE_STEPS = 400
"""Steps that each member of an ensemble must get: two half-trained networks are worse than one."""


@dataclass
class _Draft:
    """What is known while a plan is made."""

    cohort: Cohort
    fingerprint: Fingerprint
    spec: Preprocessing
    machine: Machine
    device: str
    sizes: Sizes
    seconds: float
    speed: Speed
    emit: Emit
    pretrained: Pretrained | None = None
    precision: str = "32-true"
    channels_last: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=lambda: {name: row.words for name, row in RECIPES.items()})

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    @property
    def n_outputs(self) -> int:
        return 1 if self.cohort.task in ("binary", "regress") else len(self.cohort.classes)

    @property
    def job(self) -> Job:
        return Job(self.shape, self.n_outputs, self.precision, self.channels_last, self.device)


def make_plan(
    cohort: Cohort,
    fingerprint: Fingerprint,
    *,
    budget: Budget,
    seed: int = 0,
    devices: str = "auto",
    machine: Machine | None = None,
    speed: Speed | None = None,
    cache: Path | None = None,
    pretrained: Pretrained | None = None,
    emit: Emit = silent,
) -> Plan:
    """Choose everything for one cohort, one budget and one machine.

    Args:
        cohort: A split cohort.
        fingerprint: From :func:`measure`.
        budget: Time for the whole run.
        seed: Goes into the plan.
        devices: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``, or a number of devices.
        machine: What it will run on; looked at if None.
        speed: How long a step of a candidate takes; measured on this machine if None.
        cache: Folder that remembers measured speeds, so that the next plan is the same.
        pretrained: Weights that some candidates begin from.
        emit: Receiver of progress.

    Returns:
        A complete plan: what is planned fits the budget and the memory.

    Raises:
        InputError: The devices asked for are not there.
        MissingExtraError: torch is not installed.
        ResourceError: Not even the smallest form of the plan fits the memory.
    """
    here = machine or look_at_machine()
    require_torch(here)
    device = choose_device(devices, here)
    kind, evidence = kind_of(cohort, fingerprint)
    sizes = _sizes(cohort, fingerprint, 1)
    spec, reasons = choose_preprocessing(
        cohort,
        fingerprint,
        kind=kind,
        seconds=timetable.SAFETY * (budget.seconds - timetable.reserve_s(budget.seconds, sizes, cores=here.cores)),
        cores=here.cores,
        gpu=device != "cpu",
    )
    sizes = _sizes(cohort, fingerprint, math.prod(spec.shape))
    reserve = timetable.reserve_s(budget.seconds, sizes, cores=here.cores)
    seconds = timetable.SAFETY * (budget.seconds - reserve)
    limit = min(max(0.003 * budget.seconds, 0.15), 1.5)
    draft = _Draft(
        cohort=cohort,
        fingerprint=fingerprint,
        spec=spec,
        machine=here,
        device=device,
        sizes=sizes,
        seconds=seconds,
        speed=remembered(speed or measured_speed(limit), here, cache),
        emit=emit,
        pretrained=pretrained,
        reasons=reasons,
    )
    draft.reasons["training.budget_s"] = (
        f"Of {say_duration(budget.seconds)}, {say_duration(reserve)} are kept for reading, evaluation, explanation and the report, "
        f"and {1 - timetable.SAFETY:.0%} of the rest as a margin."
    )
    augmentation, why = choose_augmentation(cohort, fingerprint, kind)
    draft.reasons |= why
    draft.reasons["augmentation"] += f" ({evidence[0].upper()}{evidence[1:]}.)"
    memory, fitting = _fit_memory(draft)
    candidates, ensemble = _fit_time(draft, fitting)
    memory = _final_memory(draft, candidates, memory)
    training = _training(draft, candidates, ensemble, devices)
    return Plan(
        task=cohort.task,
        classes=cohort.classes,
        class_weights=_class_weights(draft),
        preprocessing=draft.spec,
        augmentation=_tiny(draft, augmentation),
        training=training,
        candidates=candidates,
        memory=memory,
        pretrained=_used(draft, candidates),
        n_bootstrap=2000 if budget.seconds >= 3600 else 1000,
        seed=seed,
        reasons=draft.reasons
        | ({"n_bootstrap": "There is time for more resamples."} if budget.seconds >= 3600 else {}),
    )


def require_torch(here: Machine) -> None:
    """Refuse to plan a training where torch is missing.

    Raises:
        MissingExtraError: It is not installed.
    """
    if here.torch is None:
        raise MissingExtraError(
            "Planning a training needs torch, which is not installed.",
            "Training comes with the extra 'train'; predicting and serving need no torch.",
            "pip install 'scanwright[train]'",
        )


def choose_device(devices: str, here: Machine) -> str:
    """Kind of device that training will use.

    Raises:
        InputError: It is not there.
    """
    kinds = [d.kind for d in here.devices]
    wanted = devices.strip().lower()
    if wanted in ("auto", "") or wanted.isdigit():
        return kinds[1] if len(kinds) > 1 else "cpu"
    name = {"gpu": next((k for k in kinds if k != "cpu"), "cuda")}.get(wanted.split(":")[0], wanted.split(":")[0])
    if name not in kinds:
        raise InputError(
            f"The device {devices!r} was asked for and this machine has {', '.join(kinds)}.",
            "--devices takes auto, cpu, cuda, mps or a number.",
            "Write --devices auto.",
        )
    return name


def _sizes(cohort: Cohort, fingerprint: Fingerprint, voxels: int) -> Sizes:
    n_val, n_test = len(cohort.of("val")), len(cohort.of("test"))
    n_train = len(cohort.of("train")) or max(len(cohort) - n_val - n_test, 1)
    source = math.prod(fingerprint.shape_median) * fingerprint.n_channels
    return Sizes(n_train, n_val, n_val + n_test, len(cohort), voxels, source)


def _fit_memory(draft: _Draft) -> tuple[Memory, list[Candidate]]:
    """Candidates whose memory fits: smaller batches first, then fewer candidates, then smaller images."""
    limit = limit_mb(draft.machine, draft.device)
    first = math.prod(draft.spec.size)
    while True:
        kept, dropped = _candidates_within(draft, limit)
        base = (
            PROCESS_MB + min(store_mb(draft.sizes.n_train, draft.shape), 0.25 * limit)
            if draft.device == "cpu"
            else PROCESS_MB
        )
        networks_wanted = any(c.kind == "network" for c in kept) or not dropped
        if base < limit and networks_wanted:
            break
        smaller = tuple(max(16, int(n * 0.75) // 4 * 4) for n in draft.spec.size)
        if math.prod(smaller) >= math.prod(draft.spec.size):
            raise ResourceError(
                f"The plan needs at least {base:.0f} MB and {limit:.0f} MB may be used.",
                f"Training {draft.spec.dimension}-D images needs memory for the network and its steps.",
                "Close other programs, or use a machine with more memory.",
            )
        draft.spec = draft.spec.model_copy(update={"size": smaller, "spacing_mm": _wider(draft.spec, smaller)})
        draft.sizes = _sizes(draft.cohort, draft.fingerprint, math.prod(draft.spec.shape))
    if math.prod(draft.spec.size) < first:
        made = " x ".join(map(str, draft.spec.size))
        draft.reasons["preprocessing.size"] = (
            f"Images become {made}: larger ones do not fit the {limit:.0f} MB of memory that may be used."
        )
    if dropped:
        draft.reasons["candidates.left_out"] = f"Left out, too large for the memory: {', '.join(dropped)}."
    draft.reasons["memory"] = f"{limit:.0f} MB, 80 % of what is free, may be used; batches and images are made to fit."
    return Memory(predicted_mb=round(base, 1), limit_mb=round(limit, 1)), kept


def _wider(spec: Preprocessing, size: tuple[int, ...]) -> tuple[float, ...] | None:
    """Spacing that covers the same field with fewer voxels."""
    if spec.spacing_mm is None:
        return None
    ratio = max(old / new for old, new in zip(spec.size, size, strict=True))
    return tuple(round(s * ratio, 4) for s in spec.spacing_mm)


def _candidates_within(draft: _Draft, limit: float) -> tuple[list[Candidate], list[str]]:
    gpu = draft.device != "cpu"
    side = max(draft.spec.size)
    frames = draft.spec.frames.most if draft.spec.frames else 1
    rows = applicable(dimension=draft.spec.dimension, side=side, seconds=draft.seconds, gpu=gpu, frames=frames > 1)
    if draft.pretrained is not None:
        last = [name for name, row in rows.items() if row.kind == "network"][
            MOST_NETWORKS["gpu" if gpu else "cpu"] - 1 :
        ]
        rows = _transferred(draft) | {n: r for n, r in rows.items() if n not in last}
        draft.words = {name: row.words for name, row in rows.items()}
    batch = batch_size(draft.sizes.n_train, gpu=gpu, voxels=math.prod(draft.spec.size), frames=frames)
    store = store_mb(draft.sizes.n_train, draft.shape) if draft.device != "cuda" else 0.0
    kept, dropped = [], []
    for name, row in rows.items():
        one = candidate(name, row, batch_size=batch)
        if row.kind == "classical":
            need = _frozen_mb(draft, one) if row.model in ON_A_BASE else _classical_mb(draft)
            kept.append(one.model_copy(update={"memory_mb": round(PROCESS_MB + need, 1)}))
            continue
        found = cost(one, draft.shape, draft.n_outputs)
        need = _need(draft, one, found, store)
        while need > limit and one.batch_size > 4:
            one = one.model_copy(update={"batch_size": one.batch_size // 2})
            need = _need(draft, one, found, store)
            draft.reasons[f"candidates.{name}.batch_size"] = (
                f"{one.batch_size} cases a step: more do not fit the memory."
            )
        if need > limit:
            dropped.append(name)
            continue
        kept.append(one.model_copy(update={"parameters": found.parameters, "memory_mb": round(need, 1)}))
    return kept, dropped


def _need(draft: _Draft, one: Candidate, found: Cost, store: float) -> float:
    mixed = draft.precision != "32-true"
    return PROCESS_MB + min(store, 0.25 * draft.machine.memory_mb) + training_mb(one, found, draft.shape, mixed=mixed)


def _classical_mb(draft: _Draft) -> float:
    """Features of all training cases, in double precision, a few times over."""
    return draft.sizes.n_train * 2500 * 8 * 3 / 2**20 + 200


def _transferred(draft: _Draft) -> dict[str, Recipe]:
    """Rows on the base; nearest cases and trees only where there is time for more than the linear head."""
    if draft.pretrained is None:
        return {}
    rows = transferred(
        draft.pretrained,
        size=draft.spec.size,
        n_train=draft.sizes.n_train,
        n_outputs=draft.n_outputs,
        regress=draft.cohort.task == "regress",
    )
    return {name: row for name, row in rows.items() if row.seconds <= draft.seconds}


def _frozen_mb(draft: _Draft, one: Candidate) -> float:
    """Features of all training cases, and what the base leaves behind for a batch of at most 128."""
    found = cost(one, draft.shape, draft.n_outputs)
    return (
        draft.sizes.n_train * 2048 * 8 * 3 / 2**20 + found.parameters * 8 / 2**20 + found.activations * 128 * 2 / 2**20
    )


def _used(draft: _Draft, candidates: Sequence[Candidate]) -> Pretrained | None:
    """The base, if a candidate begins from it, with its reasons."""
    start = draft.pretrained
    if start is None or not any(c.model in ON_A_BASE for c in candidates):
        if start is not None:
            draft.reasons["pretrained"] = (
                f"{start.file} was asked for, and the budget or the memory is too small for its {start.model}."
            )
        return None
    learnt = f"learnt from {start.trained_on}" if start.trained_on else "nobody says what they were learnt from"
    draft.reasons["pretrained"] = (
        f"Asked for: {start.model} from {start.file} ({start.naming} names; {learnt}; {start.licence_words})."
    )
    if start.dimension != draft.spec.dimension and draft.spec.dimension == 3:
        draft.reasons["pretrained.dimension"] = (
            "Its kernels are repeated along the third axis and divided by its length."
        )
    if start.seen:
        draft.reasons["pretrained.seen"] = (
            f"{start.seen} test images were seen when the weights were learnt: figures on them flatter."
        )
    bigger = next((c.arguments["enlarge"] for c in candidates if "enlarge" in c.arguments), 1)
    if bigger != 1:
        draft.reasons["pretrained.side"] = f"Images are enlarged {bigger} times inside it: it learnt from larger ones."
    return start


def _fit_time(draft: _Draft, candidates: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], int]:
    """Candidates with their steps: those that cannot get enough of them are left out."""
    classical = [c for c in candidates if c.kind == "classical"]
    networks = [c for c in candidates if c.kind == "network"]
    fits = timetable.classical_s(draft.sizes)
    draft.reasons["candidates"] = (
        "Cheap and strong recipes race; each rung keeps the better half, and the best is trained to the end of the budget."
    )
    if fits > 0.35 * draft.seconds and networks:
        classical = []
        draft.reasons["candidates"] += " Classical candidates would take too much of this budget."
        fits = 0.0
    left = draft.seconds - (fits if classical else 0.0)
    networks = _measured(draft, networks, left)
    too_slow: list[str] = []
    on_base = _frozen_s(draft, classical, networks)
    if on_base > 0.35 * left:
        too_slow += [c.name for c in (*classical, *networks) if c.model in ON_A_BASE]
        classical, networks = ([c for c in some if c.name not in too_slow] for some in (classical, networks))
    else:
        left -= on_base
    networks, too_slow = _without_hopeless(draft, networks, too_slow, left)
    while networks:
        wanted = _ensemble(draft, len(networks), left)
        for ensemble in range(wanted, 0, -1):
            divided = timetable.divide(networks, left, draft.sizes, ensemble=ensemble, hurry=len(networks) == 1)
            if all(c.final_steps >= (_ENSEMBLE_STEPS if ensemble > 1 else 1) for c in divided):
                _say_candidates(draft, divided, too_slow, ensemble)
                divided, ensemble = _twinned(draft, divided, left, ensemble)
                return (*divided, *classical), ensemble
        slowest = max(
            networks, key=lambda c: (c.model != "tuned", c.final_steps > 0, c.seconds_per_step / c.batch_size)
        )
        too_slow.append(slowest.name)
        networks = [c for c in networks if c is not slowest]
    # always something to train, however short the time
    fitted = [c for c in candidates if c.kind == "classical" and c.name not in too_slow]
    classical = [c for c in fitted if c.model == "linear" or timetable.classical_s(draft.sizes) <= draft.seconds]
    _say_candidates(draft, (), too_slow, 1)
    return tuple(classical), 1


def _without_hopeless(
    draft: _Draft, networks: list[Candidate], too_slow: list[str], seconds: float
) -> tuple[list[Candidate], list[str]]:
    """Leave a tuned base out at once if it could not even be trained alone: others would be left out before it."""
    for one in [c for c in networks if c.model == "tuned"]:
        (alone,) = timetable.divide([one], seconds, draft.sizes, hurry=True)
        if not alone.final_steps:
            return [c for c in networks if c is not one], [*too_slow, one.name]
    return networks, too_slow


def _frozen_s(draft: _Draft, classical: Sequence[Candidate], networks: Sequence[Candidate]) -> float:
    """Seconds to fit the heads of a frozen base, from the measured step of the tuned one."""
    tuned = next((c for c in networks if c.model == "tuned"), None)
    frozen = [c for c in classical if c.model in ON_A_BASE]
    if tuned is None:
        return 0.0
    return timetable.frozen_s(tuned, draft.sizes, len(frozen))


def _twinned(
    draft: _Draft, networks: tuple[Candidate, ...], seconds: float, ensemble: int
) -> tuple[tuple[Candidate, ...], int]:
    """Two of the only network, where there is time for both: they are averaged."""
    if len(networks) > 1 or _ensemble(draft, 2, seconds) < 2:
        return networks, ensemble
    only = networks[0]
    pair = timetable.divide(
        [only, only.model_copy(update={"name": f"{only.name}-twin"})], seconds, draft.sizes, ensemble=2
    )
    if any(c.final_steps < _ENSEMBLE_STEPS for c in pair):
        return networks, ensemble
    draft.reasons[f"candidates.{pair[1].name}"] = draft.reasons["training.ensemble"] = (
        "Only one network is affordable: two of it, from different beginnings, are steadier than one trained longer."
    )
    return pair, 2


def _ensemble(draft: _Draft, n: int, seconds: float) -> int:
    if seconds >= 3600:
        return min(3, n)
    return min(2, n) if seconds >= 90 else 1


def _measured(draft: _Draft, networks: Sequence[Candidate], seconds: float) -> list[Candidate]:
    """Networks with seconds per step, after precision and memory layout were chosen on the first."""
    if not networks:
        return []
    _choose_precision(draft, networks[0], seconds)
    found = []
    for number, one in enumerate(networks, start=1):
        found.append(one.model_copy(update={"seconds_per_step": draft.speed(one, draft.job)}))
        draft.emit(Progress(stage="plan", step="measuring networks", done=number, total=len(networks)))
    return found


def _choose_precision(draft: _Draft, one: Candidate, seconds: float) -> None:
    """Measure what is faster for the preferred network: bfloat16, channels last, both or neither."""
    device = next((d for d in draft.machine.devices if d.kind == draft.device), draft.machine.processor)
    if seconds < 25 or draft.device == "mps":
        draft.reasons["training.precision"] = "Single precision: nothing else was measured."
        return
    probe = one.model_copy(update={"batch_size": min(one.batch_size, 32)})  # enough to tell which is faster
    layouts = (False, True) if draft.spec.frames is None else (False,)  # a layout is one of 2-D or of 3-D
    precisions = ("32-true", "bf16-mixed") if device.bf16 else ("32-true",)
    if draft.device == "cuda" and not device.bf16:
        precisions = ("32-true", "16-mixed")
    times = {
        (p, last): draft.speed(probe, Job(draft.shape, draft.n_outputs, p, last, draft.device))
        for p in precisions
        for last in layouts
    }
    plain = times["32-true", False]
    best = min(times, key=lambda key: (times[key], key))
    if times[best] <= _FASTER * plain:
        draft.precision, draft.channels_last = best
    layout = "channels last" if draft.channels_last else "channels first"
    gain = plain / times[draft.precision, draft.channels_last]
    draft.reasons["training.precision"] = (
        f"{draft.precision} with {layout} was the fastest measured: {gain:.1f} times the plain step."
        if gain > 1
        else "Plain single precision was as fast as anything."
    )
    draft.reasons["training.channels_last"] = draft.reasons["training.precision"]


def _say_candidates(draft: _Draft, networks: Sequence[Candidate], too_slow: Sequence[str], ensemble: int) -> None:
    for one in networks:
        epochs = one.final_steps * one.batch_size / max(draft.sizes.n_train, 1)
        draft.reasons[f"candidates.{one.name}"] = (
            f"{draft.words[one.name].capitalize()}: {one.seconds_per_step * 1000:.0f} ms a step, {epochs:.0f} epochs if it wins."
        )
    if too_slow:
        draft.reasons["candidates.too_slow"] = f"Left out, too slow for this budget: {', '.join(too_slow)}."
    if busy(draft.machine):
        draft.reasons["candidates.load"] = (
            f"The machine was busy while steps were timed (load {load():.1f} on {draft.machine.cores} cores): "
            "a plan made when it is quiet holds more steps."
        )
    if not networks:
        draft.reasons["candidates"] = (
            "The budget is too short for a network on this machine, so only classical models are fitted."
        )
    if ensemble > 1:
        draft.reasons["training.ensemble"] = (
            f"The best {ensemble} are averaged: it steadies the answer, and there is time."
        )


def _final_memory(draft: _Draft, candidates: Sequence[Candidate], memory: Memory) -> Memory:
    most = max((c.memory_mb for c in candidates), default=memory.predicted_mb)
    return memory.model_copy(update={"predicted_mb": round(max(most, memory.predicted_mb), 1)})


def _training(draft: _Draft, candidates: Sequence[Candidate], ensemble: int, devices: str) -> Training:
    labelled = draft.cohort.task not in ("regress",)
    steps = max((c.final_steps for c in candidates), default=0)
    smoothing = 0.0 if not labelled or draft.cohort.task == "multilabel" else 0.05
    ema = 0.0 if steps < 100 else 0.99 if steps < 500 else 0.998 if steps < 10_000 else 0.999
    balanced, why = _balanced(draft)
    draft.reasons |= {
        "training.schedule": "One warm-up and one descent that ends with the budget.",
        "training.warmup": "The first 20 % of the steps raise the learning rate.",
        "training.label_smoothing": "A little smoothing keeps answers from being too sure."
        if smoothing
        else "None for this task.",
        "training.balanced_sampling": why,
        "training.ema": f"A moving average of the weights, as long as {steps} steps allow."
        if ema
        else "Too few steps for a moving average.",
        "operating_point": "How common the classes will be is not known, so the answer is cut halfway between even and as on validation.",
        "training.patience": "Eight looks at validation in a row without a better score end the training.",
        "training.evaluations": "Twelve looks at validation cost little and show when it stops getting better.",
    }
    if devices != "auto":
        draft.reasons["training.devices"] = "As asked for."
    values: dict[str, Any] = {"precision": draft.precision, "channels_last": draft.channels_last}
    return Training(
        budget_s=round(draft.seconds, 1),
        schedule="one_cycle",
        warmup=0.2,
        label_smoothing=smoothing,
        balanced_sampling=balanced,
        ema=ema,
        patience=8,
        evaluations=timetable.EVALUATIONS,
        ensemble=ensemble,
        devices=devices,
        **values,
    )


def _balanced(draft: _Draft) -> tuple[bool, str]:
    if draft.cohort.task == "regress":
        return False, "Numbers have no classes to balance."
    counts = [n for n in draft.fingerprint.n_per_class.values() if n > 0]
    if len(counts) < 2:
        return draft.cohort.task == "multilabel", "Labels are drawn in turn."
    rare = min(counts) < 0.8 * sum(counts) / len(counts)
    if rare:
        name = min(draft.fingerprint.n_per_class, key=lambda c: draft.fingerprint.n_per_class[c] or math.inf)
        return True, f"{name!r} is rare ({min(counts)} of {sum(counts)}), so classes are drawn equally often."
    return False, "The classes are about equally common."


def _class_weights(draft: _Draft) -> tuple[float, ...]:
    """Weights by inverse frequency (its root for multi-label), with a mean of 1; empty when balanced."""
    task = draft.cohort.task
    counts = [draft.fingerprint.n_per_class.get(name, 0) for name in draft.cohort.classes]
    if task == "regress" or len(counts) < 2 or max(counts) < 1.25 * max(min(counts), 1):
        return ()
    power = 0.5 if task == "multilabel" else 1.0
    raw = [(sum(counts) / max(n, 1)) ** power for n in counts]
    mean = sum(raw) / len(raw)
    draft.reasons["class_weights"] = "Rare classes weigh more in the loss where they are not drawn more often instead."
    return tuple(round(min(w / mean, 10.0), 4) for w in raw)


def _tiny(draft: _Draft, augmentation: Augmentation) -> Augmentation:
    """Pictures of few pixels bear less blur and loss of resolution."""
    if max(draft.spec.size) > 32 or not (augmentation.blur or augmentation.low_resolution):
        return augmentation
    draft.reasons["augmentation.blur"] = "Small images bear little blur."
    return augmentation.model_copy(
        update={
            "blur": min(augmentation.blur, 0.7),
            "low_resolution": max(augmentation.low_resolution, 0.6) if augmentation.low_resolution else 0.0,
        }
    )
