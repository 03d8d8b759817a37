"""Calibration and operating point on validation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, softmax

from scanwright.core import InputError, ModelFileError
from scanwright.evaluation import evaluate
from scanwright.trust import RULES, Trust, fit_trust
from scanwright.trust.calibration import TEMPERATURE_BOUNDS
from scanwright.trust.operating import choose_cut

NO_YES = ("no", "yes")


def binary(rng: np.random.Generator, n: int, *, share: float = 0.5, distance: float = 2.0, offset: float = 0.0):
    """Logits that are exactly calibrated for equal shares, moved by ``offset``."""
    y = (rng.random(n) < share).astype(int)
    return rng.normal(size=n) * distance + (y - 0.5) * distance**2 + offset, y


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=20000) * 2
    y = (rng.random(20000) < expit(z)).astype(int)
    trust = fit_trust(z * temperature, y, task="binary", classes=NO_YES)
    assert trust.temperature == pytest.approx(temperature, rel=0.05)
    assert trust.bias[0] == pytest.approx(0, abs=0.1 * temperature)


def test_a_known_temperature_of_several_classes_is_found() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=(8000, 4)) * 1.5
    y = np.array([rng.choice(4, p=p) for p in softmax(z, axis=1)])
    trust = fit_trust(z * 2.5, y, task="multiclass", classes=list("abcd"))
    assert trust.temperature == pytest.approx(2.5, rel=0.06)


def test_the_shares_of_validation_come_back_after_balanced_training() -> None:
    z, y = binary(np.random.default_rng(2), 4000, share=0.2)
    trust = fit_trust(z, y, task="binary", classes=NO_YES)
    p = trust.probabilities(z)
    before = evaluate(trust.uncalibrated(z), y, task="binary", classes=NO_YES, n_bootstrap=0).metrics["ece"].value
    after = evaluate(p, y, task="binary", classes=NO_YES, n_bootstrap=0).metrics["ece"].value
    assert p[:, 1].mean() == pytest.approx(y.mean(), abs=0.01)
    assert after < 0.03 < before


def test_calibration_does_not_change_the_order() -> None:
    z, y = binary(np.random.default_rng(3), 200)
    p = fit_trust(z, y, task="binary", classes=NO_YES).probabilities(z)
    assert np.array_equal(np.argsort(z), np.argsort(p[:, 1]))
    assert np.allclose(p.sum(axis=1), 1)


def test_a_perfectly_separated_validation_part_does_not_make_certainties() -> None:
    z, y = np.r_[np.full(20, -3.0), np.full(20, 3.0)], np.r_[np.zeros(20), np.ones(20)]
    trust = fit_trust(z, y, task="binary", classes=NO_YES)
    assert TEMPERATURE_BOUNDS[0] < trust.temperature < 1
    assert trust.probabilities([3.0])[0, 1] < 0.9999
    many = fit_trust(np.repeat(z, 500), np.repeat(y, 500), task="binary", classes=NO_YES)
    assert many.temperature >= TEMPERATURE_BOUNDS[0]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_tiny_validation_part_leaves_the_network_nearly_as_it_is(n: int) -> None:
    trust = fit_trust([-1.0, 2.0][:n], [0, 1][:n], task="binary", classes=NO_YES)
    assert trust.temperature == pytest.approx(1, abs=0.3)
    assert trust.cuts == pytest.approx((0.0,), abs=0.15)


def test_an_easy_validation_part_hardly_moves_the_cut() -> None:
    rng, chosen, hindsight = np.random.default_rng(4), [], []
    for _ in range(40):
        z, y = binary(rng, 300, share=0.75, distance=4.0)
        chosen.append(choose_cut(z, y, "balanced"))
        gain = [np.mean(z[y == 1] >= c) + np.mean(z[y == 0] < c) for c in np.sort(z)]
        hindsight.append(np.sort(z)[int(np.argmax(gain))])
    assert np.std(chosen) < 0.6 * np.std(hindsight)
    assert np.mean(np.asarray(chosen) == 0.0) >= 0.25


def test_a_clear_offset_moves_the_cut() -> None:
    z, y = binary(np.random.default_rng(5), 3000, distance=2.0, offset=2.0)
    cut = fit_trust(z, y, task="binary", classes=NO_YES).cuts[0]
    assert 1.2 < cut < 2.3  # 2 is ideal; it stops on the near side


def test_two_standard_errors_by_hand() -> None:
    # four negatives above the start: gap 4/8, twice the error 2 * sqrt(4)/8 -> not clear
    scores, truth = np.array([-4, -3, -2, -1, 0.1, 0.2, 0.3, 0.4, 5, 6.0]), np.array([0] * 8 + [1, 1])
    assert choose_cut(scores, truth, "balanced") == 0.0
    # six above it: gap 6/8 against 2 * sqrt(6)/8 -> move until four are left, where gap and twice the error are equal
    scores, truth = np.array([-4, -3, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 5, 6.0]), np.array([0] * 8 + [1, 1])
    assert choose_cut(scores, truth, "balanced") == pytest.approx(0.25)


def test_the_cut_starts_where_unbalanced_training_put_it() -> None:
    logit = np.log(0.2 / 0.8)
    z = np.array([-4.0, -3.0, -2.5, 0.5, 1.0, 2.0])  # any cut from -2.5 to 0.5 is perfect
    trust = fit_trust(z, [0, 0, 0, 1, 1, 1], task="binary", classes=NO_YES, train_shares=(0.8, 0.2))
    assert trust.cuts[0] == pytest.approx(logit)


def test_rules_trade_one_side_for_the_other() -> None:
    z, y = binary(np.random.default_rng(7), 4000, share=0.15, distance=1.4)
    said = {}
    for rule in (*RULES, "sensitivity>=0.95", "specificity>=0.99"):
        trust = fit_trust(z, y, task="binary", classes=NO_YES, rule=rule)
        said[rule] = trust.answers(trust.probabilities(z))
    right = {r: np.mean(a == y) for r, a in said.items()}
    sensitivity = {r: np.mean(a[y == 1]) for r, a in said.items()}
    specificity = {r: np.mean(1 - a[y == 0]) for r, a in said.items()}
    assert right["accuracy"] > right["middle"] > right["balanced"]
    assert sensitivity["balanced"] > sensitivity["middle"] > sensitivity["accuracy"]
    assert 0.95 <= sensitivity["sensitivity>=0.95"] < 0.96
    assert 0.99 <= specificity["specificity>=0.99"] < 0.995


def test_several_classes_answer_as_balanced_training_meant() -> None:
    rng = np.random.default_rng(8)
    y = rng.choice(3, 3000, p=(0.8, 0.15, 0.05))
    z = rng.normal(size=(3000, 3))
    z[np.arange(3000), y] += 2
    balanced, accuracy = (
        fit_trust(z, y, task="multiclass", classes=list("abc"), rule=r) for r in ("balanced", "accuracy")
    )
    assert np.mean(balanced.answers(balanced.probabilities(z)) == z.argmax(axis=1)) > 0.999
    p = accuracy.probabilities(z)
    assert np.array_equal(accuracy.answers(p), p.argmax(axis=1))
    assert np.mean(accuracy.answers(p) == y) > np.mean(balanced.answers(p) == y)


def test_labels_are_calibrated_and_cut_one_by_one_and_missing_ones_are_left_out() -> None:
    rng = np.random.default_rng(9)
    first, second = binary(rng, 1500, distance=2.0), binary(rng, 1500, distance=2.0, offset=3.0)
    z, y = np.stack([first[0], second[0]], axis=1), np.stack([first[1], second[1]], axis=1).astype(float)
    y[:700, 0] = np.nan
    trust = fit_trust(z, y, task="multilabel", classes=("a", "b"))
    assert abs(trust.cuts[0]) < 0.5
    assert trust.cuts[1] > 1.5
    answers = trust.answers(trust.probabilities(z))
    assert answers.shape == (1500, 2)
    assert np.array_equal(answers, z >= np.asarray(trust.cuts))


def test_a_number_is_left_as_it_is() -> None:
    trust = fit_trust([1.0, 2.0], [1.5, 2.5], task="regress", classes=("age",))
    assert trust.probabilities([7.0]) == pytest.approx(np.array([[7.0]]))
    assert trust.uncalibrated([7.0]) is None
    with pytest.raises(InputError, match="gives a number"):
        trust.answers([[7.0]])


@pytest.mark.parametrize(
    ("task", "k"), [("binary", 2), ("multiclass", 3), ("multilabel", 3), ("ordinal", 4), ("regress", 1)]
)
def test_it_survives_the_model_file(task: str, k: int) -> None:
    rng = np.random.default_rng(10)
    z = rng.normal(size=(60, 1 if task in ("binary", "regress") else k))
    y = rng.integers(0, 2, (60, k)) if task == "multilabel" else rng.integers(0, k, 60)
    trust = fit_trust(z, y, task=task, classes=[f"c{i}" for i in range(k)])  # type: ignore[arg-type]
    again = Trust.from_dict(json.loads(json.dumps(trust.to_dict(), allow_nan=False)))
    assert again == trust
    assert np.array_equal(again.probabilities(z), trust.probabilities(z))
    assert trust.probabilities(z).shape == (60, k)


def test_the_threshold_answers_like_the_cut() -> None:
    z, y = binary(np.random.default_rng(11), 400, share=0.3, offset=1.0)
    trust = fit_trust(z, y, task="binary", classes=NO_YES)
    assert np.array_equal(trust.answers(trust.probabilities(z)), (z >= trust.cuts[0]).astype(int))


def test_a_damaged_file_is_refused() -> None:
    good = fit_trust([0.0, 1.0], [0, 1], task="binary", classes=NO_YES).to_dict()
    for change in (
        {"format": "x/9"},
        {"temperature": 0},
        {"bias": [0, 0]},
        {"cuts": ["x"]},
        {"task": "segment"},
        {"temperature": None},
    ):
        with pytest.raises(ModelFileError, match="calibration in the model file cannot be read"):
            Trust.from_dict({**good, **change})
    with pytest.raises(ModelFileError, match="Pack the model again"):
        Trust.from_dict({})


def test_wrong_input_is_named() -> None:
    with pytest.raises(InputError, match="rule 'best' is unknown"):
        fit_trust([0.0], [0], task="binary", classes=NO_YES, rule="best")
    with pytest.raises(InputError, match="needs two classes"):
        fit_trust(np.zeros((2, 3)), [0, 1], task="multiclass", classes=list("abc"), rule="sensitivity>=0.9")
    with pytest.raises(InputError, match=r"gives \(N, 1\)"):
        fit_trust(np.zeros((2, 2)), [0, 1], task="binary", classes=NO_YES)
    with pytest.raises(InputError, match="not numbers"):
        fit_trust([0.0, np.inf], [0, 1], task="binary", classes=NO_YES)
    with pytest.raises(InputError, match="beside logits"):
        fit_trust([0.0, 1.0], [0], task="binary", classes=NO_YES)
