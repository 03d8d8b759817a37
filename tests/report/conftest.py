"""Contents of every kind of report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanwright.core import Case, Cohort, Finding, Guess, Skipped
from scanwright.evaluation import evaluate, majority_baseline
from scanwright.report import ReportContents

CLASSES = {
    "binary": ("normal", "pneumonia"),
    "multiclass": ("benign", "malignant", "normal"),
    "multilabel": ("effusion", "nodule", "mass"),
    "ordinal": ("none", "mild", "severe"),
    "regress": ("age in years",),
}


def scored(task: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if task == "regress":
        y = rng.normal(60, 10, n)
        return y + rng.normal(size=n) * 4, y
    k = len(CLASSES[task])
    if task == "multilabel":
        y = rng.integers(0, 2, (n, k))
        return 1 / (1 + np.exp(-(rng.normal(size=(n, k)) + 3 * (y - 0.5)))), y
    y = rng.integers(0, k, n)
    z = rng.normal(size=(n, k))
    z[np.arange(n), y] += 2
    p = np.exp(z)
    return p / p.sum(axis=1, keepdims=True), y


def labels(task: str, y: np.ndarray) -> list[Any]:
    if task == "multilabel":
        return [tuple(int(v) for v in row) for row in y]
    return [float(v) if task == "regress" else int(v) for v in y]


def make(task: str = "binary", *, n: int = 120, part: str = "test", **changes: Any) -> ReportContents:
    rng = np.random.default_rng(0)
    p, y = scored(task, n, rng)
    names = CLASSES[task]
    cases = tuple(Case(f"case-{i}", f"{i}.png", t, f"p{i // 2}", "test") for i, t in enumerate(labels(task, y)))
    facts = {"task": task, "classes": names, "part": part, "n_bootstrap": 40, "groups": [c.group for c in cases]}
    judged = [evaluate(p, y, **facts), evaluate(majority_baseline(y, n, task, names), y, who="majority", **facts)]
    judged.append(evaluate(np.roll(p, 1, axis=0) * 0.2 + p * 0.8, y, who="linear", **facts))
    picture = rng.integers(0, 255, (28, 28), dtype=np.uint8)
    overlay = rng.integers(0, 255, (160, 160, 3), dtype=np.uint8)
    rows = [
        {"case": f"case-{i}", "truth": str(names[0]), "predicted": str(names[-1]), "probability": 0.9, "picture": picture, "overlay": overlay, "correct": bool(i % 2)}
        for i in range(6)
    ]  # fmt: skip
    contents = {
        "title": "Chest films",
        "cohort": Cohort(
            "chest", Path("data"), "class-folders", task, names, cases, modality="DX",
            guesses=(Guess("task", task, "the labels", "--task"),), skipped=(Skipped("x.txt", "no image"),), facts={"licence": "CC BY 4.0"},
        ),
        "findings": (Finding("duplicate", "warn", "Two pictures are equal.", ("case-1", "case-2"), "leave one out"),),
        "history": [{"candidate": "net", "step": s, "loss": 1 / (s + 1), "values": {"val_auroc": 0.9, "learning_rate": 0.1 * s}} for s in range(5)],
        "race": [{"candidate": "net", "val_auroc": 0.91, "won": True}, {"candidate": "linear", "val_auroc": float("nan"), "won": False}],
        "evaluations": judged,
        "samples": [(names[0], picture)],
        "explained": rows,
        "examination": {"method": "cam", "score": 0.4, "random": 0.1, "passed": True, "sentence": "The heat maps are faithful."},
        "provenance": {"seed": "0", "Scanwright": "0.1.0"},
        "command": "scanwright run chest",
    }  # fmt: skip
    return ReportContents(**{**contents, **changes})


@pytest.fixture(name="make")
def make_fixture() -> Any:
    return make
