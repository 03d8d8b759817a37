"""A folder of pictures and masks becomes a model that draws, as a person types it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from httpx import Response
from PIL import Image
from starlette.testclient import TestClient

Typed = Callable[..., object]


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs and bars in noise; the mask says 1 for the disc and 2 for the bar."""
    root = tmp_path_factory.mktemp("seg") / "discs"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    rows, columns = np.mgrid[:64, :64]
    for n in range(36):
        rng = np.random.default_rng(n)
        mask = np.zeros((64, 64), np.uint8)
        i, j = rng.uniform(16, 48, 2)
        mask[(rows - i) ** 2 + (columns - j) ** 2 < rng.uniform(6, 11) ** 2] = 1
        top = int(rng.integers(2, 50))
        mask[top : top + 6, 4:60][mask[top : top + 6, 4:60] == 0] = 2
        picture = rng.normal(90, 12, (64, 64)) + 70 * (mask == 1) - 50 * (mask == 2)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(root / "images" / f"p{n:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"p{n:02d}.png")
    return root


@pytest.fixture(scope="module")
def run(typed: Typed, discs: Path) -> Path:
    """A finished run, by a plan whose steps do not depend on how fast the machine is."""
    out, names = discs.parent / "run", ("--structures", "1=disc,2=bar")
    planned = typed("plan", discs, "--out", discs.parent / "planned", "--budget", "60s", *names)
    assert planned.returncode == 0, planned.stdout + planned.stderr  # type: ignore[attr-defined]
    plan = json.loads((discs.parent / "planned" / "plan.json").read_text(encoding="utf-8"))
    first = plan["candidates"][0]
    arguments = {**first["arguments"], "levels": 3}
    plan["candidates"] = [{**first, "arguments": arguments, "batch_size": 8, "race_steps": [], "final_steps": 120}]
    plan["training"]["ema"] = 0.95
    (discs.parent / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    done = typed("run", discs, "--out", out, "--plan", discs.parent / "plan.json", *names)
    assert done.returncode == 0, done.stdout + done.stderr  # type: ignore[attr-defined]
    text = done.stdout  # type: ignore[attr-defined]
    assert "Dice" in text
    assert "disc" in text
    assert "floor" in text
    return out


def test_figures_are_of_the_structures(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    test = metrics["test"]
    assert test["dice"]["value"] > 0.8
    assert test["dice"]["low"] <= test["dice"]["value"] <= test["dice"]["high"]
    assert set(test["per_class"]) == {"disc", "bar"}
    assert metrics["baselines"]["floor"]["test"]["dice"]["value"] < test["dice"]["value"]
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"case", "part", "dice", "dice:disc", "dice:bar", "hd95_mm:disc"} <= set(rows[0])
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "What it draws" in page
    assert 'src="http' not in page, "a report is one file"


def test_what_is_predicted_lies_on_the_picture(typed: Typed, run: Path, discs: Path, tmp_path: Path) -> None:
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        case = next(row["case"] for row in csv.DictReader(file) if row["part"] == "test")
    done = typed("predict", run / "model.scanwright", discs / "images" / f"{case}.png", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    answer = np.asarray(Image.open(next((tmp_path / "out").rglob("segmentation.png"))))
    truth = np.asarray(Image.open(discs / "masks" / f"{case}.png"))
    for value in (1, 2):
        dice = 2 * ((answer == value) & (truth == value)).sum() / ((answer == value).sum() + (truth == value).sum())
        mirrored = 2 * ((answer[:, ::-1] == value) & (truth == value)).sum() / (2 * (truth == value).sum())
        assert dice > 0.75
        assert dice > mirrored or value == 2, "a mirrored answer would fit less"
    told = json.loads(next((tmp_path / "out").rglob("answer.json")).read_text(encoding="utf-8"))
    assert set(told["amounts"]) == {"disc", "bar"}
    assert next((tmp_path / "out").rglob("lesions.csv")).read_text(encoding="utf-8").startswith("number,structure")
    assert (tmp_path / "out" / "predictions.csv").exists()


@pytest.fixture(scope="module")
def service(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service of the trained model, with its own reader in a child process."""
    from scanwright.serving import create_app
    from scanwright.serving.server import open_models

    app = create_app(open_models([run / "model.scanwright"]), work=tmp_path_factory.mktemp("served"))
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


def sent(service: TestClient, name: str, content: bytes, **query: object) -> Response:
    return service.post("/v1/predict", files=[("files", (name, content))], params=query)


def test_a_service_answers_with_structures_amounts_lesions_and_overlay(
    service: TestClient, run: Path, discs: Path
) -> None:
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        case = next(row["case"] for row in csv.DictReader(file) if row["part"] == "test")
    answer = sent(service, "one.png", (discs / "images" / f"{case}.png").read_bytes(), slices=True)
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    truth = np.asarray(Image.open(discs / "masks" / f"{case}.png"))
    assert result["task"] == "segment"
    assert {
        k: v == pytest.approx((truth == n).sum(), rel=0.35) for n, (k, v) in enumerate(result["amounts"].items(), 1)
    } == {
        "disc": True,
        "bar": True,
    }
    links = result["segmentation"]
    assert [(s["value"], s["name"]) for s in links["structures"]] == [(1, "disc"), (2, "bar")]
    assert links["unit"] == "pixels"
    packed = gzip.decompress(service.get(links["url"]).content)
    drawn = np.asarray(nibabel.Nifti1Image.from_bytes(packed).dataobj)[..., 0]
    assert drawn.shape == truth.shape
    assert {name: int((drawn == n).sum()) for n, name in ((1, "disc"), (2, "bar"))} == result["amounts"]
    for value in (1, 2):
        both = ((drawn == value) & (truth == value)).sum()
        assert 2 * both / ((drawn == value).sum() + (truth == value).sum()) > 0.75
    assert {one["structure"] for one in result["lesions"]} == {"disc", "bar"}
    assert sum(one["n_voxels"] for one in result["lesions"]) == (drawn > 0).sum()
    overlay, picture = (
        np.asarray(Image.open(io.BytesIO(service.get(url).content)).convert("RGB")).astype(int)
        for url in (result["heatmap"]["url"], result["picture"])
    )
    assert overlay.shape == (64, 64, 3)
    changed = np.abs(overlay - picture).max(axis=-1) > 8
    assert changed[drawn > 0].mean() > 0.9, "structures are tinted"
    assert changed[drawn == 0].mean() < 0.1, "and nothing else is"
    layer = service.get(f"{result['slices']['url']}0.png", params={"overlay": True})
    assert layer.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("cut", 422, "cut.png cannot be read .* more than the file holds"),
        ("volume", 422, "volume of 5 slices"),
        ("text", 415, "none of the kinds"),
    ],
)
def test_a_service_refuses_what_it_cannot_draw_on(
    service: TestClient, discs: Path, kind: str, status: int, words: str
) -> None:
    whole = (discs / "images" / "p00.png").read_bytes()
    volume = nibabel.Nifti1Image(np.random.default_rng(0).integers(0, 255, (64, 64, 5)).astype(np.uint8), np.eye(4))
    name, content = {
        "cut": ("cut.png", whole[: len(whole) // 2]),
        "volume": ("volume.nii", volume.to_bytes()),
        "text": ("note.png", b"no picture at all"),
    }[kind]
    answer = sent(service, name, content)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert re.search(words, error["fact"]), error
    assert error["rule"]
    assert error["fix"]
    assert "Traceback" not in answer.text


def test_it_is_judged_on_another_folder(typed: Typed, run: Path, discs: Path, tmp_path: Path) -> None:
    """The same folder with a shifted brightness: what the model was trained on as it is would be left out."""
    other = tmp_path / "other"
    for name in ("images", "masks"):
        (other / name).mkdir(parents=True)
    for path in sorted((discs / "images").iterdir())[:8]:
        picture = np.asarray(Image.open(path)).astype(int) + 9
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(other / "images" / path.name)
        (other / "masks" / path.name).write_bytes((discs / "masks" / path.name).read_bytes())
    out = tmp_path / "judged"
    words = ("evaluate", run / "model.scanwright", other, "--out", out, "--structures", "1=disc,2=bar")
    done = typed(*words)
    assert done.returncode == 0, done.stdout + done.stderr  # type: ignore[attr-defined]
    assert json.loads((out / "metrics.json").read_text(encoding="utf-8"))["test"]["dice"]["value"] > 0.8
    assert (out / "report.html").exists()
    seen = typed(
        "evaluate", run / "model.scanwright", discs, "--out", tmp_path / "seen", "--structures", "1=disc,2=bar"
    )
    assert "were used to train or choose this model" in seen.stdout + seen.stderr  # type: ignore[attr-defined]


def test_masks_that_fit_no_image_are_named_before_training(typed: Typed, discs: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    for name in ("images", "masks"):
        (bad / name).mkdir(parents=True)
    for path in sorted((discs / "images").iterdir())[:9]:
        (bad / "images" / path.name).write_bytes(path.read_bytes())
        (bad / "masks" / path.name).write_bytes((discs / "masks" / path.name).read_bytes())
    wrong = np.asarray(Image.open(bad / "masks" / "p00.png"))[:40]
    Image.fromarray(wrong).save(bad / "masks" / "p00.png")
    done = typed("check", bad, "--out", tmp_path / "checked")
    text = done.stdout + done.stderr  # type: ignore[attr-defined]
    assert "p00" in text
    assert "Traceback" not in text
