"""From a plan and prepared cases to weights: baseline, race, final training, choice."""

from __future__ import annotations

import hashlib
import itertools
import math
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from scanwright.core import Candidate, Emit, Plan, PlanError, Progress, silent
from scanwright.io.atomic import atomic_write
from scanwright.models import Explainable, Fitted, Flipped, Frozen, Light, build, count_parameters
from scanwright.training.classical import fit_classical
from scanwright.training.data import Data, StoreLike
from scanwright.training.fit import Run, State
from scanwright.training.halving import race_networks, race_row
from scanwright.training.light import fit_light
from scanwright.training.score import Logits, Score, auroc_error
from scanwright.training.trained import BASELINE, BASELINE_WEIGHTS, WEIGHTS, Trained, load_trained, write_weights
from scanwright.training.transfer import base_tensors, fill, probed_head

_JOIN_MARGIN = 0.002
_FAR_BEHIND = 0.06
_SHARES = (0.25, 0.5, 0.75)


@dataclass(eq=False)
class _Member:
    """A candidate that may become part of the network."""

    candidate: Candidate
    module: Explainable
    weights: dict[str, Tensor]
    logits: Logits
    score: Score


def train(
    plan: Plan,
    store: StoreLike,
    *,
    work: Path,
    emit: Emit = silent,
    devices: str | int | None = None,
    deadline: float | None = None,
    base: Path | None = None,
) -> Trained:
    """Train as planned; called again, go on where it stopped.

    The linear baseline and the classical candidates are fitted; the networks race by successive
    halving over ``race_steps``, scored on validation and on validation under mild acquisition
    shifts; the best go on to ``final_steps``; mirror images and averages are taken where
    validation gains by them. The race is the beginning of the final schedule, so the winner
    loses nothing by it.

    Args:
        plan: The plan; the same plan, store and machine give the same weights.
        store: Prepared arrays with labels.
        work: Folder for checkpoints and results; made if missing.
        emit: Receiver of events.
        devices: ``"auto"``, a number of processes or GPUs, or None for the plan's. Under
            torchrun or SLURM the launcher decides.
        deadline: ``time.monotonic()`` value by which training must have ended; a schedule that
            would miss it is cut short, once, and that is said.
        base: Weights that the plan's ``frozen`` and ``tuned`` candidates begin from.

    Returns:
        Weights and figures.

    Raises:
        CohortError: Too few labelled cases, or one class only.
        PlanError: The plan has no candidate, or not the store's shape.
        ScanwrightError: Losses stay non-finite in full precision.
        ResourceError: The disk is full.
    """
    from scanwright.training.launch import launch

    _check(plan, store)
    work = Path(work)
    key = _key(plan, store)
    done = load_trained(work, key=key)
    if done is not None:
        return done
    return launch(
        partial(train_here, base=base), plan, store, work=work, emit=emit, devices=devices, deadline=deadline, key=key
    )


def train_here(
    fabric: Fabric,
    plan: Plan,
    store: StoreLike,
    *,
    work: Path,
    emit: Emit,
    deadline: float | None,
    key: str,
    base: Path | None = None,
) -> Trained:
    """The training of one process (of perhaps several); see :func:`train`."""
    began = monotonic()
    if fabric.global_rank == 0:
        prepare_folder(work, key)
    else:
        emit = silent
    fabric.barrier()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    data = Data(store, plan, fabric.device, plan.training.channels_last, base_tensors(plan, base))
    run: Run[Data] = Run(fabric, plan, data, work, emit, deadline)

    _fit_baseline(run)
    classical = [_classical_member(run, c) for c in plan.candidates if c.kind == "classical"]
    fitted = [(m.candidate, m.module) for m in classical]
    data.heads = {c.name: probed_head(run, c, fitted) for c in plan.candidates if c.model == "tuned"}
    states, race = race_networks(run, [c for c in plan.candidates if c.kind == "network"])
    members = [_finish(run, candidate, state) for candidate, state in states]
    for member in classical:
        race.append(race_row(member.candidate, 0, member.score, 0.0, count_parameters(member.module), 0))

    emit(Progress(stage="train", step="Choosing the network", done=0, total=1))
    flips = _choose_flips(run, members or classical)
    chosen, shares, score = _choose(run, members, classical, flips)
    histories = [row | {"candidate": c.name} for c, s in states for row in s.history]
    trained = Trained(
        weights=work / WEIGHTS,
        baseline_weights=work / BASELINE_WEIGHTS,
        chosen=tuple(m.candidate.name for m in chosen),
        shares=tuple(shares),
        race=tuple(race),
        history=tuple(histories),
        tta_flips=flips,
        scores={k: float(v) for k, v in vars(score).items() if math.isfinite(v)},
        seconds=round(max(monotonic() - began, sum(row["seconds"] for row in race)), 2),
        peak_memory_mb=round(peak_memory_mb(), 1),
        notes=tuple(run.notes),
        stopped_early=any(s.stopped_early for _, s in states),
        device=device_words(fabric),
    )
    if fabric.global_rank == 0:
        write_weights(trained.weights, [_folded(m, data) for m in chosen])
        trained.save(work, key=key)
    fabric.barrier()
    emit(Progress(stage="train", step="Choosing the network", done=1, total=1, left_s=0.0))
    return trained


def _finish(run: Run[Data], candidate: Candidate, state: State) -> _Member:
    """The last average of weights, or the best one if it was better by more than chance."""
    last = {k: v.detach().clone() for k, v in state.ema.state_dict().items()}
    if state.score is not None and state.best and state.best_score > state.score.score + _chance(run, state.score):
        run.say(f"{candidate.name}: the weights of an earlier look were better than the last and were taken.")
        last = state.best
    state.ema.load_state_dict(last)
    logits = run.data.validation(state.ema)
    network = cast(Explainable, state.ema)
    return _Member(candidate, network, last, logits, run.data.judged(logits))


def _chance(run: Run[Data], score: Any) -> float:
    """Half a standard error of the validation score."""
    labels = run.data.labels[run.data.val]
    if run.plan.task == "regress":
        return 0.5 / math.sqrt(len(labels))
    known = labels[np.isfinite(labels)]
    n_yes = int((known >= 1).sum()) if run.plan.task in ("binary", "multilabel") else len(known) // run.plan.n_outputs
    return 0.5 * auroc_error(min(score.auroc, 0.9999), n_yes, len(known) - n_yes)


def _fit(model: Fitted | Light, run: Run[Data]) -> str:
    """Fit a classical model in place; what was done, in one sentence."""
    if isinstance(model, Light):
        return fit_light(model, run.data, seed=run.plan.seed)
    return fit_classical(model, run.data, seed=run.plan.seed)


def _fit_baseline(run: Run[Data]) -> None:
    path = run.work / BASELINE_WEIGHTS
    if path.exists() or run.fabric.global_rank != 0:
        return
    run.emit(Progress(stage="train", step="Fitting the linear baseline", done=0, total=1))
    model = _build(run.plan, BASELINE, {})
    _fit(model, run)
    state = {k: v.detach().clone().cpu() for k, v in model.state_dict().items()}
    if run.plan.task == "regress":
        _rescale(state, run.data)
    write_weights(path, state)
    run.emit(Progress(stage="train", step="Fitting the linear baseline", done=1, total=1, left_s=0.0))


def _classical_member(run: Run[Data], candidate: Candidate) -> _Member:
    """Fit a classical candidate, or take the one fitted before."""
    from safetensors.torch import load_file

    model = _build(run.plan, candidate.model, candidate.arguments)
    if isinstance(model, Frozen | Light):
        fill(model, run.plan, run.data.base)
    path = run.work / f"classical-{hashlib.sha256(candidate.name.encode()).hexdigest()[:12]}.safetensors"
    if run.fabric.global_rank == 0 and not path.exists():
        run.emit(Progress(stage="train", step=f"Fitting {candidate.name}", done=0, total=1))
        words = _fit(model, run)
        write_weights(path, model.state_dict())
        run.say(f"{candidate.name}: {words}.")
        run.emit(Progress(stage="train", step=f"Fitting {candidate.name}", done=1, total=1, left_s=0.0))
    run.fabric.barrier()
    model.load_state_dict(load_file(path))
    model.to(run.fabric.device).eval()
    logits = run.data.validation(model)
    weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
    return _Member(candidate, model, weights, logits, run.data.judged(logits))


def _build(plan: Plan, name: str, arguments: dict[str, Any]) -> Fitted | Light:
    model = build(
        name,
        dimension=plan.preprocessing.n_axes,
        in_channels=plan.preprocessing.shape[0],
        n_outputs=plan.n_outputs,
        **arguments,
    )
    if not isinstance(model, Fitted | Light):
        raise PlanError(
            f"The candidate model {name!r} is not a classical one.",
            "A candidate of kind 'classical' needs fixed features.",
            "Set its kind to 'network' in plan.json.",
        )
    return model


def _choose_flips(run: Run[Data], members: Sequence[_Member]) -> tuple[int, ...]:
    """Mirror images, where the plan allows them and the best member's score gains by them."""
    axes = run.plan.augmentation.flip_axes
    if not axes or not members:
        return ()
    best = max(members, key=lambda m: m.score.score)
    logits = run.data.validation(Flipped(best.module, axes))
    if run.data.judged(logits).score <= best.score.score:
        return ()
    for member in members:
        member.logits = logits if member is best else run.data.validation(Flipped(member.module, axes))
        member.score = run.data.judged(member.logits)
    return tuple(axes)


def _choose(
    run: Run[Data], members: list[_Member], classical: list[_Member], flips: tuple[int, ...]
) -> tuple[list[_Member], list[float], Score]:
    """The average of the networks trained to the end, unless validation says that one is better.

    Averages of networks hold up better on images from elsewhere than their members do
    (Ovadia et al., NeurIPS 2019), so the average needs no proof; a classical model joins only
    where validation gains clearly.
    """
    if members:  # what is far behind is not worth its mirror images
        nearly = max(m.score.score for m in members) - _FAR_BEHIND
        classical = [m for m in classical if m.score.score > nearly]
    if flips and members:
        for member in classical:
            member.logits = run.data.validation(Flipped(member.module, flips))
            member.score = run.data.judged(member.logits)
    pool = [*members, *classical]
    best = max(pool, key=lambda m: m.score.score)
    chosen, shares, score = [best], [1.0], best.score
    if run.plan.training.ensemble > 1 and len(members) > 1:
        weights = _even_spread(members, (1 / len(members),) * len(members))
        together = run.data.judged(_blend(members, weights))
        if together.score > score.score - _chance(run, score):
            chosen, shares, score = list(members), weights, together
    if run.plan.training.ensemble > 1 and len(pool) > 1:
        for group in _groups(pool):
            for parts in _splits(len(group)):
                weights = _even_spread(group, parts)
                found = run.data.judged(_blend(group, weights))
                if found.score > score.score + (_JOIN_MARGIN if len(chosen) == 1 else 0.0005):
                    chosen, shares, score = group, weights, found
    names = " and ".join(m.candidate.name for m in chosen)
    mirrored = ", mirror images averaged in" if flips else ""
    run.say(f"Chosen: {names}{mirrored} (validation {score.auroc:.3f}, under shifts {score.shifted_auroc:.3f}).")
    return list(chosen), list(shares), score


def _groups(pool: list[_Member]) -> list[list[_Member]]:
    return [list(g) for size in (2, 3) for g in itertools.combinations(pool, size)]


def _splits(n: int) -> list[tuple[float, ...]]:
    return [(s, 1 - s) for s in _SHARES] if n == 2 else [(1 / n,) * n]


def _even_spread(group: Sequence[_Member], parts: Sequence[float]) -> list[float]:
    """Weights so that each member's logits speak with the same loudness before the split."""
    spreads = [max(float(m.logits["clean"].std()), 1e-6) for m in group]
    common = float(np.mean(spreads))
    return [float(part * common / spread) for part, spread in zip(parts, spreads, strict=True)]


def _blend(group: Sequence[_Member], weights: Sequence[float]) -> Logits:
    return {
        name: np.sum([w * m.logits[name] for w, m in zip(weights, group, strict=True)], axis=0).astype(np.float32)
        for name in group[0].logits
    }


def _folded(member: _Member, data: Data) -> dict[str, Tensor]:
    """Weights to keep; a regression's scale goes into the head."""
    state = {k: v.detach().cpu().clone() for k, v in member.weights.items()}
    if data.plan.task == "regress":
        _rescale(state, data)
    return state


def _rescale(state: dict[str, Tensor], data: Data) -> None:
    state["head.weight"] = state["head.weight"] * data.targets.std
    state["head.bias"] = state["head.bias"] * data.targets.std + data.targets.mean


def _check(plan: Plan, store: StoreLike) -> None:
    shape = plan.preprocessing.shape
    if tuple(store.images.shape[1:]) != shape:
        raise PlanError(
            f"The prepared arrays are {tuple(store.images.shape[1:])}.",
            f"The plan asks for {shape}.",
            "Prepare them anew.",
        )
    names = [c.name for c in plan.candidates]
    if not names or len(set(names)) < len(names):
        raise PlanError(
            f"The plan has {len(names)} candidates, {len(set(names))} of them with a name of their own.",
            "Training needs at least one candidate, and different names.",
            "Make the plan anew with `scanwright plan`.",
        )
    idle = [c.name for c in plan.candidates if c.kind == "network" and c.final_steps < 1]
    if idle:
        raise PlanError(
            f"The candidate {idle[0]!r} has no final_steps.",
            "A network needs at least one step.",
            "Raise --budget, or set final_steps in plan.json.",
        )


def _key(plan: Plan, store: StoreLike) -> str:
    return hashlib.sha256(f"{plan.to_json()}\n{store.digest}".encode()).hexdigest()


def prepare_folder(work: Path, key: str) -> None:
    """Make the folder; clear what belongs to another plan."""
    work.mkdir(parents=True, exist_ok=True)
    marker = work / "key"
    if not marker.exists() or marker.read_text(encoding="utf-8") != key:
        for pattern in ("*.ckpt", "*.safetensors", "trained.json"):
            for path in work.glob(pattern):
                path.unlink()
        atomic_write(marker, key)


def peak_memory_mb() -> float:
    """Highest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def device_words(fabric: Fabric) -> str:
    """What trained, for the report."""
    name = (
        torch.cuda.get_device_name(fabric.device)
        if fabric.device.type == "cuda"
        else f"CPU, {torch.get_num_threads()} threads"
    )
    return name if fabric.world_size == 1 else f"{fabric.world_size} x {name}"
