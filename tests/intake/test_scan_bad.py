"""Bad input as a new user would try it: each is three sentences that name the thing, the rule and the fix."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scanwright.core import CohortError, FormatError, InputError, ScanwrightError
from scanwright.intake import scan
from scanwright.intake.words import modality_kinds


def _refused(kind: type[ScanwrightError], match: str, *args: object, **wishes: object) -> ScanwrightError:
    with pytest.raises(kind, match=match) as caught:
        scan(*args, **wishes)  # type: ignore[arg-type]
    assert caught.value.fact
    assert caught.value.rule
    assert caught.value.fix
    return caught.value


def test_a_path_that_is_not_there_names_the_nearest(folders: Path) -> None:
    error = _refused(InputError, "nothing at", folders.parent / "cohrot")
    assert error.fix == f"Did you mean {folders}?"


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    _refused(InputError, "holds no files", tmp_path)


def test_one_class(tmp_path: Path, draw: Callable[..., Path]) -> None:
    for k in range(4):
        draw(tmp_path / "c" / "only" / f"{k}.png", k)
    _refused(CohortError, "class 'only'", tmp_path / "c")


def test_images_without_labels(tmp_path: Path, draw: Callable[..., Path]) -> None:
    draw(tmp_path / "a.png", 1)
    draw(tmp_path / "b.png", 2)
    _refused(CohortError, "2 images and no labels", tmp_path)
    _refused(CohortError, "single image", tmp_path / "a.png")


def test_a_table_whose_images_are_gone_counts_them_and_names_the_first(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    draw(tmp_path / "there.png", 1)
    (tmp_path / "t.csv").write_text("path,label\n" + "\n".join(f"gone/{k}.png,{k % 2}" for k in range(9)))
    error = _refused(InputError, "None of the 9 images", tmp_path / "t.csv")
    assert "'gone/0.png'" in error.fact


def test_a_table_with_some_images_gone_skips_and_says_them(tmp_path: Path, draw: Callable[..., Path]) -> None:
    for k in range(8):
        draw(tmp_path / f"{k}.png", k)
    (tmp_path / "t.csv").write_text("path,label\n" + "\n".join(f"{k}.png,{k % 2}" for k in range(10)))
    cohort = scan(tmp_path)
    assert len(cohort) == 8
    assert [s.source for s in cohort.skipped] == ["8.png", "9.png"]


def test_an_unknown_label_column_names_the_nearest(folders: Path) -> None:
    rows = [f"healthy/h{k}.png,{k % 2}" for k in range(12)]
    (folders / "t.csv").write_text("path,diagnosis\n" + "\n".join(rows))
    error = _refused(InputError, "no column 'diagnosys'", folders / "t.csv", labels="diagnosys")
    assert "'diagnosis'" in error.fix


def test_an_unknown_layout_and_task(folders: Path) -> None:
    assert "class-folders" in _refused(InputError, "layout 'class-folder'", folders, layout="class-folder").fix
    _refused(InputError, "task 'binray'", folders, task="binray")


def test_a_truncated_npz_and_a_file_of_the_wrong_kind(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_images=np.zeros((40, 28, 28), np.uint8), train_labels=np.arange(40) % 2)
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
    _refused(FormatError, r"a\.npz", tmp_path / "a.npz")
    (tmp_path / "b.npz").write_text("this is no array")
    _refused(FormatError, r"b\.npz", tmp_path / "b.npz")
    (tmp_path / "c.xlsx").write_text("this is no table")
    _refused(FormatError, r"c\.xlsx", tmp_path / "c.xlsx")
    (tmp_path / "d.pdf").write_text("nor this")
    _refused(InputError, r"d\.pdf is a \.pdf file", tmp_path / "d.pdf")


def test_arrays_of_unlike_length(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(3))
    _refused(FormatError, "4 images and 3 labels", tmp_path / "a.npz")


def test_a_malicious_or_broken_archive_leaves_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../outside.txt", "x")
    _refused(FormatError, "outside its folder", tmp_path / "evil.zip")
    (tmp_path / "half.zip").write_bytes((tmp_path / "evil.zip").read_bytes()[:40])
    _refused(FormatError, "damaged or cut short", tmp_path / "half.zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.zip", "half.zip"]
    assert not (tmp_path.parent / "outside.txt").exists()


def test_a_misspelt_label_column_gets_the_nearest_name(tmp_path: Path, draw: Callable[..., Path]) -> None:
    rows = [f"images/{draw(tmp_path / 'images' / f'{k}.png', k, 16).name},{k % 2}" for k in range(6)]
    (tmp_path / "labels.csv").write_text("path,finding\n" + "\n".join(rows))
    with pytest.raises(InputError, match=r"no column 'findng'\. Its columns are path, finding\. Did you mean 'find"):
        scan(tmp_path, labels="findng")


@pytest.mark.parametrize("n_there", [0, 1])
def test_a_table_of_missing_images_says_how_many_and_the_first(
    tmp_path: Path, draw: Callable[..., Path], n_there: int
) -> None:
    for k in range(n_there):
        draw(tmp_path / f"{k}.png", k, 16)
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{k}.png,{k % 2}\n" for k in range(4)))
    with pytest.raises(InputError, match=rf"{4 - n_there} of the 4 images that labels.csv .* first '{n_there}.png'"):
        scan(tmp_path)


def test_radiographs_of_two_kinds_of_detector_are_one_modality() -> None:
    assert modality_kinds(["DX", "CR", "CR", None, "RG", "CT"]) == {"DX": 4, "CT": 1}
    assert modality_kinds(["CR", "CR"]) == {"CR": 2}
