"""From a plan and a box store to the weights of a detection network."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from scanwright.core import Candidate, Emit, Plan, PlanError, Progress, silent
from scanwright.io.box_store import BoxStore
from scanwright.training.detect.windows import BoxScore, BoxWindows
from scanwright.training.fit import Run, State
from scanwright.training.halving import race_networks
from scanwright.training.race import device_words, peak_memory_mb, prepare_folder
from scanwright.training.trained import WEIGHTS, Trained, load_trained, write_weights

_GAIN = 0.005
"""Average precision by which mirror images must gain on validation to be taken: they multiply the time of an answer."""


def train_detector(
    plan: Plan,
    store: BoxStore,
    *,
    work: Path,
    emit: Emit = silent,
    devices: str | int | None = None,
    deadline: float | None = None,
) -> Trained:
    """Train as planned; called again, go on where it stopped.

    The networks race by successive halving, scored by average precision on validation; the best goes on to its
    ``final_steps``; mirror images are joined in where the plan allows them and validation gains.

    Args:
        plan: The plan; the same plan, store and machine give the same weights.
        store: Prepared cases.
        work: Folder for checkpoints and results; made if missing.
        emit: Receiver of events.
        devices: ``"auto"``, a number of processes or GPUs, or None for the plan's.
        deadline: ``time.monotonic()`` value by which training must have ended.

    Returns:
        Weights and figures.

    Raises:
        CohortError: A part has no labelled case.
        PlanError: The plan has no candidate.
        ScanwrightError: Losses stay non-finite in full precision.
    """
    from scanwright.training.launch import launch

    _check(plan)
    work = Path(work)
    key = hashlib.sha256(f"{plan.to_json()}\n{store.digest}".encode()).hexdigest()
    done = load_trained(work, key=key)
    if done is not None:
        return done
    return launch(_train_here, plan, store, work=work, emit=emit, devices=devices, deadline=deadline, key=key)


def _train_here(
    fabric: Fabric, plan: Plan, store: BoxStore, *, work: Path, emit: Emit, deadline: float | None, key: str
) -> Trained:
    """The training of one process, of perhaps several."""
    began = monotonic()
    if fabric.global_rank == 0:
        prepare_folder(work, key)
    else:
        emit = silent
    fabric.barrier()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    data = BoxWindows(store, plan, fabric.device, channels_last=plan.training.channels_last)
    run: Run[BoxWindows] = Run(fabric, plan, data, work, emit, deadline)
    states, race = race_networks(run, plan.candidates)
    emit(Progress(stage="train", step="Choosing the network", done=0, total=1))
    candidate, state = max(states, key=lambda pair: pair[1].score.score if pair[1].score else -math.inf)
    network, score = _best(run, candidate, state)
    flips, score = _choose_mirrors(run, network, score)
    words = f", mirror images along {len(flips)} axes joined in" if flips else ""
    run.say(f"Chosen: {candidate.name}{words} (validation AP at IoU {data.spec.match_iou:g}: {score.score:.3f}).")
    trained = Trained(
        weights=work / WEIGHTS,
        baseline_weights=work / WEIGHTS,
        chosen=(candidate.name,),
        shares=(1.0,),
        race=tuple(race),
        history=tuple(row | {"candidate": c.name} for c, s in states for row in s.history),
        tta_flips=flips,
        scores={"map": score.score, "loss": score.loss},
        seconds=round(max(monotonic() - began, sum(row["seconds"] for row in race)), 2),
        peak_memory_mb=round(peak_memory_mb(), 1),
        notes=tuple(run.notes),
        stopped_early=state.stopped_early,
        device=device_words(fabric),
    )
    if fabric.global_rank == 0:
        write_weights(trained.weights, [{k: v.detach().cpu() for k, v in network.state_dict().items()}])
        trained.save(work, key=key)
    fabric.barrier()
    emit(Progress(stage="train", step="Choosing the network", done=1, total=1, left_s=0.0))
    return trained


def _best(run: Run[BoxWindows], candidate: Candidate, state: State) -> tuple[nn.Module, BoxScore]:
    """The last average of weights, or that of an earlier look when it was clearly better."""
    score: Any = state.score
    if state.best and state.best_score > score.score + 0.01:
        run.say(f"{candidate.name}: the weights of an earlier look were better than the last and were taken.")
        state.ema.load_state_dict(state.best)
        score = run.data.look(state.ema, bf16=False)
    return state.ema, score


def _choose_mirrors(run: Run[BoxWindows], network: nn.Module, score: BoxScore) -> tuple[tuple[int, ...], BoxScore]:
    axes = run.data.spec.mirror_axes
    if not axes:
        return (), score
    found = run.data.look(network, bf16=False, mirror_axes=axes)
    plain = run.data.look(network, bf16=False)
    return (tuple(axes), found) if found.score > plain.score + _GAIN else ((), plain)


def load_detector(trained: Trained, plan: Plan) -> nn.Module:
    """Build the network with its trained weights.

    Args:
        trained: Result of training.
        plan: The plan it was trained with.

    Returns:
        A module in evaluation mode: windows ``(B, C, *size)`` to ``(B, n_outputs, *cells)``.
    """
    from safetensors.torch import load_file

    from scanwright.models.detectors import build_detector

    candidate = next(c for c in plan.candidates if c.name == trained.chosen[0])
    network = build_detector(
        candidate.model,
        dimension=plan.preprocessing.dimension,
        in_channels=plan.preprocessing.channels,
        n_outputs=plan.n_outputs,
        **candidate.arguments,
    )
    state: dict[str, Tensor] = load_file(trained.weights)
    network.load_state_dict({name.removeprefix("0."): value for name, value in state.items()})
    return network.eval()


def _check(plan: Plan) -> None:
    names = [c.name for c in plan.candidates]
    idle = [c.name for c in plan.candidates if c.kind != "network" or c.final_steps < 1]
    if not names or len(set(names)) < len(names) or idle:
        raise PlanError(
            f"The plan has {len(names)} candidates, {len(set(names))} of them with a name of their own, {len(idle)} without steps.",
            "Training needs at least one candidate, different names, and networks with final_steps.",
            "Raise --budget, or make the plan anew with `scanwright plan`.",
        )
