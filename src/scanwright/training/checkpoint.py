"""The state of one candidate's training, whole on disk or not at all."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scanwright.core import ScanwrightError
from scanwright.io.atomic import atomic_write


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state atomically, unless a number in it is not finite.

    Args:
        path: File.
        state: Tensors, numbers, text, lists and dictionaries.

    Raises:
        ScanwrightError: A weight is not finite; the file on disk stays as it was.
        ResourceError: The disk is full.
    """
    for name in ("model", "ema"):
        for key, value in state.get(name, {}).items():
            if isinstance(value, Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise ScanwrightError(
                    f"The weights {key!r} of {path.stem!r} are not finite.",
                    "A checkpoint holds finite numbers only; the last good one was kept.",
                    "Lower the candidate's learning rate in plan.json and run again.",
                )
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(path, buffer.getvalue())


def load(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Read a state.

    Args:
        path: File.
        device: Where its tensors go.

    Returns:
        The state; None if there is none, or it cannot be read.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
        return None
    return state
