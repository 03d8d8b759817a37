"""From logits on the lattice to structures on the source's own grid, slab by slab.

Logits are resampled linearly and decided upon afterwards, as nnU-Net does: the border between two
structures then lies where their logits are equal, between the voxels of the lattice. Only a few
slices are held in single precision at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from scanwright.core import Plan, PlanError
from scanwright.inference.segment.sliding import Slab
from scanwright.preprocessing.placement import Axis, Placement, apply_axes, axis_matrix

_CHUNK_BYTES = 48 << 20
_HALF_VOXELS = 48 << 20


@dataclass(frozen=True)
class Decision:
    """How logits become structures.

    Args:
        target: ``"labels"``: the strongest output wins, 0 is background; ``"regions"``: each output
            on its own; ``"instances"``: background, inside and border are kept as probabilities.
        temperature: Logits are divided by it before they become probabilities; above 0.
        thresholds: Least probability of each region, or of the one structure of ``"labels"``; one
            half if empty. Where several structures compete the strongest wins whatever stands here.
        chances: Whether the probability of any structure is kept.
        each: Whether the probability of each region is kept, for choosing thresholds.
    """

    target: Literal["labels", "regions", "instances"] = "labels"
    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()
    chances: bool = True
    each: bool = False

    @classmethod
    def of(cls, plan: Plan, *, temperature: float = 1.0, thresholds: Sequence[float] = ()) -> Decision:
        """How the logits of a plan are decided upon.

        Args:
            plan: Of the task ``segment``.
            temperature: See :class:`Decision`.
            thresholds: See :class:`Decision`.

        Raises:
            PlanError: The plan is of another task.
        """
        if plan.segmentation is None:
            raise PlanError(
                f"The plan is of the task {plan.task!r}.",
                "Structures are decided upon for the task 'segment' alone.",
                "Give a model that was trained on masks.",
            )
        return cls(plan.segmentation.target, temperature, tuple(thresholds))


@dataclass(frozen=True, eq=False)
class OnSource:
    """Answers on the source's own grid.

    Args:
        labels: ``(I, J, K)`` uint8: 0 background, structure n is n + 1; of overlapping regions the
            later one is painted over the earlier. Zero everywhere for instances.
        regions: ``(n, I, J, K)`` bool for regions, else None.
        chances: ``(I, J, K)`` probability of any structure, 0 .. 1; float32, for more than 50 million
            voxels float16; None if not asked for.
        inside: ``(I, J, K)`` probability of the inside of an object, for instances, else None.
        each: ``(n, I, J, K)`` float16 probability of each region, where asked for, else None.
    """

    labels: NDArray[np.uint8]
    regions: NDArray[np.bool_] | None = None
    chances: NDArray[np.floating] | None = None
    inside: NDArray[np.floating] | None = None
    each: NDArray[np.float16] | None = None


def on_source(slabs: Iterable[Slab], placement: Placement, decision: Decision, *, n_outputs: int) -> OnSource:
    """Decide on every voxel of the source.

    Args:
        slabs: Logits on the lattice, what ``slide_slabs`` yields.
        placement: Where the lattice lies, from ``preprocessing.lattice``.
        decision: How logits become structures.
        n_outputs: Logits of a voxel.

    Returns:
        Structures and probabilities, on the source's axes.
    """
    turned = tuple(axis.n_in for axis in placement.axes)
    shape = tuple(turned[placement.turn.order.index(a)] for a in range(3))
    kind = np.float32 if prod(shape) <= _HALF_VOXELS else np.float16
    labels = np.zeros(shape, dtype=np.uint8)
    regions = np.zeros((n_outputs, *shape), dtype=bool) if decision.target == "regions" else None
    keep = decision.chances or decision.target == "instances"
    chances = np.zeros(shape, dtype=kind) if keep else None
    inside = np.zeros(shape, dtype=kind) if decision.target == "instances" else None
    separate = decision.each and decision.target == "regions"
    each = np.zeros((n_outputs, *shape), dtype=np.float16) if separate else None
    views = OnSource(  # the same memory, turned as the lattice is
        placement.turn.apply(labels),
        None if regions is None else placement.turn.apply(regions),
        None if chances is None else placement.turn.apply(chances),
        None if inside is None else placement.turn.apply(inside),
        None if each is None else placement.turn.apply(each),
    )
    for piece in resampled(slabs, placement):
        spot = (slice(None),) * piece.axis + (slice(piece.start, piece.stop),)
        _DECIDE[decision.target](piece.logits, spot, views, decision)
    return OnSource(labels, regions, chances, inside, each)


def resampled(slabs: Iterable[Slab], placement: Placement) -> Iterator[Slab]:
    """Bring logits from the lattice to the voxels of the turned source.

    Args:
        slabs: Logits on the lattice, rising along one axis.
        placement: Where the lattice lies.

    Yields:
        Slabs along the same axis, now counted in voxels of the turned source. Where the lattice is
        the source's own grid they are passed on unchanged.

    Source:
        Linear interpolation, a wider triangle where the source is coarser (``axis_matrix``).
    """
    back = [axis if axis.identity else axis.reverse(axis.n_out) for axis in placement.axes]
    held: NDArray[np.float32] | None = None
    held_from, told, axis = 0, 0, 0
    for slab in slabs:
        axis = slab.axis
        along = back[axis]
        if along.identity:
            for low, high in _chunks(slab.start, slab.stop, len(slab.logits), back, axis):
                part = slab.logits[(slice(None),) * (1 + axis) + (slice(low - slab.start, high - slab.start),)]
                yield Slab(axis, low, high, apply_axes(part, _but(back, axis, high - low)))
            continue
        matrix = axis_matrix(along)
        front = np.moveaxis(slab.logits, 1 + axis, 0)
        held = np.ascontiguousarray(front) if held is None else np.concatenate([held, front])
        ready = _ready(matrix, slab.stop, told)
        for low, high in _chunks(told, ready, len(slab.logits), back, axis):
            rows = matrix[low:high, held_from : held_from + len(held)]
            sampled = (rows @ held.reshape(len(held), -1)).reshape(high - low, *held.shape[1:])
            part = np.moveaxis(sampled, 0, 1 + axis)
            yield Slab(axis, low, high, apply_axes(part, _but(back, axis, high - low)))
        told = ready
        if told < along.n_out:
            drop = max(0, int(matrix.indices[matrix.indptr[told] : matrix.indptr[told + 1]].min()) - held_from)
            held, held_from = held[drop:], held_from + drop


def _ready(matrix: csr_array, have: int, told: int) -> int:
    """Rows of the source that the first ``have`` rows of the lattice suffice for."""
    row = told
    while row < matrix.shape[0]:
        needed = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        if needed.size and needed.max() >= have:
            break
        row += 1
    return row


def _chunks(low: int, high: int, n_outputs: int, back: Sequence[Axis], axis: int) -> Iterator[tuple[int, int]]:
    """Rows of the source, a few at a time."""
    each = 4 * n_outputs * prod(max(a.n_in, a.n_out) for n, a in enumerate(back) if n != axis)
    step = max(1, _CHUNK_BYTES // each)
    for first in range(low, high, step):
        yield first, min(first + step, high)


def _but(back: Sequence[Axis], axis: int, n: int) -> tuple[Axis, Axis, Axis]:
    """The axes, with the one that is done already replaced."""
    i, j, k = (Axis(n, n, 0.0, 1.0) if a == axis else one for a, one in enumerate(back))
    return i, j, k


def _labels(logits: NDArray[np.float32], spot: tuple[slice, ...], out: OnSource, decision: Decision) -> None:
    best = logits[0].copy()
    labels = np.zeros(best.shape, dtype=np.uint8)
    for number, own in enumerate(logits[1:], 1):
        margin = (
            decision.temperature * _logit(decision.thresholds[0]) if len(logits) == 2 and decision.thresholds else 0
        )
        labels[own > best + np.float32(margin)] = number
        np.maximum(best, own, out=best)
    out.labels[spot] = labels
    if out.chances is not None:
        out.chances[spot] = 1 - _share(logits, best, 0, decision.temperature)


def _regions(logits: NDArray[np.float32], spot: tuple[slice, ...], out: OnSource, decision: Decision) -> None:
    labels = np.zeros(logits.shape[1:], dtype=np.uint8)
    for number, own in enumerate(logits):
        place: tuple[int | slice, ...] = (number, *spot)
        least = decision.thresholds[number] if number < len(decision.thresholds) else 0.5
        there = own > decision.temperature * _logit(least)
        labels[there] = number + 1
        if out.regions is not None:
            out.regions[place] = there
        if out.each is not None:
            out.each[place] = 0.5 * (1 + np.tanh(own * np.float32(0.5 / decision.temperature)))
    out.labels[spot] = labels
    if out.chances is not None:
        scaled = logits.max(axis=0) * np.float32(1 / decision.temperature)
        out.chances[spot] = 0.5 * (1 + np.tanh(scaled / 2))


def _instances(logits: NDArray[np.float32], spot: tuple[slice, ...], out: OnSource, decision: Decision) -> None:
    best = logits.max(axis=0)
    if out.chances is not None:
        out.chances[spot] = 1 - _share(logits, best, 0, decision.temperature)
    if out.inside is not None:
        out.inside[spot] = _share(logits, best, 1, decision.temperature)


def _share(
    logits: NDArray[np.float32], best: NDArray[np.float32], which: int, temperature: float
) -> NDArray[np.float32]:
    """Softmax of one output."""
    scale = np.float32(1 / temperature)
    total = np.zeros_like(best)
    mine = total
    for number, own in enumerate(logits):
        power = np.exp((own - best) * scale)
        total = total + power
        if number == which:
            mine = power
    return np.asarray(mine / total, dtype=np.float32)


def _logit(probability: float) -> float:
    safe = min(max(probability, 1e-6), 1 - 1e-6)
    return float(np.log(safe / (1 - safe)))


_DECIDE = {"labels": _labels, "regions": _regions, "instances": _instances}
