"""Figures against scikit-learn and scipy, on random data full of ties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scanwright.evaluation import evaluate

sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")

TOLERANCE = {"rel": 0, "abs": 1e-9}


def tied_probabilities(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    counts = rng.integers(1, 8, (n, k)).astype(float)  # few distinct values: many ties
    return counts / counts.sum(axis=1, keepdims=True)


def value(judged, name: str) -> float:
    return judged.metrics[name].value


@pytest.mark.parametrize("seed", range(5))
def test_binary_figures_equal_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = tied_probabilities(rng, 211, 2), rng.integers(0, 2, 211)
    said = (p[:, 1] >= 0.4).astype(int)
    judged = evaluate(p, y, task="binary", classes=("no", "yes"), answers=said, n_bootstrap=0)
    expected = {
        "loss": sk.log_loss(y, p),
        "accuracy": sk.accuracy_score(y, said),
        "balanced_accuracy": sk.balanced_accuracy_score(y, said),
        "precision": sk.precision_score(y, said),
        "recall": sk.recall_score(y, said),
        "specificity": sk.recall_score(y, said, pos_label=0),
        "f1": sk.f1_score(y, said),
        "auroc": sk.roc_auc_score(y, p[:, 1]),
        "average_precision": sk.average_precision_score(y, p[:, 1]),
    }
    assert {n: value(judged, n) for n in expected} == pytest.approx(expected, **TOLERANCE)
    assert judged.confusion == tuple(map(tuple, sk.confusion_matrix(y, said)))
    assert judged.per_class["no"]["precision"].value == pytest.approx(sk.precision_score(y, said, pos_label=0))
    assert judged.per_class["no"]["auroc"].value == pytest.approx(value(judged, "auroc"), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [3, 7])
def test_multiclass_figures_equal_scikit_learn(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = tied_probabilities(rng, 307, k), rng.integers(0, k, 307)
    said = rng.integers(0, k, 307)
    judged = evaluate(p, y, task="multiclass", classes=[f"c{i}" for i in range(k)], answers=said, n_bootstrap=0)
    one_hot = np.eye(k)[y]
    expected = {
        "loss": sk.log_loss(y, p),
        "accuracy": sk.accuracy_score(y, said),
        "balanced_accuracy": sk.balanced_accuracy_score(y, said),
        "precision": sk.precision_score(y, said, average="macro", zero_division=0),
        "recall": sk.recall_score(y, said, average="macro"),
        "f1": sk.f1_score(y, said, average="macro"),
        "auroc": sk.roc_auc_score(y, p, multi_class="ovr", average="macro"),
        "average_precision": sk.average_precision_score(one_hot, p, average="macro"),
        "specificity": np.mean([sk.recall_score(y == i, said == i, pos_label=0) for i in range(k)]),
    }
    assert {n: value(judged, n) for n in expected} == pytest.approx(expected, **TOLERANCE)
    for i in range(k):
        row = judged.per_class[f"c{i}"]
        assert row["auroc"].value == pytest.approx(sk.roc_auc_score(y == i, p[:, i]), **TOLERANCE)
        assert row["accuracy"].value == pytest.approx(sk.accuracy_score(y == i, said == i), **TOLERANCE)
        assert row["loss"].value == pytest.approx(sk.log_loss(y == i, p[:, i]), **TOLERANCE)


def test_multilabel_figures_equal_scikit_learn_over_the_known_labels() -> None:
    rng = np.random.default_rng(4)
    p = rng.integers(1, 20, (150, 4)) / 21
    y = rng.integers(0, 2, (150, 4)).astype(float)
    y[rng.random(y.shape) < 0.2] = np.nan
    judged = evaluate(p, y, task="multilabel", classes=list("abcd"), n_bootstrap=0)
    columns = [(y[seen, i].astype(int), p[seen, i]) for i in range(4) for seen in [np.isfinite(y[:, i])]]
    expected = {
        "loss": np.mean([sk.log_loss(t, s) for t, s in columns]),
        "accuracy": np.mean([sk.accuracy_score(t, s >= 0.5) for t, s in columns]),
        "balanced_accuracy": np.mean([sk.balanced_accuracy_score(t, s >= 0.5) for t, s in columns]),
        "precision": np.mean([sk.precision_score(t, s >= 0.5) for t, s in columns]),
        "recall": np.mean([sk.recall_score(t, s >= 0.5) for t, s in columns]),
        "f1": np.mean([sk.f1_score(t, s >= 0.5) for t, s in columns]),
        "auroc": np.mean([sk.roc_auc_score(t, s) for t, s in columns]),
        "average_precision": np.mean([sk.average_precision_score(t, s) for t, s in columns]),
    }
    assert {n: value(judged, n) for n in expected} == pytest.approx(expected, **TOLERANCE)


def test_ordinal_figures_equal_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    p, y = tied_probabilities(rng, 200, 5), rng.integers(0, 5, 200)
    said = np.clip(y + rng.integers(-1, 3, 200), 0, 4)
    judged = evaluate(p, y, task="ordinal", classes=list("abcde"), answers=said, n_bootstrap=0)
    assert value(judged, "quadratic_kappa") == pytest.approx(
        sk.cohen_kappa_score(y, said, weights="quadratic"), **TOLERANCE
    )
    assert value(judged, "mae") == pytest.approx(sk.mean_absolute_error(y, said), **TOLERANCE)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_regression_figures_equal_scikit_learn_and_scipy(offset: float) -> None:
    rng = np.random.default_rng(6)
    y = rng.integers(0, 30, 240).astype(float) + offset  # ties
    f = y + rng.integers(-6, 7, 240)
    judged = evaluate(f, y, task="regress", classes=("age",), n_bootstrap=0)
    expected = {
        "loss": sk.mean_squared_error(y, f),
        "mae": sk.mean_absolute_error(y, f),
        "rmse": sk.root_mean_squared_error(y, f),
        "r2": sk.r2_score(y, f),
        "pearson": stats.pearsonr(y, f).statistic,
        "spearman": stats.spearmanr(y, f).statistic,
    }
    assert {n: value(judged, n) for n in expected} == pytest.approx(expected, **TOLERANCE)


def test_roc_and_precision_recall_curves_have_the_area_of_the_figures() -> None:
    rng = np.random.default_rng(7)
    p, y = tied_probabilities(rng, 180, 2), rng.integers(0, 2, 180)
    judged = evaluate(p, y, task="binary", classes=("no", "yes"), n_bootstrap=0)
    roc = judged.curves["roc"]["yes"]
    fpr, tpr, _ = sk.roc_curve(y, p[:, 1], drop_intermediate=True)
    assert sk.auc(roc["x"], roc["y"]) == pytest.approx(judged.metrics["auroc"].value, abs=1e-5)
    assert np.allclose(np.interp(fpr, roc["x"], roc["y"]).max(), tpr.max())
