"""Devices and processes: one here, several started here, or those that torchrun has started."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as processes
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from scanwright.core import Emit, InputError, Plan, ResourceError
from scanwright.training.trained import Trained, load_trained


def launch(
    worker: Callable[..., Trained],
    plan: Plan,
    store: Any,
    *,
    work: Path,
    emit: Emit,
    devices: str | int | None,
    deadline: float | None,
    key: str,
) -> Trained:
    """Run a worker on one or several devices.

    Args:
        worker: ``(fabric, plan, store, *, work, emit, deadline, key)`` to the result.
        plan: The plan.
        store: Prepared arrays.
        work: Folder.
        emit: Receiver of events; those of other processes are passed on.
        devices: See :func:`scanwright.training.train`.
        deadline: Passed on.
        key: Passed on.

    Returns:
        The worker's result.

    Raises:
        InputError: ``devices`` is not a number, or larger than what the machine has.
    """
    arguments = {"work": work, "deadline": deadline, "key": key}
    if TorchElasticEnvironment.detect() or SLURMEnvironment.detect():
        fabric = Fabric(accelerator="auto", devices=_launched(), strategy="ddp")
        fabric.launch()
        return worker(fabric, plan, store, emit=emit, **arguments)
    n = count_devices(plan.training.devices if devices is None else devices)
    if n == 1:
        fabric = Fabric(accelerator="auto", devices=1)
        fabric.launch()
        return worker(fabric, plan, store, emit=emit, **arguments)
    return _spread(worker, plan, store, n, emit, arguments)


def count_devices(devices: str | int) -> int:
    """Number of processes that an option asks for.

    Args:
        devices: ``"auto"`` for one, or a number of GPUs (of CPU processes, without a GPU).

    Raises:
        InputError: Not a positive number, or more GPUs than there are.

    Example:
        >>> count_devices("auto")
        1
    """
    if str(devices) == "auto":
        return 1
    if not str(devices).isdigit() or int(devices) < 1:
        raise InputError(f"--devices is {devices!r}.", "It is 'auto' or a positive number.", "Write --devices 1.")
    n = int(devices)
    have = torch.cuda.device_count()
    if have and n > have:
        raise InputError(f"--devices is {n}.", f"This machine has {have} GPUs.", f"Write --devices {have}.")
    return n


def _launched() -> int:
    environment = TorchElasticEnvironment() if TorchElasticEnvironment.detect() else SLURMEnvironment()
    if torch.cuda.is_available():
        return min(torch.cuda.device_count(), environment.world_size())
    return environment.world_size()


def _spread(
    worker: Callable[..., Trained], plan: Plan, store: Any, n: int, emit: Emit, arguments: dict[str, Any]
) -> Trained:
    """Start processes here; events come back through a queue, the result through the folder."""
    forked = not torch.cuda.is_available()
    context = processes.get_context("fork" if forked else "spawn")
    queue = context.SimpleQueue()
    pump = threading.Thread(target=_pass_on, args=(queue, emit), daemon=True)
    pump.start()
    fabric = Fabric(accelerator="auto", devices=n, strategy="ddp_fork" if forked else "ddp_spawn")
    try:
        fabric.launch(partial(_in_process, worker=worker, plan=plan, store=store, queue=queue, arguments=arguments))
    finally:
        queue.put(None)
        pump.join(timeout=10)
    trained = load_trained(arguments["work"], key=arguments["key"])
    if trained is None:
        raise ResourceError(
            f"Training on {n} devices ended without a result.",
            "Every process must finish.",
            "Run again with --devices 1 to see the cause.",
        )
    return trained


def _in_process(
    fabric: Fabric, worker: Callable[..., Trained], plan: Plan, store: Any, queue: Any, arguments: dict[str, Any]
) -> None:
    worker(fabric, plan, store, emit=queue.put, **arguments)


def _pass_on(queue: Any, emit: Emit) -> None:
    while (event := queue.get()) is not None:
        emit(event)
