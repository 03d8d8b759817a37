"""Networks from elsewhere: their ends are turned to ours, and every number stays."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from scanwright.core import InputError
from scanwright.training.adopt import adopt_network

NETWORKS = Path(__file__).parent / "networks"


def run(data: bytes, images: np.ndarray, *names: str) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(list(names) or None, {session.get_inputs()[0].name: images})


def exported(net: nn.Module, shape: tuple[int, ...]) -> bytes:
    """A network as PyTorch exports it, with any number of cases."""
    kept = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(), (torch.zeros(1, *shape),), kept, dynamo=False, input_names=["x"], output_names=["y"],
            dynamic_axes={"x": {0: "n"}},
        )  # fmt: skip
    return kept.getvalue()


class Net(nn.Module):
    """Convolution, global average, linear layer and what comes last."""

    def __init__(self, n: int, last: nn.Module, *, channels: int = 1, dims: int = 2) -> None:
        super().__init__()
        torch.manual_seed(n)
        conv, pool = (nn.Conv2d, nn.AdaptiveAvgPool2d) if dims == 2 else (nn.Conv3d, nn.AdaptiveAvgPool3d)
        self.body = nn.Sequential(conv(channels, 5, 3, padding=1), nn.ReLU())
        self.pool, self.head, self.last = pool(1), nn.Linear(5, n), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.head(self.pool(self.body(x)).flatten(1)))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("last", "n", "activation"),
    [
        (nn.Identity(), 3, "none"),
        (nn.Softmax(1), 3, "softmax"),
        (nn.Sigmoid(), 4, "sigmoid"),
        (nn.Sigmoid(), 1, "sigmoid"),
    ],
)
def test_logits_are_those_before_the_last_activation(last: nn.Module, n: int, activation: str) -> None:
    net = Net(n, last, channels=3).eval()
    found = adopt_network(exported(net, (3, 14, 12)), classes=max(n, 2) if n == 1 else n)
    assert (found.size, found.channels, found.n_logits, found.activation) == ((14, 12), 3, n, activation)
    images = noise(5, 3, 14, 12)
    with torch.no_grad():
        expected = net.head(net.pool(net.body(torch.from_numpy(images))).flatten(1)).numpy()
    (logits,) = run(found.network, images, "logits")
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_maps_average_to_the_logits_less_the_bias() -> None:
    net = Net(3, nn.Softmax(1)).eval()
    found = adopt_network(exported(net, (1, 14, 12)), classes=3)
    logits, cam, embedding = run(found.network, noise(2, 1, 14, 12), "logits", "cam", "embedding")
    assert cam.shape == (2, 3, 14, 12)
    assert embedding.shape == (2, 5)
    np.testing.assert_allclose(cam.mean(axis=(2, 3)) + net.head.bias.detach().numpy(), logits, atol=1e-5)


def test_two_outputs_of_a_softmax_become_one_logit() -> None:
    net = Net(2, nn.Softmax(1)).eval()
    found = adopt_network(exported(net, (1, 10, 10)), classes=2)
    assert found.n_logits == 1
    images = noise(4, 1, 10, 10)
    logits, cam = run(found.network, images, "logits", "cam")
    with torch.no_grad():
        expected = net(torch.from_numpy(images)).numpy()[:, 1]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 0])), expected, atol=1e-6)
    bias = net.head.bias.detach().numpy()
    np.testing.assert_allclose(cam.mean(axis=(2, 3))[:, 0] + bias[1] - bias[0], logits[:, 0], atol=1e-5)


def test_volumes_are_taken() -> None:
    found = adopt_network(exported(Net(3, nn.Identity(), dims=3), (1, 8, 10, 6)), classes=3)
    assert found.size == (8, 10, 6)
    assert run(found.network, noise(1, 1, 8, 10, 6), "cam")[0].shape == (1, 3, 8, 10, 6)


@pytest.mark.parametrize("name", ["sigmoid", "softmax"])
def test_a_network_of_keras_gives_what_keras_gives(name: str) -> None:
    data = (NETWORKS / f"keras_{name}.onnx").read_bytes()
    found = adopt_network(data, classes=2)
    images = noise(6, 20, 20, 1)
    given = run(data, images)[0]
    logits, cam = run(found.network, images.transpose(0, 3, 1, 2), "logits", "cam")
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 0])), given[:, -1], atol=1e-5)
    assert cam.shape[:2] == (6, 1)
    apart = logits[:, 0] - cam.mean(axis=(2, 3))[:, 0]
    np.testing.assert_allclose(apart, apart[0], atol=1e-4)
    assert "Channels come last in an input of any x 20 x 20 x 1." in found.notes


def test_rows_and_columns_are_not_swapped() -> None:
    """A network that answers with the mean of the top rows: a bright top row tells, a bright left column does not."""
    weight = np.zeros((1, 12, 10, 1), np.float32)
    weight[:, :3] = 1 / 30
    net = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["p"]), helper.make_node("ReduceSum", ["p", "axes"], ["y"], keepdims=0)],
        "top",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 12, 10, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array([1, 2]), "axes")],
    )
    data = helper.make_model(net, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    found = adopt_network(data, classes=1)
    top, left = np.zeros((1, 1, 12, 10), np.float32), np.zeros((1, 1, 12, 10), np.float32)
    top[:, :, :3], left[..., :3] = 1, 1
    assert run(found.network, top, "logits")[0][0, 0] == pytest.approx(1.0)
    assert run(found.network, left, "logits")[0][0, 0] == pytest.approx(0.3)


def test_probabilities_made_in_another_way_become_logits() -> None:
    class Shares(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.exp() / x.exp().sum(1, keepdim=True)

    net = Net(3, Shares()).eval()
    found = adopt_network(exported(net, (1, 9, 9)), classes=3)
    images = noise(3, 1, 9, 9)
    (logits,) = run(found.network, images, "logits")
    with torch.no_grad():
        expected = net(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(np.exp(logits), expected, rtol=1e-4)
    assert any("logarithms" in note for note in found.notes)


def test_a_network_without_an_average_is_taken_and_that_is_said() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 6 * 6, 3))
    found = adopt_network(exported(net, (1, 8, 8)), classes=3)
    assert [o.name for o in onnx.load_model_from_string(found.network).graph.output] == ["logits"]
    assert any("covering places" in note for note in found.notes)


class Clash(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net(3, nn.Identity())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@pytest.mark.parametrize("names", [("image", "logits"), ("logits", "image"), ("cam", "embedding")])
def test_names_that_we_use_ourselves_do_not_clash(names: tuple[str, str]) -> None:
    data = exported(Clash(), (1, 9, 9))
    model = onnx.load_model_from_string(data)
    for node in model.graph.node:
        node.input[:] = [names[0] if n == "x" else n for n in node.input]
        node.output[:] = [names[1] if n == "y" else n for n in node.output]
    model.graph.input[0].name, model.graph.output[0].name = names
    found = adopt_network(model.SerializeToString(), classes=3)
    images = noise(2, 1, 9, 9)
    np.testing.assert_allclose(run(found.network, images, "logits")[0], run(data, images)[0], atol=1e-5)


def small(**ends: Any) -> bytes:
    given = {"shape": ["n", 1, 8, 8], "inputs": ["x"], "outputs": ["y"], **ends}
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, given["shape"]) for n in given["inputs"]]
    nodes = [helper.make_node("Relu", [given["inputs"][0]], [n]) for n in given["outputs"]]
    outs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in given["outputs"]]
    graph = helper.make_graph(nodes, "g", ports, outs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


@pytest.mark.parametrize(
    ("data", "wishes", "match"),
    [
        (b"no network", {}, "no usable ONNX network"),
        (b"", {}, "no usable ONNX network"),
        (small(inputs=["x", "z"]), {}, "has 2 inputs: x, z"),
        (small(outputs=["y", "z"]), {}, "has 2 outputs: y, z"),
        (small(shape=["n", 7]), {}, "has the shape any x 7"),
        (small(shape=["n", 3, 8, 3]), {}, "--channels first or --channels last"),
        (small(shape=["n", 5, 8, 8]), {"order": "first"}, "takes 5 channels"),
        (small(shape=["n", 1, "h", "w"]), {}, "--size 224x224"),
        (small(), {"size": (9, 9)}, "takes images of 8 x 8, not 9 x 9"),
        (small(), {"size": (8, 8, 8)}, "--size has 3 numbers"),
        (small(), {}, r"an array of shape \(1, 8, 8\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_adopted_is_refused_in_words(data: bytes, wishes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        adopt_network(data, **wishes)


def test_two_findings_that_are_asked_for_stay_two() -> None:
    found = adopt_network(exported(Net(2, nn.Identity()), (1, 9, 9)), classes=None)
    assert found.n_logits == 2
