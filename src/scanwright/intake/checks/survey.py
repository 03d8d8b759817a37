"""One pass over the pixels of a cohort: is each image whole, how large is it, what does it look like?"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Case, Cohort, Emit, GeometryError, Progress, ScanwrightError, silent
from scanwright.intake.checks.masks import BadMask, Truth, look_at_truth
from scanwright.io import format_locator, open_array, parse_locator, read_case
from scanwright.io.locator import CHANNELS
from scanwright.preprocessing.frames import as_clip

SIDE = {2: 32, 3: 12}
"""Side of the small picture of each image, by dimension, in pixels."""

DETAIL_SIDE = {2: 64, 3: 24}
"""Side of the picture of fine detail."""

_MANY = 20_000
_CHUNK = 2048


@dataclass
class Survey:
    """What the pixels told, one entry a case.

    Args:
        cases: The cases, in order.
        digests: Hash over shape and values; None where damaged.
        shapes: ``(C, I, J, K)``; None where damaged.
        modalities: DICOM code of the header, or None.
        low: Smallest value.
        high: Largest value.
        spread: Standard deviation.
        small: ``(N, S)`` float16, small pictures of zero mean and unit norm; zero where blank or damaged.
        detail: ``(N, D)`` float16, the same of what is left without the broad forms.
        damaged: Case id to the reason.
        crooked: Those of the damaged whose slices make no volume (tilted, missing, uneven).
        spacings: Millimetres along the three axes; None where unknown.
        truths: For a segmentation: case id to what its masks hold.
        bad_masks: For a segmentation: case id to what is wrong with its masks.
    """

    cases: Sequence[Case]
    digests: list[bytes | None]
    shapes: list[tuple[int, ...] | None]
    modalities: list[str | None]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    spread: NDArray[np.float64]
    small: NDArray[np.float16]
    detail: NDArray[np.float16]
    damaged: dict[str, str] = field(default_factory=dict)
    crooked: set[str] = field(default_factory=set)
    spacings: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    truths: dict[str, Truth] = field(default_factory=dict)
    bad_masks: dict[str, BadMask] = field(default_factory=dict)

    def answer(self, case: Case) -> object | None:
        """What a case is labelled as: its label, its boxes, or a hash of its masks; None when unknown."""
        if case.label is not None:
            return case.label
        if case.boxes is not None:
            return case.boxes
        truth = self.truths.get(case.id)
        return None if truth is None else truth.digest


def survey(cohort: Cohort, *, emit: Emit = silent) -> Survey:
    """Decode every image of a cohort once.

    Rows of one array are taken together; other images are read one by one in a few threads.

    Args:
        cohort: Any cohort.
        emit: Receiver of progress.

    Returns:
        The survey.
    """
    n = len(cohort)
    d = cohort.dimension
    fine = SIDE[d] if n > _MANY and d == 2 else DETAIL_SIDE[d]
    found = Survey(
        cohort.cases,
        [None] * n,
        [None] * n,
        [None] * n,
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros((n, SIDE[d] ** d), np.float16),
        np.zeros((n, fine**d), np.float16),
    )
    progress = _Progress(n, emit)
    alone: list[int] = []
    arrays: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, case in enumerate(cohort.cases):
        locator = parse_locator(case.source) if "[" in case.source and CHANNELS not in case.source else None
        if (
            cohort.task != "segment"
            and not cohort.frames
            and locator is not None
            and locator.row is not None
            and not (cohort.root / case.source).exists()
        ):
            arrays[format_locator(locator.path, locator.member)].append((i, locator.row))
        else:
            alone.append(i)
    for source, rows in arrays.items():
        alone += _array(cohort, source, rows, found, progress)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(alone), 256):
            for _ in pool.map(lambda i: _one(cohort, i, found), alone[start : start + 256]):
                progress.step(1)
    progress.done()
    return found


def digest(array: NDArray[Any]) -> bytes:
    """Hash over shape and values: the same picture has it whatever file it came from.

    Three equal colour channels count as grey, and whole numbers are equal in every type.

    Args:
        array: ``(C, I, J, K)``.

    Returns:
        16 bytes.
    """
    plain = _grey_if_equal(array)
    values = np.ascontiguousarray(_plain_values(plain))
    key = hashlib.blake2b(repr((plain.shape, values.dtype.kind)).encode(), digest_size=16)
    key.update(values.tobytes())
    return key.digest()


def shrink(block: NDArray[Any], sides: Sequence[int]) -> NDArray[np.float32]:
    """Area-average the trailing axes of an array.

    Args:
        block: ``(..., *spatial)``.
        sides: New length of each trailing axis.

    Returns:
        float32, ``(..., *sides)``.
    """
    out = np.asarray(block, dtype=np.float32)
    axes = range(out.ndim - len(sides), out.ndim)
    for axis, side in sorted(zip(axes, sides, strict=True), key=lambda p: p[1] / out.shape[p[0]]):
        if out.shape[axis] != side:
            out = np.moveaxis(np.moveaxis(out, axis, -1) @ _weights(out.shape[axis], side), -1, axis)
    return out


def fine_detail(block: NDArray[np.float32], n_axes: int, *, share: int = 16) -> NDArray[np.float32]:
    """What is left of pictures when their broad forms are taken away.

    Args:
        block: ``(N, *spatial)``.
        n_axes: Number of trailing spatial axes.
        share: The blur's sigma is this part of the side.

    Returns:
        ``block`` less its own Gaussian blur (sigma at least 1 pixel).
    """
    blurred = block
    for axis in range(block.ndim - n_axes, block.ndim):
        blurred = np.moveaxis(np.moveaxis(blurred, axis, -1) @ _blur(block.shape[axis], share), -1, axis)
    return block - blurred


def unit(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of zero mean and length one; rows without contrast become zero.

    Args:
        block: ``(N, ...)``.

    Returns:
        ``(N, S)``.
    """
    flat = block.reshape(len(block), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(length > 1e-6, flat / np.maximum(length, 1e-12), 0).astype(np.float32)


def _array(cohort: Cohort, source: str, rows: list[tuple[int, int]], found: Survey, progress: _Progress) -> list[int]:
    """Survey rows of one array; gives back the cases that must be read one by one."""
    try:
        array = open_array(source, root=cohort.root)
    except ScanwrightError as error:
        for i, _ in rows:
            found.damaged[cohort.cases[i].id] = error.fact or str(error)
        progress.step(len(rows))
        return []
    odd = [i for i, row in rows if row >= len(array)]
    rows = [(i, row) for i, row in rows if row < len(array)]
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        where = [i for i, _ in part]
        block = np.asarray(array[[row for _, row in part]])
        block = _channels_first(block, cohort.dimension)
        if not np.isfinite(block).all() if block.dtype.kind == "f" else False:
            odd += where
            continue
        for k, i in enumerate(where):
            found.digests[i] = digest(block[k])
            found.shapes[i] = tuple(block.shape[1:])
        flat = block.reshape(len(block), -1)
        found.low[where], found.high[where] = flat.min(axis=1), flat.max(axis=1)
        found.spread[where] = flat.std(axis=1, dtype=np.float32)
        _describe(block, where, found, cohort.dimension)
        progress.step(len(part))
    return odd


def _one(cohort: Cohort, i: int, found: Survey) -> None:
    case = cohort.cases[i]
    try:
        volume = read_case(case, root=cohort.root)
        volume = as_clip(volume) if cohort.frames else volume
    except ScanwrightError as error:
        found.damaged[case.id] = error.fact or str(error)
        if isinstance(error, GeometryError):
            found.crooked.add(case.id)
        return
    array = volume.array
    if volume.grid.spacing_known:
        step = volume.grid.spacing
        found.spacings[case.id] = (float(step[0]), float(step[1]), float(step[2]))
    if cohort.mask_code is not None and case.masks:
        told = look_at_truth(cohort, case, volume.grid)
        if isinstance(told, Truth):
            found.truths[case.id] = told
        else:
            found.bad_masks[case.id] = told
    found.digests[i] = digest(array)
    found.shapes[i] = tuple(array.shape)
    found.modalities[i] = volume.modality
    found.low[i], found.high[i] = float(np.nanmin(array)), float(np.nanmax(array))
    found.spread[i] = float(np.nanstd(array, dtype=np.float32))
    _describe(array[None], [i], found, cohort.dimension)


def _describe(block: NDArray[Any], where: list[int], found: Survey, dimension: int) -> None:
    """Fill the small and the fine pictures of ``(N, C, I, J, K)``."""
    grey = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
    if dimension == 2:
        grey = grey[..., grey.shape[-1] // 2]
    side = SIDE[dimension]
    fine = round(found.detail.shape[1] ** (1 / dimension))
    large = shrink(grey, (fine,) * dimension)
    found.small[where] = unit(shrink(large, (side,) * dimension))
    found.detail[where] = unit(fine_detail(large, dimension))


def _channels_first(block: NDArray[Any], dimension: int) -> NDArray[Any]:
    """Rows of an array as ``(N, C, I, J, K)``, by the rule of `io`."""
    shape = block.shape
    if dimension == 2:
        if block.ndim == 3:
            return block[:, None, :, :, None]
        if shape[3] in (1, 3, 4):
            return np.moveaxis(block[..., :3], 3, 1)[..., None]
        return block[..., None]
    if block.ndim == 4:
        return block[:, None]
    return np.moveaxis(block[..., :3], 4, 1) if shape[4] in (1, 3, 4) else block


def _grey_if_equal(array: NDArray[Any]) -> NDArray[Any]:
    if array.shape[0] == 3 and np.array_equal(array[0], array[1]) and np.array_equal(array[0], array[2]):
        return array[:1]
    return array


def _plain_values(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind in "bui" and array.dtype.itemsize <= 4:
        return array.astype("<i4" if array.dtype != np.uint32 else "<i8")
    values = array.astype("<f4")
    whole = np.rint(values)
    if np.array_equal(values, whole) and np.abs(values).max(initial=0) < 2**24:
        return values.astype("<i4")
    return values


@lru_cache(maxsize=512)
def _weights(old: int, new: int) -> NDArray[np.float32]:
    """``(old, new)`` matrix of overlaps of ``old`` cells with ``new`` cells on one length."""
    edges = np.arange(new + 1) * old / new
    cells = np.arange(old)
    overlap = np.minimum(cells[:, None] + 1, edges[None, 1:]) - np.maximum(cells[:, None], edges[None, :-1])
    overlap = np.clip(overlap, 0, None)
    return (overlap / overlap.sum(axis=0, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=64)
def _blur(n: int, share: int) -> NDArray[np.float32]:
    """``(n, n)`` matrix of a Gaussian blur whose sigma is a ``share``-th of the side, at least 1 pixel."""
    sigma = max(1.0, n / share)
    at = np.arange(n)
    kernel = np.exp(-((at[:, None] - at[None]) ** 2) / (2 * sigma**2))
    return (kernel / kernel.sum(axis=0, keepdims=True)).astype(np.float32)


class _Progress:
    """Tells how far the pass has come, at most about once in half a second."""

    def __init__(self, total: int, emit: Emit) -> None:
        self.total, self.emit, self.n = total, emit, 0
        self.start = self.last = monotonic()

    def step(self, n: int) -> None:
        """``n`` more cases have been looked at."""
        self.n += n
        now = monotonic()
        if now - self.last > 0.5:
            self.last = now
            left = (now - self.start) / max(self.n, 1) * (self.total - self.n)
            self.emit(Progress(stage="check", step="look at every image", done=self.n, total=self.total, left_s=left))

    def done(self) -> None:
        """All have."""
        self.emit(Progress(stage="check", step="look at every image", done=self.total, total=self.total, left_s=0.0))
