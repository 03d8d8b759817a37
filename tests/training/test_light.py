"""Light heads on a frozen base against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from scanwright.models import Boosted, Nearest, build
from scanwright.training import light, train
from scanwright.training.classical import folds_of

Make = Callable[..., Any]
BASE: dict[str, Any] = {"base": "resnet9", "width": 4, "channels": 1}


def points(task: str, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Points of eight numbers whose labels hang on two of them, not in a line."""
    rng = np.random.default_rng(1)
    u = rng.normal(size=(n, 8)).astype(np.float32).astype(np.float64)
    inside = np.hypot(u[:, 0], u[:, 1])
    if task == "regress":
        return u, inside + 0.05 * rng.normal(size=n)
    if task == "multilabel":
        y = np.stack([inside < 1.1, u[:, 2] > 0, u[:, 3] > 0.5], 1).astype(float)
        y[rng.random(y.shape) < 0.1] = np.nan
        return u, y
    return u, (inside < 1.1).astype(float) if task == "binary" else np.digitize(inside, (0.8, 1.4)).astype(float)


def made(name: str, n_outputs: int, **more: Any) -> Any:
    net = build(name, dimension=2, in_channels=1, n_outputs=n_outputs, **BASE, kept=8, **more)
    return net.eval()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regress", "multilabel"])
def test_trees_answer_as_scikit_learn_grew_them(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    n_outputs = {"binary": 1, "regress": 1}.get(task, 3)
    net, (u, y) = made("boosted", n_outputs, trees=30, depth=3), points(task)
    assert isinstance(net, Boosted)
    grown: list[Any] = []
    plain = light._grown
    monkeypatch.setattr(light, "_rounds", lambda *a: 10)
    monkeypatch.setattr(light, "_grown", lambda *a: grown.append(plain(*a)) or grown[-1])
    used = light._fit_boosted(net, u, y, np.arange(len(u)).astype(str), task)  # type: ignore[arg-type]
    assert used == {"binary": 10, "regress": 10}.get(task, 30)
    with torch.no_grad():
        given = net.answer(torch.from_numpy(u).float()).numpy()
    expected = [m.predict(u) if task == "regress" else m.decision_function(u) for m in grown]
    np.testing.assert_allclose(given, np.stack(expected, -1).reshape(len(u), -1), atol=1e-4)


def test_two_classes_of_three_are_one_decision() -> None:
    net, (u, y) = made("boosted", 3, trees=20, depth=2), points("binary")
    light._fit_boosted(net, u, 2 * y, np.arange(len(u)).astype(str), "multiclass")
    with torch.no_grad():
        logits = net.answer(torch.from_numpy(u).float())
    assert set(logits.argmax(1).tolist()) == {0, 2}
    assert float((logits.argmax(1).numpy() == 2 * y).mean()) > 0.85


def test_the_nearest_vote_as_in_scikit_learn() -> None:
    u, y = points("binary")
    net = made("nearest", 1, cases=100, k=7)
    assert isinstance(net, Nearest)
    tensors = [torch.from_numpy(v).float() for v in (u[:100], y[:100, None], np.ones((100, 1)), np.ones(100))]
    net.remember(*tensors, sharpness=0.0)  # all of the seven count alike
    unit = u / np.linalg.norm(u, axis=1, keepdims=True)
    other = KNeighborsClassifier(7).fit(unit[:100], y[:100])
    with torch.no_grad():
        net.sharpness.fill_(1e-3)
        given = torch.sigmoid(net.answer(torch.from_numpy(u[100:]).float()))[:, 0].numpy()
    expected = other.predict_proba(unit[100:])[:, 1].clip(0.01, 0.99)
    np.testing.assert_allclose(given, expected, atol=2e-3)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regress", "multilabel"])
def test_nearest_cases_learn_every_task(task: str) -> None:
    u, y = points(task, 400)
    net = made("nearest", {"binary": 1, "regress": 1}.get(task, 3), cases=500, k=9, regress=task == "regress")
    light._fit_nearest(net, u[:300], y[:300], np.arange(300).astype(str), task)  # type: ignore[arg-type]
    with torch.no_grad():
        given = net.answer(torch.from_numpy(u[300:]).float()).numpy()
    if task == "regress":
        assert np.corrcoef(given[:, 0], y[300:])[0, 1] > 0.1
    elif task == "multiclass":
        assert (given.argmax(1) == y[300:]).mean() > 0.4
    else:
        truth = y[300:].reshape(100, -1)[:, -1]
        known = np.isfinite(truth)
        assert given[known & (truth == 1), -1].mean() > given[known & (truth == 0), -1].mean()


def test_folds_keep_patients_together() -> None:
    groups = np.repeat(np.arange(20), 5).astype(str)
    for inside, outside in folds_of(np.zeros((100, 2)), np.tile([0.0, 1.0], 50), groups, "binary"):
        assert not set(groups[inside]) & set(groups[outside])


def test_they_race_beside_the_others(make_store: Make, make_plan: Make, make_candidate: Make, tmp_path: Path) -> None:
    from scanwright.core import Pretrained
    from scanwright.io.weights import write_base

    torch.manual_seed(3)
    whole = build("resnet9", dimension=2, in_channels=1, n_outputs=1, width=4)
    state = {n: v.numpy() for n, v in whole.body.state_dict().items() if "num_batches" not in n}  # type: ignore[union-attr]
    base = write_base(tmp_path / "pretrained.safetensors", state, {})
    start = Pretrained(file="b", sha256="0", naming="Scanwright", model="resnet9", arguments={"width": 4}, channels=1)
    rows = [
        make_candidate(f"r-{name}", steps=0, kind="classical", model=name, arguments=BASE | more)
        for name, more in (("frozen", {}), ("nearest", {"cases": 40}), ("boosted", {"trees": 20}))
    ]
    store = make_store("multiclass", n=160)
    plan = make_plan(store, "multiclass", candidates=tuple(rows), pretrained=start)
    trained = train(plan, store, work=tmp_path / "work", base=base)
    scores = {row["candidate"]: row["clean"] for row in trained.race}
    assert set(scores) == {"r-frozen", "r-nearest", "r-boosted"}
    assert min(scores.values()) > 0.55
    assert any("40 cases remembered" in note for note in trained.notes)
    assert any("trees by cross-validation" in note for note in trained.notes)
