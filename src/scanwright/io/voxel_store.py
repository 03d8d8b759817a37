"""Prepared cases of a segmentation on disk: whole lattices with their label maps, read by windows.

Each case is a pair of npy files, mapped into memory, so that a window reads what it needs and
no more. Beside them lie the places of a few thousand voxels of each structure, from which
training windows are centred. A store is named after the hash of what went into it and goes on
filling where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Case, Cohort, Emit, Part, Plan, Progress, ResourceError, Said, ScanwrightError, silent
from scanwright.io.atomic import atomic_write, disk_errors, write_json
from scanwright.io.store import fresh_digest, voxel_hash
from scanwright.io.truth import IGNORED

PLACES = 2000
"""Voxels of each code whose places are kept for a case."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """One prepared case.

    Args:
        image: ``(C, i, j, k)`` float32.
        labels: ``(i, j, k)`` uint8 codes; 255 is neither trained on nor judged. None without truth.
        spacing: Distance between voxels, in mm (pixels where unknown).
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8] | None
    spacing: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class VoxelStore:
    """Prepared cases of a segmentation cohort.

    Args:
        folder: Where they lie.
        ids: Case ids; row n of the store is case n of the cohort.
        part: ``(N,)`` of ``"train"``, ``"val"``, ``"test"``; empty for a case that could not be
            prepared or has no truth.
        groups: Patient keys.
        shapes: Of each lattice, ``(i, j, k)``.
        spacings: Of each lattice.
        counts: ``(N, n_codes + 1)`` voxels of background and each code.
        digest: Hash of the content's origin.
        seen: Short hash of each row's voxels, hexadecimal.
    """

    folder: Path
    ids: list[str]
    part: NDArray[np.str_]
    groups: list[str]
    shapes: list[tuple[int, int, int]]
    spacings: list[tuple[float, float, float]]
    counts: NDArray[np.int64]
    digest: str
    seen: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, part: Part) -> NDArray[np.intp]:
        """Row numbers of one part, in order."""
        return np.flatnonzero(self.part == part)

    def image(self, row: int) -> NDArray[np.float16]:
        """``(C, i, j, k)`` float16, memory-mapped."""
        return _mapped(str(self.folder / f"{row:06d}.image.npy"))

    def labels(self, row: int) -> NDArray[np.uint8]:
        """``(i, j, k)`` uint8 codes, memory-mapped."""
        return _mapped(str(self.folder / f"{row:06d}.labels.npy"))

    def places(self, row: int) -> NDArray[np.int32]:
        """``(n, 4)``: code, i, j, k of voxels in structures; at most :data:`PLACES` of each code."""
        return _mapped(str(self.folder / f"{row:06d}.places.npy"))

    @classmethod
    def build(
        cls,
        folder: Path,
        cohort: Cohort,
        plan: Plan,
        prepare: Callable[[Case], Lattice],
        *,
        emit: Emit = silent,
        threads: int = 2,
    ) -> VoxelStore:
        """Fill a store, or go on filling it.

        A case that cannot be prepared is left out and named in a :class:`Said` event.

        Args:
            folder: Folder that holds stores.
            cohort: Cases to prepare; those without masks are left out.
            plan: Preprocessing and codes.
            prepare: Case to lattice.
            emit: Receiver of progress.
            threads: Cases prepared at a time.

        Returns:
            The store.

        Raises:
            ResourceError: The disk is full.
        """
        n_codes = len(plan.segmentation.codes) if plan.segmentation else 1
        if plan.segmentation and plan.segmentation.target == "instances":
            n_codes = 2
        digest = _digest(cohort, plan)
        place = Path(folder) / digest[:16]
        with disk_errors(place):
            place.mkdir(parents=True, exist_ok=True)
        todo = [n for n, case in enumerate(cohort.cases) if case.masks and not (place / _fact_name(n)).exists()]
        with disk_errors(place):
            _fill(place, [(n, cohort.cases[n]) for n in todo], prepare, n_codes, emit, threads)
        facts = [_facts(place / _fact_name(n)) for n in range(len(cohort))]
        for fact in [f for f in facts if f.get("failure")][:5]:
            emit(Said(stage="prepare", level="warn", text=f"Left out: {fact['failure']}"))
        good = np.array(["shape" in fact for fact in facts])
        return cls(
            folder=place,
            ids=[c.id for c in cohort.cases],
            part=np.where(good, [c.part or "" for c in cohort.cases], ""),
            groups=[c.group for c in cohort.cases],
            shapes=[tuple(fact.get("shape", (1, 1, 1))) for fact in facts],
            spacings=[tuple(fact.get("spacing", (1.0, 1.0, 1.0))) for fact in facts],
            counts=np.array([fact.get("counts", [0] * (n_codes + 1)) for fact in facts], dtype=np.int64),
            digest=digest,
            seen=[fact.get("seen", "") for fact in facts],
        )


def _digest(cohort: Cohort, plan: Plan) -> str:
    codes = "" if plan.segmentation is None else f"{plan.segmentation.target}{plan.segmentation.codes}"
    spec = plan.preprocessing.model_dump_json(exclude={"size", "dimension", "fit"})
    return hashlib.sha256((fresh_digest(cohort) + spec + codes).encode()).hexdigest()


def _fact_name(row: int) -> str:
    return f"{row:06d}.json"


def _facts(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _fill(
    place: Path,
    todo: Sequence[tuple[int, Case]],
    prepare: Callable[[Case], Lattice],
    n_codes: int,
    emit: Emit,
    threads: int,
) -> None:
    def one(item: tuple[int, Case]) -> None:
        row, case = item
        try:
            made = prepare(case)
        except ScanwrightError as error:
            if isinstance(error, ResourceError):
                raise
            write_json(place / _fact_name(row), {"failure": f"{case.id}: {error}"})
            return
        _write(place, row, made, n_codes)

    began, told = monotonic(), 0.0
    with ThreadPoolExecutor(threads) as pool:
        for n, _ in enumerate(pool.map(one, todo), start=1):
            now = monotonic()
            if now - told > 0.2 or n == len(todo):
                told = now
                left = (now - began) / n * (len(todo) - n)
                emit(Progress(stage="prepare", step="Preparing images", done=n, total=len(todo), left_s=left))


def _write(place: Path, row: int, made: Lattice, n_codes: int) -> None:
    labels = np.zeros(made.image.shape[1:], np.uint8) if made.labels is None else made.labels
    _save(place / f"{row:06d}.image.npy", made.image.astype(np.float16))
    _save(place / f"{row:06d}.labels.npy", labels)
    counts = np.bincount(labels.reshape(-1), minlength=256)
    _save(place / f"{row:06d}.places.npy", _places(labels, counts, n_codes, row))
    write_json(
        place / _fact_name(row),
        {
            "shape": list(labels.shape),
            "spacing": list(made.spacing),
            "counts": [int(n) for n in counts[: n_codes + 1]],
            "ignored": int(counts[IGNORED]),
            "seen": voxel_hash(made.image),
        },
    )


def _places(labels: NDArray[np.uint8], counts: NDArray[np.intp], n_codes: int, row: int) -> NDArray[np.int32]:
    """Places of some voxels of every code; the same for the same labels."""
    found = []
    flat = labels.reshape(-1)
    for code in range(1, n_codes + 1):
        if not counts[code]:
            continue
        index = np.flatnonzero(flat == code)
        if len(index) > PLACES:
            index = np.sort(np.random.default_rng([row, code]).choice(index, PLACES, replace=False))
        found.append(np.column_stack([np.full(len(index), code), *np.unravel_index(index, labels.shape)]))
    return np.concatenate(found).astype(np.int32) if found else np.zeros((0, 4), np.int32)


def _save(path: Path, array: NDArray[Any]) -> None:
    import io

    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array))
    atomic_write(path, stream.getvalue())


@lru_cache(maxsize=1024)
def _mapped(path: str) -> NDArray[Any]:
    return np.load(path, mmap_mode="r")
