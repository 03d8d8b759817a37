"""The detection network as ONNX, compared with torch before it is given away."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from scanwright.core import Plan, ScanwrightError
from scanwright.io.box_store import BoxStore
from scanwright.training.detect.train import load_detector
from scanwright.training.detect.windows import BoxWindows
from scanwright.training.trained import Trained

OPSET = 18
_TOLERANCE = 1e-3


def export_detector(trained: Trained, plan: Plan, store: BoxStore) -> bytes:
    """Write the network as ONNX: input ``image`` ``(B, C, *size)``, output ``logits`` ``(B, n_outputs, *cells)``.

    Args:
        trained: Result of training.
        plan: Its plan.
        store: Prepared cases; two windows of validation are compared.

    Returns:
        An ONNX file, opset 18, for any number of windows of the plan's size.

    Raises:
        ScanwrightError: ONNX Runtime's answers differ from torch's by more than 1e-3 of the largest.
    """
    network = load_detector(trained, plan)
    data = BoxWindows(store, plan, torch.device("cpu"))
    rows = [int(n) for n in (*data.val, *data.val)[:2]]
    middles = [tuple(n // 2 for n in store.shapes[row]) for row in rows]
    pieces = [data.window(row, (i, j, k), data.size)[0] for row, (i, j, k) in zip(rows, middles, strict=True)]
    pair = torch.from_numpy(np.stack(pieces).astype(np.float32))
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (pair,),
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        path = Path(folder) / "network.onnx"
        program.save(str(path), external_data=False)  # type: ignore[union-attr]
        written = path.read_bytes()
    _compare(network, written, pair)
    return written


def _compare(network: torch.nn.Module, written: bytes, examples: torch.Tensor) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(written, options, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(examples).numpy()
    given = session.run(["logits"], {"image": examples.numpy()})[0]
    apart = float(np.abs(expected - given).max() / max(1.0, float(np.abs(expected).max())))
    if apart > _TOLERANCE:
        raise ScanwrightError(
            f"The exported network's answers differ by {apart:.2g} from the trained network's.",
            f"They must agree within {_TOLERANCE:g}, so that every reader computes the same.",
            "Report this with the plan.json; another model in the plan may export well.",
        )
