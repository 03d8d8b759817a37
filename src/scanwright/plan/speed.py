"""How long a training step takes on this machine: really done, then remembered.

The answer is rounded up to a 5 % grid and cached, so that two runs on one machine plan the
same number of steps; the weights depend on it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from scanwright.core import Candidate, PlanError
from scanwright.plan.machine import Machine

if TYPE_CHECKING:
    import torch

RESAMPLINGS = 3.5
"""Cost of augmenting a batch on a processor, in resamplings of it: as measured for pictures and volumes."""
_GRID = 1.05


@dataclass(frozen=True, slots=True)
class Job:
    """What a step is done on.

    Args:
        shape: ``(C, *size)`` of one prepared image.
        n_outputs: Logits.
        precision: ``"32-true"``, ``"bf16-mixed"`` or ``"16-mixed"``.
        channels_last: Memory layout.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
    """

    shape: tuple[int, ...]
    n_outputs: int
    precision: str = "32-true"
    channels_last: bool = False
    device: str = "cpu"


Speed = Callable[[Candidate, Job], float]
"""Seconds of one training step of a candidate (its own batch size) on a job."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network takes.

    Args:
        parameters: Trainable parameters.
        activations: Numbers that one image leaves behind for the backward pass.
    """

    parameters: int
    activations: int


def measured_speed(limit_s: float = 1.5) -> Speed:
    """A :data:`Speed` that does real steps on random images.

    Args:
        limit_s: Longest time to spend on one measurement, after the first step.

    Returns:
        A function that gives the best of several steps, in seconds.
    """

    def speed(candidate: Candidate, job: Job) -> float:
        import torch

        with torch.random.fork_rng(devices=[0] if job.device == "cuda" else []):  # leave the caller's numbers alone
            torch.manual_seed(0)
            return _measure(candidate, job, limit_s)

    return speed


def remembered(speed: Speed, machine: Machine, cache: Path | None) -> Speed:
    """Round a speed up to the 5 % grid and remember it on disk.

    Args:
        speed: What to ask when the answer is not known.
        machine: Part of the key, with torch's version, model, shape and batch.
        cache: Folder; None remembers nothing.

    Returns:
        A speed that gives the same answer every time on one machine. Nothing is remembered
        while the machine is busy with other work, since one slow hour must not spoil every
        later plan. A cache that cannot be read or written is passed over.
    """

    def ask(candidate: Candidate, job: Job) -> float:
        key = _key(candidate, job, machine)
        known = _read(cache)
        if key in known:
            return known[key]
        seconds = on_grid(speed(candidate, job))
        if cache is not None and not busy(machine):
            _write(cache, {**_read(cache), key: seconds})
        return seconds

    return ask


def busy(machine: Machine) -> bool:
    """Whether other programs take the processor, so that measured times mean little."""
    return load() > 1.1 * machine.cores


def load() -> float:
    """Programs that wanted a processor core in the last minute, on average; 0 if unknown."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return 0.0


def on_grid(seconds: float) -> float:
    """Round up to the next power of 1.05, so that small noise changes nothing.

    Example:
        >>> on_grid(0.1) == on_grid(0.0985)
        True
    """
    step = math.ceil(math.log(max(seconds, 1e-6)) / math.log(_GRID) - 1e-9)
    return float(f"{_GRID**step:.6g}")


def cost(candidate: Candidate, shape: tuple[int, ...], n_outputs: int) -> Cost:
    """Parameters and activations of a network, without computing anything.

    Args:
        candidate: Model and arguments.
        shape: ``(C, *size)``.
        n_outputs: Logits.

    Returns:
        Counts from a run on torch's meta device; for a model that cannot run there, a
        rough figure from its parameters.
    """
    return _cost(candidate.model, json.dumps(candidate.arguments, sort_keys=True), shape, n_outputs)


@lru_cache(maxsize=256)
def _cost(name: str, arguments_json: str, shape: tuple[int, ...], n_outputs: int) -> Cost:
    import torch

    counted = 0

    def count(_: Any, __: Any, output: Any) -> None:
        nonlocal counted
        if isinstance(output, torch.Tensor):
            counted += output[0].numel()

    arguments: dict[str, Any] = json.loads(arguments_json)
    try:
        with torch.device("meta"), torch.no_grad():
            model = _network(name, shape, n_outputs, arguments)
            leaves = [m for m in model.modules() if not list(m.children())]
            for leaf in leaves:
                leaf.register_forward_hook(count)
            model.train()(torch.empty((2, *shape)))
        return Cost(sum(p.numel() for p in model.parameters()), counted)
    except PlanError:
        raise
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        model = _network(name, shape, n_outputs, arguments)
        return Cost(sum(p.numel() for p in model.parameters()), 128 * math.prod(shape[1:]))


def _network(name: str, shape: tuple[int, ...], n_outputs: int, arguments: dict[str, Any]) -> torch.nn.Module:
    from scanwright.models import MODELS, build
    from scanwright.models.detectors import DETECTORS, build_detector
    from scanwright.models.segmenters import SEGMENTERS, build_segmenter

    make: Callable[..., torch.nn.Module] = build_segmenter if name in SEGMENTERS and name not in MODELS else build
    make = build_detector if name in DETECTORS else make
    return make(name, dimension=len(shape) - 1, in_channels=shape[0], n_outputs=n_outputs, **arguments)


def _measure(candidate: Candidate, job: Job, limit_s: float) -> float:
    import torch

    dimension = len(job.shape) - 1
    model = _network(candidate.model, job.shape, job.n_outputs, dict(candidate.arguments))
    images = torch.randn(candidate.batch_size, *job.shape)
    layout = torch.channels_last if dimension == 2 else torch.channels_last_3d
    if job.channels_last:
        model, images = model.to(memory_format=layout), images.contiguous(memory_format=layout)  # type: ignore[call-overload]
    model, images = model.to(job.device).train(), images.to(job.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    wait: Callable[[], object] = torch.cuda.synchronize if job.device == "cuda" else _nothing

    def step() -> float:
        wait()
        began = perf_counter()
        mixed = torch.autocast(job.device, dtype=kinds[job.precision]) if job.precision in kinds else nullcontext()
        with mixed:
            answers = model(images)
            levels = answers if isinstance(answers, list) else [answers]
            loss = torch.stack([level.float().square().mean() for level in levels]).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        wait()
        return perf_counter() - began

    first = step()  # memory is taken and kernels are chosen here
    if first > 4 * limit_s:
        return first
    times = [step()]
    began = perf_counter()
    while len(times) < 10 and perf_counter() - began + min(*times, first) < limit_s:
        times.append(step())
    return min(times) + _augmentation_s(images.contiguous(), wait)


def _augmentation_s(images: torch.Tensor, wait: Callable[[], object]) -> float:
    """What changing a batch at random takes: training resamples it and goes over it a few times."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    still = torch.eye(images.ndim - 2, images.ndim - 1, device=images.device).repeat(len(images), 1, 1)
    taken = []
    for _ in range(3):
        wait()
        began = perf_counter()
        grid_sample(images, affine_grid(still, list(images.shape), align_corners=False), align_corners=False)
        wait()
        taken.append(perf_counter() - began)
    return RESAMPLINGS * min(taken) + 0.003


def _nothing() -> None:
    """Wait for nothing."""


def _key(candidate: Candidate, job: Job, machine: Machine) -> str:
    device = next((d.name for d in machine.devices if d.kind == job.device), job.device)
    facts = {
        "device": device,
        "cores": machine.cores,
        "system": machine.system,
        "torch": machine.torch,
        "model": candidate.model,
        "arguments": candidate.arguments,
        "batch": candidate.batch_size,
        "job": asdict(job),
        "version": 2,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _read(cache: Path | None) -> dict[str, float]:
    if cache is None:
        return {}
    try:
        known = json.loads((cache / "speed.json").read_text(encoding="utf-8"))
        return {str(k): float(v) for k, v in known.items() if float(v) > 0}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _write(cache: Path, known: dict[str, float]) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=cache, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(known, file, indent=0, sort_keys=True)
        Path(name).replace(cache / "speed.json")
    except OSError:
        return
