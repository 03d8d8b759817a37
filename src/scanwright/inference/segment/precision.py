"""May the network compute in fewer bits? Measured on validation cases against float32, and told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Plan
from scanwright.inference.engines import Engine, open_engine
from scanwright.inference.segment.sliding import slide_slabs

LEAST_AGREEMENT = 0.999
FASTER = 1.1
"""Gain in speed, on the machine that makes the model file, below which fewer bits are not worth it."""
MOST_DICE_CHANGE = 0.002
LESS_OVERLAP = 0.25
"""Share of a window that the next one covers again, where answers stay the same by it."""
_HOPELESS = 0.99
"""Share of equal voxels below which further cases are not looked at."""
_SURE_S = 1.0
"""Seconds of computing after which being slower is no accident."""
_IGNORED = 255
_WORDS = {"bf16": "bfloat16", "int8": "8-bit integers"}


@dataclass(eq=False)
class _Tried:
    """What a precision, or fewer windows, did to the answers."""

    engine: Engine
    plan: Plan
    equal: int = 0
    total: int = 0
    seconds: list[float] = field(default_factory=list)
    plain_s: list[float] = field(default_factory=list)
    dice: list[tuple[float, float]] = field(default_factory=list)

    def hopeless(self) -> bool:
        """Whether the cases so far leave no hope: slower than float32, or other answers."""
        slow = sum(self.seconds) > max(sum(self.plain_s), _SURE_S)
        return slow or self.equal < _HOPELESS * self.total

    def told(self) -> dict[str, Any]:
        """``agreement``, ``dice_change`` and ``speed``."""
        change = float(np.diff(np.mean(self.dice, axis=0))[0]) if self.dice else None
        speed = float(sum(self.plain_s) / max(sum(self.seconds), 1e-9))
        return {"agreement": self.equal / self.total if self.total else 0.0, "dice_change": change, "speed": speed}


def gate(
    network: bytes,
    plan: Plan,
    arrays: Iterable[NDArray[np.floating[Any]]],
    truths: Iterable[NDArray[np.integer[Any]] | None],
    *,
    eight_bit: bytes | None = None,
    threads: int | None = None,
    faster: float = FASTER,
) -> dict[str, Any]:
    """Compare bfloat16, and a network of 8-bit integers, with float32 on validation cases.

    Args:
        network: ``network.onnx``.
        plan: Of the task ``segment``.
        arrays: Prepared cases ``(C, i, j, k)``; looked at one at a time.
        truths: True codes ``(i, j, k)`` on the same lattices, 255 where unknown; None without truth.
        eight_bit: ``network.int8.onnx``, if there is one.
        threads: CPU threads to compute with; all that the process may use if None.
        faster: Least gain in speed for fewer bits to be taken.

    Returns:
        For ``trust.json``: ``precision`` (the fastest of ``"f32"``, ``"bf16"`` and ``"int8"`` that is
        allowed), ``reason``, ``n_cases``, and under ``tried`` for each of the others its ``agreement``
        (share of equal voxels over all cases), ``dice_change`` (of the mean Dice; None without
        truth), ``speed`` (float32's time over its own here) and ``verdict``.
    """
    plain = open_engine(network, threads=threads).engine
    tried: dict[str, _Tried] = {}
    short = open_engine(network, threads=threads, precision="bf16").engine
    if getattr(short, "precision", "f32") == "bf16":
        tried["bf16"] = _Tried(short, plan)
    if eight_bit is not None:
        tried["int8"] = _Tried(open_engine(eight_bit, threads=threads, precision="int8").engine, plan)
    if not tried:
        return {"precision": "f32", "reason": "This machine computes in single precision alone.", "n_cases": 0}
    n = _compare(plain, plan, tried.values(), arrays, truths)
    found = {name: each.told() for name, each in tried.items()}
    for name, facts in found.items():
        facts["refused"], facts["verdict"] = _verdict(_WORDS[name], facts, faster)
    allowed = [name for name, facts in found.items() if not facts["refused"]]
    chosen = max(allowed, key=lambda name: found[name]["speed"], default="f32")
    words = [found[name]["verdict"] for name in ([chosen] if allowed else found)]
    return {"precision": chosen, "reason": " ".join(words), "n_cases": n, "tried": found}


def fewer_windows(
    network: bytes,
    plan: Plan,
    arrays: Iterable[NDArray[np.floating[Any]]],
    truths: Iterable[NDArray[np.integer[Any]] | None],
    *,
    threads: int | None = None,
    faster: float = FASTER,
) -> dict[str, Any]:
    """Compare windows that overlap less with the plan's on validation cases.

    Args:
        network: ``network.onnx``.
        plan: Of the task ``segment``.
        arrays: Prepared cases ``(C, i, j, k)``; looked at one at a time.
        truths: True codes on the same lattices, 255 where unknown; None without truth.
        threads: CPU threads to compute with; all that the process may use if None.
        faster: Least gain in speed for fewer windows to be taken.

    Returns:
        For ``trust.json``: ``overlap`` (:data:`LESS_OVERLAP` where it is allowed, else the plan's), ``reason``,
        ``n_cases``, ``agreement``, ``dice_change`` and ``speed`` of the smaller overlap.
    """
    if plan.segmentation is None or plan.segmentation.overlap <= LESS_OVERLAP:
        return {"overlap": plan.segmentation.overlap if plan.segmentation else 0.0, "reason": "", "n_cases": 0}
    engine = open_engine(network, threads=threads).engine
    less = plan.model_copy(update={"segmentation": plan.segmentation.model_copy(update={"overlap": LESS_OVERLAP})})
    tried = _Tried(engine, less)
    n = _compare(engine, plan, [tried], arrays, truths)
    told = tried.told()
    refused, words = _verdict(f"windows that overlap by {LESS_OVERLAP:.0%}", told, faster, verb="Answering")
    return {"overlap": plan.segmentation.overlap if refused else LESS_OVERLAP, "reason": words, "n_cases": n, **told}


def _compare(
    plain: Engine,
    plan: Plan,
    tried: Iterable[_Tried],
    arrays: Iterable[NDArray[np.floating[Any]]],
    truths: Iterable[NDArray[np.integer[Any]] | None],
) -> int:
    """Answer every case both ways, as long as there is hope; how many cases there were."""
    ways, n = list(tried), 0
    for array, truth in zip(arrays, truths, strict=True):
        n += 1
        one, one_s = _answer(plain, array, plan)
        right = None if truth is None else list(_dice(one, truth, plan))
        for each in ways:
            if each.hopeless():
                continue
            other, other_s = _answer(each.engine, array, each.plan)
            each.seconds.append(other_s)
            each.plain_s.append(one_s)
            each.equal += int((one == other).all(axis=0).sum())
            each.total += one[0].size
            if truth is not None and right is not None:
                each.dice += list(zip(right, _dice(other, truth, plan), strict=True))
    return n


def _verdict(name: str, told: dict[str, Any], faster: float, verb: str = "Computing") -> tuple[bool, str]:
    """Whether a precision is refused, and a sentence."""
    agreement, change, speed = told["agreement"], told["dice_change"], told["speed"]
    if agreement < LEAST_AGREEMENT:
        return True, f"Only {agreement:.3%} of the voxels stay equal in {name}."
    if change is not None and abs(change) > MOST_DICE_CHANGE:
        return True, f"Dice changes by {change:+.4f} in {name}."
    if speed < faster:
        return True, f"{verb} in {name} is not faster here (it takes {1 / max(speed, 1e-9):.1f} times as long)."
    return (
        False,
        f"{verb} in {name} is {speed:.1f} times as fast here, and {agreement:.3%} of the voxels stay equal.",
    )


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
