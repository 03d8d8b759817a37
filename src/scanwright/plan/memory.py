"""How much memory a plan takes, before any of it is taken."""

from __future__ import annotations

import math

from scanwright.core import Candidate
from scanwright.plan.machine import Machine
from scanwright.plan.speed import Cost

_MB = 1024 * 1024
PROCESS_MB = 700.0
"""torch, MONAI, Lightning and the program itself, measured on Linux."""
HEADROOM = 0.8
"""Share of the available memory that a plan may use."""
_COPIES = 5
"""Weights, gradients, two moments of AdamW and the moving average."""


def training_mb(candidate: Candidate, cost: Cost, shape: tuple[int, ...], *, mixed: bool) -> float:
    """Memory of one training step, in MB.

    Args:
        candidate: Batch size.
        cost: Parameters and activations.
        shape: ``(C, *size)``.
        mixed: Whether activations are kept in half precision.

    Returns:
        Activations and their gradients, copies of the parameters, images and their
        augmented copies.
    """
    kept = cost.activations * candidate.batch_size * (3.0 if mixed else 4.0) * 1.5
    weights = cost.parameters * 4 * _COPIES
    images = candidate.batch_size * math.prod(shape) * 4 * 6
    return (kept + weights + images) / _MB


def store_mb(n_cases: int, shape: tuple[int, ...]) -> float:
    """Size of the prepared arrays (half precision), in MB."""
    return n_cases * math.prod(shape) * 2 / _MB


def limit_mb(machine: Machine, device: str) -> float:
    """Memory that a plan may use, in MB: on the accelerator if there is one, else the machine's."""
    found = next((d.memory_mb for d in machine.devices if d.kind == device), machine.memory_mb)
    return HEADROOM * (found if device == "cuda" else min(found, machine.memory_mb))
