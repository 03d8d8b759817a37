"""Bases from elsewhere as training sees them: frozen with a head, and tuned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from scanwright.core import Augmentation, PlanError, Pretrained
from scanwright.io.weights import write_base
from scanwright.models import Tuned, build
from scanwright.training import export_network, network, train
from scanwright.training.score import auroc

Make = Callable[..., Any]
BASE = {"base": "resnet9", "width": 4, "channels": 1, "pools": 2}
START = Pretrained(
    file="base.safetensors", sha256="0" * 64, naming="Scanwright", model="resnet9",
    arguments={"width": 4, "pools": 2}, channels=1, licence="CC0",
)  # fmt: skip


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Weights of a small network, drawn."""
    torch.manual_seed(3)
    net = build("resnet9", dimension=2, in_channels=1, n_outputs=1, width=4, pools=2)
    state = {n: v.numpy() for n, v in net.body.state_dict().items() if "num_batches" not in n}  # type: ignore[union-attr]
    return write_base(tmp_path / "pretrained.safetensors", state, {})


def both(make_candidate: Make, steps: int = 30, **changes: Any) -> tuple[Any, Any]:
    frozen = make_candidate("r-frozen", steps=0, kind="classical", model="frozen", arguments=BASE)
    tuned = make_candidate("r-tuned", steps=steps, model="tuned", arguments=BASE, learning_rate=3e-3, **changes)
    return frozen, tuned


def test_frozen_and_tuned_race_and_export(
    make_store: Make, make_plan: Make, make_candidate: Make, base: Path, tmp_path: Path
) -> None:
    store = make_store(n=160)
    plan = make_plan(store, candidates=both(make_candidate), augmentation=Augmentation(shift=0.02), pretrained=START)
    trained = train(plan, store, work=tmp_path / "work", base=base)
    rows = {row["candidate"]: row for row in trained.race}
    assert set(rows) == {"r-frozen", "r-tuned"}
    assert rows["r-frozen"]["clean"] > 0.6  # a base that was drawn still tells squares apart
    assert any("r-frozen: fitted on" in note for note in trained.notes)
    test = store.rows("test")
    with torch.no_grad():
        logits = network(trained, plan)(torch.from_numpy(store.images[test]).float()).numpy()
    assert auroc(store.labels[test] == 1, logits[:, 0]) > 0.9
    data = export_network(trained, plan, rows=store.images[:4])
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    given = session.run(["logits"], {"image": store.images[test].astype(np.float32)})[0]
    np.testing.assert_allclose(given, logits, atol=1e-3 * max(1, np.abs(logits).max()))


def test_the_base_is_inside_and_statistics_stay(
    make_store: Make, make_plan: Make, make_candidate: Make, base: Path, tmp_path: Path
) -> None:
    store, given = make_store(n=96), load_file(base)
    for candidate, moves in zip(both(make_candidate, steps=6), (False, True), strict=True):
        plan = make_plan(store, candidates=(candidate,), pretrained=START)
        trained = train(plan, store, work=tmp_path / candidate.name, base=base)
        weights = load_file(trained.weights)
        kernels = [n for n in given if given[n].ndim == 4]
        apart = max(float((weights[f"0.body.1.{n}"] - given[n]).abs().max()) for n in kernels)
        assert (apart > 0) == moves
        means = [n for n in given if n.endswith("running_mean")]
        assert means
        assert all(torch.equal(weights[f"0.body.1.{n}"], given[n]) for n in means)


def test_tuning_begins_with_the_answers_of_the_frozen_base(
    make_store: Make, make_plan: Make, make_candidate: Make, base: Path, tmp_path: Path
) -> None:
    store = make_store(n=160)
    frozen, tuned = both(make_candidate, steps=2)
    still = tuned.model_copy(update={"learning_rate": 1e-12})
    plan = make_plan(store, candidates=(frozen, still), pretrained=START)
    trained = train(plan, store, work=tmp_path / "work", base=base)
    rows = {row["candidate"]: row for row in trained.race}
    assert rows["r-tuned"]["clean"] == pytest.approx(rows["r-frozen"]["clean"], abs=1e-6)


def test_layers_near_the_image_take_smaller_steps() -> None:
    for name, more in (("resnet18", {"width": 0.125}), ("vit", {"width": 64, "depth": 3, "heads": 1, "grid": 2})):
        net = build("tuned", dimension=2, in_channels=1, n_outputs=1, base=name, channels=3, **more)
        assert isinstance(net, Tuned)
        paces = [pace for pace, _ in net.paces()]
        assert paces[0] == pytest.approx(0.1)
        assert paces[-1] == 1.0
        ratios = np.array(paces[1:]) / np.array(paces[:-1])
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
        listed = [p for _, stage in net.paces() for p in stage]
        assert {id(p) for p in listed} == {id(p) for p in net.parameters()}
        assert len(listed) == len(list(net.parameters()))


def test_a_base_that_is_missing_or_another_is_refused(
    make_store: Make, make_plan: Make, make_candidate: Make, base: Path, tmp_path: Path
) -> None:
    store = make_store(n=40)
    plan = make_plan(store, candidates=both(make_candidate), pretrained=START)
    with pytest.raises(PlanError, match=r"begins from the weights base.safetensors.*--pretrained FILE"):
        train(plan, store, work=tmp_path / "work", base=tmp_path / "nowhere.safetensors")
    unnamed = make_plan(store, candidates=both(make_candidate))
    with pytest.raises(PlanError, match="the plan names none"):
        train(unnamed, store, work=tmp_path / "work", base=base)


def test_kernels_of_pictures_learn_volumes(
    make_store: Make, make_plan: Make, make_candidate: Make, base: Path, tmp_path: Path
) -> None:
    store = make_store(n=64, side=12, dimension=3)
    plan = make_plan(store, candidates=both(make_candidate, steps=6), pretrained=START, augmentation=Augmentation())
    trained = train(plan, store, work=tmp_path / "work", base=base)
    rows = {row["candidate"]: row for row in trained.race}
    assert rows["r-frozen"]["clean"] > 0.8  # a bright plate across the volume
    net = network(trained, plan)
    with torch.no_grad():
        found = net.explained(torch.from_numpy(store.images[:2]).float())
    assert found["cam"].ndim == 5
