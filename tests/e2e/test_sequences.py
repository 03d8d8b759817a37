"""Sequences as a person types them: run on clips, ask about clips, folders of frames and through the service."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

Typed = Callable[..., subprocess.CompletedProcess[str]]


def beats(folder: Path, n: int = 72) -> Path:
    """A bright disc that grows or shrinks over four to six numbered pictures: the order alone tells the class."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:24, :24]
    for k in range(n):
        frames = int(rng.integers(4, 7))
        radii = np.sort(rng.uniform(3, 9, frames))
        radii[0], radii[-1] = min(radii[0], 5), max(radii[-1], 7)
        label = ("shrinking", "growing")[k % 2]
        centre = rng.uniform(9, 15, 2)
        place = folder / label / f"case{k:02d}"
        place.mkdir(parents=True)
        for frame, radius in enumerate(radii if label == "growing" else radii[::-1]):
            picture = rng.normal(70, 12, (24, 24)) + 90 * (np.hypot(rows - centre[0], columns - centre[1]) < radius)
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(place / f"frame_{frame + 1:02d}.png")
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return beats(tmp_path_factory.mktemp("beats") / "beats")


@pytest.fixture(scope="module")
def finished(typed: Typed, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "beats"
    found = typed("run", cohort, "--out", out, "--budget", "75s", "--seed", "1")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    (out / "stdout.txt").write_text(found.stdout)
    return out


def test_a_run_reads_order(finished: Path) -> None:
    plan = json.loads((finished / "plan.json").read_text())
    assert plan["preprocessing"]["frames"] == {"most": 6, "by": "time", "unit": "frame", "step": 1.0, "column": ""}
    assert any(c["model"] in ("frames-lstm", "frames-attention") for c in plan["candidates"])
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["test"]["auroc"]["value"] > 0.85
    text = (finished / "stdout.txt").read_text()
    assert "72 cases of 4 to 6 frames" in text
    evaluations = json.loads((finished / "work" / "evaluations.json").read_text())
    mixed = next(e for e in evaluations if e["who"] == "shuffled")
    assert float(mixed["metrics"]["auroc"]["value"]) < metrics["test"]["auroc"]["value"]


def test_the_report_shows_film_strips_and_the_frames_in_random_order(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "Frames in random order" in page
    assert 'class="pair film"' in page or "The heat maps are not shown" in page


def test_a_folder_of_frames_is_one_case(typed: Typed, finished: Path, cohort: Path, tmp_path: Path) -> None:
    found = typed("predict", finished / "model.scanwright", cohort / "growing", "--out", tmp_path / "out", "--json")
    assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    answers = said["predictions"] if isinstance(said, dict) else said
    assert len(answers) == 36
    right = [a["label"] == "growing" for a in answers]
    assert np.mean(right) > 0.8
    one = answers[0]
    assert len(one["frame_weights"]) in (4, 5, 6)
    assert sum(one["frame_weights"]) == pytest.approx(1, abs=1e-3)
    picture = Image.open(next((tmp_path / "out").glob("*.picture.png")))
    assert picture.width > 2.5 * picture.height


def test_a_single_frame_is_refused_in_words(typed: Typed, finished: Path, cohort: Path, tmp_path: Path) -> None:
    one = cohort / "growing" / "case01" / "frame_01.png"
    found = typed("predict", finished / "model.scanwright", one, "--out", tmp_path / "out")
    assert found.returncode == 1
    assert "two frames or more" in found.stdout + found.stderr


def test_the_service_takes_the_files_of_a_request_as_frames(finished: Path, cohort: Path) -> None:
    from scanwright.serving.app import create_app
    from scanwright.serving.server import open_models

    models = open_models([finished / "model.scanwright"])
    files = sorted((cohort / "shrinking" / "case02").glob("*.png"))
    with TestClient(create_app(models), base_url="http://127.0.0.1:8000") as client:
        sent = [("files", (f.name, f.read_bytes(), "image/png")) for f in reversed(files)]
        loose = client.post("/v1/predict", files=sent)
        assert loose.status_code == 200, loose.text
        results = loose.json()["results"]
        assert len(results) == 1
        assert len(results[0]["frame_weights"]) == len(files)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for case in ("case02", "case04"):
                for file in (cohort / "shrinking" / case).glob("*.png"):
                    archive.write(file, f"{case}/{file.name}")
        both = client.post("/v1/predict", files=[("files", ("two.zip", packed.getvalue(), "application/zip"))])
        assert both.status_code == 200, both.text
        answered = both.json()["results"]
        assert len(answered) == 2
        assert any(r["logits"] == pytest.approx(results[0]["logits"], abs=1e-4) for r in answered)


def test_another_cohort_is_read_the_same_way(typed: Typed, finished: Path, tmp_path: Path) -> None:
    other = beats(tmp_path / "elsewhere", n=12)
    for picture in other.rglob("*.png"):  # not the pictures that the model has seen
        Image.fromarray(255 - (255 - np.asarray(Image.open(picture)) // 2 * 2)).save(picture)
    found = typed("evaluate", finished / "model.scanwright", other, "--out", tmp_path / "out")
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["test"]["auroc"]["value"] > 0.7


def tabled(folder: Path, n: int, seed: int) -> Path:
    """The same discs, all pictures in one folder under names that tell nothing; a table says whose they are and in what order."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:20, :20]
    (folder / "images").mkdir(parents=True)
    lines = ["image,patient,phase,slice,state"]
    for k in range(n):
        state = ("growing", "shrinking")[k % 2]
        for cut in (1, 2):
            for phase, radius in enumerate((3, 5, 8) if state == "growing" else (8, 5, 3)):
                name = f"{rng.integers(1 << 40):x}.png"
                picture = rng.normal(70, 12, (20, 20)) + 90 * (np.hypot(rows - 10, columns - 10) < radius)
                Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / "images" / name)
                lines.append(f"images/{name},p{seed}{k},{10 * phase},{cut},{state}")
    rng.shuffle(lines[1:])
    (folder / "table.csv").write_text("\n".join(lines))
    return folder


def test_a_model_of_a_tables_sequences_groups_another_table_the_same_way(typed: Typed, tmp_path: Path) -> None:
    wishes = ("--labels", "state", "--sequence", "phase/slice", "--budget", "25s")
    found = typed("run", tabled(tmp_path / "here", 30, 1), *wishes, "--out", tmp_path / "run")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    elsewhere = tabled(tmp_path / "there", 8, 2)
    found = typed(
        "evaluate", tmp_path / "run" / "model.scanwright", elsewhere, "--labels", "state", "--out", tmp_path / "on"
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    rows = (tmp_path / "on" / "cohort.csv").read_text().splitlines()[1:]
    assert len(rows) == 16, "a sequence for each patient and slice, as in the cohort it was made from"
