"""Every engine gives the same numbers, for one case or many, from one thread or two."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from scanwright.core import ModelFileError
from scanwright.inference import ENGINES, open_engine


def conv_network(dimension: int, *, seed: int = 0) -> bytes:
    """Three convolutions with batch normalisation, a skip connection, pooling and a head of three."""
    chance = np.random.default_rng(seed)
    spread = [3] * dimension

    def weights(*shape: int) -> Any:
        return chance.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    constants = {
        "w1": weights(16, 1, *spread),
        "w2": weights(16, 16, *spread),
        "w3": weights(3, 16, *[1] * dimension),
        "scale": np.abs(weights(16)) + 0.5,
        "shift": weights(16),
        "mean": weights(16),
        "variance": np.abs(weights(16)) + 0.5,
    }
    around = [1] * (2 * dimension)
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], pads=around),
        helper.make_node("BatchNormalization", ["a", "scale", "shift", "mean", "variance"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "w2"], ["d"], pads=around),
        helper.make_node("Add", ["c", "d"], ["e"]),
        helper.make_node("MaxPool", ["e"], ["f"], kernel_shape=[2] * dimension, strides=[2] * dimension),
        helper.make_node("Sigmoid", ["f"], ["g"]),
        helper.make_node("Conv", ["g", "w3"], ["cam"]),
        helper.make_node("GlobalAveragePool", ["cam"], ["h"]),
        helper.make_node("Flatten", ["h"], ["logits"]),
        helper.make_node("GlobalAveragePool", ["g"], ["i"]),
        helper.make_node("Flatten", ["i"], ["embedding"]),
    ]
    size = [16] * dimension
    ranks = {"logits": 2, "embedding": 2, "cam": dimension + 2}
    graph = helper.make_graph(
        nodes,
        "conv",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 1, *size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank) for name, rank in ranks.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def images(dimension: int, n: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(n, 1, *[16] * dimension)).astype(np.float32)


def reference(dimension: int) -> dict[str, NDArray[np.float32]]:
    """The ONNX project's own evaluator, which shares no code with the engines."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load_from_string(conv_network(dimension)))
    return dict(zip(("logits", "embedding", "cam"), evaluator.run(None, {"image": images(dimension, 2)}), strict=True))


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_agrees_with_the_reference(name: str, dimension: int) -> None:
    engine = ENGINES[name](conv_network(dimension), threads=1)
    found = engine.run(images(dimension, 2))
    assert set(found) == set(engine.outputs) == {"logits", "embedding", "cam"}
    for key, expected in reference(dimension).items():
        assert found[key].dtype == np.float32
        np.testing.assert_allclose(found[key], expected, atol=1e-5)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("name", ENGINES)
def test_one_at_a_time_is_the_batch(name: str, dimension: int) -> None:
    engine = ENGINES[name](conv_network(dimension), threads=1)
    batch = images(dimension)
    together = engine.run(batch)
    apart = [engine.run(one[None]) for one in batch]
    for key, values in together.items():
        np.testing.assert_allclose(values, np.concatenate([one[key] for one in apart]), atol=1e-5)


@pytest.mark.parametrize("name", ENGINES)
def test_threads_and_repetition_change_nothing(name: str) -> None:
    batch = images(2)
    one, two = (ENGINES[name](conv_network(2), threads=n) for n in (1, 2))
    np.testing.assert_allclose(one.run(batch)["logits"], two.run(batch)["logits"], atol=1e-5)
    np.testing.assert_array_equal(one.run(batch)["logits"], one.run(batch)["logits"])


@pytest.mark.parametrize("name", ENGINES)
def test_answers_are_the_callers_own(name: str) -> None:
    """A later run must not write into the arrays of an earlier one."""
    engine = ENGINES[name](conv_network(2), threads=1)
    first = engine.run(images(2))["cam"]
    kept = first.copy()
    engine.run(-images(2))
    np.testing.assert_array_equal(first, kept)
    first[:] = 0  # writable


@pytest.mark.parametrize("name", ENGINES)
def test_half_precision_and_strided_input_are_taken(name: str) -> None:
    engine = ENGINES[name](conv_network(2), threads=1)
    batch = images(2).astype(np.float16)
    expected = engine.run(batch.astype(np.float32))["logits"]
    np.testing.assert_allclose(engine.run(batch)["logits"], expected, atol=1e-6)  # type: ignore[arg-type]
    wide = np.repeat(batch.astype(np.float32), 2, axis=3)[..., ::2]
    np.testing.assert_allclose(engine.run(wide)["logits"], expected, atol=1e-6)


@pytest.mark.parametrize("name", ENGINES)
def test_a_damaged_network_is_an_error(name: str) -> None:
    with pytest.raises(ModelFileError, match=f"No engine can run the network: {name} cannot open"):
        open_engine(conv_network(2)[:500], name)


def test_the_first_engine_that_can_is_taken_and_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_engine(conv_network(2)).engine.name == "openvino"
    assert open_engine(conv_network(2)).reason == ""

    def missing(network: bytes, *, threads: int, precision: str = "f32") -> Any:
        raise ImportError("No module named 'openvino'")

    monkeypatch.setitem(ENGINES, "openvino", missing)
    opened = open_engine(conv_network(2))
    assert opened.engine.name == "onnxruntime"
    assert "openvino cannot open this network (No module named 'openvino')" in opened.reason
    assert "so onnxruntime is used" in opened.reason


def test_openvino_computes_in_float32() -> None:
    """By default it computes in bfloat16 where the CPU has it: wrong in the third digit."""
    engine: Any = ENGINES["openvino"](conv_network(2), threads=1)
    assert "float32" in str(engine._compiled.get_property("INFERENCE_PRECISION_HINT")) or "f32" in str(
        engine._compiled.get_property("INFERENCE_PRECISION_HINT")
    )
