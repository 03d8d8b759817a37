"""The whole network as ONNX, compared with torch before it is given away."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scanwright.core import Plan, ScanwrightError
from scanwright.models import Explainable
from scanwright.training.trained import Trained, network

OPSET = 18
TOLERANCES = {"logits": 1e-4, "embedding": 1e-3, "cam": 1e-3, "frames": 1e-3}
"""Largest difference, as a share of the largest value. Answers come from the logits alone; embeddings
and maps pass through more sums in single precision."""


class _Answers(nn.Module):
    """The explained answer as a tuple, in the order of the outputs' names."""

    def __init__(self, net: Explainable, names: Sequence[str]) -> None:
        super().__init__()
        self.net = net
        self.names = tuple(names)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        found: Mapping[str, Any] = self.net.explained(image)
        return tuple(found[name] for name in self.names)


def _outputs(net: Explainable, examples: Tensor) -> tuple[str, ...]:
    """Names of what a network gives, in the order of the file."""
    with torch.no_grad():
        return tuple(name for name in TOLERANCES if name in net.eval().explained(examples))


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
    ``(B, n_outputs)``, ``embedding`` ``(B, F)``, ``cam`` ``(B, n_outputs, *coarse)``, and of sequences
    ``frames`` ``(B, T)``.

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
    shape = plan.preprocessing.shape
    if rows is None:
        rows = np.random.default_rng(0).standard_normal((4, *shape))
        if plan.preprocessing.frames is not None:
            rows[:, -1] = np.arange(shape[-1])  # the clock
    examples = torch.from_numpy(np.ascontiguousarray(rows[:8], dtype=np.float32))
    data = to_onnx(net, examples[:2] if len(examples) > 1 else examples.repeat(2, *(1,) * len(shape)))
    compare(net, data, examples)
    return data


def to_onnx(net: Explainable, examples: Tensor) -> bytes:
    """Trace a network with two examples ``(2, C, *size)``."""
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    names = _outputs(net, examples)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Answers(net, names).eval(),
            (examples,),
            input_names=["image"],
            output_names=list(names),
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
    names = _outputs(net, examples[:1])
    with torch.no_grad():
        expected = _Answers(net, names)(examples)
    given = session.run(list(names), {"image": examples.numpy()})
    worst = 0.0
    for name, left, right in zip(names, expected, given, strict=True):
        apart = float(np.abs(left.numpy() - right).max() / max(1.0, float(left.abs().max())))
        worst = max(worst, apart)
        if not apart <= TOLERANCES[name]:
            raise ScanwrightError(
                f"The exported network's {name} differ by {apart:.2g} from the trained network's.",
                f"They must agree within {TOLERANCES[name]:g}, so that every reader computes the same.",
                "Report this with the plan.json; another model in the plan may export well.",
            )
    return worst
