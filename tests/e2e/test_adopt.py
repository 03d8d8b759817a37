"""A network of Keras becomes a model file, as a person types it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Typed = Callable[..., subprocess.CompletedProcess[str]]
NETWORKS = Path(__file__).parents[1] / "training" / "networks"


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the networks were trained to tell apart, newly drawn."""
    folder = tmp_path_factory.mktemp("discs") / "discs"
    rng = np.random.default_rng(77)
    rows, columns = np.mgrid[:20, :20]
    for k in range(120):
        name, centre = ("clear", "disc")[k % 2], rng.uniform(6, 13, 2)
        picture = rng.normal(70, 12, (20, 20)) + 90 * (k % 2) * (np.hypot(rows - centre[0], columns - centre[1]) < 3.5)
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / name / f"{k:03d}.png")
    return folder


@pytest.mark.parametrize("name", ["sigmoid", "softmax"])
def test_a_keras_network_is_adopted_judged_and_asked(typed: Typed, discs: Path, tmp_path: Path, name: str) -> None:
    network = NETWORKS / f"keras_{name}.onnx"
    found = typed("adopt", network, "--classes", "clear,disc", "--cohort", discs, "--out", tmp_path / "run")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    assert "its heat maps are exact" in found.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["auroc"]["value"] > 0.98
    assert metrics["test"]["balanced_accuracy"]["value"] > 0.9
    page = (tmp_path / "run" / "report.html").read_text()
    assert "AUROC" in page
    model = tmp_path / "run" / "model.scanwright"
    found = typed("predict", model, discs / "disc" / "001.png", "--json", "--out", tmp_path / "answers")
    assert found.returncode == 0, found.stderr[-2000:]
    answer = json.loads(found.stdout)[0]
    assert answer["label"] == "disc"
    assert list((tmp_path / "answers").rglob("*.png"))
    found = typed("evaluate", model, discs, "--out", tmp_path / "again")
    assert found.returncode == 0, found.stderr[-2000:]
    assert "left out" in found.stdout, "images that calibrated it are not judged on again"


def test_without_images_it_answers_uncalibrated_and_says_so(typed: Typed, discs: Path, tmp_path: Path) -> None:
    network = NETWORKS / "keras_sigmoid.onnx"
    found = typed("adopt", network, "--classes", "clear,disc", "--out", tmp_path / "run")
    assert found.returncode == 0, found.stderr[-2000:]
    assert "judged on no labelled images" in found.stdout
    found = typed(
        "predict", tmp_path / "run" / "model.scanwright", discs / "disc", "--json", "--out", tmp_path / "answers"
    )
    assert found.returncode == 0, found.stderr[-2000:]
    answers = json.loads(found.stdout)
    assert sum(a["label"] == "disc" for a in answers) > 50


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--classes", "a,b,c"), "gives 1 number and 3 classes are named"),
        (("--classes", "a,a"), "has a name of its own"),
        (("--classes", "a,b", "--values", "0-1"), "Did you mean --values 0..1?"),
        (("--classes", "a,b", "--size", "big"), "--size is 'big'"),
        (("--classes", "a,b", "--window", "5,1"), "goes from 5 to 1"),
        (("--classes", "a,b", "--channels", "middle"), "first or last"),
        (("--classes", "a,b", "--task", "segment"), "cannot be adopted"),
        (("--classes", "a,b", "--cohort", "nowhere"), "nowhere does not exist"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(typed: Typed, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    shutil.copy(NETWORKS / "keras_sigmoid.onnx", tmp_path / "net.onnx")
    found = typed("adopt", "net.onnx", *words, cwd=tmp_path)
    assert found.returncode == 2
    assert said in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr
    assert not list(tmp_path.rglob("model.scanwright"))


def test_classes_of_another_cohort_are_refused(typed: Typed, discs: Path, tmp_path: Path) -> None:
    network = NETWORKS / "keras_sigmoid.onnx"
    found = typed("adopt", network, "--classes", "calm,storm", "--cohort", discs, "--out", tmp_path / "run")
    assert found.returncode == 2
    assert "storm" in found.stderr


def test_boxes_and_two_findings(typed: Typed, discs: Path, tmp_path: Path) -> None:
    import csv

    files = sorted(discs.rglob("*.png"))
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        rows = [[f, "disc", 3, 3, 9, 9] if k % 2 else [f, "", "", "", "", ""] for k, f in enumerate(files)]
        csv.writer(file).writerows([["image", "label", "xmin", "ymin", "xmax", "ymax"], *rows])
    network = NETWORKS / "keras_sigmoid.onnx"
    found = typed("adopt", network, "--classes", "clear,disc", "--cohort", tmp_path, "--out", tmp_path / "run")
    assert found.returncode == 2, found.stdout[-2000:] + found.stderr[-2000:]
    assert "Traceback" not in found.stderr
    two = NETWORKS / "keras_softmax.onnx"
    found = typed("adopt", two, "--classes", "a,b", "--task", "multiclass", "--out", tmp_path / "two")
    assert found.returncode == 0, found.stderr[-2000:]
