"""From prepared arrays to a trained network."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from scanwright.core import Emit, MissingExtraError, Plan
from scanwright.io import Store
from scanwright.io.run_folder import RunFolder, stage_events

if TYPE_CHECKING:
    from scanwright.training import Trained


def train(folder: RunFolder, plan: Plan, store: Store, emit: Emit, *, deadline: float | None = None) -> Trained:
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
        from scanwright.training import train as teach
    except ImportError as error:
        raise MissingExtraError(
            f"Training needs {error.name}, which is not installed.",
            "The light install predicts, evaluates and serves; training is the extra [train].",
            "Run `pip install 'scanwright[train]'`.",
        ) from error

    digest = train_digest(plan, store)
    work = folder.work / f"train-{digest[:16]}"
    if folder.is_done("train", digest):
        return load_trained(work)
    with stage_events("train", emit, resumed=work.exists()):
        trained = teach(plan, store, work=work, emit=emit, devices=plan.training.devices, deadline=deadline)
        folder.mark_done("train", digest)
    return trained


def train_digest(plan: Plan, store: Store) -> str:
    """Hash of all that the weights depend on."""
    return hashlib.sha256((plan.to_json() + store.digest).encode()).hexdigest()
