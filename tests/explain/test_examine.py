"""The examination tells true heat maps from false ones, on models whose truth is known."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scanwright.core import InputError, Progress
from scanwright.explain import EXPLAINERS, best_explainer, examine
from scanwright.explain.faithfulness import chance_map, follow

Array = NDArray[np.float32]
N, SIDE = 40, 32


class Engine:
    outputs = ("logits", "embedding", "cam")


class Model:
    """Sums brightness over one half; its map is right, or as wrong as ``lie`` says."""

    task = "binary"
    classes = ("dark", "bright")
    n_outputs = 1

    def __init__(self, lie: str = "") -> None:
        self.lie, self.engine = lie, Engine()
        self.chance = np.random.default_rng(6)

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


def lesions(n: int = N) -> Array:
    """Grey noise with one bright square somewhere on the left."""
    chance = np.random.default_rng(0)
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


@pytest.mark.parametrize("lie", ["noise", "mirror", "opposite"])
def test_false_maps_fail(lie: str) -> None:
    found = examined(lie)
    assert found.passed is False
    assert found.score.low <= 0
    assert "not shown" in found.sentence


def test_a_map_of_chance_scores_nought() -> None:
    assert examined("noise").score.value == pytest.approx(0, abs=0.15)


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
