"""Prepared arrays on disk, ready to be trained on.

A store is a folder named after the hash of what went into it (sources, their sizes and
times, and the preprocessing), so that a changed image or plan makes a new store and an
unchanged one is found again. It fills row by row and goes on where it stopped.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Case, Cohort, Emit, Part, Preprocessing, Progress, Said, ScanwrightError, silent
from scanwright.io.atomic import disk_errors, write_json
from scanwright.io.locator import channels_of, frames_of

_EMPTY, _READY, _FAILED = 0, 1, 2
_FLUSH_ROWS = 512


@dataclass(frozen=True, eq=False)
class Store:
    """Prepared arrays of a cohort, with their labels.

    Args:
        images: ``(N, C, *size)`` float16, memory-mapped; one row for each case of the cohort.
        ids: Case ids, in the order of the rows.
        part: ``(N,)`` of ``"train"``, ``"val"``, ``"test"``; empty for a case that could not
            be prepared, so that :meth:`rows` never gives it.
        labels: float32 ``(N,)`` class index or number, or ``(N, K)`` for multi-label;
            NaN is missing.
        groups: Patient keys.
        digest: Hash of the content's origin.
        seen: Short hash of each row's voxels, hexadecimal.
    """

    images: NDArray[np.float16]
    ids: list[str]
    part: NDArray[np.str_]
    labels: NDArray[np.float32]
    groups: list[str]
    digest: str
    seen: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, part: Part) -> NDArray[np.intp]:
        """Row numbers of one part, in order."""
        return np.flatnonzero(self.part == part)

    @classmethod
    def build(
        cls,
        folder: Path,
        cohort: Cohort,
        spec: Preprocessing,
        prepare: Callable[[Case], NDArray[np.float32]],
        *,
        emit: Emit = silent,
        threads: int = 2,
    ) -> Store:
        """Fill a store, or go on filling it.

        A case that cannot be prepared is left out and named in a :class:`Said` event.

        Args:
            folder: Folder that holds stores.
            cohort: Cases to prepare.
            spec: Preprocessing, which gives shape and part of the hash.
            prepare: Case to ``(C, *size)`` float32.
            emit: Receiver of progress.
            threads: Cases prepared at a time.

        Returns:
            The store, opened for reading.

        Raises:
            ResourceError: The disk is full.
        """
        digest = _digest(cohort, spec)
        place = Path(folder) / digest[:16]
        shape = (len(cohort), *spec.shape)
        with disk_errors(place):
            place.mkdir(parents=True, exist_ok=True)
            images = _open(place / "images.npy", shape, np.float16)
            seen = _open(place / "seen.npy", (len(cohort),), np.uint64)
            state = _open(place / "state.npy", (len(cohort),), np.uint8)
        todo = np.flatnonzero(state == _EMPTY).tolist()
        if todo:
            with disk_errors(place):
                failures = _fill((images, seen, state), [cohort.cases[i] for i in todo], todo, prepare, emit, threads)
            write_json(place / "failures.json", failures)
        if (state == _FAILED).any():
            for text in json.loads((place / "failures.json").read_text(encoding="utf-8"))[:5]:
                emit(Said(stage="prepare", level="warn", text=f"Left out: {text}"))
        good = np.asarray(state == _READY)
        return cls(
            np.load(place / "images.npy", mmap_mode="r"),
            [c.id for c in cohort.cases],
            np.where(good, [c.part or "" for c in cohort.cases], ""),
            label_array(cohort.cases, cohort),
            [c.group for c in cohort.cases],
            digest,
            [f"{int(h):016x}" for h in seen],
        )


def voxel_hash(row: NDArray[np.generic]) -> str:
    """Short hash of one prepared array, by which a case is known again.

    Args:
        row: ``(C, *size)``; compared in half precision, as stores hold it.

    Returns:
        16 hexadecimal digits.
    """
    return hashlib.blake2b(np.ascontiguousarray(row, dtype=np.float16).tobytes(), digest_size=8).hexdigest()


def label_array(cases: Sequence[Case], cohort: Cohort) -> NDArray[np.float32]:
    """Labels as numbers.

    Args:
        cases: Rows.
        cohort: Their cohort, for task and classes.

    Returns:
        float32 ``(N,)``, or ``(N, K)`` for multi-label; NaN where missing.
    """
    if cohort.task != "multilabel":
        return np.array([np.nan if c.label is None else c.label for c in cases], dtype=np.float32)
    table = np.full((len(cases), len(cohort.classes)), np.nan, dtype=np.float32)
    for row, case in enumerate(cases):
        if isinstance(case.label, tuple):
            table[row] = [np.nan if v is None else v for v in case.label]
    return table


def fresh_digest(cohort: Cohort) -> str:
    """Hash of a cohort's rows and of the size and time of every file that they name.

    Args:
        cohort: Any cohort.

    Returns:
        64 hexadecimal digits; they change when a row or a file changes.
    """
    found = hashlib.sha256(f"{cohort.task}{cohort.classes}{cohort.mask_code or ''}".encode())
    stats: dict[str, str] = {}
    for case in cohort.cases:
        files = [
            _file_of(str(part))
            for source in (case.source, *case.masks)
            for frame in frames_of(source, root=cohort.root)
            for part in channels_of(str(frame), root=cohort.root)
        ]
        for path in files:
            if path not in stats:
                stats[path] = _stat(cohort.root / path)
        facts = (
            f"{case.id}\0{case.source}\0{case.label}\0{case.group}\0{case.part}\0{' '.join(stats[f] for f in files)}"
            f"{case.moments or ''}"
        )
        boxes = "" if case.boxes is None else repr(case.boxes)
        found.update(facts.encode() + "\0".join(case.masks).encode() + boxes.encode() + b"\n")
    return found.hexdigest()


def _digest(cohort: Cohort, spec: Preprocessing) -> str:
    return hashlib.sha256((fresh_digest(cohort) + spec.model_dump_json()).encode()).hexdigest()


def _file_of(source: str) -> str:
    path = source.split("::")[0]
    return path.rsplit("[", 1)[0] if path.endswith("]") and path.rsplit("[", 1)[-1][:-1].isdigit() else path


def _stat(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return "absent"
    return f"{facts.st_size}.{facts.st_mtime_ns}"


def _open(path: Path, shape: tuple[int, ...], kind: type) -> NDArray[np.generic]:
    if path.exists():
        try:
            mapped = np.load(path, mmap_mode="r+")
            if mapped.shape == shape and mapped.dtype == kind:
                return mapped
        except (ValueError, EOFError):  # cut short by a crash: begin it again
            path.unlink()
    try:
        mapped = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
        _take_room(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return mapped


def _take_room(path: Path) -> None:
    """Reserve a file's blocks now: a disk that fills up later would end the process, not raise an error.

    Raises:
        OSError: The disk is too full.
    """
    size = path.stat().st_size
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    elif shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fill(
    arrays: tuple[NDArray[np.generic], NDArray[np.generic], NDArray[np.generic]],
    cases: Iterable[Case],
    rows: list[int],
    prepare: Callable[[Case], NDArray[np.float32]],
    emit: Emit,
    threads: int,
) -> list[str]:
    def one(case: Case) -> NDArray[np.float32] | str:
        try:
            return prepare(case)
        except ScanwrightError as error:
            return f"{case.id}: {error}"

    images, seen, state = arrays
    failures, began, told = [], monotonic(), 0.0
    with ThreadPoolExecutor(threads) as pool:
        for n, (row, result) in enumerate(zip(rows, _bounded(pool, one, cases, threads * 16), strict=True), start=1):
            if isinstance(result, str):
                failures.append(result)
                state[row] = _FAILED
            else:
                images[row] = result
                seen[row] = int(voxel_hash(result), 16)
                state[row] = _READY
            if n % _FLUSH_ROWS == 0 or n == len(rows):
                _flush(images, seen, state)
            now = monotonic()
            if now - told > 0.2 or n == len(rows):
                told = now
                left = (now - began) / n * (len(rows) - n)
                emit(Progress(stage="prepare", step="Preparing images", done=n, total=len(rows), left_s=left))
    return failures


def _bounded(
    pool: ThreadPoolExecutor, one: Callable[[Case], NDArray[np.float32] | str], cases: Iterable[Case], ahead: int
) -> Iterable[NDArray[np.float32] | str]:
    waiting = []
    for case in cases:
        waiting.append(pool.submit(one, case))
        if len(waiting) >= ahead:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _flush(*arrays: NDArray[np.generic]) -> None:
    for array in arrays:  # state last, so that a row marked ready is ready
        if isinstance(array, np.memmap):
            array.flush()
