"""Heads over frames: the articles' formulas by hand, frames that are not there, order and times."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scanwright.models import build  # noqa: E402
from scanwright.models.heads import HEADS, attend, masked_softmax, positions  # noqa: E402

ORDERED = ("frames-lstm", "frames-gru", "frames-attention")
UNORDERED = ("frames-mean", "frames-mil")


def clips(n: int = 3, frames: int = 5, seed: int = 0) -> torch.Tensor:
    x = torch.randn(n, 2, 16, 16, frames, generator=torch.Generator().manual_seed(seed))
    x[:, 1] = torch.arange(float(frames))
    return x


def made(name: str) -> torch.nn.Module:
    torch.manual_seed(1)
    return build(name, dimension=3, in_channels=2, n_outputs=2, width=4, pools=2, hidden=8).eval()


def test_the_lstm_is_that_of_the_articles() -> None:
    """One step after another: input, forget and output gates, candidate, cell, state."""
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(3, 2, batch_first=True)
    x = torch.randn(1, 4, 3)
    w, u, b = (p.detach().numpy() for p in (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0))

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    cell, state, states = np.zeros(2), np.zeros(2), []
    for step in x[0].numpy():
        i, f, g, o = np.split(w @ step + u @ state + b, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        state = sigmoid(o) * np.tanh(cell)
        states.append(state)
    assert np.allclose(lstm(x)[0][0].detach().numpy(), np.stack(states), atol=1e-6)


def test_attention_is_softmax_of_scaled_products() -> None:
    q, k, v = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]), np.array([[1.0], [2.0], [99.0]])
    scores = np.array([1.0, 0.0]) / math.sqrt(2)
    weights = np.exp(scores) / np.exp(scores).sum()
    expected = weights @ v[:2]
    there = torch.tensor([[1.0, 1.0, 0.0]])
    found = attend(*(torch.tensor(a, dtype=torch.float32) for a in (q, k, v)), there)
    assert np.allclose(found.numpy(), expected, atol=1e-6)


def test_weights_of_frames_that_are_not_there_are_zero() -> None:
    weights = masked_softmax(torch.tensor([[0.0, 0.0, 50.0]]), torch.tensor([[1.0, 1.0, 0.0]]))
    assert weights.tolist() == [[0.5, 0.5, 0.0]]


def test_positions_tell_unequal_distances_apart() -> None:
    near, far = positions(torch.tensor([[0.0, 1.0]]), 8), positions(torch.tensor([[0.0, 9.0]]), 8)
    assert torch.equal(near[:, 0], far[:, 0])
    assert not torch.allclose(near[:, 1], far[:, 1], atol=0.1)


@pytest.mark.parametrize("name", [*ORDERED, *UNORDERED])
def test_frames_that_are_not_there_change_nothing(name: str) -> None:
    net, x = made(name), clips()
    longer = torch.cat([x, torch.zeros(3, 2, 16, 16, 2)], dim=-1)
    longer[:, 1, ..., 5:] = -1.0
    odd = longer.clone()
    odd[:, 0, ..., 5:] = 7.0
    with torch.no_grad():
        expected = net(x)
        assert torch.allclose(net(longer), expected, atol=1e-5)
        assert torch.allclose(net(odd), expected, atol=1e-5)
        weights = net.explained(longer)["frames"]
    assert torch.allclose(weights[:, :5].sum(1), torch.ones(3), atol=1e-5)
    assert not weights[:, 5:].any()


@pytest.mark.parametrize("name", [*ORDERED, *UNORDERED])
def test_order_counts_for_those_that_read_in_order_and_for_no_other(name: str) -> None:
    net, x = made(name), clips()
    turned = x.clone()
    turned[:, 0] = x[:, 0].flip(-1)
    with torch.no_grad():
        same = torch.allclose(net(x), net(turned), atol=1e-5)
    assert same == (name in UNORDERED)


@pytest.mark.parametrize("name", ORDERED)
def test_times_count(name: str) -> None:
    net, x = made(name), clips()
    later = x.clone()
    later[:, 1] *= 3
    with torch.no_grad():
        assert not torch.allclose(net(x), net(later), atol=1e-4)


def test_normalisation_learns_from_frames_that_are_there_only() -> None:
    """In training the statistics of a batch are those of its frames, not of the padding."""
    x = clips(frames=4)
    padded = torch.cat([x, torch.zeros(3, 2, 16, 16, 4)], dim=-1)
    padded[:, 1, ..., 4:] = -1.0
    means = []
    for batch in (x, padded):
        net = made("frames-mean").train()
        net(batch)
        means.append(torch.cat([m.running_mean for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]))
    assert torch.allclose(means[0], means[1], atol=1e-5)


def test_maps_of_the_mean_are_exact() -> None:
    """The logit of the mean is a sum over places and frames: the map must be its terms, whatever the features."""
    net, x = made("frames-mean"), clips()
    with torch.no_grad():
        maps = net.body(x[:, :1].movedim(-1, 1).reshape(15, 1, 16, 16)).reshape(3, 5, -1, 4, 4)
        terms = torch.einsum("btfij,of->boijt", maps, net.head.weight)
        assert torch.allclose(net.explained(x)["cam"], terms, atol=1e-4)


@pytest.mark.parametrize("name", [*ORDERED, *UNORDERED])
def test_the_frame_that_decides_has_the_strongest_map(name: str) -> None:
    """One frame alone differs from the others, so what the answer owes to frames lies on it."""
    net = made(name)
    x = clips(1) * 0.0
    x[:, 1] = torch.arange(5.0)
    x[0, 0, 4:12, 4:12, 3] = 6.0
    with torch.no_grad():
        cam = net.explained(x)["cam"][0]
    spread = cam.flatten(1, 2).std(1)  # within each frame
    assert (spread.argmax(1) == 3).all()


def test_every_head_is_named_in_the_table_of_models() -> None:
    from scanwright.models import MODELS

    assert {n.removeprefix("frames-") for n, row in MODELS.items() if row.frames} <= {*HEADS, "mil"}
