"""Every model of the table keeps the contract of its room."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from scanwright.models import MODELS, Boosted, Fitted, Light, Nearest, build
from scanwright.training.export import compare, to_onnx

SMALL: dict[str, dict[str, int | float | bool | str]] = {
    "cnn": {"width": 4},
    "resnet9": {"width": 4},
    "resnet3d": {"width": 4},
    "resnet18": {"width": 0.125, "small": True},
    "resnet34": {"width": 0.125, "small": True},
    "resnet50": {"width": 0.125, "small": True},
    "densenet121": {"growth": 4, "small": True},
    "vit": {"width": 24, "depth": 2, "heads": 3, "patch": 8, "grid": 3},
    "frozen": {"base": "resnet9", "width": 4, "enlarge": 2},
    "nearest": {"base": "resnet9", "width": 4, "cases": 6, "k": 3},
    "boosted": {"base": "resnet9", "width": 4, "trees": 5, "depth": 2},
    "tuned": {"base": "resnet9", "width": 4, "channels": 1},
    **{name: {"width": 4, "pools": 2, "hidden": 8} for name, row in MODELS.items() if row.frames},
}
ROWS = [(name, d) for name, row in MODELS.items() for d in row.dims]


def made(name: str, dimension: int, n_outputs: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    channels = 2 if MODELS[name].frames else 1
    net = build(name, dimension=dimension, in_channels=channels, n_outputs=n_outputs, **SMALL.get(name, {}))
    if isinstance(net, Fitted):
        torch.nn.init.normal_(net.head.weight, std=0.01)
    if isinstance(net, Nearest):
        n = len(net.bank)
        net.remember(
            torch.randn(n, net.kept), torch.eye(3).repeat(n // 3, 1), torch.ones(n, 3), torch.ones(n), sharpness=5.0
        )
    if isinstance(net, Boosted):
        net.feature.random_(net.kept)
        net.threshold.normal_(std=0.2)
        net.leaves.normal_()
    return net.eval()


def images(name: str, dimension: int, n: int) -> torch.Tensor:
    """Noise; of a sequence the clock is the second channel, and the last case has two frames only."""
    side = 16 if dimension == 3 else 28
    if not MODELS[name].frames:
        return torch.randn(n, 1, *(side,) * dimension)
    x = torch.randn(n, 2, side, side, 5)
    x[:, 1] = torch.tensor([0.0, 1.0, 2.0, 4.0, 7.0])
    x[-1, 0, ..., 2:], x[-1, 1, ..., 2:] = 0.0, -1.0
    return x


@pytest.mark.parametrize(("name", "dimension"), ROWS)
def test_shapes_and_exact_maps(name: str, dimension: int) -> None:
    net = made(name, dimension)
    x = images(name, dimension, 2)
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
    x = images(name, dimension, 3)
    data = to_onnx(net, x[:2])
    assert compare(net, data, x) <= 1e-4
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["image"]
    names = ["logits", "embedding", "cam", *(["frames"] if MODELS[name].frames else [])]
    assert [o.name for o in session.get_outputs()] == names
    assert session.run(["logits"], {"image": x[:1].numpy()})[0].shape == (1, 3)


@pytest.mark.parametrize(("name", "dimension"), ROWS)
def test_networks_learn(name: str, dimension: int) -> None:
    net = made(name, dimension).train()
    x = images(name, dimension, 2)
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
    assert row.kind == ("classical" if isinstance(made(name, row.dims[0]), Fitted | Light) else "network")
