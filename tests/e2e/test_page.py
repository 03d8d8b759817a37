"""The service as a process of its own, with a real model file, and its page in a real browser."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from scanwright.core import Plan
from scanwright.core.plan import Augmentation, Intensity, Memory, Preprocessing, Training

KIT = (Path(__file__).resolve().parents[2] / ".." / "shared" / "data").resolve()
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync", "--no-first-run"]

SERVE = """
import sys
from scanwright.core import Said
from scanwright.serving import serve
def emit(event):
    if isinstance(event, Said):
        sys.stdout.write(event.text + "\\n")
        sys.stdout.flush()
serve(sys.argv[2:], port=int(sys.argv[1]), emit=emit)
"""


def a_network(dimension: int) -> bytes:
    """Mean brightness by places: its answer is known by hand."""
    from onnx import TensorProto, checker, helper, numpy_helper

    side, cell = (32, 8) if dimension == 2 else (16, 4)
    axes = list(range(2, 2 + dimension))
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["pooled"], kernel_shape=[cell] * dimension, strides=[cell] * dimension
        ),
        helper.make_node("Mul", ["pooled", "eight"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "four"], ["cam"]),
        helper.make_node("ReduceMean", ["cam", "axes"], ["logits"], keepdims=0),
        helper.make_node("Identity", ["logits"], ["embedding"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(8, np.float32), "eight"),
        numpy_helper.from_array(np.array(4, np.float32), "four"),
        numpy_helper.from_array(np.array(axes, np.int64), "axes"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 1, *[side] * dimension])
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 1]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", 1]),
        helper.make_tensor_value_info("cam", TensorProto.FLOAT, ["B", 1, *[side // cell] * dimension]),
    ]
    graph = helper.make_graph(nodes, "brightness", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    checker.check_model(model)
    return model.SerializeToString()


def a_model_file(path: Path, *, name: str = "brightness", dimension: int = 2) -> Path:
    """A whole model file around that network."""
    from scanwright.io import write_model_file
    from scanwright.trust import Trust

    classes = ("dark", "bright")
    side = 32 if dimension == 2 else 16
    plan = Plan(
        task="binary",
        classes=classes,
        preprocessing=Preprocessing(
            dimension=dimension,  # type: ignore[arg-type]
            size=(side,) * dimension,
            orientation="RAS" if dimension == 3 else None,
            intensity=Intensity(method="percentile", low=0.5, high=99.5),
        ),
        augmentation=Augmentation(),
        training=Training(budget_s=60),
        candidates=(),
        memory=Memory(predicted_mb=1, limit_mb=2),
    )
    trust = Trust(task="binary", classes=classes, bias=(0.0,), cuts=(-0.5,), n_validation=100)
    figure = {"value": 0.954, "low": 0.921, "high": 0.978}
    evaluation = {"test": {"auroc": figure, "balanced_accuracy": {**figure, "value": 0.931}, "n_cases": 624}}
    card = f"# Model card: {name}\n\nTells bright pictures from dark ones.\n\n| part | cases |\n|---|---|\n| test | 624 |\n"
    members = {
        "plan.json": plan.to_json(),
        "network.onnx": a_network(dimension),
        "labels.json": json.dumps({"names": list(classes)}),
        "trust.json": json.dumps(trust.to_dict()),
        "evaluation.json": json.dumps(evaluation),
        "card.md": card,
    }
    content = {n: v if isinstance(v, bytes) else v.encode() for n, v in members.items()}
    write_model_file(path, content, facts={"name": name, "version": "1.2.0"})
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two model files and a few images."""
    folder = tmp_path_factory.mktemp("service")
    a_model_file(folder / "flat.scanwright")
    a_model_file(folder / "deep.scanwright", name="deep", dimension=3)
    ramp = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    Image.fromarray(ramp).save(folder / "ramp.png")
    bright = np.full((64, 96), 250, np.uint8)
    bright[:4] = 0
    Image.fromarray(bright).save(folder / "bright.png")
    Image.fromarray(255 - bright).save(folder / "dark.jpg", quality=95)
    np.save(folder / "array.npy", bright.astype(np.float32))
    (folder / "cut.png").write_bytes((folder / "ramp.png").read_bytes()[:80])
    return folder


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """Address of a running service of both models."""
    command = [sys.executable, "-c", SERVE, "0", str(place / "flat.scanwright"), str(place / "deep.scanwright")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), url
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if httpx.get(f"{url}readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
        process.send_signal(signal.SIGINT)
        assert process.wait(40) in (0, -signal.SIGINT)


def send(address: str, *paths: Path, **query: Any) -> httpx.Response:
    with httpx.Client(base_url=address, timeout=120) as client:
        return client.post("v1/predict", files=[("files", (p.name, p.read_bytes())) for p in paths], params=query)
