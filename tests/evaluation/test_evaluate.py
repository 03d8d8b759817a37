"""Intervals, masks, warnings and baselines of an evaluation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scanwright.core import CohortError, InputError
from scanwright.evaluation import evaluate, majority_baseline, paired_difference
from scanwright.evaluation.curves import MAX_POINTS

sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")

NO_YES = ("no", "yes")


def clustered(rng: np.random.Generator, n_patients: int, each: int, signal: float = 1.0):
    """Cases of one patient share their label and most of their score."""
    y = np.repeat(rng.integers(0, 2, n_patients), each)
    z = np.repeat(rng.normal(size=n_patients), each) + 0.1 * rng.normal(size=len(y)) + signal * (y - 0.5)
    return 1 / (1 + np.exp(-z)), y, np.repeat(np.arange(n_patients), each)


def naive_resamples(groups: np.ndarray, n: int, seed: int):
    """The same draws as the bootstrap, as copies of the cases."""
    names = np.unique(groups.astype(str))
    members = [np.flatnonzero(groups.astype(str) == g) for g in names]
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield np.concatenate([members[g] for g in rng.integers(0, len(names), len(names))])


def test_the_interval_is_that_of_a_plain_loop_over_resampled_cases() -> None:
    rng = np.random.default_rng(0)
    p, y, groups = clustered(rng, 25, 3)
    p = p.round(1)  # ties
    judged = evaluate(p, y, task="binary", classes=NO_YES, groups=groups, n_bootstrap=150, seed=3)
    figures = {
        "auroc": lambda t, s: sk.roc_auc_score(t, s),
        "average_precision": lambda t, s: sk.average_precision_score(t, s),
        "f1": lambda t, s: sk.f1_score(t, s >= 0.5),
        "balanced_accuracy": lambda t, s: sk.balanced_accuracy_score(t, s >= 0.5),
        "loss": lambda t, s: sk.log_loss(t, s),
    }
    drawn = [{n: f(y[rows], p[rows]) for n, f in figures.items()} for rows in naive_resamples(groups, 150, 3)]
    for name in figures:
        low, high = np.percentile([d[name] for d in drawn], (2.5, 97.5))
        assert (judged.metrics[name].low, judged.metrics[name].high) == pytest.approx((low, high), abs=1e-9), name


def test_regression_intervals_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 9, 40).astype(float)
    f = y + rng.integers(-2, 3, 40)
    judged = evaluate(f, y, task="regress", classes=("age",), n_bootstrap=100, seed=1)
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 40, 40) for _ in range(100)]
    from scipy import stats

    for name, figure in {"spearman": stats.spearmanr, "pearson": stats.pearsonr}.items():
        low, high = np.percentile([figure(y[r], f[r]).statistic for r in rows], (2.5, 97.5))
        assert (judged.metrics[name].low, judged.metrics[name].high) == pytest.approx((low, high), abs=1e-9), name
    low, high = np.percentile([sk.r2_score(y[r], f[r]) for r in rows], (2.5, 97.5))
    assert (judged.metrics["r2"].low, judged.metrics["r2"].high) == pytest.approx((low, high), abs=1e-9)


def test_resampling_patients_is_wider_than_resampling_their_images() -> None:
    p, y, groups = clustered(np.random.default_rng(2), 40, 8)
    by_patient = evaluate(p, y, task="binary", classes=NO_YES, groups=groups, n_bootstrap=300).metrics["auroc"]
    by_image = evaluate(p, y, task="binary", classes=NO_YES, n_bootstrap=300).metrics["auroc"]
    assert by_patient.high - by_patient.low > 1.5 * (by_image.high - by_image.low)


def test_about_95_of_100_intervals_hold_the_true_auroc() -> None:
    rng = np.random.default_rng(3)
    true = 0.5 * (1 + math.erf(1.2 / 2))  # two unit normals 1.2 apart: Phi(1.2 / sqrt 2)
    held = 0
    for trial in range(120):
        y = rng.integers(0, 2, 120)
        z = rng.normal(size=120) + 1.2 * y
        found = evaluate(1 / (1 + np.exp(-z)), y, task="binary", classes=NO_YES, n_bootstrap=200, seed=trial).metrics[
            "auroc"
        ]
        held += found.low <= true <= found.high
    assert 0.88 <= held / 120 <= 0.99


def test_the_same_seed_gives_the_same_interval_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    from scanwright.evaluation import resampling

    p, y, groups = clustered(np.random.default_rng(4), 20, 2)
    first = evaluate(p, y, task="binary", classes=NO_YES, groups=groups, n_bootstrap=60)
    monkeypatch.setattr(resampling, "_CELLS", 200)
    assert evaluate(p, y, task="binary", classes=NO_YES, groups=groups, n_bootstrap=60).metrics == first.metrics


def test_calibration_error_by_hand() -> None:
    # bins of width 1/15: 0.10 in (1/15, 2/15], twice; 0.90 in (13/15, 14/15], twice; 0.5 in (7/15, 8/15]
    p, y = [0.10, 0.10, 0.90, 0.90, 0.5], [0, 1, 1, 1, 0]
    # gaps: |0.2 - 1| = 0.8, |1.8 - 2| = 0.2, |0.5 - 0| = 0.5 -> 1.5 / 5
    judged = evaluate(p, y, task="binary", classes=NO_YES, n_bootstrap=0)
    assert judged.metrics["ece"].value == pytest.approx(0.3, abs=1e-12)


def test_calibration_error_of_several_classes_is_that_of_the_likeliest() -> None:
    p = [[0.9, 0.1, 0.0], [0.9, 0.05, 0.05], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]]
    # confidence .9 twice, right once: |1.8 - 1| = .8; .6 twice, right twice: |1.2 - 2| = .8 -> 1.6 / 4
    judged = evaluate(p, [0, 1, 1, 2], task="multiclass", classes=list("abc"), n_bootstrap=0)
    assert judged.metrics["ece"].value == pytest.approx(0.4, abs=1e-12)


def test_the_calibration_interval_holds_the_figure_although_resampling_inflates_it() -> None:
    rng = np.random.default_rng(5)
    p = rng.random(200)
    found = evaluate(p, rng.random(200) < p, task="binary", classes=NO_YES, n_bootstrap=300).metrics["ece"]
    assert found.low <= found.value <= found.high


def test_cases_without_a_label_are_left_out() -> None:
    p, y = np.array([0.1, 0.9, 0.4, 0.8, 0.3]), [0, 1, None, 1, float("nan")]
    judged = evaluate(p, y, task="binary", classes=NO_YES, n_bootstrap=0)
    assert judged.n_cases == 3
    assert judged.metrics["accuracy"].value == 1
    assert any("2 cases without a label" in w for w in judged.warnings)


def test_a_missing_label_leaves_the_other_labels_of_the_case() -> None:
    truth = [(1, None), (0, 1), (1, 0), None]
    judged = evaluate(
        [[0.9, 0.5], [0.2, 0.9], [0.4, 0.1], [0.5, 0.5]], truth, task="multilabel", classes=("a", "b"), n_bootstrap=0
    )
    assert judged.n_cases == 3
    assert judged.per_class["a"]["accuracy"].value == pytest.approx(2 / 3)
    assert judged.per_class["b"]["accuracy"].value == 1


def test_a_class_without_cases_is_left_out_of_averages_and_named() -> None:
    p = np.eye(3)[[0, 1, 2, 0]] * 0.7 + 0.1
    judged = evaluate(p, [0, 1, 1, 0], task="multiclass", classes=("a", "b", "c"), n_bootstrap=0)
    assert judged.metrics["recall"].value == pytest.approx(0.75)  # a 2 of 2, b 1 of 2
    assert math.isnan(judged.per_class["c"]["recall"].value)
    assert any("No cases of “c”" in w for w in judged.warnings)


def test_a_single_class_part_says_so_and_gives_no_auroc() -> None:
    judged = evaluate([0.2, 0.7], [1, 1], task="binary", classes=NO_YES, n_bootstrap=20)
    assert math.isnan(judged.metrics["auroc"].value)
    assert math.isnan(judged.metrics["balanced_accuracy"].value)
    assert judged.metrics["recall"].value == 0.5
    assert "only “yes” cases" in judged.warnings[0]


def test_accuracy_at_the_floor_is_called_that() -> None:
    rng = np.random.default_rng(6)
    y = (rng.random(400) < 0.9).astype(int)
    warned = evaluate(np.full(400, 0.9), y, task="binary", classes=NO_YES, n_bootstrap=100).warnings
    assert any("no better than always answering “yes”" in w for w in warned)
    assert any("no better than guessing" in w for w in warned)


def test_good_and_many_cases_give_no_warning() -> None:
    rng = np.random.default_rng(7)
    y = rng.integers(0, 2, 600)
    z = rng.normal(size=600) + 3 * (y - 0.5)
    assert evaluate(1 / (1 + np.exp(-z)), y, task="binary", classes=NO_YES, n_bootstrap=100).warnings == ()


def test_few_cases_of_a_class_and_few_patients_are_named() -> None:
    rng = np.random.default_rng(8)
    y = np.array([0] * 26 + [1] * 3)
    warned = " ".join(evaluate(rng.random(29), y, task="binary", classes=NO_YES, n_bootstrap=50).warnings)
    assert "3 of “yes”" in warned
    assert "Only 29 patients" in warned


def test_no_error_at_all_is_bounded_by_the_rule_of_three() -> None:
    y = np.arange(60) % 2
    warned = evaluate(y * 0.9 + 0.05, y, task="binary", classes=NO_YES, n_bootstrap=20).warnings
    assert any("up to 5.0%" in w for w in warned)


def test_curves_are_short_and_rise() -> None:
    rng = np.random.default_rng(9)
    p = rng.random(5000)
    curves = evaluate(p, rng.random(5000) < p, task="binary", classes=NO_YES, n_bootstrap=0).curves
    roc = curves["roc"]["yes"]
    assert len(roc["x"]) <= MAX_POINTS
    assert (roc["x"][0], roc["y"][0], roc["x"][-1], roc["y"][-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(roc["y"]) >= 0)
    line = curves["reliability"]["yes"]
    assert sum(line["n"]) == 5000
    assert np.allclose(line["x"], line["y"], atol=0.08)  # drawn from its own probabilities: calibrated


def test_operating_point_decides_answers() -> None:
    p, y = [0.6, 0.7, 0.9], [0, 0, 1]
    judged = evaluate(p, y, task="binary", classes=NO_YES, answers=[0, 0, 1], n_bootstrap=0)
    assert judged.metrics["accuracy"].value == 1
    assert judged.confusion == ((2, 0), (0, 1))


def test_the_paired_difference_is_narrower_than_the_two_intervals() -> None:
    rng = np.random.default_rng(10)
    y = rng.integers(0, 2, 300)
    shared = rng.normal(size=300) + y
    a, b = (1 / (1 + np.exp(-(shared + s * rng.normal(size=300)))) for s in (0.1, 0.6))
    found = paired_difference(a, b, y, metric="auroc", n_bootstrap=300)
    single = evaluate(a, y, task="binary", classes=NO_YES, n_bootstrap=300).metrics["auroc"]
    assert found.value == pytest.approx(sk.roc_auc_score(y, a) - sk.roc_auc_score(y, b), abs=1e-9)
    assert found.high - found.low < single.high - single.low
    same = paired_difference(a, a, y, n_bootstrap=20)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_the_paired_difference_knows_the_task_by_the_shapes() -> None:
    rng = np.random.default_rng(11)
    p = rng.dirichlet(np.ones(3), 50)
    y = rng.integers(0, 3, 50)
    assert paired_difference(p, p, y, metric="accuracy", n_bootstrap=5).value == 0
    assert (
        paired_difference(rng.normal(size=50), np.zeros(50), rng.normal(size=50), metric="mae", n_bootstrap=5).value > 0
    )
    with pytest.raises(InputError, match=r"metric 'dice' is unknown for a multiclass"):
        paired_difference(p, p, y, metric="dice")


def test_the_majority_floor_is_the_shares_of_training() -> None:
    assert majority_baseline([0, 0, 1, None], 2, "binary", NO_YES) == pytest.approx(np.array([[2 / 3, 1 / 3]] * 2))
    assert majority_baseline([10.0, 20.0], 3, "regress", ("age",)) == pytest.approx(np.full((3, 1), 15.0))
    assert majority_baseline([(1, None), (0, 1)], 1, "multilabel", ("a", "b")) == pytest.approx(np.array([[0.5, 1.0]]))
    floor = evaluate(
        majority_baseline([0, 1, 1], 4, "binary", NO_YES),
        [0, 1, 1, 1],
        task="binary",
        classes=NO_YES,
        who="majority",
        n_bootstrap=10,
    )
    assert floor.metrics["accuracy"].value == 0.75
    assert floor.metrics["auroc"].value == 0.5


def test_wrong_input_is_named() -> None:
    with pytest.raises(InputError, match=r"shape \(3, 3\).*needs \(N, 2\)"):
        evaluate(np.ones((3, 3)) / 3, [0, 1, 0], task="binary", classes=NO_YES)
    with pytest.raises(InputError, match="1 of 2 cases have a prediction that is not a number"):
        evaluate([0.5, np.nan], [0, 1], task="binary", classes=NO_YES)
    with pytest.raises(InputError, match="class index 2 stands"):
        evaluate([0.5, 0.5], [0, 2], task="binary", classes=NO_YES)
    with pytest.raises(InputError, match="groups have the shape"):
        evaluate([0.5, 0.5], [0, 1], task="binary", classes=NO_YES, groups=["a"])
    with pytest.raises(InputError, match="judged by evaluation.masks"):
        evaluate([0.5], [0], task="segment", classes=NO_YES)
    with pytest.raises(InputError, match="task 'guess' is unknown"):
        evaluate([0.5], [0], task="guess", classes=NO_YES)  # type: ignore[arg-type]
    with pytest.raises(CohortError, match="No case of the part 'test' has a label"):
        evaluate([0.5], [None], task="binary", classes=NO_YES)
