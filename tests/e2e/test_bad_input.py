"""What a new user gets wrong: each time three sentences, exit 2, and nothing half-written."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Typed = Callable[..., subprocess.CompletedProcess[str]]


def refused(found: subprocess.CompletedProcess[str], *words: str) -> None:
    """It was refused as people deserve: exit 2, one error, no traceback, three sentences with these words."""
    assert found.returncode == 2, (found.returncode, found.stdout[-2000:], found.stderr[-2000:])
    assert "Traceback" not in found.stderr
    text = " ".join(found.stderr.split("Error:", 1)[1].split())
    assert text.count(". ") >= 2, text
    for word in words:
        assert word.lower() in text.lower(), (word, text)


def test_a_folder_that_does_not_exist(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "my-folder").mkdir()
    refused(typed("run", "my-foldr", cwd=tmp_path), "my-foldr", "does not exist", "my-folder")
    assert not (tmp_path / "runs").exists()


def test_an_empty_folder(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(typed("run", "empty", cwd=tmp_path), "empty", "image")


def test_one_class(typed: Typed, blobs: Path, tmp_path: Path) -> None:
    shutil.copytree(blobs / "blob", tmp_path / "one" / "blob")
    refused(typed("run", "one", cwd=tmp_path), "class")


def test_no_labels(typed: Typed, blobs: Path, tmp_path: Path) -> None:
    shutil.copytree(blobs / "blob", tmp_path / "plain")
    refused(typed("run", "plain", cwd=tmp_path), "label")


def test_a_table_whose_paths_are_missing(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "labels.csv").write_text("path,label\na.png,yes\nb.png,no\nc.png,yes\n")
    refused(typed("run", "t", cwd=tmp_path), "labels.csv")


def test_a_label_column_that_is_not_there(typed: Typed, blobs: Path, tmp_path: Path) -> None:
    shutil.copytree(blobs / "blob", tmp_path / "t" / "images")
    rows = [f"images/blob ({i}).png,{i % 2}" for i in range(40)]
    (tmp_path / "t" / "labels.csv").write_text("path,finding\n" + "\n".join(rows) + "\n")
    refused(typed("run", "t", "--labels", "findng", cwd=tmp_path), "findng", "finding")


def test_labels_that_are_text_numbers_are_classes(typed: Typed, blobs: Path, tmp_path: Path) -> None:
    shutil.copytree(blobs / "blob", tmp_path / "t" / "images")
    rows = [f'images/blob ({i}).png,"{i % 2}.0 "' for i in range(40)]
    (tmp_path / "t" / "labels.csv").write_text("path,finding\n" + "\n".join(rows) + "\n")
    found = typed("scan", "t", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "binary" in found.stdout


@pytest.mark.parametrize("budget", ["0", "banana", "-5m"])
def test_a_budget_that_is_none(typed: Typed, blobs: Path, tmp_path: Path, budget: str) -> None:
    refused(typed("run", blobs, f"--budget={budget}", cwd=tmp_path), "budget", "--budget")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("option", "value", "near"),
    [("--task", "binry", "binary"), ("--layout", "tabel", "table"), ("--repair", "alway", "always")],
)
def test_a_misspelt_option_value(typed: Typed, blobs: Path, tmp_path: Path, option: str, value: str, near: str) -> None:
    refused(typed("run", blobs, option, value, cwd=tmp_path), value, near)


def test_a_truncated_npz(typed: Typed, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (40, 28, 28), dtype=np.uint8), np.arange(40)[:, None] % 2
    np.savez(
        tmp_path / "whole.npz",
        **{f"{p}_{k}": v for p in ("train", "val", "test") for k, v in (("images", images), ("labels", labels))},
    )
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) * 2 // 3])
    refused(typed("run", "cut.npz", cwd=tmp_path), "cut.npz")


@pytest.mark.parametrize("damage", ["cut", "lie"])
def test_damaged_files_among_good_ones_are_left_out_and_named(
    typed: Typed, blobs: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(blobs, tmp_path / "c")
    victim = tmp_path / "c" / "blob" / "blob (7).png"
    victim.write_bytes(victim.read_bytes()[:200] if damage == "cut" else b"GIF89a, or so it says" * 20)
    found = typed("check", "c", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "blob (7)" in found.stdout
    cohort = (tmp_path / "runs" / "c" / "cohort.csv").read_text(encoding="utf-8")
    assert "blob (7)" not in cohort
    assert "blob (8)" in cohort


def test_a_single_damaged_file_to_predict(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "m.scanwright").write_bytes(b"PK\x03\x04 not a model")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    refused(typed("predict", "m.scanwright", "a.png", cwd=tmp_path), "m.scanwright")
    refused(typed("serve", "m.scanwright", cwd=tmp_path), "m.scanwright")
    refused(typed("evaluate", "m.scanwright", tmp_path, cwd=tmp_path), "m.scanwright")
    refused(typed("predict", "n.scanwright", "a.png", cwd=tmp_path), "n.scanwright", "run FOLDER")


def test_empty_masks_are_named_before_training(typed: Typed, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "seg" / folder).mkdir(parents=True)
        for i in range(9):
            pixels = rng.integers(0, 255, (16, 16)) if folder == "images" else np.zeros((16, 16))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "seg" / folder / f"{i}.png")
    refused(typed("run", "seg", cwd=tmp_path), "mask")


def test_a_plan_with_a_wrong_key(typed: Typed, blobs: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"seeed": 3}')
    refused(typed("plan", blobs, "--plan", "plan.json", cwd=tmp_path), "seeed", "seed")


def test_an_unknown_phantom_and_cohort(typed: Typed, tmp_path: Path) -> None:
    refused(typed("phantom", "chest-xry", "out", cwd=tmp_path), "chest-xry", "chest-xray")
    refused(typed("fetch", "pneumoniamnst", cwd=tmp_path), "pneumoniamnst", "pneumoniamnist")
    assert not (tmp_path / "out").exists()


def test_beyond_loopback_is_refused_until_there_is_sign_in(typed: Typed, tmp_path: Path) -> None:
    refused(typed("serve", "m.scanwright", "--host", "0.0.0.0", cwd=tmp_path), "0.0.0.0")
