"""From a plan and a voxel store to the weights of a segmentation network."""

from __future__ import annotations

import hashlib
import itertools
import math
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from scanwright.core import Candidate, Emit, Plan, PlanError, Progress, silent
from scanwright.io.voxel_store import VoxelStore
from scanwright.training.fit import Run, State
from scanwright.training.halving import race_networks
from scanwright.training.race import device_words, peak_memory_mb, prepare_folder
from scanwright.training.segment.windows import MaskScore, Windows
from scanwright.training.trained import WEIGHTS, Trained, load_trained, write_weights

_GAIN = 0.0005
"""Dice by which mirror images must gain on validation to be taken: they multiply the time of an answer."""


def train_segmenter(
    plan: Plan,
    store: VoxelStore,
    *,
    work: Path,
    emit: Emit = silent,
    devices: str | int | None = None,
    deadline: float | None = None,
) -> Trained:
    """Train as planned; called again, go on where it stopped.

    The networks race by successive halving, scored by validation Dice; the best goes on to its
    ``final_steps``; mirror images are averaged where the plan allows them and validation gains.

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
    fabric: Fabric, plan: Plan, store: VoxelStore, *, work: Path, emit: Emit, deadline: float | None, key: str
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
    data = Windows(store, plan, fabric.device, channels_last=plan.training.channels_last)
    run: Run[Windows] = Run(fabric, plan, data, work, emit, deadline)
    states, race = race_networks(run, plan.candidates)
    emit(Progress(stage="train", step="Choosing the network", done=0, total=1))
    candidate, state = max(states, key=lambda pair: pair[1].score.score if pair[1].score else -math.inf)
    network, score = _best(run, candidate, state)
    flips, score = _choose_mirrors(run, network, score)
    words = f", mirror images along {len(flips)} axes averaged in" if flips else ""
    run.say(f"Chosen: {candidate.name}{words} (validation Dice {score.score:.3f}).")
    trained = Trained(
        weights=work / WEIGHTS,
        baseline_weights=work / WEIGHTS,
        chosen=(candidate.name,),
        shares=(1.0,),
        race=tuple(race),
        history=tuple(row | {"candidate": c.name} for c, s in states for row in s.history),
        tta_flips=flips,
        scores={"dice": score.score, "loss": score.loss},
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


def _best(run: Run[Windows], candidate: Candidate, state: State) -> tuple[nn.Module, MaskScore]:
    """The last average of weights, or that of an earlier look when it was clearly better."""
    score: Any = state.score
    if state.best and state.best_score > score.score + 0.002:
        run.say(f"{candidate.name}: the weights of an earlier look were better than the last and were taken.")
        state.ema.load_state_dict(state.best)
        score = run.data.look(state.ema, bf16=False)
    return state.ema, score


def _choose_mirrors(run: Run[Windows], network: nn.Module, score: MaskScore) -> tuple[tuple[int, ...], MaskScore]:
    axes = run.data.spec.mirror_axes
    if not axes:
        return (), score
    found = run.data.look(network, bf16=False, mirrors=mirror_images(axes))
    plain = run.data.look(network, bf16=False)
    return (tuple(axes), found) if found.score > plain.score + _GAIN else ((), plain)


def mirror_images(axes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Every combination of axes, the image itself first.

    Example:
        >>> mirror_images((0, 1))
        ((), (0,), (1,), (0, 1))
    """
    return tuple(itertools.chain.from_iterable(itertools.combinations(axes, n) for n in range(len(axes) + 1)))


def load_segmenter(trained: Trained, plan: Plan) -> nn.Module:
    """Build the network with its trained weights.

    Args:
        trained: Result of training.
        plan: The plan it was trained with.

    Returns:
        A module in evaluation mode: windows ``(B, C, *size)`` to logits ``(B, n_outputs, *size)``.
    """
    from safetensors.torch import load_file

    from scanwright.models.segmenters import build_segmenter

    candidate = next(c for c in plan.candidates if c.name == trained.chosen[0])
    spec = plan.preprocessing
    slices = plan.segmentation.slices if plan.segmentation and spec.dimension == 2 else 1
    network = build_segmenter(
        candidate.model,
        dimension=spec.dimension,
        in_channels=spec.channels * slices,
        n_outputs=plan.n_outputs,
        **candidate.arguments,
    )
    state: dict[str, Tensor] = load_file(trained.weights)
    network.load_state_dict({name.removeprefix("0."): value for name, value in state.items()})
    return network.eval()


def _check(plan: Plan) -> None:
    names = [c.name for c in plan.candidates]
    if not names or len(set(names)) < len(names):
        raise PlanError(
            f"The plan has {len(names)} candidates, {len(set(names))} of them with a name of their own.",
            "Training needs at least one candidate, and different names.",
            "Make the plan anew with `scanwright plan`.",
        )
    idle = [c.name for c in plan.candidates if c.kind != "network" or c.final_steps < 1]
    if idle:
        raise PlanError(
            f"The candidate {idle[0]!r} is no network with final_steps.",
            "A segmentation network needs at least one step.",
            "Raise --budget, or set final_steps in plan.json.",
        )
