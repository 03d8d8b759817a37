"""The training loop: one candidate, from its last checkpoint up to a step.

Everything random is a function of (seed, candidate, step), so going on after a kill gives
bitwise the weights of an undisturbed run. The clock decides only when a checkpoint is
written, unless the deadline forces the schedule to be cut short, which is said.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Generic, TypeVar, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from scanwright.core import Candidate, Emit, Measured, Plan, Progress, Said, ScanwrightError
from scanwright.models import Tuned
from scanwright.training import checkpoint
from scanwright.training.lesson import Figures, Lesson, seed_of
from scanwright.training.schedule import rate_factor

_PLATEAU_FACTOR, _PLATEAU_PATIENCE = 0.3, 2
_TAIL = 0.12
_PACE_STEPS = 20
_SAVE_AT_LOOK_S = 3.0
_PLAIN = (
    *("step", "half", "n_bad", "plateau", "stale", "best", "best_score", "lowest_loss"),
    *("cut", "stopped_early", "seconds", "train_loss", "history"),
)


L = TypeVar("L", bound=Lesson)


@dataclass(eq=False)
class Run(Generic[L]):
    """What all candidates of one training share.

    Args:
        fabric: Devices and processes.
        plan: The plan.
        data: What is learnt: batches, loss and looks at validation.
        work: Folder for checkpoints.
        emit: Receiver of events.
        deadline: ``time.monotonic()`` value at which everything must have ended, or None.
        checkpoint_s: Seconds between checkpoints.
    """

    fabric: Fabric
    plan: Plan
    data: L
    work: Path
    emit: Emit
    deadline: float | None = None
    checkpoint_s: float = 20.0
    told: float = 0.0
    braked: bool = False
    notes: list[str] = field(default_factory=list)

    def say(self, text: str, *, warn: bool = False) -> None:
        """Tell the person, once, and remember it for the report."""
        if text not in self.notes:
            self.notes.append(text)
            if self.fabric.global_rank == 0:
                self.emit(Said(stage="train", text=text, level="warn" if warn else "info"))


@dataclass(eq=False)
class State:
    """Where one candidate's training stands."""

    net: nn.Module
    ema: nn.Module
    optimizer: Any
    sampler: Any
    scaler: Any
    step: int = 0
    half: bool = False
    n_bad: int = 0
    plateau: float = 1.0
    stale: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_score: float = -math.inf
    lowest_loss: float = math.inf
    cut: tuple[int, int] | None = None
    stopped_early: bool = False
    seconds: float = 0.0
    train_loss: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    score: Figures | None = None

    def packed(self) -> dict[str, Any]:
        """Everything that going on needs, as plain values and tensors."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        score = None if self.score is None else vars(self.score)
        parts = {"model": self.net, "ema": self.ema, "optimizer": self.optimizer, "scaler": self.scaler}
        return plain | {"score": score} | {name: part.state_dict() for name, part in parts.items()}

    def unpack(self, packed: dict[str, Any], data: Lesson) -> None:
        """Take over a state from a checkpoint."""
        self.net.load_state_dict(packed["model"])
        self.ema.load_state_dict(packed["ema"])
        self.optimizer.load_state_dict(packed["optimizer"])
        self.scaler.load_state_dict(packed["scaler"])
        for name in _PLAIN:
            setattr(self, name, packed[name])
        self.cut = None if packed["cut"] is None else (int(packed["cut"][0]), int(packed["cut"][1]))
        self.score = None if packed["score"] is None else data.figures(packed["score"])


def begin(run: Run[Any], candidate: Candidate) -> State:
    """Make a candidate's network and optimizer, and take over its checkpoint if there is one.

    Args:
        run: What all candidates share.
        candidate: The recipe.
    """
    plan, data = run.plan, run.data
    torch.manual_seed(seed_of(plan.seed, candidate.name, "weights"))
    model = data.build(candidate)
    if plan.training.channels_last:
        layout = torch.channels_last if data.dimension == 2 else torch.channels_last_3d
        model = model.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        _decayed(model, candidate.weight_decay), lr=candidate.learning_rate, betas=(0.9, 0.99)
    )
    ema = copy.deepcopy(model).to(run.fabric.device).eval().requires_grad_(False)
    net, wrapped = run.fabric.setup(model, optimizer)
    sampler = data.sampler(candidate)
    scaler = torch.amp.GradScaler(run.fabric.device.type, enabled=plan.training.precision == "16-mixed")
    state = State(net, ema, wrapped, sampler, scaler, half=plan.training.precision != "32-true")
    packed = checkpoint.load(_path(run, candidate), run.fabric.device)
    if packed is not None:
        state.unpack(packed, data)
    return state


def fit(run: Run[Any], candidate: Candidate, state: State, upto: int, *, until: float | None = None) -> None:
    """Train up to a step, and look at validation there.

    Args:
        run: What all candidates share.
        candidate: The recipe.
        state: Where it stands; changed in place.
        upto: Steps in all at which to stop; ``final_steps`` for the whole schedule.
        until: ``time.monotonic()`` value after which to stop at the next step (the race's brake).

    Raises:
        ScanwrightError: Losses are not finite, even in full precision.
    """
    final = upto >= candidate.final_steps
    every = max(1, candidate.final_steps // max(run.plan.training.evaluations, 1))
    clock = _Clock(run, candidate, state)
    while state.step < _end(state, upto):
        _one_step(run, candidate, state)
        due = state.step % every == 0 or state.step >= _end(state, upto)
        if due:
            _look(run, candidate, state)
            if final:
                _maybe_stop_early(run, candidate, state, every)
        clock.tick(upto, save=due)
        if final:
            _brake(run, candidate, state, clock)
        if until is not None and clock.agreed(monotonic() > until):
            break
    if not state.history or state.history[-1]["step"] != state.step:
        _look(run, candidate, state)
    clock.save()


def _one_step(run: Run[Any], candidate: Candidate, state: State) -> None:
    plan, data, fabric = run.plan, run.data, run.fabric
    step = state.step
    torch.manual_seed(seed_of(plan.seed, candidate.name, step))
    factor = rate_factor(step, candidate.final_steps, plan.training, cut=state.cut) * state.plateau
    for group in state.optimizer.param_groups:
        group["lr"] = candidate.learning_rate * factor * group.get("pace", 1.0)
    batch = data.batch(candidate, state.sampler, step, slice(fabric.global_rank, None, fabric.world_size))
    if batch.note:
        run.say(batch.note, warn=True)

    state.net.train()
    state.optimizer.zero_grad(set_to_none=True)
    half = torch.float16 if plan.training.precision == "16-mixed" else torch.bfloat16
    with torch.autocast(fabric.device.type, dtype=half, enabled=state.half):
        outputs = state.net(batch.images)
    loss = data.loss(outputs, batch.targets)
    fabric.backward(state.scaler.scale(loss))
    optimizer = state.optimizer.optimizer
    state.scaler.unscale_(optimizer)
    limit = plan.training.gradient_clip or math.inf
    norm = nn.utils.clip_grad_norm_(state.net.parameters(), limit)
    if bool(torch.isfinite(norm)):
        state.scaler.step(optimizer)
        state.scaler.update()
        _average(run, state)
        weight = 0.02 if state.step else 1.0
        state.train_loss += weight * (float(loss.detach()) - state.train_loss)
        state.n_bad = 0
    else:
        state.scaler.update()
        if not (state.scaler.is_enabled() and bool(torch.isfinite(loss))):  # fp16 overflow is ordinary
            _not_finite(run, candidate, state, batch.names)
    state.step += 1


def _not_finite(run: Run[Any], candidate: Candidate, state: State, cases: list[str]) -> None:
    """First skip the step, then leave half precision, then stop."""
    state.n_bad += 1
    where = f"The loss or gradient of {candidate.name!r} was not finite at step {state.step}"
    if state.n_bad == 1:
        run.say(f"{where}; the step was skipped (its cases begin with {', '.join(cases[:3])}).", warn=True)
    elif state.half:
        state.half = False
        run.say(f"{where} again; training goes on in full precision (float32).", warn=True)
    else:
        raise ScanwrightError(
            f"{where}, for the {state.n_bad}th time in a row and in full precision; its cases begin with {', '.join(cases[:3])}.",
            "Training needs finite losses; the last checkpoint is finite and was kept.",
            "Lower the candidate's learning_rate in plan.json, or look at those cases.",
        )


def _average(run: Run[Any], state: State) -> None:
    """Move the average of the weights, buffers included, towards the present ones."""
    decay = min(run.plan.training.ema, (1 + state.step) / (10 + state.step)) if run.plan.training.ema else 0.0
    inner = cast(nn.Module, state.net.module)
    with torch.no_grad():
        if run.fabric.world_size > 1:
            for buffer in inner.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(run.fabric.all_reduce(buffer, reduce_op="mean"))  # type: ignore[arg-type]
        for mean, now in zip(_tensors(state.ema), _tensors(inner), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)


def _look(run: Run[Any], candidate: Candidate, state: State) -> None:
    """Figures on validation; keep the best weights."""
    score = run.data.look(state.ema, bf16=state.half and run.plan.training.precision == "bf16-mixed")
    score = run.data.figures(run.fabric.broadcast(vars(score)))
    state.score = score
    if score.score > state.best_score or score.loss < state.lowest_loss * 0.995:
        state.stale = 0
    else:
        state.stale += 1
    if score.score > state.best_score:
        state.best = {k: v.detach().clone() for k, v in state.ema.state_dict().items()}
    state.best_score, state.lowest_loss = max(state.best_score, score.score), min(state.lowest_loss, score.loss)
    if run.plan.training.schedule == "plateau" and state.stale and state.stale % _PLATEAU_PATIENCE == 0:
        state.plateau *= _PLATEAU_FACTOR
    rate = float(state.optimizer.param_groups[-1]["lr"])
    values = {"train_loss": state.train_loss, **score.measured(), "learning_rate": rate}
    values = {k: float(v) for k, v in values.items() if math.isfinite(v)}
    state.history.append({"step": state.step, **values})
    if run.fabric.global_rank == 0:
        run.emit(Measured(stage="train", candidate=candidate.name, step=state.step, values=values))


def _maybe_stop_early(run: Run[Any], candidate: Candidate, state: State, every: int) -> None:
    """When patience runs out, let the learning rate fall to 0 within a short tail."""
    if state.cut is not None or state.stale < run.plan.training.patience:
        return
    tail = max(every, int(_TAIL * state.step))
    if state.step + tail >= candidate.final_steps:
        return
    state.cut, state.stopped_early = (state.step, state.step + tail), True
    run.say(
        f"{candidate.name} has not improved for {run.plan.training.patience} looks at validation: "
        f"training ends after {state.step + tail} of {candidate.final_steps} steps."
    )


def _brake(run: Run[Any], candidate: Candidate, state: State, clock: _Clock) -> None:
    """Cut the schedule short, once, when the measured pace would miss the deadline."""
    if run.deadline is None or state.step % 10:
        return
    now, end = monotonic(), _end(state, candidate.final_steps)
    if clock.agreed(now > run.deadline):
        state.cut = (min(state.cut[0] if state.cut else state.step, state.step - 1), state.step)
        _say_braked(run)
        return
    pace = clock.pace()
    if pace is None or state.step >= end:
        return
    affordable = int((run.deadline - now) / pace * 0.92)
    late = not run.braked and (end - state.step) * pace > 1.02 * (run.deadline - now) + 1.0
    if clock.agreed(late):
        new_end = state.step + max(1, int(run.fabric.broadcast(affordable)))
        if new_end < end:
            state.cut = (state.step, new_end)
            _say_braked(run)


def _say_braked(run: Run[Any]) -> None:
    run.braked = True
    run.say(
        "Training is slower than measured when it was planned; the rest of the schedule was shortened to keep the "
        "budget, and the weights then depend on timing.",
        warn=True,
    )


class _Clock:
    """Time in the loop: progress, checkpoints, pace. It never changes what is computed."""

    def __init__(self, run: Run[Any], candidate: Candidate, state: State) -> None:
        self.run, self.candidate, self.state = run, candidate, state
        self.began = self.saved = self.last = monotonic()
        self.first = state.step

    def tick(self, upto: int, *, save: bool) -> None:
        """After each step: say how far, and save when it is time."""
        now = monotonic()
        self.state.seconds += now - self.last
        self.last = now
        run, state = self.run, self.state
        if run.fabric.global_rank != 0:
            return
        if now - run.told > 0.5:
            run.told = now
            pace, end = self.pace() or self.candidate.seconds_per_step, _end(state, upto)
            left = (end - state.step) * pace if pace else None
            run.emit(
                Progress(stage="train", step=f"Training {self.candidate.name}", done=state.step, total=end, left_s=left)
            )
        since = now - self.saved
        if since > run.checkpoint_s or (save and since > _SAVE_AT_LOOK_S):
            self.save()

    def pace(self) -> float | None:
        """Seconds per step so far, looks at validation included."""
        done = self.state.step - self.first
        return (monotonic() - self.began) / done if done >= _PACE_STEPS else None

    def agreed(self, opinion: bool) -> bool:
        """The first process's opinion, which all follow."""
        if self.run.fabric.world_size == 1:
            return opinion
        return bool(self.run.fabric.broadcast(opinion))

    def save(self) -> None:
        """Write the checkpoint (first process only)."""
        if self.run.fabric.global_rank == 0:
            checkpoint.save(_path(self.run, self.candidate), self.state.packed())
        self.saved = monotonic()


def _end(state: State, upto: int) -> int:
    return min(upto, state.cut[1]) if state.cut is not None else upto


def _path(run: Run[Any], candidate: Candidate) -> Path:
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in candidate.name)
    return run.work / f"{safe}.ckpt"


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _decayed(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels decay; norms and biases do not. A tuned base has a pace for each of its stages."""
    if isinstance(model, Tuned):
        groups = [(pace, stage) for pace, stage in model.paces()]
        return [group | {"pace": pace} for pace, stage in groups for group in _two_kinds(stage, decay)]
    return _two_kinds(list(model.parameters()), decay)


def _two_kinds(parameters: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    shaped = [p for p in parameters if p.ndim > 1]
    flat = [p for p in parameters if p.ndim <= 1]
    return [{"params": shaped, "weight_decay": decay}, {"params": flat, "weight_decay": 0.0}]
