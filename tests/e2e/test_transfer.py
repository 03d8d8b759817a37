"""Weights of elsewhere as a person types them: learn a base without labels, begin from it, read where it came from."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from scanwright.io import read_model_file

Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def base(typed: Typed, blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base learnt from the train part of a cohort, without its labels."""
    out = tmp_path_factory.mktemp("base") / "base.safetensors"
    found = typed("pretrain", blobs, "--out", out, "--budget", "20s", "--seed", "1")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    assert "No image of validation or test is seen" in found.stdout
    assert not out.with_name(out.name + ".work").exists()
    return out


def test_the_base_says_what_it_is(base: Path) -> None:
    with safe_open(base, "pt") as file:
        facts = file.metadata()
    assert json.loads(facts["base"])["model"] == "resnet9"
    assert facts["licence"] == "as your images"
    assert "train part that `scanwright run --seed 1` draws, without labels" in facts["trained_on"]
    assert 50 < len(facts["seen"].split()) <= 150  # of 180 images


def test_a_run_begins_from_it_and_says_so(typed: Typed, blobs: Path, base: Path, tmp_path: Path) -> None:
    out, asked = tmp_path / "run", ("--budget", "60m", "--seed", "1", "--pretrained", base)
    found = typed("plan", blobs, "--out", tmp_path / "plan", *asked)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    plan = json.loads((tmp_path / "plan" / "plan.json").read_text())
    few = [
        c | ({"race_steps": [], "final_steps": 24} if c["model"] == "tuned" else {})
        for c in plan["candidates"]
        if c["model"] in ("frozen", "nearest", "boosted", "tuned")
    ]
    short = plan | {"candidates": few, "training": plan["training"] | {"ensemble": 1, "evaluations": 2}}
    (tmp_path / "own.json").write_text(json.dumps(short))
    found = typed("run", blobs, "--out", out, "--plan", tmp_path / "own.json", *asked)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    assert plan["pretrained"]["file"] == "base.safetensors"
    assert plan["pretrained"]["seen"] == 0
    models = {c["model"] for c in plan["candidates"]}
    assert {"frozen", "nearest", "boosted", "tuned"} <= models
    page = (out / "report.html").read_text()
    assert "base.safetensors" in page
    assert "as your images" in page
    model = out / "model.scanwright"
    again = typed("predict", model, next((blobs / "blob").iterdir()), "--out", tmp_path / "answers", "--json")
    assert json.loads(again.stdout)[0]["label"] in ("blob", "clear")
    # another seed draws other parts: some test images were seen
    other = typed("plan", blobs, "--out", tmp_path / "other", "--budget", "60s", "--seed", "5", "--pretrained", base)
    assert other.returncode == 0, other.stdout[-3000:] + other.stderr[-3000:]
    assert "test images were seen when" in " ".join(other.stdout.split())
    # a model file is a base as well, if a network is in it
    file = read_model_file(model)
    kinds = {c.name: c.kind for c in file.plan.candidates}
    networks = [name for name in file.manifest["models"] if kinds[name] == "network"]
    wishes = ("--budget", "60s", "--seed", "5", "--pretrained", model)
    third = typed("plan", blobs, "--out", tmp_path / "third", *wishes)
    assert third.returncode == (0 if networks else 2), third.stdout[-3000:] + third.stderr[-3000:]
    assert not networks or "test images were seen when" in " ".join(third.stdout.split())


def test_a_folder_without_labels_is_enough(typed: Typed, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for k in range(40):
        Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(tmp_path / "images" / f"{k:02d}.png")
    out = tmp_path / "base.safetensors"
    found = typed("pretrain", tmp_path / "images", "--out", out, "--budget", "15s")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    assert "No labels were found, and none are needed: 40 images" in " ".join(found.stdout.split())
    assert out.exists()


def test_bad_weights_are_told_in_three_sentences(typed: Typed, blobs: Path, tmp_path: Path) -> None:
    save_file({"stem.0.weight": torch.zeros(8, 3, 4, 4)}, tmp_path / "convnext.safetensors")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pth")
    for wish, says in (
        (tmp_path / "convnext.safetensors", "belong to no network that is known"),
        (tmp_path / "whole.pth", "a pickle that would run"),
        ("resnet81", "Did you mean --pretrained resnet18?"),
        (tmp_path / "nowhere.pth", "no such file"),
    ):
        found = typed("plan", blobs, "--out", tmp_path / "run", "--budget", "30s", "--pretrained", wish)
        assert found.returncode == 2
        assert says in " ".join((found.stdout + found.stderr).split())
        assert "Traceback" not in found.stderr
