"""Contents of every kind of report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanwright.core import Case, Cohort, Evaluation, Finding, Guess, Interval, MaskCode, Skipped
from scanwright.evaluation import evaluate, majority_baseline
from scanwright.evaluation.boxes import Found, evaluate_boxes
from scanwright.inference.detect import boxes_of
from scanwright.report import ReportContents

CLASSES = {
    "binary": ("normal", "pneumonia"),
    "multiclass": ("benign", "malignant", "normal"),
    "multilabel": ("effusion", "nodule", "mass"),
    "ordinal": ("none", "mild", "severe"),
    "regress": ("age in years",),
    "segment": ("anterior", "posterior"),
    "detect": ("cell", "platelet"),
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
    if task == "segment":
        return outlined(part=part, **changes)
    if task == "detect":
        return boxed(part=part, **changes)
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


def boxed(*, part: str = "test", **changes: Any) -> ReportContents:
    """Contents of a detection: two classes, eight pictures, answers a pixel off; one thing of a class is not found."""
    rng = np.random.default_rng(0)
    names, truths, answers = CLASSES["detect"], [], []
    for k in range(8):
        low = rng.uniform(2, 40, (3, 2))
        flat = np.full((3, 1), 0.5)
        corners = np.concatenate([low, -flat, low + 12, flat], axis=1)
        truths.append(Found(corners, np.array([0, 1, 1]), np.ones(3)))
        answers.append(
            Found(
                corners[: 3 - k % 2] + np.array([1, 1, 0, 1, 1, 0]),
                np.array([0, 1, 1])[: 3 - k % 2],
                rng.uniform(0.4, 0.9, 3 - k % 2),
            )
        )
    ids = [f"case-{k}" for k in range(8)]
    known = {"classes": names, "ids": ids, "part": part, "n_bootstrap": 40, "threshold": 0.3}
    floor = evaluate_boxes(truths, answers[1:] + answers[:1], who="floor", **known)
    cases = tuple(Case(i, f"{i}.png", part="test", boxes=tuple(boxes_of(f))) for i, f in zip(ids, truths, strict=True))
    drawn = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    contents = {
        "title": "Smears",
        "cohort": Cohort("smears", Path("data"), "voc", "detect", names, cases, modality="XC", facts={"licence": "CC BY 4.0"}),
        "history": [{"candidate": "centrenet", "step": s, "loss": 1.0 / (s + 1), "values": {"val_map": 0.4}} for s in range(4)],
        "race": [{"candidate": "centrenet", "val_map": 0.4, "won": True}],
        "evaluations": [evaluate_boxes(truths, answers, **known), floor],
        "samples": [(ids[0], drawn)],
        "explained": [{"case": i, "picture": drawn, "rank": rank, "f1": f1, "sentence": "2 of 3 found, 0 false."} for i, rank, f1 in zip(ids, ("best", "median", "worst", "alone"), (1.0, 0.8, 0.5, None), strict=False)],
        "provenance": {"seed": "0"},
        "command": "scanwright run smears",
    }  # fmt: skip
    return ReportContents(**{**contents, **changes})


def f_plane(name: str = "axial", *, aspect: float = 1.0, structure: int = 1) -> dict[str, Any]:
    """A bright letter F on a dark plane, drawn one row too low."""
    truth = np.zeros((40, 40), dtype=np.int64)
    truth[8:32, 10:14] = truth[8:12, 10:28] = truth[18:22, 10:22] = structure
    picture = np.where(truth > 0, 200, 60).astype(np.uint8)
    return {"name": name, "picture": picture, "truth": truth, "answer": np.roll(truth, 1, axis=0), "aspect": aspect}


def outlined(
    names: tuple[str, ...] = CLASSES["segment"],
    *,
    dices: Any = None,
    part: str = "test",
    n_train: int = 30,
    dimension: int = 3,
    mask_code: MaskCode | None = None,
    **changes: Any,
) -> ReportContents:
    """Contents of a segmentation with hand-made figures."""
    dices = np.linspace(0.80, 0.96, 12) if dices is None else dices
    train = [Case(f"train-{i}", f"t{i}.nii", None, f"t{i}", "train", masks=("m.nii",)) for i in range(n_train)]
    tested = [Case(f"case-{i}", f"{i}.nii", None, f"p{i}", "test", masks=("m.nii",)) for i in range(len(dices))]
    code = mask_code or MaskCode(tuple((k + 1,) for k in range(len(names))))
    cohort = Cohort(
        "brains",
        Path("data"),
        "decathlon",
        "segment",
        names,
        (*train, *tested),
        "MR",
        dimension,
        facts={"licence": "CC BY 4.0"},
        mask_code=code,
    )  # type: ignore[arg-type]
    mean = float(np.mean(dices)) if len(dices) else math.nan
    figures = {
        "dice": Interval(mean, mean - 0.02, mean + 0.02), "iou": Interval(0.8, 0.75, 0.85), "hd95_mm": Interval(1.31, 1.2, 1.45),
        "nsd": Interval(0.97, 0.96, 0.98), "volume_error_ml": Interval(0.12, 0.09, 0.16), "volume_bias_ml": Interval(0.06, 0.02, 0.1),
    }  # fmt: skip
    rows = tuple(
        {
            "case": f"case-{i}",
            "patient": f"p{i}",
            "dice": float(d),
            **{f"dice:{c}": float(d) for c in names},
            **{f"hd95_mm:{c}": 1.5 for c in names},
        }
        for i, d in enumerate(dices)
    )
    curves = {
        "bland_altman": {
            c: {"mean": [1.0, 2.0, 3.0], "difference": [0.1, 0.0, 0.2], "bias": [0.1], "limits": [-0.096, 0.296]}
            for c in names
        },
        "reliability": {"any structure": {"x": [0.1, 0.5, 0.9], "y": [0.05, 0.5, 0.95]}},
    }
    own = Evaluation(
        part, "segment", names, len(dices), len(dices), figures, {c: dict(figures) for c in names}, (), curves, (), rows
    )  # type: ignore[arg-type]
    floor = Evaluation(
        part, "segment", names, len(dices), len(dices), {"dice": Interval(0.41, 0.38, 0.44)}, who="floor"
    )  # type: ignore[arg-type]
    facts: dict[str, Any] = {
        "title": "Brains", "cohort": cohort, "evaluations": [own, floor],
        "history": [{"candidate": "unet", "step": s, "train_loss": 1 / (s + 1), "val_loss": 1 / (s + 1), "val_dice": 0.1 * s, "learning_rate": 0.01} for s in range(5)],
        "race": [{"candidate": "unet", "steps": 500, "score": 0.9, "seconds": 60.0, "parameters": 1000, "rung": 1}],
        "samples": [("train-0", np.zeros((80, 80, 3), np.uint8))],
        "segments": [{"case": f"case-{i}", "rank": rank, "dice": 0.9, "planes": [f_plane("axial"), f_plane("coronal", aspect=2.0), f_plane("sagittal")], "sentence": "The model drew 3.1 mL."} for i, rank in enumerate(("best", "median", "worst"))],
        "provenance": {"seed": "0"}, "command": "scanwright run brains",
    }  # fmt: skip
    return ReportContents(**{**facts, **changes})


@pytest.fixture(name="outlined")
def outlined_fixture() -> Any:
    return outlined


@pytest.fixture(name="f_plane")
def f_plane_fixture() -> Any:
    return f_plane


@pytest.fixture(name="make")
def make_fixture() -> Any:
    return make
