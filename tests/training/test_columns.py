"""The model of a table's columns: what is used, what is left out, and that nothing of the test part is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from scanwright.training.columns import fit_columns


def table(n: int = 200, seed: int = 0) -> tuple[list[dict[str, Any]], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    rows = [
        {
            "age": None if rng.random() < 0.1 else float(50 + 12 * y + rng.normal(0, 8)),
            "sex": str(rng.choice(["F", "M"])),
            "seen": f"20{rng.integers(10, 20)}-0{rng.integers(1, 10)}-11",
            "centre": "north",
            "note": f"remark {k}",
            "rare": "x" if k == 3 else "",
        }
        for k, y in enumerate(labels)
    ]
    return rows, labels.astype(np.float32)


def fitted(rows: list[dict[str, Any]], labels: np.ndarray, names: list[str], **more: Any) -> Any:
    groups = [f"p{k}" for k in range(len(rows))]
    return fit_columns(rows, labels, groups, names, **{"task": "binary", "n_outputs": 1, "seed": 0, **more})


def test_useful_columns_are_used_and_the_others_named() -> None:
    rows, labels = table()
    model, notes = fitted(rows, labels, list(rows[0]))
    kinds = {c.name: c.kind for c in model.columns}
    assert kinds == {"age": "number", "sex": "category", "seen": "date"}
    said = " ".join(notes)
    assert "'centre' is left out: all its cells are the same" in said
    assert "'note' is left out: nearly every case has a word of its own" in said
    assert "'rare' is left out: only 1 of 200 cells are filled" in said
    new, truth = table(seed=1)
    right = ((model.logits(new)[:, 0] > 0) == (truth == 1)).mean()
    assert right > 0.7


def test_thousands_of_genes_are_fitted_through_few_directions() -> None:
    rng = np.random.default_rng(0)
    n, genes = 120, 1500
    labels = rng.integers(0, 2, n).astype(np.float32)
    programme = rng.normal(size=genes) * (np.arange(genes) < 100)
    expression = rng.normal(0, 1, (n, genes)) + 0.8 * labels[:, None] * programme
    expression[:, 1000:] *= 0.01  # hardly expressed
    rows = [{f"gene{g}": float(v) for g, v in enumerate(row)} for row in expression]
    model, notes = fitted(rows[:80], labels[:80], [f"gene{g}" for g in range(genes)])
    assert any("750 of 1500 numeric columns vary least" in note for note in notes)
    assert not any(c.name == "gene1400" for c in model.columns)
    right = ((model.logits(rows[80:])[:, 0] > 0) == (labels[80:] == 1)).mean()
    assert right > 0.8


def test_noise_tells_nothing_of_new_cases() -> None:
    rng = np.random.default_rng(2)
    rows = [{f"x{k}": float(v) for k, v in enumerate(rng.normal(size=300))} for _ in range(200)]
    labels = rng.integers(0, 2, 200).astype(np.float32)
    model, _ = fitted(rows[:100], labels[:100], [f"x{k}" for k in range(300)])
    right = ((model.logits(rows[100:])[:, 0] > 0) == (labels[100:] == 1)).mean()
    assert 0.35 < right < 0.65


@pytest.mark.parametrize(("task", "n_outputs"), [("multiclass", 3), ("regress", 1), ("multilabel", 2)])
def test_every_task(task: str, n_outputs: int) -> None:
    rng = np.random.default_rng(3)
    score = rng.normal(size=240)
    rows = [{"score": float(s)} for s in score]
    labels: np.ndarray = np.digitize(score, [-0.5, 0.5]).astype(np.float32)
    if task == "regress":
        labels = (3 * score + 1).astype(np.float32)
    if task == "multilabel":
        labels = np.stack([score > 0, rng.random(240) > 0.5], axis=1).astype(np.float32)
    model, _ = fitted(rows, labels, ["score"], task=task, n_outputs=n_outputs)
    found = model.logits(rows)
    assert found.shape == (240, n_outputs)
    if task == "regress":
        assert np.corrcoef(found[:, 0], labels)[0, 1] > 0.99
    elif task == "multiclass":
        assert (found.argmax(1) == labels).mean() > 0.8
    else:
        assert ((found[:, 0] > 0) == (labels[:, 0] == 1)).mean() > 0.95


def test_no_column_is_no_opinion() -> None:
    rows, labels = table(40)
    model, notes = fitted(rows, labels, ["centre"])
    assert model.columns == ()
    assert notes
    assert model.logits(rows).tolist() == [[0.0]] * 40
