"""Run folders and cohort files: whole or absent, one process at a time, editable by hand."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from scanwright.core import Case, Cohort, CohortError, Guess, InputError, ResourceError, Said, Skipped
from scanwright.io.atomic import atomic_write
from scanwright.io.cohort_file import read_cohort, write_cohort
from scanwright.io.run_folder import RunFolder


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regress"])
def test_a_cohort_comes_back_as_it_was(tmp_path: Path, task: str) -> None:
    labels = {
        "binary": (0, 1, None),
        "multiclass": (2, 1, 0),
        "multilabel": ((1, 0, None), (0, 0, 1), None),
        "regress": (1.5, -2.0, None),
    }
    classes = {"binary": ("no", "yes"), "regress": ("age",)}.get(task, ("a", "b, c", "d"))
    cases = tuple(
        Case(
            f"x{i}",
            f"malignant ({i}).png",
            label,
            f"p{i}" if i else None,
            part,
            {"age": 50.5 + i, "sex": "F" if i else None, "part": "left"},
        )
        for i, (label, part) in enumerate(zip(labels[task], ("train", None, "test"), strict=True))
    )
    cohort = Cohort(
        "n",
        tmp_path,
        "table",
        task,
        classes,
        cases,
        "CT",
        3,
        True,
        (Guess("a", "b", "c", "--d"),),
        (Skipped("f", "why"),),
        {"licence": "CC0"},
    )  # type: ignore[arg-type]
    write_cohort(tmp_path, cohort)
    assert read_cohort(tmp_path) == cohort


def test_a_wrong_word_in_cohort_csv_names_the_row(tmp_path: Path) -> None:
    cohort = Cohort("n", tmp_path, "table", "binary", ("no", "yes"), (Case("a", "a.png", 1, None, "train"),))
    path = write_cohort(tmp_path, cohort)
    path.write_text(path.read_text(encoding="utf-8").replace("yes", "perhaps"))
    with pytest.raises(CohortError, match="Row 2 of cohort.csv.*'perhaps'.*no, yes"):
        read_cohort(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = atomic_write(tmp_path / "a.json", "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="The disk is full.*--out"):
        atomic_write(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_two_processes_never_share_a_run_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with (
        folder.opened(),
        pytest.raises(InputError, match="Another process is working"),
        RunFolder(tmp_path / "run").opened(),
    ):
        pass
    with folder.opened() as tell:
        tell(Said(stage="scan", text="hello"))
    assert [e.text for e in folder.events()] == ["hello"]


def test_an_event_cut_short_by_a_crash_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.opened() as tell:
        tell(Said(stage="scan", text="one"))
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"kind": "said", "tex')
    assert [e.text for e in folder.events()] == ["one"]


def test_the_ledger_asks_for_same_inputs_and_present_outputs(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.mark_done("scan", "abc")
    assert folder.is_done("scan", "abc")
    assert not folder.is_done("scan", "abd")
    assert not folder.is_done("scan", "abc", "cohort.csv")


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written.*--out"), RunFolder(tmp_path / "file" / "run").opened():
        pass
