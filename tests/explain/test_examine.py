"""The examination tells true heat maps from false ones, on models whose truth is known."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from scanwright.core import InputError, Progress
from scanwright.explain import EXPLAINERS, best_explainer, examine
from scanwright.explain.examine import FEWEST_CASES, LEVEL, chance_of
from scanwright.explain.faithfulness import CaseScore, Curves, chance_map, follow

Array = NDArray[np.float32]
N, SIDE = 40, 32


class Engine:
    outputs = ("logits", "embedding", "cam")


class Model:
    """Sums brightness over one half; its map is right, or as wrong as ``lie`` says."""

    task = "binary"
    classes = ("dark", "bright")
    n_outputs = 1
    n_pictures = None

    def __init__(self, lie: str = "", seed: int = 0) -> None:
        self.lie, self.engine = lie, Engine()
        self.chance = np.random.default_rng(seed)

    def run(self, batch: Array) -> dict[str, Array]:
        bright = np.clip(batch[:, 0] - 0.5, 0, None)
        cells = bright.reshape(len(batch), 8, 4, 8, 4).mean(axis=(2, 4))
        cam = cells[:, None] * 5
        logits = cam.mean(axis=(2, 3)) - 0.01
        if self.lie == "noise":
            cam = self.chance.normal(size=cam.shape)
        elif self.lie == "mirror":
            cam = cam[..., ::-1]
        elif self.lie == "opposite":
            cam = -cam
        return {"logits": logits.astype(np.float32), "embedding": logits, "cam": cam.astype(np.float32)}

    def targets(self, logits: Array) -> NDArray[np.int64]:
        return (logits[:, 0] >= 0).astype(np.int64)


def lesions(n: int = N, seed: int = 0) -> Array:
    """Grey noise with one bright square somewhere on the left."""
    chance = np.random.default_rng(seed)
    arrays = chance.uniform(0, 0.6, (n, 1, SIDE, SIDE)).astype(np.float32)
    for array in arrays:
        i, j = chance.integers(1, 25), chance.integers(1, 9)
        array[0, i : i + 6, j : j + 6] = 1
    return arrays


def examined(lie: str, **arguments: Any) -> Any:
    return examine(Model(lie), lesions(), seconds=20, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", EXPLAINERS)
def test_true_maps_pass(method: str) -> None:
    found = examined("", method=method)
    assert found.passed is True
    assert found.n_cases == N
    assert found.score.low > 0.3
    assert found.classes["bright"]["passed"] is True
    assert "show what the model uses" in found.sentence
    assert "times as much as" in found.sentence


@pytest.mark.parametrize("lie", ["mirror", "opposite"])
def test_false_maps_fail(lie: str) -> None:
    found = examined(lie)
    assert found.passed is False
    assert found.score.low <= 0
    assert found.chance > 0.5
    assert "not shown" in found.sentence


def verdicts(lie: str, n_seeds: int, n_cases: int) -> list[Any]:
    """Examinations that share nothing but the rule: other images, other maps, other random maps."""
    return [
        examine(Model(lie, seed=1000 + k), lesions(n_cases, seed=2000 + k), seconds=1e6, seed=k)  # type: ignore[arg-type]
        for k in range(n_seeds)
    ]


def most(n: int, rate: float) -> int:
    """Passes that a true rate exceeds once in a thousand times."""
    return int(stats.binom.ppf(0.999, n, rate))


@pytest.mark.parametrize(("n_seeds", "n_cases"), [(100, FEWEST_CASES), (50, 20)])
def test_maps_of_pure_chance_pass_no_more_often_than_said(n_seeds: int, n_cases: int) -> None:
    found = verdicts("noise", n_seeds, n_cases)
    assert all(v.n_cases == n_cases for v in found)
    assert sum(v.passed for v in found) <= most(n_seeds, LEVEL)
    scores = np.array([v.score.value for v in found])
    assert abs(scores.mean()) < 3.3 * scores.std() / np.sqrt(n_seeds)  # chance scores nought, whatever the seed
    assert 0.05 < np.mean([v.chance < 0.25 for v in found]) < 0.5  # neither never nor always


@pytest.mark.parametrize("n_cases", [FEWEST_CASES, 20])
def test_true_maps_pass_nearly_always(n_cases: int) -> None:
    found = verdicts("", 40, n_cases)
    assert sum(v.passed for v in found) >= 39


def made_up(gaps: NDArray[np.float64]) -> list[CaseScore]:
    """Cases whose maps have given gaps; the first is the examined one."""
    ends = (0.0, 1.0)
    curves = [[Curves(np.zeros(2), np.full(2, gap), ends) for gap in row] for row in gaps]
    return [CaseScore(0, row[0], tuple(row[1:]), {}) for row in curves]


@pytest.mark.parametrize("n_chance", [1, 3])
@pytest.mark.parametrize("n_cases", [FEWEST_CASES, 30])
def test_the_rule_keeps_its_level_where_gaps_are_skewed(n_cases: int, n_chance: int) -> None:
    """Gaps of one heavy-tailed law for all maps: whatever passes, passes by chance."""
    rng = np.random.default_rng(5)
    n_trials = 400
    passed = 0
    for k in range(n_trials):
        gaps = rng.lognormal(0, 1.5, (n_cases, 1)) * rng.normal(0, 1, (n_cases, 1 + n_chance)) ** 3
        passed += chance_of(made_up(gaps), seed=k) <= LEVEL
    assert 1 <= passed <= most(n_trials, LEVEL)


def test_the_share_of_exchanges_by_hand() -> None:
    """Three cases, one random map each, which the map beats each time: one exchange of eight is as good."""
    gaps = np.array([[3.0, 1.0], [2.0, 1.0], [5.0, 1.0]])
    assert chance_of(made_up(gaps), seed=0) == pytest.approx(1 / 8, abs=0.02)
    assert chance_of(made_up(gaps[:, ::-1]), seed=0) == 1
    assert chance_of(made_up(np.ones((3, 2))), seed=0) == 1


def test_few_cases_decide_nothing() -> None:
    found = examine(Model(), lesions(5), seconds=20)  # type: ignore[arg-type]
    assert found.passed is None
    assert "Only 5 cases" in found.sentence
    none = examine(Model(), lesions(0), seconds=20)  # type: ignore[arg-type]
    assert none.passed is None
    assert none.n_cases == 0
    json.dumps(none.to_dict(), allow_nan=False)


def test_the_verdict_is_plain_json_that_a_predictor_reads() -> None:
    found = examined("")
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["method"] == "cam"
    assert told["passed"] is True
    assert told["classes"]["bright"]["passed"] is True
    assert told["score"]["low"] <= told["score"]["value"] <= told["score"]["high"]
    assert told["curves"]["deletion"][0] == pytest.approx(1)
    assert told["curves"]["deletion"][-1] == pytest.approx(0)
    assert told["curves"]["insertion"][-1] == pytest.approx(1)
    assert set(told["controls"]) == {"edges", "other case"}


def test_the_same_seed_gives_the_same_verdict() -> None:
    one, two, three = examined("", seed=3), examined("", seed=3), examined("", seed=4)
    assert one.case_scores == two.case_scores
    assert one.case_scores != three.case_scores


def test_case_scores_belong_to_their_rows() -> None:
    """A case without anything bright has no evidence to lose: its score is the lowest."""
    arrays = lesions()
    arrays[7] = 0.2
    found = examine(Model(), arrays, seconds=20)  # type: ignore[arg-type]
    scores = dict(zip(found.case_rows, found.case_scores, strict=True))
    assert sorted(scores) == list(range(N))
    assert scores[7] == min(scores.values(), key=abs)


def test_the_time_is_kept_and_told() -> None:
    class Slow(Model):
        def run(self, batch: Array) -> dict[str, Array]:
            time.sleep(0.002 * len(batch))
            return super().run(batch)

    events: list[Any] = []
    found = examine(Slow(), lesions(), seconds=1.5, emit=events.append)  # type: ignore[arg-type]
    assert 1 <= found.n_cases < N
    assert found.n_cases == len(events)
    assert all(isinstance(e, Progress) and e.stage == "explain" for e in events)
    assert found.seconds < 5


def test_targets_may_be_given() -> None:
    found = examined("", targets=np.zeros(N, dtype=int))
    assert list(found.classes) == ["dark"]


def test_an_unknown_explainer_is_named() -> None:
    with pytest.raises(InputError, match="no explainer 'lime'.*cam, occlusion"):
        examined("", method="lime")


def test_the_truer_explainer_is_chosen() -> None:
    assert best_explainer(Model(), lesions(), seconds=20).method == "cam"  # type: ignore[arg-type]
    chosen = best_explainer(Model("mirror"), lesions(), seconds=20)  # type: ignore[arg-type]
    assert chosen.method == "occlusion"
    assert chosen.passed is True


def test_a_network_without_a_map_is_examined_by_occlusion() -> None:
    model = Model()
    model.engine.outputs = ("logits", "embedding")  # type: ignore[assignment]
    assert best_explainer(model, lesions(), seconds=20).method == "occlusion"  # type: ignore[arg-type]


def test_chance_maps_are_as_smooth_as_the_map() -> None:
    """Same power at every frequency, and nothing else in common."""
    chance = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    own = np.exp(-((rows - 8) ** 2 + (columns - 20) ** 2) / 30).astype(np.float32)
    others = [chance_map(own, chance) for _ in range(50)]
    for other in others:
        np.testing.assert_allclose(np.abs(np.fft.fft2(other))[1:, 1:], np.abs(np.fft.fft2(own))[1:, 1:], atol=1e-3)
    assert abs(np.mean([np.corrcoef(own.ravel(), o.ravel())[0, 1] for o in others])) < 0.1


def test_deletion_follows_the_evidence_by_hand() -> None:
    """A square of 36 bright voxels on black: deleting a share of it deletes that share of the evidence."""
    array = np.zeros((1, SIDE, SIDE), dtype=np.float32)
    array[0, 4:10, 4:10] = 1
    order = array[0].copy()
    order[4:10, 4:7] = 2  # the left half first
    half, whole = 18 / SIDE**2, 36 / SIDE**2
    curves = follow(Model(), array, 1, order, (0.0, half, whole, 1.0))  # type: ignore[arg-type]
    full = 5 * 0.5 * 36 / SIDE**2
    np.testing.assert_allclose(curves.deletion, [full - 0.01, full / 2 - 0.01, -0.01, -0.01], atol=1e-6)
    np.testing.assert_allclose(curves.insertion, [-0.01, full / 2 - 0.01, full - 0.01, full - 0.01], atol=1e-6)
