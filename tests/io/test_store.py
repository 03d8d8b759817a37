"""Prepared arrays: exact, resumable, never a damaged row."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from scanwright.core import Case, Cohort, FormatError, Preprocessing, ResourceError, Said
from scanwright.io.store import Store, voxel_hash

SPEC = Preprocessing(dimension=2, size=(4, 5))


def cohort(root: Path, n: int = 6) -> Cohort:
    for i in range(n):
        (root / f"{i}.bin").write_bytes(bytes([i]))
    parts = ("train", "train", "val", "test", "train", "test")
    cases = tuple(Case(f"c{i}", f"{i}.bin", i % 2, None, parts[i]) for i in range(n))  # type: ignore[arg-type]
    return Cohort("c", root, "table", "binary", ("no", "yes"), cases)


def row(case: Case) -> np.ndarray:
    return np.full((1, 4, 5), int(case.id[1:]) / 7, dtype=np.float32).astype(np.float16).astype(np.float32)


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    store = Store.build(tmp_path / "s", cohort(tmp_path), SPEC, row)
    assert store.rows("train").tolist() == [0, 1, 4]
    np.testing.assert_array_equal(np.asarray(store.images[4], np.float32), row(Case("c4", "")))
    assert store.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert store.seen[3] == voxel_hash(row(Case("c3", "")))


def test_a_case_that_cannot_be_prepared_is_left_out_and_named(tmp_path: Path) -> None:
    said: list[str] = []

    def prepare(case: Case) -> np.ndarray:
        if case.id == "c1":
            raise FormatError("c1 is cut short.", "A file is whole.", "Copy it again.")
        return row(case)

    store = Store.build(
        tmp_path / "s",
        cohort(tmp_path),
        SPEC,
        prepare,
        emit=lambda e: said.append(e.text) if isinstance(e, Said) else None,
    )
    assert store.rows("train").tolist() == [0, 4]
    assert any("c1 is cut short" in text for text in said)


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    known = cohort(tmp_path)
    asked: list[str] = []

    def failing(case: Case) -> np.ndarray:
        if case.id == "c3":
            raise KeyboardInterrupt
        asked.append(case.id)
        return row(case)

    with pytest.raises(KeyboardInterrupt, match="^$"):
        Store.build(tmp_path / "s", known, SPEC, failing, threads=1)
    store = Store.build(tmp_path / "s", known, SPEC, row, threads=1)
    for i in range(6):
        np.testing.assert_array_equal(np.asarray(store.images[i], np.float32), row(known.cases[i]))
    again: list[str] = []
    Store.build(tmp_path / "s", known, SPEC, lambda c: again.append(c.id) or row(c))
    assert again == []


def test_a_changed_file_or_plan_makes_a_new_store(tmp_path: Path) -> None:
    known = cohort(tmp_path)
    first = Store.build(tmp_path / "s", known, SPEC, row)
    (tmp_path / "2.bin").write_bytes(b"changed")
    second = Store.build(tmp_path / "s", known, SPEC, row)
    third = Store.build(tmp_path / "s", known, Preprocessing(dimension=2, size=(4, 5), fit="pad"), row)
    assert len({first.digest, second.digest, third.digest}) == 3


def test_a_disk_that_is_too_full_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(ResourceError, match="The disk is full"):
        Store.build(tmp_path / "s", cohort(tmp_path), SPEC, row)
    assert not list((tmp_path / "s").rglob("*.npy"))
