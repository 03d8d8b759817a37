"""Small segmentation networks made by hand, whose every logit can be worked out on paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from scanwright.core import Augmentation, Intensity, Memory, Plan, Preprocessing, Segmentation, Training


def make_network(size: tuple[int, ...], kernel: NDArray[Any], bias: Any) -> bytes:
    """One convolution that keeps the size: ``kernel`` is ``(n_outputs, channels, *odd sides)``."""
    kernel = np.asarray(kernel, dtype=np.float32)
    channels, sides = kernel.shape[1], kernel.shape[2:]
    node = helper.make_node(
        "Conv", ["image", "kernel", "bias"], ["logits"], kernel_shape=sides, pads=[s // 2 for s in sides] * 2
    )
    graph = helper.make_graph(
        [node],
        "pointwise",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", channels, *size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", len(kernel), *size])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(np.asarray(bias, np.float32), "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def make_plan(
    classes: tuple[str, ...] = ("bright",), segmentation: dict[str, Any] | None = None, **preprocessing: Any
) -> Plan:
    """A plan for volumes of values from 0 to 255, taken as they are."""
    chosen = {
        "dimension": 3,
        "size": (8, 8, 8),
        "intensity": Intensity(method="range", low=0, high=255),
        **preprocessing,
    }
    more = {"codes": tuple((n,) for n in range(len(classes))), **(segmentation or {})}
    return Plan(
        task="segment",
        classes=classes,
        preprocessing=Preprocessing(**chosen),
        segmentation=Segmentation(**more),
        augmentation=Augmentation(),
        training=Training(budget_s=60),
        candidates=(),
        memory=Memory(predicted_mb=1, limit_mb=2),
    )


@pytest.fixture
def network() -> Callable[..., bytes]:
    return make_network


@pytest.fixture
def plan() -> Callable[..., Plan]:
    return make_plan


class Recorder:
    """An engine that runs a numpy function and remembers what it was given."""

    name = "numpy"
    outputs = ("logits",)

    def __init__(self, function: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self.function = function
        self.given: list[NDArray[np.float32]] = []

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        self.given.append(np.array(batch))
        return {"logits": self.function(np.asarray(batch))}


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder
