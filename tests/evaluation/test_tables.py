"""metrics.json and predictions.csv, as others read them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scanwright.core import Case
from scanwright.evaluation import evaluate, metrics_json, prediction_rows

NAMES = {
    "loss",
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "auroc",
    "average_precision",
    "ece",
}


def judged(who: str = "model", part: str = "test"):
    return evaluate(
        [0.1, 0.6, 0.4, 0.9], [0, 0, 1, 1], task="binary", classes=("no", "yes"), who=who, part=part, n_bootstrap=30
    )  # type: ignore[arg-type]


def test_metrics_json_holds_parts_and_baselines() -> None:
    found = metrics_json([judged(), judged(part="val"), judged("majority"), judged("linear"), judged("uncalibrated")])
    assert set(found) == {"test", "val", "baselines", "uncalibrated"}
    assert set(found["baselines"]) == {"majority", "linear"}
    assert set(found["test"]) >= NAMES | {"per_class", "n_cases", "n_patients", "warnings", "confusion"}
    assert set(found["test"]["auroc"]) == {"value", "low", "high"}
    assert found["test"]["auroc"]["value"] == 0.75
    assert set(found["test"]["per_class"]["yes"]) == NAMES
    assert found["test"]["confusion"] == [[1, 1], [1, 1]]


def test_metrics_json_is_strict_json_even_where_a_figure_is_missing() -> None:
    alone = evaluate([0.2, 0.7], [1, 1], task="binary", classes=("no", "yes"), n_bootstrap=10)
    text = json.dumps(metrics_json([alone]), allow_nan=False)
    assert json.loads(text)["test"]["auroc"] == {"value": None, "low": None, "high": None}


def test_one_row_a_case() -> None:
    cases = [Case("a", "a.png", 0, "p1", "test"), Case("b", "b.png", 1, None, "test"), Case("c", "c.png")]
    rows = prediction_rows(cases, [0.2, 0.45, 0.9], [0, 1, 1], task="binary", classes=("no", "yes"))
    assert rows[0] == {
        "case": "a", "patient": "p1", "part": "test", "truth": "no", "predicted": "no", "correct": True,
        "p:no": 0.8, "p:yes": 0.2, "margin": 0.6,
    }  # fmt: skip
    assert (rows[1]["patient"], rows[1]["predicted"], rows[1]["correct"]) == ("b", "yes", True)
    assert (rows[2]["truth"], rows[2]["correct"], rows[2]["part"]) == ("", "", "")


def test_rows_of_labels_and_numbers() -> None:
    cases = [Case("a", "a", (1, None, 1)), Case("b", "b", (0, 0, 0))]
    rows = prediction_rows(cases, [[0.9, 0.8, 0.3], [0.1, 0.2, 0.4]], task="multilabel", classes=("x", "y", "z"))
    assert (rows[0]["truth"], rows[0]["predicted"], rows[0]["correct"]) == ("x; z", "x; y", False)
    assert rows[1]["correct"] is True
    numbers = prediction_rows([Case("a", "a", 40.0)], [42.5], task="regress", classes=("age",))
    assert numbers == [{"case": "a", "patient": "a", "part": "", "truth": 40.0, "predicted": 42.5, "error": 2.5}]


def test_a_different_number_of_cases_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        prediction_rows([Case("a", "a", 0)], np.full((2, 2), 0.5), task="binary", classes=("no", "yes"))
