"""From prepared arrays to a trained network."""

from __future__ import annotations

import hashlib
from time import monotonic, sleep, time
from typing import TYPE_CHECKING

from scanwright.core import Emit, MissingExtraError, Plan, ResourceError, silent
from scanwright.io import read_cohort
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.roads import AnyStore, road_of

if TYPE_CHECKING:
    from scanwright.training import Trained

_OPEN = "training-has-begun"
_SKEW_S = 60.0
"""How much later than process 0 a launcher may start the others."""


def train(folder: RunFolder, plan: Plan, store: AnyStore, emit: Emit, *, deadline: float | None = None) -> Trained:
    """Race the candidates and train the winner, or go on where that stopped.

    Args:
        folder: Run folder; checkpoints lie under ``work``.
        plan: Candidates, steps and schedule.
        store: Prepared arrays.
        emit: Receiver of events.
        deadline: ``time.monotonic()`` by which training must have ended.

    Returns:
        What was trained, with its race and learning curves.

    Raises:
        MissingExtraError: The training libraries are not installed.
    """
    try:
        from scanwright.training import load_trained
    except ImportError as error:
        raise MissingExtraError(
            f"Training needs {error.name}, which is not installed.",
            "The light install predicts, evaluates and serves; training is the extra [train].",
            "Run `pip install 'scanwright[train]'`.",
        ) from error

    digest = train_digest(plan, store)
    work = folder.work / f"train-{digest[:16]}"
    if folder.is_done("train", digest) and (known := load_trained(work)) is not None:
        return known
    (folder.work / _OPEN).touch()
    with stage_events("train", emit, resumed=work.exists()):
        teach = road_of(plan.task).teach
        trained: Trained = teach(plan, store, work=work, emit=emit, devices=plan.training.devices, deadline=deadline)
        folder.mark_done("train", digest)
    return trained


def close_to_others(folder: RunFolder) -> None:
    """Make the other processes of this run wait until training begins."""
    (folder.work / _OPEN).unlink(missing_ok=True)


def join(folder: RunFolder, *, timeout_s: float = 3600.0) -> None:
    """Take part in the training that process 0 has planned and prepared, and do nothing else.

    Args:
        folder: Run folder of process 0.
        timeout_s: How long to wait for it.

    Raises:
        ResourceError: Process 0 did not begin to train in that time.
    """
    started, began = time(), monotonic()
    door = folder.work / _OPEN
    while not (door.exists() and door.stat().st_mtime > started - _SKEW_S):
        if monotonic() - began > timeout_s:
            raise ResourceError(
                f"Training in {folder.path} did not begin within {timeout_s:.0f} seconds.",
                "The first process plans and prepares; the others wait for it.",
                "Look at the first process's messages.",
            )
        sleep(0.2)
    cohort = read_cohort(folder.path)
    plan = Plan.from_json((folder / "plan.json").read_text(encoding="utf-8"))
    ready = road_of(plan.task).prepare(folder, cohort, plan, silent)
    train(folder, plan, ready, silent)


def train_digest(plan: Plan, store: AnyStore) -> str:
    """Hash of all that the weights depend on."""
    return hashlib.sha256((plan.to_json() + store.digest).encode()).hexdigest()
