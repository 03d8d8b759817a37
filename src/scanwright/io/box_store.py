"""Prepared cases of a detection on disk: whole lattices with their boxes.

Each case is an npy file, mapped into memory, so that a window reads what it needs and no more. A store is named
after the hash of what went into it and goes on filling where it stopped.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
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


@dataclass(frozen=True, eq=False)
class BoxLattice:
    """One prepared case.

    Args:
        image: ``(C, i, j, k)`` float32.
        corners: ``(N, 6)`` lower edges, then upper ones, in voxel indices of the lattice.
        labels: ``(N,)`` class indices.
        spacing: Distance between voxels, in mm (pixels where unknown).
    """

    image: NDArray[np.float32]
    corners: NDArray[np.float64]
    labels: NDArray[np.intp]
    spacing: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class BoxStore:
    """Prepared cases of a detection cohort.

    Args:
        folder: Where they lie.
        ids: Case ids; row n of the store is case n of the cohort.
        part: ``(N,)`` of ``"train"``, ``"val"``, ``"test"``; empty for a case that could not be prepared or has
            no truth.
        groups: Patient keys.
        shapes: Of each lattice, ``(i, j, k)``.
        spacings: Of each lattice.
        boxes: Of each case, ``(n, 6)`` edges and ``(n,)`` class indices.
        digest: Hash of the content's origin.
        seen: Short hash of each row's voxels, hexadecimal.
    """

    folder: Path
    ids: list[str]
    part: NDArray[np.str_]
    groups: list[str]
    shapes: list[tuple[int, int, int]]
    spacings: list[tuple[float, float, float]]
    boxes: list[tuple[NDArray[np.float64], NDArray[np.intp]]]
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

    @classmethod
    def build(
        cls,
        folder: Path,
        cohort: Cohort,
        plan: Plan,
        prepare: Callable[[Case], BoxLattice],
        *,
        emit: Emit = silent,
        threads: int = 2,
    ) -> BoxStore:
        """Fill a store, or go on filling it.

        A case that cannot be prepared is left out and named in a :class:`Said` event.

        Args:
            folder: Folder that holds stores.
            cohort: Cases to prepare; those that nobody looked at are left out.
            plan: Preprocessing.
            prepare: Case to lattice.
            emit: Receiver of progress.
            threads: Cases prepared at a time.

        Returns:
            The store.

        Raises:
            ResourceError: The disk is full.
        """
        spec = plan.preprocessing.model_dump_json(exclude={"size", "dimension", "fit"})
        shrink = plan.detection.shrink if plan.detection else 1
        digest = hashlib.sha256(f"{fresh_digest(cohort)}{spec}{shrink}".encode()).hexdigest()
        place = Path(folder) / digest[:16]
        with disk_errors(place):
            place.mkdir(parents=True, exist_ok=True)
            todo = [n for n, c in enumerate(cohort.cases) if c.boxes is not None and not _fact(place, n)]
            began, told = monotonic(), 0.0
            with ThreadPoolExecutor(threads) as pool:
                work = pool.map(lambda n: _write(place, n, cohort.cases[n], prepare), todo)
                for done, _ in enumerate(work, start=1):
                    now = monotonic()
                    if now - told > 0.2 or done == len(todo):
                        told, left = now, (now - began) / done * (len(todo) - done)
                        emit(
                            Progress(stage="prepare", step="Preparing images", done=done, total=len(todo), left_s=left)
                        )
        facts = [_fact(place, n) for n in range(len(cohort))]
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
            boxes=[
                (
                    np.array(fact.get("corners", []), dtype=np.float64).reshape(-1, 6),
                    np.array(fact.get("labels", []), dtype=np.intp),
                )
                for fact in facts
            ],
            digest=digest,
            seen=[fact.get("seen", "") for fact in facts],
        )


def _write(place: Path, row: int, case: Case, prepare: Callable[[Case], BoxLattice]) -> None:
    try:
        made = prepare(case)
    except ScanwrightError as error:
        if isinstance(error, ResourceError):
            raise
        write_json(place / f"{row:06d}.json", {"failure": f"{case.id}: {error}"})
        return
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(made.image.astype(np.float16)))
    atomic_write(place / f"{row:06d}.image.npy", stream.getvalue())
    write_json(
        place / f"{row:06d}.json",
        {
            "shape": list(made.image.shape[1:]),
            "spacing": list(made.spacing),
            "corners": made.corners.tolist(),
            "labels": made.labels.tolist(),
            "seen": voxel_hash(made.image),
        },
    )


def _fact(place: Path, row: int) -> dict[str, Any]:
    path = place / f"{row:06d}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


@lru_cache(maxsize=1024)
def _mapped(path: str) -> NDArray[Any]:
    return np.load(path, mmap_mode="r")
