"""The main job as a person types it: run, predict, evaluate, kill and go on."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

Typed = Callable[..., subprocess.CompletedProcess[str]]
FILES = (
    "report.html",
    "model.scanwright",
    "metrics.json",
    "predictions.csv",
    "plan.json",
    "cohort.csv",
    "events.jsonl",
)
FIGURES = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "auroc",
    "average_precision",
    "ece",
)


@pytest.fixture(scope="module")
def finished(typed: Typed, blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "blobs"
    found = typed("run", blobs, "--out", out, "--budget", "60s", "--seed", "3")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    (out.parent / "stdout.txt").write_text(found.stdout)
    return out


def test_a_run_leaves_everything_it_promises(finished: Path) -> None:
    assert [name for name in FILES if not (finished / name).exists()] == []
    metrics = json.loads((finished / "metrics.json").read_text(encoding="utf-8"))
    for name in FIGURES:
        found = metrics["test"][name]
        assert found["low"] <= found["value"] <= found["high"], name
    assert metrics["test"]["auroc"]["value"] > 0.8
    assert {"majority", "linear"} <= set(metrics["baselines"])
    rows = list(csv.DictReader((finished / "predictions.csv").open(encoding="utf-8")))
    assert sum(r["part"] == "test" for r in rows) == metrics["test"]["n_cases"]


def test_it_ends_with_a_table_against_the_floor_and_a_linear_baseline(finished: Path) -> None:
    told = (finished.parent / "stdout.txt").read_text(encoding="utf-8")
    for words in ("this model", "linear baseline", "majority floor", "report.html", "model.scanwright", "because"):
        assert words in told, words


def test_every_part_holds_other_images(finished: Path) -> None:
    rows = list(csv.DictReader((finished / "cohort.csv").open(encoding="utf-8")))
    assert {r["part"] for r in rows} == {"train", "val", "test"}
    assert len({r["source"] for r in rows}) == len(rows)


def test_typed_again_it_has_nothing_left_to_do(typed: Typed, blobs: Path, finished: Path) -> None:
    before = (finished / "model.scanwright").read_bytes()
    found = typed("run", blobs, "--out", finished, "--budget", "60s", "--seed", "3")
    assert found.returncode == 0, found.stderr
    assert "Training" not in found.stdout
    assert (finished / "model.scanwright").read_bytes() == before


def test_prediction_is_training_s_answer_without_torch(
    finished: Path, blobs: Path, tmp_path: Path, cache: Path
) -> None:
    rows = [r for r in csv.DictReader((finished / "predictions.csv").open(encoding="utf-8")) if r["part"] == "test"]
    sources = {r["case"]: r["source"] for r in csv.DictReader((finished / "cohort.csv").open(encoding="utf-8"))}
    images = [str(blobs / sources[r["case"]]) for r in rows[:8]]
    forbid = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in ('torch', 'monai', 'sklearn', 'lightning_fabric', 'onnx'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "from scanwright.cli import main\n"
        "main()\n"
    )
    command = [
        sys.executable,
        "-c",
        forbid,
        "predict",
        str(finished / "model.scanwright"),
        *images,
        "--out",
        str(tmp_path / "p"),
        "--json",
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, found.stderr[-2000:]
    answers = json.loads(found.stdout)
    for row, answer in zip(rows, answers, strict=False):
        for name in ("clear", "blob"):
            assert abs(float(row[f"p:{name}"]) - answer["probabilities"][name]) <= 1e-4
        assert answer["label"] == row["predicted"]
    assert len(list((tmp_path / "p").rglob("*.png"))) >= len(images) or not answers[0]["heatmap_faithful"]


def test_one_bad_file_among_many_costs_only_itself(typed: Typed, finished: Path, blobs: Path, tmp_path: Path) -> None:
    shutil.copytree(blobs / "blob", tmp_path / "new")
    (tmp_path / "new" / "blob (5).png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    found = typed("predict", finished / "model.scanwright", tmp_path / "new", "--out", tmp_path / "p", "--no-heatmap")
    assert found.returncode == 1, found.stderr
    content = json.loads((tmp_path / "p" / "predictions.json").read_text(encoding="utf-8"))
    assert len(content["predictions"]) == 89
    assert [f["case"] for f in content["failures"]] == ["blob (5).png"]


def test_a_model_file_with_one_byte_changed_is_refused(
    typed: Typed, finished: Path, blobs: Path, tmp_path: Path
) -> None:
    content = bytearray((finished / "model.scanwright").read_bytes())
    content[random.Random(0).randrange(len(content))] ^= 1
    (tmp_path / "m.scanwright").write_bytes(content)
    found = typed("predict", tmp_path / "m.scanwright", blobs / "blob" / "blob (1).png", "--out", tmp_path / "p")
    assert found.returncode == 2
    assert "m.scanwright" in found.stderr
    assert not (tmp_path / "p").exists()


def test_elsewhere_it_leaves_out_what_it_has_seen(typed: Typed, finished: Path, blobs: Path, tmp_path: Path) -> None:
    """The same images under other names: only the test part may count."""
    rows = list(csv.DictReader((finished / "cohort.csv").open(encoding="utf-8")))
    for n, row in enumerate(rows):
        target = tmp_path / "other" / row["label"] / f"copy{n}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(blobs / row["source"], target)
    out = tmp_path / "elsewhere"
    found = typed("evaluate", finished / "model.scanwright", tmp_path / "other", "--out", out)
    assert found.returncode == 0, found.stderr + found.stdout
    ours, theirs = (json.loads((p / "metrics.json").read_text(encoding="utf-8"))["test"] for p in (finished, out))
    assert theirs["n_cases"] == ours["n_cases"]
    assert theirs["auroc"]["value"] == pytest.approx(ours["auroc"]["value"], abs=1e-6)
    assert (out / "report.html").exists()
    assert (out / "predictions.csv").exists()


def test_elsewhere_with_other_classes_is_refused(typed: Typed, finished: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.random.default_rng(i).integers(0, 255, (32, 32), dtype=np.uint8)).save(
                tmp_path / "pets" / name / f"{i}.png"
            )
    found = typed("evaluate", finished / "model.scanwright", tmp_path / "pets", "--out", tmp_path / "e")
    assert found.returncode == 2
    assert "cat" in found.stderr
    assert "blob" in found.stderr


@pytest.mark.slow
def test_killed_and_typed_again_it_ends_with_the_same_weights(
    blobs: Path, finished: Path, tmp_path: Path, cache: Path
) -> None:
    """kill -9 at random moments of training, until one run comes through."""
    plan = _shorter(finished / "plan.json", tmp_path / "plan.json")
    whole = [sys.executable, "-m", "scanwright", "run", str(blobs), "--out", str(tmp_path / "whole")]
    options = ["--plan", str(plan), "--seed", "3", "--budget", "60s"]
    assert subprocess.run([*whole, *options], check=False, capture_output=True).returncode == 0
    out, rng = tmp_path / "killed", random.Random(1)
    command = [
        sys.executable,
        "-m",
        "scanwright",
        "run",
        str(blobs),
        "--out",
        str(out),
        "--plan",
        str(plan),
        "--seed",
        "3",
        "--budget",
        "60s",
    ]
    environment = {**os.environ, "SCANWRIGHT_CACHE": str(cache)}
    kills = 0
    while kills < 4:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not any((out / "work").glob("train-*")):
            time.sleep(0.05)
        try:
            process.wait(rng.uniform(1.0, 6.0))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills > 0
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 0
    ours, theirs = (_weights(p) for p in (tmp_path / "whole", out))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[k], theirs[k]) for k in ours)


def _shorter(plan: Path, to: Path) -> Path:
    """The same plan with fewer steps: long enough to be killed in, short enough for a test."""
    content = json.loads(plan.read_text(encoding="utf-8"))
    for one in content["candidates"]:
        one["race_steps"] = [min(n, 20) for n in one["race_steps"]]
        one["final_steps"] = min(one["final_steps"], 150)
    to.write_text(json.dumps(content), encoding="utf-8")
    return to


def _weights(run: Path) -> dict[str, np.ndarray]:
    (path,) = (run / "work").glob("train-*/weights.safetensors")
    return load_file(path)
