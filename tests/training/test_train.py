"""Training as its callers see it: every task, the race, interruptions, bad numbers, export."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import spearmanr

from scanwright.core import Augmentation, CohortError, ModelFileError, PlanError, ScanwrightError
from scanwright.evaluation.paired import auroc
from scanwright.training import export_network, load_trained, network, train

Make = Callable[..., Any]


def answers(trained: Any, plan: Any, store: Any, part: str = "test") -> tuple[np.ndarray, np.ndarray]:
    rows = store.rows(part)
    with torch.no_grad():
        logits = network(trained, plan)(torch.from_numpy(store.images[rows]).float())
    return logits.numpy(), store.labels[rows]


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "ordinal", "regress"])
def test_every_task_learns_and_exports(
    task: str, make_store: Make, make_plan: Make, make_candidate: Make, tmp_path: Path
) -> None:
    store = make_store(task, n=160)
    plan = make_plan(store, task, candidates=(make_candidate(steps=40),), augmentation=Augmentation(shift=0.02))
    trained = train(plan, store, work=tmp_path)
    logits, labels = answers(trained, plan, store)
    assert logits.shape == (40, plan.n_outputs)
    if task == "regress":
        assert spearmanr(logits[:, 0], labels).statistic > 0.8
        assert abs(logits.mean() - labels.mean()) < 8  # in the label's own unit
    elif task == "multilabel":
        known = np.isfinite(labels[:, 0])
        assert auroc(labels[known, 0] == 1, logits[known, 0]) > 0.8
    else:
        assert auroc(labels == labels.max(), logits[:, -1]) > 0.9
    for which in ("model", "baseline"):
        data = export_network(trained, plan, which=which, rows=store.images[:4])  # type: ignore[arg-type]
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        x = store.images[store.rows("test")].astype(np.float32)
        given = session.run(None, {"image": x})
        assert given[0].shape == logits.shape
        if which == "model":
            np.testing.assert_allclose(given[0], logits, atol=1e-3 * max(1, np.abs(logits).max()))


def test_race_keeps_the_better_and_says_so(
    make_store: Make, make_plan: Make, make_candidate: Make, tmp_path: Path
) -> None:
    store = make_store(n=120)
    candidates = (
        make_candidate("idle", steps=30, race=(6,), learning_rate=1e-9),
        make_candidate("keen", steps=30, race=(6,)),
        make_candidate("plain", steps=0, kind="classical", model="features", arguments={}),
    )
    events: list[Any] = []
    plan = make_plan(store, candidates=candidates)
    trained = train(plan, store, work=tmp_path, emit=events.append)
    rows = {row["candidate"]: row for row in trained.race}
    assert rows["idle"]["steps"] == 6
    assert rows["keen"]["steps"] == 30
    assert set(rows["plain"]) >= {"candidate", "steps", "score", "clean", "shifted", "seconds", "parameters"}
    assert "idle" not in trained.chosen
    kinds = {event.kind for event in events}
    assert {"progress", "measured", "said"} <= kinds
    measured = [e for e in events if e.kind == "measured" and e.candidate == "keen"]
    assert set(measured[-1].values) >= {
        *("train_loss", "val_loss", "val_accuracy", "val_auroc", "shifted_auroc", "learning_rate")
    }


def test_called_again_it_has_nothing_left_to_do(make_store: Make, make_plan: Make, tmp_path: Path) -> None:
    store = make_store()
    plan = make_plan(store)
    first = train(plan, store, work=tmp_path)
    stamp = first.weights.stat().st_mtime_ns
    second = train(plan, store, work=tmp_path)
    assert second.weights.stat().st_mtime_ns == stamp
    assert dataclasses.asdict(second) == dataclasses.asdict(first)
    assert load_trained(tmp_path) == first
    assert load_trained(tmp_path / "elsewhere") is None


def test_another_plan_starts_afresh(make_store: Make, make_plan: Make, tmp_path: Path) -> None:
    store = make_store()
    train(make_plan(store), store, work=tmp_path)
    changed = train(make_plan(store, seed=1), store, work=tmp_path)
    fresh = train(make_plan(store, seed=1), store, work=tmp_path / "fresh")
    assert changed.weights.read_bytes() == fresh.weights.read_bytes()


def test_early_stopping(make_store: Make, make_plan: Make, make_candidate: Make, tmp_path: Path) -> None:
    store = make_store()
    plan = make_plan(
        store,
        candidates=(make_candidate(steps=400, learning_rate=1e-9),),
        training={"evaluations": 40, "patience": 3},
    )
    trained = train(plan, store, work=tmp_path)
    assert trained.stopped_early
    assert trained.race[0]["steps"] < 150
    assert any("has not improved" in note for note in trained.notes)


def test_the_deadline_cuts_the_schedule_and_says_so(
    make_store: Make, make_plan: Make, make_candidate: Make, tmp_path: Path
) -> None:
    store = make_store()
    plan = make_plan(store, candidates=(make_candidate(steps=200_000),), training={"evaluations": 2})
    trained = train(plan, store, work=tmp_path, deadline=time.monotonic() + 6)
    assert 20 <= trained.race[0]["steps"] < 200_000
    assert any("depend on timing" in note for note in trained.notes)
    assert network(trained, plan)


def test_a_case_that_is_not_finite_is_named_and_left_out(make_store: Make, make_plan: Make, tmp_path: Path) -> None:
    store = make_store()
    row = int(store.rows("train")[3])
    store.images[row, 0, 0, 0] = np.inf
    trained = train(make_plan(store), store, work=tmp_path)
    assert any(f"case{row}" in note for note in trained.notes)
    assert all(bool(torch.isfinite(v).all()) for v in load_file(trained.weights).values())


def test_losses_that_are_not_finite_stop_with_a_clear_error(
    make_store: Make, make_plan: Make, make_candidate: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scanwright.training.targets import Targets

    plain = Targets.loss
    calls = {"n": 0}

    def spoiled(self: Targets, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls["n"] += 1
        loss = plain(self, logits, targets)
        return loss * float("nan") if loss.requires_grad and calls["n"] > 5 else loss

    monkeypatch.setattr(Targets, "loss", spoiled)
    store, events = make_store(), []
    plan = make_plan(store, training={"precision": "bf16-mixed"})
    with pytest.raises(ScanwrightError, match="in full precision"):
        train(plan, store, work=tmp_path, emit=events.append)
    said = [e.text for e in events if e.kind == "said"]
    assert any("step was skipped" in text for text in said)
    assert any("float32" in text for text in said)
    for path in tmp_path.glob("*.ckpt"):
        state = torch.load(path, weights_only=True)
        assert all(bool(torch.isfinite(v).all()) for v in state["model"].values())


def test_one_bad_step_is_skipped(
    make_store: Make, make_plan: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scanwright.training.targets import Targets

    plain, calls = Targets.loss, {"n": 0}

    def once(self: Targets, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls["n"] += 1
        return plain(self, logits, targets) * (float("nan") if calls["n"] == 4 else 1.0)

    monkeypatch.setattr(Targets, "loss", once)
    store = make_store()
    trained = train(make_plan(store), store, work=tmp_path)
    assert any("step was skipped" in note for note in trained.notes)
    assert trained.race[0]["steps"] == 24


def test_an_average_of_two_is_one_network(
    make_store: Make, make_plan: Make, make_candidate: Make, tmp_path: Path
) -> None:
    store = make_store("multiclass", n=120)
    candidates = (make_candidate("one", steps=12), make_candidate("two", steps=12, arguments={"width": 6, "stages": 2}))
    plan = make_plan(store, "multiclass", candidates=candidates, training={"ensemble": 2})
    trained = train(plan, store, work=tmp_path)
    both = dataclasses.replace(trained, chosen=("one", "two"), shares=(0.5, 0.5), tta_flips=(1,))
    states = [torch.load(tmp_path / f"{name}.ckpt", weights_only=True)["ema"] for name in ("one", "two")]
    from scanwright.training.trained import write_weights

    write_weights(trained.weights, states)
    data = export_network(both, plan, rows=store.images[:4])
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    x = store.images[:3].astype(np.float32)
    here, mirrored = (session.run(None, {"image": v})[0] for v in (x, x[..., ::-1].copy()))
    np.testing.assert_allclose(here, mirrored, atol=1e-5)


def test_weights_of_another_plan_are_refused(
    make_store: Make, make_plan: Make, make_candidate: Make, tmp_path: Path
) -> None:
    store = make_store()
    trained = train(make_plan(store), store, work=tmp_path)
    wider = make_plan(store, candidates=(make_candidate(arguments={"width": 8, "stages": 2}),))
    with pytest.raises(ModelFileError, match="does not fit"):
        network(trained, wider)
    with pytest.raises(ModelFileError, match="does not have"):
        network(trained, make_plan(store, candidates=(make_candidate("other"),)))


def test_bad_cohorts_and_plans(make_store: Make, make_plan: Make, make_candidate: Make, tmp_path: Path) -> None:
    store = make_store()
    plan = make_plan(store)
    with pytest.raises(PlanError, match="prepared arrays"):
        train(plan, make_store(side=14), work=tmp_path)
    with pytest.raises(PlanError, match="no final_steps"):
        train(make_plan(store, candidates=(make_candidate(steps=0),)), store, work=tmp_path)
    one_class = make_store()
    one_class.labels[:] = 1
    with pytest.raises(CohortError, match="the same class"):
        train(plan, one_class, work=tmp_path)
    unlabelled = make_store()
    unlabelled.labels[unlabelled.part == "val"] = np.nan
    with pytest.raises(CohortError, match="val part has 0 labelled"):
        train(plan, unlabelled, work=tmp_path)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "plateau"])
def test_volumes_in_half_precision_under_every_schedule(
    schedule: str, make_store: Make, make_plan: Make, make_candidate: Make, tmp_path: Path
) -> None:
    store = make_store(side=12, dimension=3, n=48)
    plan = make_plan(
        store,
        candidates=(make_candidate(steps=8, model="resnet3d", arguments={"width": 4, "stages": 2}),),
        training={"schedule": schedule, "precision": "bf16-mixed", "channels_last": True},
    )
    trained = train(plan, store, work=tmp_path)
    assert all(v.dtype in (torch.float32, torch.int64) for v in load_file(trained.weights).values())
