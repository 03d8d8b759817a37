"""May the network compute in bfloat16? Measured on validation cases against float32, and told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Plan
from scanwright.inference.engines import Engine, open_engine
from scanwright.inference.segment.sliding import slide_slabs

LEAST_AGREEMENT = 0.999
FASTER = 1.1
"""Gain in speed, on the machine that makes the model file, below which half precision is not worth it."""
MOST_DICE_CHANGE = 0.002
_IGNORED = 255


def gate(
    network: bytes,
    plan: Plan,
    arrays: Iterable[NDArray[np.floating[Any]]],
    truths: Iterable[NDArray[np.integer[Any]] | None],
    *,
    threads: int | None = None,
    faster: float = FASTER,
) -> dict[str, Any]:
    """Compare bfloat16 with float32 on validation cases.

    Args:
        network: ``network.onnx``.
        plan: Of the task ``segment``.
        arrays: Prepared cases ``(C, i, j, k)``; looked at one at a time.
        truths: True codes ``(i, j, k)`` on the same lattices, 255 where unknown; None without truth.
        threads: CPU threads to compute with; all that the process may use if None.
        faster: Least gain in speed for bfloat16 to be taken.

    Returns:
        For ``trust.json``: ``precision`` (``"bf16"`` or ``"f32"``), ``reason``, ``agreement`` (share
        of equal voxels over all cases), ``dice_change`` (of the mean Dice; None without truth),
        ``speed`` (float32's time over bfloat16's here) and ``n_cases``.
    """
    plain = open_engine(network, threads=threads).engine
    short = open_engine(network, threads=threads, precision="bf16").engine
    if getattr(short, "precision", "f32") != "bf16":
        return {"precision": "f32", "reason": "This machine or engine does not compute in bfloat16.", "n_cases": 0}
    equal = total = n = 0
    seconds = np.zeros(2)
    dice: list[tuple[float, float]] = []
    for array, truth in zip(arrays, truths, strict=True):
        n += 1
        (one, one_s), (other, other_s) = (_answer(engine, array, plan) for engine in (plain, short))
        seconds += (one_s, other_s)
        equal += int((one == other).all(axis=0).sum())
        total += one[0].size
        if truth is not None:
            dice += list(zip(_dice(one, truth, plan), _dice(other, truth, plan), strict=True))
    agreement = equal / total if total else 0.0
    change = float(np.diff(np.mean(dice, axis=0))[0]) if dice else None
    speed = float(seconds[0] / max(seconds[1], 1e-9))
    told = {"agreement": agreement, "dice_change": change, "speed": speed, "n_cases": n}
    if agreement < LEAST_AGREEMENT:
        return {"precision": "f32", "reason": f"Only {agreement:.3%} of the voxels stay equal in bfloat16.", **told}
    if change is not None and abs(change) > MOST_DICE_CHANGE:
        return {"precision": "f32", "reason": f"Dice changes by {change:+.4f} in bfloat16.", **told}
    if speed < faster:
        words = f"bfloat16 is not faster here (it takes {1 / max(speed, 1e-9):.1f} times as long), so single precision is used."
        return {"precision": "f32", "reason": words, **told}
    words = f"bfloat16 is {speed:.1f} times as fast here, and {agreement:.3%} of the voxels stay equal."
    return {"precision": "bf16", "reason": words, **told}


def _answer(engine: Engine, array: NDArray[Any], plan: Plan) -> tuple[NDArray[np.bool_], float]:
    """Structures ``(n, i, j, k)`` on the lattice, and the seconds that they took."""
    began = time.perf_counter()
    regions = plan.segmentation is not None and plan.segmentation.target == "regions"
    parts: list[tuple[int, NDArray[np.bool_]]] = []
    axis = 0
    for slab in slide_slabs(engine, array, plan):
        axis = slab.axis
        if regions:
            parts.append((slab.start, slab.logits > 0))
        else:
            best = slab.logits.argmax(axis=0)
            parts.append((slab.start, np.stack([best == n for n in range(1, plan.n_outputs)])))
    return np.concatenate([part for _, part in parts], axis=1 + axis), time.perf_counter() - began


def _dice(answer: NDArray[np.bool_], truth: NDArray[Any], plan: Plan) -> Iterator[float]:
    """Dice of each structure, or of the foreground for instances; 1 where both are empty."""
    known = truth != _IGNORED
    for n, mask in _pairs(answer, truth, plan):
        total = int((n & known).sum()) + int((mask & known).sum())
        yield 2 * int((n & mask & known).sum()) / total if total else 1.0


def _pairs(
    answer: NDArray[np.bool_], truth: NDArray[Any], plan: Plan
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    segmentation = plan.segmentation
    if segmentation is None or segmentation.target == "instances":
        yield np.asarray(answer.any(axis=0)), truth > 0
        return
    for index in range(len(plan.classes)):
        codes = [code for code, classes in enumerate(segmentation.codes, 1) if index in classes]
        yield answer[index], np.isin(truth, codes)
