"""Training on boxes in noise: it learns, it goes on, it exports the same network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scanwright.core import CohortError  # noqa: E402
from scanwright.inference.engines import open_engine  # noqa: E402
from scanwright.inference.segment import slide  # noqa: E402
from scanwright.training import export_segmenter, quantised, train_segmenter  # noqa: E402
from scanwright.training.segment.train import load_segmenter  # noqa: E402


def test_it_learns_and_the_exported_network_answers_whole_cases(boxes: Callable[..., Any], tmp_path: Path) -> None:
    _, store, plan = boxes(steps=60)
    trained = train_segmenter(plan, store, work=tmp_path / "work", devices=1)
    assert trained.chosen == ("unet-small",)
    assert trained.scores["dice"] > 0.6
    network = export_segmenter(trained, plan, store)
    engine = open_engine(network).engine
    row = int(store.rows("test")[0])
    labels = np.asarray(store.labels(row))
    answer = slide(engine, np.asarray(store.image(row)), plan).argmax(axis=0)
    for code in (1, 2):
        dice = 2 * ((answer == code) & (labels == code)).sum() / ((answer == code).sum() + (labels == code).sum())
        assert dice > 0.6
    short = quantised(network, trained, plan, store)
    assert short is not None
    assert len(short) < 0.5 * len(network)
    rounded = slide(open_engine(short, precision="int8").engine, np.asarray(store.image(row)), plan).argmax(axis=0)
    assert (rounded == answer).mean() > 0.98
    again = train_segmenter(plan, store, work=tmp_path / "work", devices=1)
    assert again == trained, "a finished training is taken as it is"


def test_a_run_that_was_cut_short_ends_with_the_same_weights(boxes: Callable[..., Any], tmp_path: Path) -> None:
    _, store, plan = boxes(steps=8)
    whole = train_segmenter(plan, store, work=tmp_path / "whole", devices=1)

    class Stop(Exception):
        pass

    def emit(event: Any) -> None:
        if event.kind == "measured" and event.step >= 4:
            raise Stop("here")

    with pytest.raises(Stop, match="here"):
        train_segmenter(plan, store, work=tmp_path / "cut", devices=1, emit=emit)
    resumed = train_segmenter(plan, store, work=tmp_path / "cut", devices=1)
    one, other = (load_segmenter(t, plan).state_dict() for t in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_part_without_masks_is_refused(boxes: Callable[..., Any], tmp_path: Path) -> None:
    _, store, plan = boxes(steps=2)
    store.part[store.part == "val"] = ""
    with pytest.raises(CohortError, match="val part has no case with a mask"):
        train_segmenter(plan, store, work=tmp_path / "work", devices=1)
