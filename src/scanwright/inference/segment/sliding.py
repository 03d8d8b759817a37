"""A network's window slid over a whole case; what is finished is handed on slab by slab.

Only as many slices as a window is thick are held at once, so the memory does not grow with the
length of the case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Emit, FormatError, InputError, Plan, PlanError, Progress, Segmentation, silent
from scanwright.inference.engines import Engine
from scanwright.inference.segment.tiles import gaussian, windows

Logits = NDArray[np.floating[Any]]

_BATCH_BYTES = 48 << 20
_LARGEST_BATCH = 8
_FULL_BYTES = 384 << 20
"""Sums of at most this size are kept in single precision, larger ones in half."""
_PIECE_BYTES = 48 << 20
_HALF_LIMIT = 4096.0
_EVERY_S = 0.25
_AIR_MARGIN = 0.05
"""Voxels up to this share of the intensity range above its lower end count as air (noise)."""
_AIR_SHARE = 5e-4
"""A window with a smaller share of other voxels holds only air."""
BACKGROUND_LOGIT = 10.0


@dataclass(frozen=True, eq=False)
class Slab:
    """Finished logits of some slices of the lattice.

    Args:
        axis: Axis of the lattice that the slices are counted along.
        start: First slice.
        stop: Slice after the last.
        logits: ``(n_outputs, i, j, k)`` float32 with ``stop - start`` slices along ``axis``.
    """

    axis: int
    start: int
    stop: int
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class _Frame:
    """The lattice as the windows see it: padded where it is smaller than one.

    Args:
        shape: Padded lattice.
        size: Window, with side 1 along the last axis of a 2-D network.
        before: Voxels padded in front of each axis.
        own: Lattice before padding.
        axis: Axis that slabs are cut along.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    before: tuple[int, ...]
    own: tuple[int, ...]
    axis: int


def slide(
    engine: Engine,
    array: NDArray[np.floating[Any]],
    plan: Plan,
    *,
    mirror_axes: Sequence[int] | None = None,
    emit: Emit = silent,
    batch: int | None = None,
) -> NDArray[np.float32]:
    """Logits of a whole case, where they fit the memory.

    Args:
        engine: Takes ``image`` ``(B, C * slices, *size)`` and gives ``logits`` ``(B, n_outputs, *size)``.
        array: ``(C, i, j, k)``, what ``lay_out`` gave.
        plan: Its ``preprocessing.size``, ``preprocessing.dimension`` and ``segmentation``.
        mirror_axes: Axes whose mirror images are averaged in, all their combinations; none if None.
        emit: Receives progress with the time left.
        batch: Windows that are run at once; as many as the memory suggests if None.

    Returns:
        ``(n_outputs, i, j, k)`` float32.

    Raises:
        InputError: The array has another number of channels than the network takes.
        FormatError: The network's answer is not a number or of another shape.
        PlanError: The plan is not of the task ``segment``.

    Source:
        Agrees with MONAI's ``SlidingWindowInferer(mode="gaussian")`` on equal windows (tests/inference/segment).
    """
    result = np.empty((plan.n_outputs, *array.shape[1:]), dtype=np.float32)
    for slab in slide_slabs(engine, array, plan, mirror_axes=mirror_axes, emit=emit, batch=batch):
        result[_spot(slab.axis, slab.start, slab.stop)] = slab.logits
    return result


def slide_slabs(
    engine: Engine,
    array: NDArray[np.floating[Any]],
    plan: Plan,
    *,
    mirror_axes: Sequence[int] | None = None,
    emit: Emit = silent,
    batch: int | None = None,
) -> Iterator[Slab]:
    """Logits of a whole case, a few finished slices at a time, in rising order.

    Windows overlap by ``segmentation.overlap`` and count by :func:`gaussian`. A lattice smaller than
    a window is padded evenly with the lowest value of each channel, and cut back. A 2-D network goes
    slice by slice along the last axis; its channels are ``(slice, channel)``, the slice itself in the
    middle, slices beyond the ends repeated. With ``segmentation.crop == "body"`` windows that hold
    only air are not run; voxels that no window has seen are background.

    Args:
        engine: See :func:`slide`.
        array: ``(C, i, j, k)``; single or half precision.
        plan: See :func:`slide`.
        mirror_axes: See :func:`slide`.
        emit: Receives progress with the time left.
        batch: See :func:`slide`.

    Yields:
        Slabs along one axis that together are the whole lattice.

    Raises:
        InputError: The array has another number of channels than the network takes.
        FormatError: The network's answer is not a number or of another shape.
        PlanError: The plan is not of the task ``segment``.
    """
    segmentation = _checked(array, plan)
    frame = _frame(array.shape[1:], plan)
    if frame.shape != frame.own:
        array = _padded(array, frame)
    order = sorted(windows(frame.shape, frame.size, segmentation.overlap), key=lambda s: (s[frame.axis], s))
    runner = _Runner(engine, array, plan, frame, tuple(mirror_axes or ()))
    per_window = 4 * prod(frame.size) * (runner.channels + 2 * plan.n_outputs)
    step = batch or max(1, min(_LARGEST_BATCH, _BATCH_BYTES // per_window))
    sums = _Sums(plan, frame)
    watch = _Watch(emit, len(order))
    groups = _groups(order, runner.holds_body if segmentation.crop == "body" else None, step, watch)
    for group, found in _ahead(runner.run, groups):
        for start, logits in zip(group, found, strict=True):
            yield from sums.up_to(start[frame.axis])
            sums.add(start, logits)
        watch.done(len(group))
    yield from sums.up_to(frame.shape[frame.axis])


def air_level(plan: Plan) -> float:
    """Prepared value below which a voxel counts as air.

    Args:
        plan: Its intensity.

    Returns:
        What the lower end of the intensity range becomes, plus 5 % of that range for noise; the
        lowest of all channels.
    """
    spec = plan.preprocessing.intensity
    value = (_AIR_MARGIN - 0.5) * spec.contrast + 0.5 + spec.brightness
    means, stds = np.atleast_1d(spec.mean), np.atleast_1d(spec.std)
    return float(min((value - m) / (s if s > 1e-6 else 1.0) for m, s in zip(means, stds, strict=False)))


class _Runner:
    """Cuts windows out of the prepared array and runs the network on them."""

    def __init__(
        self, engine: Engine, array: NDArray[Any], plan: Plan, frame: _Frame, mirror_axes: tuple[int, ...]
    ) -> None:
        self.engine, self.array, self.frame = engine, array, frame
        self.n_outputs, self.dimension = plan.n_outputs, plan.preprocessing.dimension
        self.slices = plan.segmentation.slices if plan.segmentation and self.dimension == 2 else 1
        self.channels = len(array) * self.slices
        self.air = air_level(plan)
        self.mirrors = [axes for n in range(len(mirror_axes) + 1) for axes in combinations(sorted(mirror_axes), n)]

    def window(self, start: tuple[int, ...]) -> NDArray[Any]:
        """``(C * slices, *size)`` at a start, in the array's precision."""
        i, j, k = start
        a, b, c = self.frame.size
        if self.dimension == 3:
            return self.array[:, i : i + a, j : j + b, k : k + c]
        half = self.slices // 2
        near = np.clip(np.arange(k - half, k + half + 1), 0, self.array.shape[3] - 1)
        stack = np.moveaxis(self.array[:, i : i + a, j : j + b, near], 3, 0)  # S C I J
        return stack.reshape(self.channels, a, b)

    def holds_body(self, start: tuple[int, ...]) -> bool:
        """Whether a window has more than air in it."""
        window = self.window(start)
        return bool(np.count_nonzero(window > self.air) > _AIR_SHARE * window.size)

    def run(self, group: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
        """Logits ``(B, n_outputs, *frame.size)`` of some windows, averaged over mirror images."""
        batch = np.empty((len(group), self.channels, *self.frame.size[: self.dimension]), dtype=np.float32)
        for n, start in enumerate(group):
            batch[n] = self.window(start)
        total = self._logits(batch)
        for axes in self.mirrors[1:]:
            places = tuple(axis + 2 for axis in axes)
            total += np.flip(self._logits(np.flip(batch, places)), places)
        if len(self.mirrors) > 1:
            total *= np.float32(1 / len(self.mirrors))
        if not np.isfinite(total.sum()):
            raise FormatError(
                "The network's answer is not a number.",
                "Every logit must be finite.",
                "Check the image for broken values, use precision f32, or train the model anew.",
            )
        return total.reshape(len(group), self.n_outputs, *self.frame.size)

    def _logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = self.engine.run(batch)["logits"]
        if logits.shape != (len(batch), self.n_outputs, *batch.shape[2:]):
            raise FormatError(
                f"The network's answer has the shape {logits.shape}.",
                f"This plan needs {self.n_outputs} logits for each voxel of the window.",
                "Make the model file anew with `scanwright run`.",
            )
        return logits


class _Sums:
    """Weighted sums of the slices that windows still reach; finished ones leave."""

    def __init__(self, plan: Plan, frame: _Frame) -> None:
        self.frame, self.base = frame, 0
        self.weight = gaussian(frame.size)
        self.scratch = np.empty_like(self.weight)
        shape = list(frame.shape)
        shape[frame.axis] = frame.size[frame.axis]
        full = 4 * plan.n_outputs * prod(shape) <= _FULL_BYTES
        self.kind: Any = np.float32 if full else np.float16
        self.sums: Logits = np.zeros((plan.n_outputs, *shape), dtype=self.kind)
        self.weights: Logits = np.zeros(shape, dtype=self.kind)
        regions = plan.segmentation is not None and plan.segmentation.target == "regions"
        self.blank = np.full(plan.n_outputs, -BACKGROUND_LOGIT, dtype=np.float32)
        if not regions:
            self.blank[0] = BACKGROUND_LOGIT

    def add(self, start: tuple[int, ...], logits: NDArray[np.float32]) -> None:
        """Count a window in; its first slice must not have left yet."""
        at = [slice(s, s + n) for s, n in zip(start, self.frame.size, strict=True)]
        at[self.frame.axis] = slice(None)
        spot = tuple(at)
        self.weights[spot] += self.weight
        for out, own in zip(self.sums, logits, strict=True):
            if self.kind == np.float16:
                own = np.clip(own, -_HALF_LIMIT, _HALF_LIMIT)
            out[spot] += np.multiply(own, self.weight, out=self.scratch)

    def up_to(self, stop: int) -> Iterator[Slab]:
        """Hand on the slices below ``stop``, and make room for as many new ones."""
        thick, axis = self.frame.size[self.frame.axis], self.frame.axis
        if stop <= self.base:
            return
        done = min(stop - self.base, thick)
        first, last = self.frame.before[axis], self.frame.before[axis] + self.frame.own[axis]
        rows = max(1, _PIECE_BYTES * thick // (4 * self.sums.size))
        for low in range(0, done, rows):
            high = min(low + rows, done)
            low_row, high_row = max(self.base + low, first), min(self.base + high, last)
            if low_row < high_row:
                logits = self._finished(low_row - self.base, high_row - self.base)
                yield Slab(axis, low_row - first, high_row - first, logits)
        self._shift(done)
        self.base += done
        while self.base < stop:  # windows of air alone: nothing was summed here
            more = min(stop - self.base, rows)
            low_row, high_row = max(self.base, first), min(self.base + more, last)
            if low_row < high_row:
                shape = [*self.frame.own]
                shape[axis] = high_row - low_row
                blank = np.broadcast_to(self.blank[:, None, None, None], (len(self.blank), *shape))
                yield Slab(axis, low_row - first, high_row - first, blank.copy())
            self.base += more

    def _finished(self, low: int, high: int) -> NDArray[np.float32]:
        at = [slice(b, b + n) for b, n in zip(self.frame.before, self.frame.own, strict=True)]
        at[self.frame.axis] = slice(low, high)
        spot = tuple(at)
        logits = self.sums[(slice(None), *spot)].astype(np.float32)
        weights = self.weights[spot].astype(np.float32)
        unseen = weights == 0
        weights[unseen] = 1
        logits /= weights
        if unseen.any():
            logits[:, unseen] = self.blank[:, None]
        return logits

    def _shift(self, done: int) -> None:
        axis, thick = self.frame.axis, self.frame.size[self.frame.axis]
        for values in (*self.sums, self.weights):  # one output at a time: numpy copies what overlaps
            if done < thick:
                values[_spot(axis, 0, thick - done, lead=0)] = values[_spot(axis, done, thick, lead=0)]
            values[_spot(axis, thick - done, thick, lead=0)] = 0


class _Watch:
    """Tells how far the windows are, a few times a second."""

    def __init__(self, emit: Emit, total: int) -> None:
        self.emit, self.total = emit, total
        self.began = self.told = time.perf_counter()
        self.n, self.n_run = 0, 0

    def done(self, n: int, *, skipped: bool = False) -> None:
        """Count windows; skipped ones took no time."""
        self.n += n
        self.n_run += 0 if skipped else n
        now = time.perf_counter()
        if now - self.told < _EVERY_S and self.n < self.total:
            return
        self.told = now
        left = (now - self.began) / self.n_run * (self.total - self.n) if self.n_run else None
        self.emit(Progress(stage="predict", step="windows", done=self.n, total=self.total, left_s=left))


def _ahead(
    run: Callable[[list[tuple[int, ...]]], NDArray[np.float32]], groups: Iterable[list[tuple[int, ...]]]
) -> Iterator[tuple[list[tuple[int, ...]], NDArray[np.float32]]]:
    """Each group with its logits, in order; the network runs on the next one while a group is counted in."""
    with ThreadPoolExecutor(1, thread_name_prefix="windows") as pool:
        before: tuple[list[tuple[int, ...]], Future[NDArray[np.float32]]] | None = None
        for group in groups:
            now = group, pool.submit(run, group)
            if before:
                yield before[0], before[1].result()
            before = now
        if before:
            yield before[0], before[1].result()


def _groups(order: Sequence[tuple[int, ...]], wanted: Any, step: int, watch: _Watch) -> Iterator[list[tuple[int, ...]]]:
    """Windows in groups of ``step``, without those that hold only air."""
    group: list[tuple[int, ...]] = []
    for start in order:
        if wanted is not None and not wanted(start):
            watch.done(1, skipped=True)
            continue
        group.append(start)
        if len(group) == step:
            yield group
            group = []
    if group:
        yield group


def _checked(array: NDArray[Any], plan: Plan) -> Segmentation:
    if plan.segmentation is None:
        raise PlanError(
            f"The plan is of the task {plan.task!r}.",
            "Windows are slid for the task 'segment' alone.",
            "Give a model that was trained on masks.",
        )
    if array.ndim != 4 or len(array) != plan.preprocessing.channels:
        raise InputError(
            f"The prepared array has the shape {array.shape}.",
            f"This network takes (C, i, j, k) with {plan.preprocessing.channels} channels.",
            "Prepare the image with scanwright.preprocessing.lay_out.",
        )
    return plan.segmentation


def _frame(own: tuple[int, ...], plan: Plan) -> _Frame:
    flat = plan.preprocessing.dimension == 2
    size = (*plan.preprocessing.size, 1) if flat else tuple(plan.preprocessing.size)
    shape = tuple(max(n, s) for n, s in zip(own, size, strict=True))
    before = tuple((n - o) // 2 for n, o in zip(shape, own, strict=True))
    axis = 2 if flat else min(range(3), key=lambda a: size[a] / shape[a])  # the thinnest slab
    return _Frame(shape, size, before, own, axis)


def _padded(array: NDArray[Any], frame: _Frame) -> NDArray[Any]:
    result = np.empty((len(array), *frame.shape), dtype=array.dtype)
    result[:] = array.min(axis=(1, 2, 3))[:, None, None, None]
    inner = tuple(slice(b, b + n) for b, n in zip(frame.before, frame.own, strict=True))
    result[(slice(None), *inner)] = array
    return result


def _spot(axis: int, start: int, stop: int, *, lead: int = 1) -> tuple[slice, ...]:
    return (slice(None),) * (lead + axis) + (slice(start, stop),)
