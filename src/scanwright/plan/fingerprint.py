"""Measuring a cohort: shapes, spacings, intensities, colour. Only training cases are looked at."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import (
    Case,
    Cohort,
    CohortError,
    Emit,
    Fingerprint,
    Frames,
    Progress,
    Said,
    ScanwrightError,
    Volume,
    silent,
)
from scanwright.plan.machine import cores
from scanwright.preprocessing import percentiles, reorient
from scanwright.preprocessing.channels import grey
from scanwright.preprocessing.intensity import finite

PERCENTILES = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)
_SAMPLE = 8192
_COLOURED = 0.02
"""Mean difference between channels, as a share of the value range, from which a picture is coloured."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is kept of one case; a few kilobytes."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] | None
    modality: str | None
    unit: str
    n_channels: int
    coloured: bool
    lowest: float
    highest: float
    mean: float
    std: float
    eight_bit: bool
    values: NDArray[np.float32]
    distinct: frozenset[float]
    moments: tuple[float, ...] = ()
    moment_unit: str = "frame"


def measure(
    cohort: Cohort, load: Callable[[Case], Volume], *, limit: int = 200, seed: int = 0, emit: Emit = silent
) -> Fingerprint:
    """Measure the training part of a cohort.

    Args:
        cohort: A split cohort; without parts all its cases count as training.
        load: Reads one case; a sequence with its frames on the last axis.
        limit: Most cases to read; which ones depends on their ids and the seed only.
        seed: Draws the cases.
        emit: Receiver of progress.

    Returns:
        The fingerprint. A few volumes at most are in memory at a time.

    Raises:
        CohortError: There is no training case, or none could be read.
    """
    training = cohort.of("train") or tuple(c for c in cohort.cases if c.part is None)
    drawn = sorted(training, key=lambda c: hashlib.sha256(f"{seed}:{c.id}".encode()).digest())[:limit]
    facts, first_error = [], ""
    for number, (case, found) in enumerate(_read_all(drawn, load, turn=not cohort.frames), start=1):
        if isinstance(found, _Facts):
            facts.append(found)
        else:
            first_error = first_error or str(found)
            emit(Said(stage="plan", text=f"Case {case.id} could not be measured: {found}", level="warn"))
        emit(Progress(stage="plan", step="measuring cases", done=number, total=len(drawn)))
    if not facts:
        raise CohortError(
            f"None of {len(drawn)} training cases could be measured." + (f" {first_error}" if first_error else ""),
            "A plan needs training images that can be read.",
            "Run `scanwright check` on the folder.",
        )
    return _join(cohort, facts)


def _read_all(
    cases: Sequence[Case], load: Callable[[Case], Volume], *, turn: bool
) -> Iterator[tuple[Case, _Facts | ScanwrightError | OSError | ValueError]]:
    """Facts of every case in order; only a few cases are under way at a time."""

    def look(case: Case) -> _Facts | ScanwrightError | OSError | ValueError:
        try:
            return _look(load(case), turn=turn)
        except (ScanwrightError, OSError, ValueError) as error:
            return error

    workers = min(cores(), 8)
    with ThreadPoolExecutor(workers) as pool:
        under_way: deque[tuple[Case, Future[_Facts | ScanwrightError | OSError | ValueError]]] = deque()
        for case in cases:
            under_way.append((case, pool.submit(look, case)))
            if len(under_way) > workers:
                first, future = under_way.popleft()
                yield first, future.result()
        while under_way:
            first, future = under_way.popleft()
            yield first, future.result()


def _look(volume: Volume, *, turn: bool) -> _Facts:
    if turn and not volume.grid.is_picture and volume.grid.spacing_known:
        volume = reorient(volume, "RAS")
    array = volume.array
    one = finite(grey(volume)).reshape(-1)
    values = one[:: max(1, one.size // _SAMPLE)][:_SAMPLE]
    distinct = np.unique(values)
    if distinct.size <= 2:  # the sample may have missed a value
        distinct = np.unique(one)
    return _Facts(
        shape=volume.grid.shape,
        spacing=volume.grid.spacing if volume.grid.spacing_known else None,
        modality=volume.modality,
        unit=volume.unit,
        n_channels=volume.n_channels,
        coloured=_coloured(volume),
        lowest=float(one.min()),
        highest=float(one.max()),
        mean=float(one.mean(dtype=np.float64)),
        std=float(one.std(dtype=np.float64)),
        eight_bit=array.dtype in (np.uint8, np.bool_) or _whole_bytes(array, values, one),
        values=values.astype(np.float32),
        distinct=frozenset(float(v) for v in distinct) if distinct.size <= 2 else frozenset((0.0, 1.0, 2.0)),
        moments=volume.moments,
        moment_unit=volume.moment_unit,
    )


def _whole_bytes(array: NDArray[Any], values: NDArray[np.float32], one: NDArray[np.float32]) -> bool:
    """Whether other types hold whole numbers from 0 to 255 that use the upper half of that range."""
    if array.dtype.kind not in "iu" or one.min() < 0:
        return False
    return bool(127 < one.max() <= 255 and np.array_equal(values, np.rint(values)))


def _coloured(volume: Volume) -> bool:
    if volume.channel != "rgb" or volume.n_channels < 3:
        return False
    pixels = volume.array[:3].reshape(3, -1)
    pixels = pixels[:, :: max(1, pixels.shape[1] // _SAMPLE)].astype(np.float32)
    spread = float(pixels.max() - pixels.min())
    return spread > 0 and float((pixels.max(axis=0) - pixels.min(axis=0)).mean()) / spread > _COLOURED


def _join(cohort: Cohort, facts: Sequence[_Facts]) -> Fingerprint:
    shapes = np.array([f.shape for f in facts])
    spacings = [f.spacing for f in facts if f.spacing is not None]
    values = np.concatenate([f.values for f in facts])
    counts = cohort.counts()
    training: Counter[str] = Counter(counts.get("train") or counts.get("all", {}))
    means, stds = np.array([f.mean for f in facts]), np.array([f.std for f in facts])
    distinct = frozenset().union(*(f.distinct for f in facts))
    return Fingerprint(
        n_cases=dict(Counter(c.part or "all" for c in cohort.cases)),
        n_per_class={name: training.get(name, 0) for name in cohort.classes}
        if cohort.task != "regress"
        else dict(training),
        n_patients=len({c.group for c in cohort.cases}),
        dimension=cohort.dimension,
        modality=cohort.modality or _commonest([f.modality for f in facts]),
        unit=_commonest([f.unit for f in facts]) or "1",
        n_channels=_commonest([f.n_channels for f in facts]) or 1,
        colour=sum(f.coloured for f in facts) >= 0.2 * len(facts),
        shape_min=_three(shapes.min(axis=0)),
        shape_median=_three(np.median(shapes, axis=0).round()),
        shape_max=_three(shapes.max(axis=0)),
        spacing_median=_spacing(spacings) if len(spacings) > len(facts) / 2 else None,
        intensity_min=min(f.lowest for f in facts),
        intensity_max=max(f.highest for f in facts),
        intensity_percentiles={
            f"{q:g}": round(float(v), 6) for q, v in zip(PERCENTILES, percentiles(values, PERCENTILES), strict=True)
        },
        intensity_mean=round(float(means.mean()), 6),
        intensity_std=round(float(np.sqrt((stds**2).mean() + means.var())), 6),
        integer_8_bit=all(f.eight_bit for f in facts),
        two_valued=len(distinct) <= 2,
        n_measured=len(facts),
        frames=_frames(cohort, facts),
    )


def _frames(cohort: Cohort, facts: Sequence[_Facts]) -> Frames | None:
    """Length of the longest sequence, and the usual distance of two frames in the unit that most have."""
    if not cohort.frames:
        return None
    longest = max(f.shape[2] for f in facts)
    unit = str(_commonest([f.moment_unit for f in facts if len(f.moments) > 1]) or "frame")
    gaps = [g for f in facts if f.moment_unit == unit for g in np.diff(f.moments).tolist() if g > 0]
    if unit == "frame" or not gaps:
        unit, gaps = "frame", [1.0]
    step, column = round(float(np.median(gaps)), 6), cohort.facts.get("frames by column", "")
    return Frames(most=max(longest, 2), by=cohort.frames, unit=unit, step=step, column=column)


def _three(values: NDArray[Any]) -> tuple[int, int, int]:
    i, j, k = (int(v) for v in values)
    return i, j, k


def _spacing(spacings: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    i, j, k = (round(float(v), 5) for v in np.median(np.array(spacings), axis=0))
    return i, j, k


def _commonest(values: Sequence[Any]) -> Any:
    counted = Counter(v for v in values if v is not None).most_common()
    if not counted:
        return None
    return min((v for v, n in counted if n == counted[0][1]), key=str)
