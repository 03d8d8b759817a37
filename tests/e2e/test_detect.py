"""A folder of pictures and a table of boxes becomes a model that finds, as a person types it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

Typed = Callable[..., object]
HEIGHT, WIDTH = 48, 64


def draw(folder: Path, name: str, seed: int) -> list[list[object]]:
    """Discs and bars in noise on a picture that is not square; now and then nothing."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    picture, said = rng.normal(90, 8, (HEIGHT, WIDTH)), []
    for _ in range(0 if seed % 8 == 0 else int(rng.integers(1, 4))):
        kind, r = int(rng.integers(2)), rng.uniform(4, 7)
        i, j = rng.uniform(8, HEIGHT - 8), rng.uniform(8, WIDTH - 8)
        tall, wide = (r, r) if kind == 0 else (r, 0.6 * r)
        where = (
            (rows - i) ** 2 + (columns - j) ** 2 < r * r
            if kind == 0
            else (abs(rows - i) < tall) & (abs(columns - j) < wide)
        )
        picture[where] = 180 if kind == 0 else 20
        said.append([name, ("disc", "bar")[kind], j - wide + 0.5, i - tall + 0.5, j + wide + 0.5, i + tall + 0.5])
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / name)
    return said or [[name, "", "", "", "", ""]]


def cohort(root: Path, seeds: range) -> Path:
    rows = [row for n in seeds for row in draw(root / "images", f"p{n:03d}.png", n)]
    with (root / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "label", "xmin", "ymin", "xmax", "ymax"], *rows])
    return root


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cohort(tmp_path_factory.mktemp("det") / "things", range(40))


@pytest.fixture(scope="module")
def run(typed: Typed, things: Path) -> Path:
    """A finished run, by a plan whose steps do not depend on how fast the machine is."""
    out = things.parent / "run"
    planned = typed("plan", things, "--out", things.parent / "planned", "--budget", "60s")
    assert planned.returncode == 0, planned.stdout + planned.stderr  # type: ignore[attr-defined]
    plan = json.loads((things.parent / "planned" / "plan.json").read_text(encoding="utf-8"))
    swift = next(c for c in plan["candidates"] if c["arguments"]["size"] == "swift")
    plan["candidates"] = [{**swift, "batch_size": 8, "race_steps": [], "final_steps": 150}]
    plan["training"] |= {"ema": 0.95, "evaluations": 3}
    plan["n_bootstrap"] = 200
    (things.parent / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    done = typed("run", things, "--out", out, "--plan", things.parent / "plan.json")
    assert done.returncode == 0, done.stdout + done.stderr  # type: ignore[attr-defined]
    text = done.stdout  # type: ignore[attr-defined]
    assert "AP at IoU 0.5" in text
    assert "floor" in text
    assert "disc" in text
    return out


def test_figures_are_of_the_boxes(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    test = metrics["test"]
    assert test["ap50"]["value"] > 0.7
    assert test["ap50"]["low"] <= test["ap50"]["value"] <= test["ap50"]["high"]
    assert set(test["per_class"]) == {"disc", "bar"}
    assert metrics["baselines"]["floor"]["test"]["ap50"]["value"] < test["ap50"]["value"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "What it finds" in page
    assert "Dashed white lines: the true boxes" in page
    assert 'src="http' not in page, "a report is one file"
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"case", "part", "f1", "true", "shown", "right"} <= set(rows[0])


def overlap(one: list[float], other: list[float]) -> float:
    """IoU of two boxes ``i0, j0, i1, j1``, worked out apart from the code that is tested."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = np.prod(np.clip(high - low, 0, None))
    sizes = [np.prod(np.subtract(b[2:], b[:2])) for b in (one, other)]
    return float(common / (sum(sizes) - common))


def test_what_is_predicted_lies_on_the_picture(typed: Typed, run: Path, tmp_path: Path) -> None:
    found = true = 0
    said = {n: draw(tmp_path / "new", f"n{n}.png", n) for n in range(101, 107)}
    done = typed("predict", run / "model.scanwright", tmp_path / "new", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    for n, rows in said.items():
        place = next((tmp_path / "out").glob(f"n{n}*"))
        told = json.loads((place / "answer.json").read_text(encoding="utf-8"))
        boxes = [(b["class"], [*b["low"][:2], *b["high"][:2]]) for b in told["boxes"]]
        for _, kind, x0, y0, x1, y1 in rows:
            if kind:
                box = [float(y0) - 0.5, float(x0) - 0.5, float(y1) - 0.5, float(x1) - 0.5]
                true += 1
                found += any(k == kind and overlap(box, b) > 0.5 for k, b in boxes)
        assert (place / "overlay.png").stat().st_size > 1000
        listed = list(csv.DictReader((place / "boxes.csv").open(encoding="utf-8")))
        assert [row["class"] for row in listed] == [k for k, _ in boxes]
    assert true >= 6
    assert found >= 0.6 * true


@pytest.fixture(scope="module")
def service(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service of the trained model, with its own reader in a child process."""
    from scanwright.serving import create_app
    from scanwright.serving.server import open_models

    app = create_app(open_models([run / "model.scanwright"]), work=tmp_path_factory.mktemp("served"))
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


def test_a_service_answers_boxes_and_draws_them(service: TestClient, things: Path) -> None:
    content = (things / "images" / "p001.png").read_bytes()
    answer = service.post("/v1/predict", files=[("files", ("one.png", content))])
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    assert result["task"] == "detect"
    assert result["boxes"]
    assert {"class", "score", "low", "high"} <= set(result["boxes"][0])
    assert all(box["score"] >= result["threshold"] for box in result["boxes"])
    drawn = Image.open(io.BytesIO(service.get(result["heatmap"]["url"]).content))
    assert drawn.size[0] / drawn.size[1] == pytest.approx(WIDTH / HEIGHT)


def test_it_is_judged_on_another_folder(typed: Typed, run: Path, things: Path, tmp_path: Path) -> None:
    other = cohort(tmp_path / "other", range(201, 213))
    done = typed("evaluate", run / "model.scanwright", other, "--out", tmp_path / "judged")
    assert done.returncode == 0, done.stdout + done.stderr  # type: ignore[attr-defined]
    metrics = json.loads((tmp_path / "judged" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["ap50"]["value"] > 0.5
    assert (tmp_path / "judged" / "report.html").exists()
    seen = typed("evaluate", run / "model.scanwright", things, "--out", tmp_path / "seen")
    assert "were used to train or choose this model" in seen.stdout + seen.stderr  # type: ignore[attr-defined]


def test_what_another_cohort_has_too_much_is_named(typed: Typed, run: Path, tmp_path: Path) -> None:
    there = cohort(tmp_path / "there", range(100, 108))
    rng = np.random.default_rng(0)
    np.save(there / "images" / "volume.npy", rng.integers(0, 255, (20, 20, 12), dtype=np.uint8))
    with (there / "boxes.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["p101.png", "star", 3, 3, 12, 12])
    (there / "images" / "p102.png").write_bytes((there / "images" / "p102.png").read_bytes()[:200])
    found = typed("evaluate", run / "model.scanwright", there, "--out", tmp_path / "on")
    said = " ".join((found.stdout + found.stderr).split())  # type: ignore[attr-defined]
    assert found.returncode == 0, said  # type: ignore[attr-defined]
    assert "1 boxes of star were left out" in said
    assert "p102 was left out" in said


def test_what_is_for_other_tasks_is_refused_and_not_passed_over(typed: Typed, things: Path, tmp_path: Path) -> None:
    (tmp_path / "base.pth").write_bytes(b"")
    for words, says in (
        (("--columns", "age"), "the truth is boxes"),
        (("--pretrained", tmp_path / "base.pth"), "Detections cannot begin from the weights"),
    ):
        found = typed("plan", things, "--out", tmp_path / "run", "--budget", "30s", *words)
        assert found.returncode == 2  # type: ignore[attr-defined]
        assert says in " ".join(found.stderr.split())  # type: ignore[attr-defined]


def test_images_with_boxes_serve_to_learn_without_them(typed: Typed, things: Path, tmp_path: Path) -> None:
    found = typed("pretrain", things, "--out", tmp_path / "base.safetensors", "--budget", "20s")
    assert found.returncode == 0, found.stdout + found.stderr  # type: ignore[attr-defined]
    from scanwright.core import silent
    from scanwright.io import RunFolder
    from scanwright.journey.generate.asking import Wish
    from scanwright.journey.generate.learning import prepare

    folder = RunFolder(tmp_path / "learning")
    with folder.opened(silent) as tell:
        made = prepare(folder, Wish.of(things, tmp_path / "out", {"size": 16}), tell)
    assert len(made.train) > 20
    assert made.classes == ()
