"""What every row of the tables of recipes and kinds promises."""

from __future__ import annotations

import pytest

from scanwright.core import Augmentation
from scanwright.plan import KINDS, RECIPES
from scanwright.plan.recipes import MOST_NETWORKS, applicable, batch_size, candidate

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", RECIPES)
def test_a_row_builds_and_takes_a_training_step(name: str) -> None:
    from scanwright.models import MODELS, build

    row = RECIPES[name]
    assert MODELS[row.model].kind == row.kind
    for dimension in (2, 3) if row.dimension == 0 else (row.dimension,):
        axes = 3 if row.frames else dimension
        assert axes in MODELS[row.model].dims
        side = min(max(row.side[0], 24 if dimension == 3 else 28), row.side[1])
        shape = (2, side, side, 8) if row.frames else (1, *(side,) * dimension)
        model = build(row.model, dimension=axes, in_channels=shape[0], n_outputs=3, **row.arguments)
        logits = model.train()(torch.zeros(2, *shape))
        assert logits.shape == (2, 3)
        if row.kind == "network":
            logits.sum().backward()


@pytest.mark.parametrize("name", RECIPES)
def test_a_row_has_sound_numbers_and_words(name: str) -> None:
    row = RECIPES[name]
    assert 1e-5 < row.learning_rate < 1e-1
    assert 0 <= row.weight_decay < 1
    assert row.side[0] <= row.side[1]
    assert row.words
    assert not row.words.endswith(".")
    assert candidate(name, row, batch_size=16).name == name


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("side", [16, 28, 40, 41, 64, 80, 81, 128, 224])
@pytest.mark.parametrize("gpu", [False, True])
def test_every_cohort_has_a_classical_candidate_and_in_time_a_network(dimension: int, side: int, gpu: bool) -> None:
    short = applicable(dimension=dimension, side=side, seconds=3, gpu=gpu)
    assert {r.kind for r in short.values()} == {"classical"}
    for seconds in (30, 300, 3600, 20_000):
        rows = applicable(dimension=dimension, side=side, seconds=seconds, gpu=gpu)
        networks = [r for r in rows.values() if r.kind == "network"]
        assert 1 <= len(networks) <= MOST_NETWORKS["gpu" if gpu else "cpu"]
        assert gpu or all(r.device == "any" for r in networks)


@pytest.mark.parametrize("side", [16, 40, 41, 80, 81, 224])
def test_sequences_get_networks_that_read_frames_and_the_mean_to_beat(side: int) -> None:
    for seconds, gpu in ((60, False), (900, False), (1800, False), (300, True)):
        rows = applicable(dimension=2, side=side, seconds=seconds, gpu=gpu, frames=True)
        networks = {name: r for name, r in rows.items() if r.kind == "network"}
        assert all(r.frames for r in networks.values())
        assert any(r.model == "frames-mean" for r in networks.values())
        assert any(r.model == "frames-lstm" for r in networks.values())
    alone = applicable(dimension=2, side=side, seconds=1800, gpu=False)
    assert not any(r.frames for r in alone.values())


@pytest.mark.parametrize("n", [3, 10, 100, 1000, 5000, 100_000])
def test_batches_fit_the_cohort(n: int) -> None:
    size = batch_size(n, gpu=False, voxels=784)
    assert 2 <= size <= 128
    assert size <= max(n / 2, 2)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_of_images_is_varied_mildly(name: str) -> None:
    kind = KINDS[name]
    assert isinstance(kind.augmentation, Augmentation)
    assert kind.augmentation.rotate_deg <= 30
    assert kind.augmentation.scale <= 0.3
    assert kind.augmentation.shift <= 0.2
    assert kind.why.endswith(".")


@pytest.mark.parametrize("name", ["radiograph", "mammogram", "oct", "ultrasound", "character"])
def test_what_has_an_up_is_not_turned_upside_down(name: str) -> None:
    assert 0 not in KINDS[name].augmentation.flip_axes
    assert not KINDS[name].augmentation.rotate90
