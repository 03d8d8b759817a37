"""The whole network as ONNX, compared with torch before it is given away."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scanwright.core import Plan, ScanwrightError
from scanwright.models import Explainable
from scanwright.training.trained import Trained, network

OPSET = 18
TOLERANCES = {"logits": 1e-4, "embedding": 1e-3, "cam": 1e-3}
"""Largest difference, as a share of the largest value. Answers come from the logits alone; embeddings
and maps pass through more sums in single precision."""


class _Answers(nn.Module):
    """The explained answer as a tuple, in the order of the outputs' names."""

    def __init__(self, net: Explainable) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.net.explained(image)
        return found["logits"], found["embedding"], found["cam"]


def export_network(
    trained: Trained,
    plan: Plan,
    *,
    which: Literal["model", "baseline"] = "model",
    rows: NDArray[np.floating] | None = None,
) -> bytes:
    """Write the network as ONNX.

    Members are averaged and mirror images taken inside the graph; preprocessing and calibration
    are outside. Input ``image`` ``(B, C, *size)`` float32 with any B; outputs ``logits``
    ``(B, n_outputs)``, ``embedding`` ``(B, F)``, ``cam`` ``(B, n_outputs, *coarse)``.

    Args:
        trained: Result of training.
        plan: Its plan.
        which: The chosen model or the linear baseline.
        rows: Prepared cases ``(n, C, *size)`` for the comparison; random ones if None.

    Returns:
        An ONNX file, opset 18.

    Raises:
        ScanwrightError: ONNX Runtime's answers differ from torch's by more than :data:`TOLERANCES`
            (relative to the largest answer, if that is above 1).
    """
    net = network(trained, plan, which=which)
    shape = (plan.preprocessing.channels, *plan.preprocessing.size)
    if rows is None:
        rows = np.random.default_rng(0).standard_normal((4, *shape))
    examples = torch.from_numpy(np.ascontiguousarray(rows[:8], dtype=np.float32))
    data = to_onnx(net, examples[:2] if len(examples) > 1 else examples.repeat(2, *(1,) * len(shape)))
    compare(net, data, examples)
    return data


def to_onnx(net: Explainable, examples: Tensor) -> bytes:
    """Trace a network with two examples ``(2, C, *size)``."""
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Answers(net).eval(),
            (examples,),
            input_names=["image"],
            output_names=["logits", "embedding", "cam"],
            dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        path = Path(folder) / "network.onnx"
        program.save(str(path), external_data=False)  # type: ignore[union-attr]
        return path.read_bytes()


def compare(net: Explainable, data: bytes, examples: Tensor) -> float:
    """Largest difference between torch and ONNX Runtime, over all outputs.

    Args:
        net: The network, in evaluation mode.
        data: Its ONNX file.
        examples: ``(n, C, *size)``.

    Raises:
        ScanwrightError: The difference is above the tolerance.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = _Answers(net)(examples)
    given = session.run(["logits", "embedding", "cam"], {"image": examples.numpy()})
    worst = 0.0
    for name, left, right in zip(("logits", "embedding", "cam"), expected, given, strict=True):
        apart = float(np.abs(left.numpy() - right).max() / max(1.0, float(left.abs().max())))
        worst = max(worst, apart)
        if not apart <= TOLERANCES[name]:
            raise ScanwrightError(
                f"The exported network's {name} differ by {apart:.2g} from the trained network's.",
                f"They must agree within {TOLERANCES[name]:g}, so that every reader computes the same.",
                "Report this with the plan.json; another model in the plan may export well.",
            )
    return worst
