"""Images and a table as a person types them."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Typed = Callable[..., subprocess.CompletedProcess[str]]


def patients(folder: Path, n: int = 160, seed: int = 0) -> Path:
    """Pictures with a faint blob in the ill, who are also older: neither tells all."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:24, :24]
    (folder / "images").mkdir(parents=True)
    with (folder / "patients.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "diagnosis", "age", "sex", "biopsy"])
        for k in range(n):
            ill = k % 2
            i, j = rng.uniform(7, 17, 2)
            picture = rng.normal(100, 20, (24, 24)) + ill * 34 * np.exp(-((rows - i) ** 2 + (columns - j) ** 2) / 8)
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / "images" / f"p{seed}_{k:03d}.png")
            age = "" if k == 5 else round(50 + 12 * ill + rng.normal(0, 9))
            table.writerow(
                [f"p{seed}_{k:03d}.png", ("well", "ill")[ill], age, rng.choice(["F", "M"]), ("clear", "found")[ill]]
            )
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return patients(tmp_path_factory.mktemp("fusion") / "cohort")


@pytest.fixture(scope="module")
def finished(typed: Typed, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "fused"
    found = typed("run", cohort, "--out", out, "--budget", "45s", "--labels", "diagnosis", "--columns", "age,sex")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    (out / "stdout.txt").write_text(found.stdout)
    return out


def test_image_table_and_both_are_judged_on_the_same_cases(finished: Path) -> None:
    found = {(e["who"], e["part"]): e for e in json.loads((finished / "work" / "evaluations.json").read_text())}
    both, image, table = (found[who, "test"] for who in ("model", "image", "columns"))
    assert both["n_cases"] == image["n_cases"] == table["n_cases"]
    assert float(table["metrics"]["auroc"]["value"]) > 0.65
    trust = json.loads((finished / "work" / "trust.json").read_text())
    assert trust["fusion"]["columns"] > 0.1
    assert [c["name"] for c in trust["columns"]["columns"]] == ["age", "sex"]
    text = (finished / "stdout.txt").read_text()
    assert "With the table the AUROC of the image changes by" in text
    page = (finished / "report.html").read_text()
    assert "Image alone" in page
    assert "Table alone" in page


def test_a_case_is_answered_with_and_without_its_row(
    typed: Typed, finished: Path, cohort: Path, tmp_path: Path
) -> None:
    images = [cohort / "images" / f"p0_{k:03d}.png" for k in (1, 2)]
    told = tmp_path / "ward.csv"
    told.write_text("name,age,sex\np0_001,90,F\np0_002,20,M\n")
    answers = []
    for more in ([], ["--table", told]):
        found = typed("predict", finished / "model.scanwright", *images, "--out", tmp_path / "out", "--json", *more)
        assert found.returncode == 0, found.stderr
        answers.append(json.loads(found.stdout))
    alone, both = answers
    assert all("answered without the table" in " ".join(a["warnings"]) for a in alone)
    assert not any("table" in " ".join(a["warnings"]) for a in both)
    old, young = (a["probabilities"]["ill"] for a in both)
    assert old > alone[0]["probabilities"]["ill"] or old > 0.9
    assert young < alone[1]["probabilities"]["ill"] or young < 0.1


def test_a_table_of_other_cases_is_refused(typed: Typed, finished: Path, cohort: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("name,age\nsomebody,3\n")
    found = typed("predict", finished / "model.scanwright", cohort / "images" / "p0_001.png", "--table", other)
    assert found.returncode == 2
    assert "names a case such as" in found.stderr


def test_an_unknown_column_names_the_nearest(typed: Typed, cohort: Path, tmp_path: Path) -> None:
    found = typed(
        "run", cohort, "--out", tmp_path / "run", "--labels", "diagnosis", "--columns", "agee", "--until", "plan"
    )
    assert found.returncode == 2
    assert "Did you mean --columns age" in found.stderr


def test_a_column_that_tells_the_label_is_named(typed: Typed, cohort: Path, tmp_path: Path) -> None:
    words = ("--labels", "diagnosis", "--columns", "biopsy", "--budget", "15s")
    found = typed("run", cohort, "--out", tmp_path / "run", *words)
    assert found.returncode == 0, found.stderr
    assert "The column 'biopsy' alone tells the label" in found.stdout


def test_another_cohort_is_judged_with_its_columns(typed: Typed, finished: Path, tmp_path: Path) -> None:
    other = patients(tmp_path / "elsewhere", n=30, seed=1)
    found = typed("evaluate", finished / "model.scanwright", other, "--labels", "diagnosis", "--out", tmp_path / "out")
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["test"]["auroc"]["value"] > 0.6


def test_the_service_takes_columns(finished: Path, cohort: Path) -> None:
    from starlette.testclient import TestClient

    from scanwright.serving.app import create_app
    from scanwright.serving.server import open_models

    sent = [("files", ("a.png", (cohort / "images" / "p0_001.png").read_bytes(), "image/png"))]
    with TestClient(
        create_app(open_models([finished / "model.scanwright"])), base_url="http://127.0.0.1:8000"
    ) as client:
        young, old = (
            client.post("/v1/predict", files=sent, params={"columns": json.dumps({"age": age, "sex": "F"})}).json()
            for age in (20, 90)
        )
        assert young["results"][0]["probabilities"]["ill"] < old["results"][0]["probabilities"]["ill"]
        assert not any("table" in w for w in old["results"][0]["warnings"])
        alone = client.post("/v1/predict", files=sent).json()["results"][0]
        assert any("answered without the table" in w for w in alone["warnings"])
        wrong = client.post("/v1/predict", files=sent, params={"columns": "age=3"})
        assert wrong.status_code == 422
        assert wrong.json()["error"]["code"] == "columns"
