"""A tiny network made by hand, so that every figure can be worked out on paper."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from scanwright.core import Augmentation, Intensity, Memory, Plan, Preprocessing, Training


def make_network(
    size: tuple[int, ...] = (32, 32),
    *,
    channels: int = 1,
    weights: Any = ((4.0,),),
    bias: Any = (-1.0,),
    cam: bool = True,
) -> bytes:
    """Brightness above one half, averaged over cells of 4 voxels a side, then a linear head.

    The feature of a cell is ``mean(relu(image - 0.5))`` over its voxels; logit o is the mean over
    cells of ``weights[o] @ feature`` plus ``bias[o]``; ``cam[o]`` is ``weights[o] @ feature``.
    """
    n = len(size)
    head = np.asarray(weights, dtype=np.float32).reshape(-1, channels, *[1] * n)
    constants = {
        "half": np.float32(0.5).reshape([1] * (n + 2)),
        "head": head,
        "bias": np.asarray(bias, dtype=np.float32).reshape(1, -1),
    }
    nodes = [
        helper.make_node("Sub", ["image", "half"], ["above"]),
        helper.make_node("Relu", ["above"], ["bright"]),
        helper.make_node("AveragePool", ["bright"], ["cells"], kernel_shape=[4] * n, strides=[4] * n),
        helper.make_node("Conv", ["cells", "head"], ["cam"]),
        helper.make_node("GlobalAveragePool", ["cam"], ["mean_cam"]),
        helper.make_node("Flatten", ["mean_cam"], ["flat"]),
        helper.make_node("Add", ["flat", "bias"], ["logits"]),
        helper.make_node("GlobalAveragePool", ["cells"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    outputs = {"logits": 2, "embedding": 2, "cam": n + 2}
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", channels, *size])],
        [
            helper.make_tensor_value_info(k, TensorProto.FLOAT, [None] * r)
            for k, r in outputs.items()
            if cam or k != "cam"
        ],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def make_plan(task: str = "binary", classes: tuple[str, ...] = ("dark", "bright"), **preprocessing: Any) -> Plan:
    """A plan for pictures of 32 x 32 values from 0 to 255, taken as they are."""
    chosen = {
        "dimension": 2,
        "size": (32, 32),
        "intensity": Intensity(method="range", low=0, high=255, mean=(0.0,), std=(1.0,)),
        **preprocessing,
    }
    return Plan(
        task=task,  # type: ignore[arg-type]
        classes=classes,
        preprocessing=Preprocessing(**chosen),
        augmentation=Augmentation(),
        training=Training(budget_s=60),
        candidates=(),
        memory=Memory(predicted_mb=1, limit_mb=2),
    )


def make_members(network: bytes, plan: Plan, trust: dict[str, Any] | None = None) -> dict[str, bytes]:
    """Everything that a model file must hold."""
    return {
        "plan.json": plan.to_json().encode(),
        "network.onnx": network,
        "labels.json": json.dumps({"names": list(plan.classes)}).encode(),
        "trust.json": json.dumps(trust or {}).encode(),
        "evaluation.json": b"{}",
        "card.md": b"# Card\n",
    }


@pytest.fixture
def network() -> Callable[..., bytes]:
    return make_network


@pytest.fixture
def plan() -> Callable[..., Plan]:
    return make_plan


@pytest.fixture
def members() -> Callable[..., dict[str, bytes]]:
    return make_members
