"""The folder: table, planted faults, resuming, refusing."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections import namedtuple
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scanwright.core.errors import InputError, ResourceError
from scanwright.core.events import Finished, Progress, Started
from scanwright.phantom import cohort, write_phantom


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_table_points_at_files_and_holds_both_classes(xrays: Path) -> None:
    rows = table(xrays)
    assert list(rows[0]) == ["path", "patient_id", "label", "sex", "age", "bmi", "scanner"]
    assert all((xrays / r["path"]).is_file() for r in rows)
    by_patient = {r["patient_id"]: r["label"] for r in rows}
    assert len(by_patient) == 12
    assert sorted(by_patient.values()).count("nodule") == 6
    names = {Path(r["path"]).name[:2] for r in rows}
    assert len(names) >= 3  # units name their files each in their own way


def test_table_tells_nothing_of_the_truth(xrays: Path) -> None:
    header = (xrays / "labels.csv").read_text(encoding="utf-8").splitlines()[0]
    assert not any(word in header for word in ("diameter", "margin", "row", "nodule"))


def test_planted_faults_are_there_and_listed(xrays: Path) -> None:
    readme = (xrays / "README.txt").read_text(encoding="utf-8")
    faults = readme.split("Planted faults")[1]
    assert "CC0" in readme
    copy = next(p for p in xrays.rglob("IM9001.dcm"))
    assert str(copy.relative_to(xrays)) in faults
    original = xrays / faults.split("the same pixels as ")[1].split(",")[0]
    one, two = pydicom.dcmread(original), pydicom.dcmread(copy)
    np.testing.assert_array_equal(one.pixel_array, two.pixel_array)
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.file_meta.TransferSyntaxUID != two.file_meta.TransferSyntaxUID
    assert original.read_bytes() != copy.read_bytes()
    damaged = next(p for p in xrays.rglob("IM9002.dcm"))
    with pytest.raises(Exception, match=r"(?i)pixel|length|bytes|data|EOF"):
        _ = pydicom.dcmread(damaged).pixel_array
    assert next(p for p in xrays.rglob("letter.dcm")).read_bytes().startswith(b"This is a letter")


def test_ct_faults_are_there(cts: Path) -> None:
    assert len(list(cts.rglob("CT_COPY/*.dcm"))) > 20
    assert next(cts.rglob("IM9002.dcm")).stat().st_size > 500
    assert len(table(cts)) == 6


def test_without_faults_every_file_reads(tmp_path: Path) -> None:
    out = write_phantom("chest-xray", tmp_path / "a", patients=4, faults=False, size=32)
    for path in out.rglob("*.dcm"):
        assert pydicom.dcmread(path).pixel_array.shape == (32, 32)
    assert "none" in (out / "README.txt").read_text(encoding="utf-8").split("Planted faults")[1]


def test_same_seed_same_bytes_other_seed_other_pixels(tmp_path: Path) -> None:
    one = tree(write_phantom("chest-xray", tmp_path / "a", patients=4, seed=3, size=32))
    two = tree(write_phantom("chest-xray", tmp_path / "b", patients=4, seed=3, size=32))
    other = tree(write_phantom("chest-xray", tmp_path / "c", patients=4, seed=4, size=32))
    assert one == two
    assert one != other


def test_interrupted_writing_continues_to_the_same_bytes(tmp_path: Path) -> None:
    whole = write_phantom("chest-xray", tmp_path / "a", patients=4, size=32)
    events: list[object] = []

    class Stop(Exception):
        pass

    def pull_the_plug(event: object) -> None:
        if isinstance(event, Progress) and event.done == 2:
            raise Stop("unplugged")

    with pytest.raises(Stop, match="unplugged"):
        write_phantom("chest-xray", tmp_path / "b", patients=4, size=32, emit=pull_the_plug)
    assert not (tmp_path / "b" / "labels.csv").exists()
    write_phantom("chest-xray", tmp_path / "b", patients=4, size=32, emit=events.append)
    assert isinstance(events[0], Started)
    assert events[0].resumed
    assert tree(tmp_path / "b") == tree(whole)


def test_finished_folder_is_left_alone(tmp_path: Path) -> None:
    write_phantom("chest-xray", tmp_path, patients=4, size=32)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    events: list[object] = []
    write_phantom("chest-xray", tmp_path, patients=4, size=32, emit=events.append)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert [type(e) for e in events] == [Finished]
    assert events[0].skipped  # type: ignore[attr-defined]


def test_other_arguments_and_other_folders_are_refused(tmp_path: Path) -> None:
    out = write_phantom("chest-xray", tmp_path / "a", patients=4, size=32)
    with pytest.raises(InputError, match="another phantom"):
        write_phantom("chest-xray", out, patients=4, seed=1, size=32)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="holds other things"):
        write_phantom("chest-xray", tmp_path / "mine", patients=4)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="is a file"):
        write_phantom("chest-xray", tmp_path / "mine" / "thesis.txt", patients=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "chest-xrays"}, "Did you mean 'chest-xray'"),
        ({"kind": "chestct"}, "Did you mean 'chest-ct'"),
        ({"patients": 3}, "at least 4"),
        ({"patients": -1}, "at least 4"),
        ({"size": 7}, "between 32 and 2048"),
    ],
)
def test_wrong_arguments_write_nothing(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    wanted: dict[str, object] = {"kind": "chest-xray", "patients": 4, **arguments}
    kind = str(wanted.pop("kind"))
    with pytest.raises(InputError, match=message):
        write_phantom(kind, tmp_path / "out", **wanted)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_too_small_a_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(cohort.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(ResourceError, match="MB are free"):
        write_phantom("chest-xray", tmp_path / "out", patients=4)
    assert not (tmp_path / "out").exists()


def test_full_disk_leaves_no_half_file_and_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.write_bytes
    written = []

    def fill_up(self: Path, content: bytes) -> int:
        written.append(self)
        if len(written) == 4:
            real(self, content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_up)
        with pytest.raises(ResourceError, match="is full"):
            write_phantom("chest-xray", tmp_path / "out", patients=4, size=32)
    left = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert len(left) == 3
    assert not [p for p in left if p.name.endswith(".part")]
    assert json.loads((tmp_path / "out" / "phantom.json").read_text(encoding="utf-8"))["complete"] is False
    write_phantom("chest-xray", tmp_path / "out", patients=4, size=32)
    assert len(table(tmp_path / "out")) >= 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder_is_a_resource_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResourceError, match="cannot be written"):
        write_phantom("chest-xray", tmp_path / "out", patients=4)


def test_folder_below_a_file_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="cannot be written"):
        write_phantom("chest-xray", tmp_path / "file" / "out", patients=4)
