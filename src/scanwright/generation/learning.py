"""Learning a generator within a length of time: the autoencoder where there is one, then the flow.

Everything random is a function of (seed, step). The clock decides how many steps there are: a pace
is measured first; on a machine that becomes slower the schedule goes on by the clock, so that the
learning rate has always come down when time is up.
"""

from __future__ import annotations

import copy
import io
import math
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scanwright.core import Emit, Measured, Progress, ScanwrightError
from scanwright.generation.autoencoder import Autoencoder
from scanwright.generation.flow import draw_times, flow_loss
from scanwright.generation.network import Velocity
from scanwright.generation.sizes import Design
from scanwright.io.atomic import atomic_write

DROPPED = 0.1
"""Share of the labels that are left out, so that the flow without a class is learnt, too."""

_ENCODER_SHARE = 0.35
_PACE_STEPS = 12
_LOOKS = 40
_PATIENCE = 10
_WATCHED = 512
_CHECKPOINT_S = 30.0


@dataclass(frozen=True)
class Pupils:
    """Images to learn from.

    Args:
        images: ``(N, C, *size)``, -1 .. 1.
        labels: ``(N,)`` classes.
        unseen_images: Images of the validation part, which are looked at and not learnt from.
        unseen_labels: Their classes.
    """

    images: NDArray[np.floating[Any]]
    labels: NDArray[np.intp]
    unseen_images: NDArray[np.floating[Any]]
    unseen_labels: NDArray[np.intp]


@dataclass(frozen=True)
class Means:
    """What learning runs on.

    Args:
        device: Torch device.
        bf16: Whether to compute in bfloat16.
        work: Folder for checkpoints.
        emit: Receiver of events.
        seed: Seed of everything random.
    """

    device: str
    bf16: bool
    work: Path
    emit: Emit
    seed: int = 0


@dataclass
class Learnt:
    """Networks that have been learnt.

    Args:
        flow: The velocity network, averaged weights.
        autoencoder: Encoder and decoder; None where pixels flow.
        history: Rows of ``candidate``, ``step``, ``train_loss``, ``validation_loss``.
        steps: Steps of each network.
        seconds: Time of each network.
        notes: Sentences for the report.
    """

    flow: Velocity
    autoencoder: Autoencoder | None
    history: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def learn(design: Design, pupils: Pupils, means: Means, *, seconds: float, most_steps: int | None = None) -> Learnt:
    """Learn a generator.

    Args:
        design: The networks.
        pupils: Training and validation images.
        means: Device, folder, seed.
        seconds: Time for all of it.
        most_steps: Most steps of each network; as many as there is time for if None.

    Returns:
        The networks. Called again with the same folder, learning goes on where it stopped.

    Raises:
        ScanwrightError: Losses are not finite.
    """
    lessons: list[tuple[str, _Taught]] = []
    encoder: Autoencoder | None = None
    seen, unseen = (torch.from_numpy(np.asarray(x, dtype=np.float32)) for x in (pupils.images, pupils.unseen_images))
    if design.latent:
        torch.manual_seed(means.seed)
        encoder = Autoencoder(design).to(means.device)
        lesson = _Reconstruction(encoder, seen, unseen, means)
        taught = _teach("autoencoder", lesson, means, _ENCODER_SHARE * seconds, most_steps, rate=1e-3)
        lessons.append(("autoencoder", taught))
        encoder.load_state_dict(taught.weights)
        encoder.eval().settle(seen[: 64 * 8].to(means.device))
        seen, unseen = encoder.codes(seen, means.device), encoder.codes(unseen, means.device)
        seconds -= taught.seconds
    torch.manual_seed(means.seed + 1)
    flow = Velocity(design).to(means.device)
    walk = _Walk(flow, design, (seen, pupils.labels), (unseen, pupils.unseen_labels), means)
    taught = _teach("flow", walk, means, seconds, most_steps, rate=1.5e-3)
    lessons.append(("flow", taught))
    flow.load_state_dict(taught.weights)
    return Learnt(
        flow.eval(),
        encoder,
        [{"candidate": name} | row for name, t in lessons for row in t.history],
        {name: t.step for name, t in lessons},
        {name: round(t.seconds, 1) for name, t in lessons},
        [note for _, t in lessons for note in t.notes],
    )


class _Walk:
    """The flow's lesson: velocities between noise and images."""

    def __init__(
        self,
        net: Velocity,
        design: Design,
        seen: tuple[Tensor, NDArray[np.intp]],
        unseen: tuple[Tensor, NDArray[np.intp]],
        means: Means,
    ) -> None:
        self.net, self.design, self.means = net, design, means
        self.images, self.labels = seen[0], torch.from_numpy(np.asarray(seen[1], dtype=np.int64))
        self.batch = _batch(len(self.images), math.prod(design.flow_size) // design.patch**design.dimension)
        watched = np.random.default_rng(means.seed).permutation(len(unseen[0]))[:_WATCHED]
        self.unseen = unseen[0][watched]
        self.unseen_labels = torch.from_numpy(np.asarray(unseen[1], dtype=np.int64)[watched])
        generator = torch.Generator().manual_seed(means.seed + 7)
        self.noise = torch.randn(self.unseen.shape, generator=generator)
        self.times = draw_times(len(watched), generator)

    def loss(self, net: nn.Module, generator: torch.Generator) -> Tensor:
        """Mean loss of one batch."""
        rows = torch.randint(len(self.images), (self.batch,), generator=generator)
        label = self.labels[rows].clone()
        label[torch.rand(self.batch, generator=generator) < DROPPED] = self.design.n_classes
        clean = self.images[rows]
        noise = torch.randn(clean.shape, generator=generator)
        t = draw_times(self.batch, generator)
        return self._loss(net, clean, label, noise, t).mean()

    def look(self, net: nn.Module) -> float:
        """Loss on images that are not learnt from, always with the same noise and moments."""
        parts = [
            self._loss(net, *(x[k : k + self.batch] for x in (self.unseen, self.unseen_labels, self.noise, self.times)))
            for k in range(0, len(self.unseen), self.batch)
        ]
        return float(torch.cat(parts).mean())

    def _loss(self, net: nn.Module, clean: Tensor, label: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        to = self.means.device
        with torch.autocast(to.split(":")[0], dtype=torch.bfloat16, enabled=self.means.bf16):
            return flow_loss(net, clean.to(to), label.to(to), noise.to(to), t.to(to))


class _Reconstruction:
    """The autoencoder's lesson: images back from their codes."""

    def __init__(self, net: Autoencoder, seen: Tensor, unseen: Tensor, means: Means) -> None:
        self.net, self.images, self.unseen, self.means = net, seen, unseen[:128], means
        self.batch = min(16, max(2, len(seen) // 4))

    def loss(self, net: nn.Module, generator: torch.Generator) -> Tensor:
        """Mean loss of one batch."""
        rows = torch.randint(len(self.images), (self.batch,), generator=generator)
        return self._loss(net, self.images[rows], generator)

    def look(self, net: nn.Module) -> float:
        """Loss on images that are not learnt from."""
        generator = torch.Generator().manual_seed(self.means.seed + 7)
        parts = self.unseen.split(self.batch)
        return float(sum(self._loss(net, part, generator) * len(part) for part in parts) / len(self.unseen))

    def _loss(self, net: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        to = self.means.device
        noise = torch.randn((len(images), *self.net.code_shape), generator=generator)
        with torch.autocast(to.split(":")[0], dtype=torch.bfloat16, enabled=self.means.bf16):
            loss: Tensor = net(images.to(to), noise.to(to))
        return loss


@dataclass
class _Taught:
    """Where the learning of one network stands."""

    weights: dict[str, Tensor]
    step: int = 0
    n_steps: int = 0
    seconds: float = 0.0
    best: float = math.inf
    stale: int = 0
    train_loss: float = 0.0
    over: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _teach(
    name: str, lesson: _Walk | _Reconstruction, means: Means, seconds: float, most_steps: int | None, *, rate: float
) -> _Taught:
    """The one loop: AdamW, a warm-up, a long fall of the learning rate, averaged weights, looks at validation."""
    net: nn.Module = lesson.net
    if means.device == "cpu" and any(p.ndim == 4 for p in net.parameters()):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = copy.deepcopy(net).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
    state = _Taught({})
    path = means.work / f"{name}.ckpt"
    _resume(path, state, net, mean, optimizer, means.device)
    last = saved = told = monotonic()
    while not state.over:
        progress = state.seconds / seconds
        if state.n_steps:
            progress = max(progress, state.step / state.n_steps)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * _factor(progress, state.step)
        generator = torch.Generator().manual_seed(means.seed * 1_000_003 + state.step)
        loss = lesson.loss(net.train(), generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        if bool(torch.isfinite(norm)):
            optimizer.step()
            state.train_loss += (0.03 if state.step else 1.0) * (float(loss.detach()) - state.train_loss)
        elif not math.isfinite(state.train_loss) or not bool(torch.isfinite(loss)):
            raise ScanwrightError(
                f"The loss of the {name} is not finite at step {state.step}.",
                "Learning needs finite losses.",
                "Look for images with extreme values, or learn with another --seed.",
            )
        state.step += 1
        _average(mean, net, state)
        now = monotonic()
        state.seconds, last = state.seconds + now - last, now
        if state.step == _PACE_STEPS and not state.n_steps:
            state.n_steps = max(_PACE_STEPS + 1, int(seconds / (state.seconds / _PACE_STEPS)))
            state.n_steps = min(state.n_steps, most_steps or state.n_steps)
        done = (bool(state.n_steps) and state.step >= state.n_steps) or state.seconds >= seconds
        if done or (state.n_steps and state.step % max(1, state.n_steps // _LOOKS) == 0):
            _look(name, lesson, mean, state, means)
        if now - told > 0.5:
            told = now
            means.emit(
                Progress(stage="generate", step=f"Learning the {name}", done=min(state.seconds, seconds), total=seconds, left_s=max(0.0, seconds - state.seconds))
            )  # fmt: skip
        if now - saved > _CHECKPOINT_S or done:
            saved = now
            _save(path, state, net, mean, optimizer)
    if not state.weights:
        _look(name, lesson, mean, state, means)
    return state


def _factor(progress: float, step: int) -> float:
    """Warm-up over 50 steps, level for the first third, then a cosine to 0."""
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, (progress - 0.33) / 0.67))))
    return min(1.0, (step + 1) / 50) * fall


def _average(mean: nn.Module, net: nn.Module, state: _Taught) -> None:
    """Averaged weights: a memory of a twentieth of the steps."""
    long = 1 - 20 / max(state.n_steps, 200)
    decay = min(long, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for held, now in zip(mean.parameters(), net.parameters(), strict=True):
            held.lerp_(now, 1 - decay)


def _look(name: str, lesson: _Walk | _Reconstruction, mean: nn.Module, state: _Taught, means: Means) -> None:
    with torch.no_grad():
        found = lesson.look(mean.eval())
    state.history.append({"step": state.step, "train_loss": state.train_loss, "validation_loss": found})
    values = {"train_loss": state.train_loss, "validation_loss": found}
    means.emit(Measured(stage="generate", candidate=name, step=state.step, values=values))
    if found < state.best:
        state.weights = {k: v.detach().clone() for k, v in mean.state_dict().items()}
        state.stale = 0
    else:
        state.stale += 1
    state.best = min(state.best, found)
    if state.stale >= _PATIENCE:
        state.over = True
        state.notes.append(
            f"The {name} stopped after {state.step} steps: validation had not gained for {_PATIENCE} looks."
        )


def _batch(n: int, places: int) -> int:
    """Images a step: fewer where there are few, or where one image is large."""
    size = 64 if places <= 512 else 16 if places <= 8192 else 8
    while size > 4 and size > n / 4:
        size //= 2
    return size


def _save(path: Path, state: _Taught, net: nn.Module, mean: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    packed = {"state": vars(state), "net": net.state_dict(), "mean": mean.state_dict(), "opt": optimizer.state_dict()}
    buffer = io.BytesIO()
    torch.save(packed, buffer)
    atomic_write(path, buffer.getvalue())


def _resume(
    path: Path, state: _Taught, net: nn.Module, mean: nn.Module, optimizer: torch.optim.Optimizer, device: str
) -> None:
    if not path.exists():
        return
    try:
        packed = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
        return
    net.load_state_dict(packed["net"])
    mean.load_state_dict(packed["mean"])
    optimizer.load_state_dict(packed["opt"])
    for key, value in packed["state"].items():
        setattr(state, key, value)
