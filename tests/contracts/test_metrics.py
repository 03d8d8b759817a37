"""Every row of the table of figures keeps the same promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scanwright.core import TASKS
from scanwright.evaluation import METRICS, evaluate, metrics_of

CASES = [(name, task) for name, metric in METRICS.items() for task in metric.tasks]


def random_part(task: str, seed: int = 0):
    rng = np.random.default_rng(seed)
    if task == "regress":
        y = rng.normal(size=60)
        return y + rng.normal(size=60), y, ("value",)
    k = 2 if task == "binary" else 4
    p = rng.dirichlet(np.ones(k), 60)
    y = rng.integers(0, 2, (60, k)) if task == "multilabel" else rng.integers(0, k, 60)
    return p, y, tuple(f"c{i}" for i in range(k))


def perfect_part(task: str):
    _, y, classes = random_part(task)
    if task == "regress":
        return y, y, classes
    return (y.astype(float) if task == "multilabel" else np.eye(len(classes))[y]), y, classes


def judge(part, task: str, n_bootstrap: int = 50):
    p, y, classes = part
    return evaluate(p, y, task=task, classes=classes, n_bootstrap=n_bootstrap)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_figure_lies_in_its_bounds_and_its_interval(name: str, task: str) -> None:
    found = judge(random_part(task), task).metrics[name]
    low, high = METRICS[name].bounds
    assert low <= found.low <= found.value <= found.high <= high


@pytest.mark.parametrize(("name", "task"), CASES)
def test_perfect_answers_get_the_best_value(name: str, task: str) -> None:
    metric = METRICS[name]
    found = judge(perfect_part(task), task, 0).metrics[name].value
    assert found == pytest.approx(metric.bounds[1] if metric.better == "higher" else metric.bounds[0], abs=1e-9)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_order_of_cases_does_not_matter(name: str, task: str) -> None:
    p, y, classes = random_part(task)
    turn = np.random.default_rng(1).permutation(len(y))
    a, b = judge((p, y, classes), task, 0), judge((p[turn], y[turn], classes), task, 0)
    assert a.metrics[name].value == pytest.approx(b.metrics[name].value, abs=1e-12)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_per_class_figures_exist_where_the_table_says(name: str, task: str) -> None:
    judged = judge(random_part(task), task, 0)
    if METRICS[name].per_class is None or task == "regress":
        assert all(name not in row for row in judged.per_class.values())
    else:
        assert all(math.isfinite(row[name].value) for row in judged.per_class.values())


@pytest.mark.parametrize("name", METRICS)
def test_a_row_says_what_it_is(name: str) -> None:
    metric = METRICS[name]
    assert metric.title
    assert metric.source
    assert metric.meaning.endswith(".")
    assert set(metric.tasks) <= set(TASKS)


def test_names_are_those_of_the_metrics_file() -> None:
    classes = {
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
    assert set(metrics_of("binary")) == set(metrics_of("multiclass")) == set(metrics_of("multilabel")) == classes
    assert set(metrics_of("ordinal")) == classes | {"quadratic_kappa", "mae"}
    assert set(metrics_of("regress")) == {"loss", "mae", "rmse", "r2", "pearson", "spearman"}
