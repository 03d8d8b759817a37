"""Every model of the table keeps the contract of its room."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from scanwright.models import MODELS, FixedFeatures, build
from scanwright.training.export import compare, to_onnx

SMALL: dict[str, dict[str, int | float | bool]] = {
    "cnn": {"width": 4},
    "resnet9": {"width": 4},
    "resnet3d": {"width": 4},
    "resnet18": {"width": 0.125, "small": True},
    "densenet121": {"growth": 4, "small": True},
}
ROWS = [(name, d) for name, row in MODELS.items() for d in row.dims]


def made(name: str, dimension: int, n_outputs: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    net = build(name, dimension=dimension, in_channels=1, n_outputs=n_outputs, **SMALL.get(name, {}))
    if isinstance(net, FixedFeatures):
        torch.nn.init.normal_(net.head.weight, std=0.01)
    return net.eval()


def side(name: str, dimension: int) -> int:
    return 16 if dimension == 3 else 28


@pytest.mark.parametrize(("name", "dimension"), ROWS)
def test_shapes_and_exact_maps(name: str, dimension: int) -> None:
    net = made(name, dimension)
    x = torch.randn(2, 1, *(side(name, dimension),) * dimension)
    with torch.no_grad():
        logits, found = net(x), net.explained(x)
    assert logits.shape == (2, 3)
    assert found["embedding"].ndim == 2
    assert found["cam"].ndim == 2 + dimension
    torch.testing.assert_close(found["logits"], logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["cam"].flatten(2).mean(2) + net.head.bias, logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "dimension"), ROWS)
def test_onnx_runtime_agrees_for_any_batch(name: str, dimension: int) -> None:
    if name == "densenet121" and dimension == 3:
        pytest.skip("the same layers as in two dimensions; tracing takes long")
    net = made(name, dimension)
    x = torch.randn(3, 1, *(side(name, dimension),) * dimension)
    data = to_onnx(net, x[:2])
    assert compare(net, data, x) <= 1e-4
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["image"]
    assert [o.name for o in session.get_outputs()] == ["logits", "embedding", "cam"]
    assert session.run(["logits"], {"image": x[:1].numpy()})[0].shape == (1, 3)


@pytest.mark.parametrize(("name", "dimension"), ROWS)
def test_networks_learn(name: str, dimension: int) -> None:
    net = made(name, dimension).train()
    x = torch.randn(2, 1, *(side(name, dimension),) * dimension)
    net(x).sum().backward()
    given = [p.grad for p in net.parameters() if p.requires_grad]
    assert given
    assert all(g is not None and np.isfinite(g.numpy()).all() for g in given)


@pytest.mark.parametrize("name", list(MODELS))
def test_rows_say_what_they_are(name: str) -> None:
    row = MODELS[name]
    assert row.words
    assert row.source
    assert set(row.dims) <= {2, 3}
    assert row.kind == ("classical" if isinstance(made(name, row.dims[0]), FixedFeatures) else "network")
