"""The segmentation network as ONNX, compared with torch before it is given away."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from scanwright.core import Plan, ScanwrightError
from scanwright.io.voxel_store import VoxelStore
from scanwright.training.segment.train import load_segmenter
from scanwright.training.segment.windows import Windows
from scanwright.training.trained import Trained

OPSET = 18
_VOXELS = 0.999
_TOLERANCE = 1e-3


def export_segmenter(trained: Trained, plan: Plan, store: VoxelStore) -> bytes:
    """Write the network as ONNX: input ``image`` ``(B, C, *size)``, output ``logits`` ``(B, n_outputs, *size)``.

    Args:
        trained: Result of training.
        plan: Its plan.
        store: Prepared cases; two windows of validation are compared.

    Returns:
        An ONNX file, opset 18, for any number of windows of the plan's size.

    Raises:
        ScanwrightError: ONNX Runtime's logits differ from torch's by more than 1e-3 of the
            largest, or its label maps in more than a thousandth of the voxels.
    """
    network = load_segmenter(trained, plan)
    examples = _examples(plan, store)
    pair = examples if len(examples) > 1 else examples.repeat(2, *(1,) * (examples.ndim - 1))
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
        data = path.read_bytes()
    _compare(network, data, examples)
    return data


def _examples(plan: Plan, store: VoxelStore) -> torch.Tensor:
    data = Windows(store, plan, torch.device("cpu"))
    rows = [int(n) for n in data.val[:2]]
    middles = [tuple(n // 2 for n in store.shapes[row]) for row in rows]
    pieces = [data.window(row, (i, j, k), data.size)[0] for row, (i, j, k) in zip(rows, middles, strict=True)]
    return torch.from_numpy(np.stack(pieces).astype(np.float32))


def _compare(network: torch.nn.Module, data: bytes, examples: torch.Tensor) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(examples).numpy()
    given = session.run(["logits"], {"image": examples.numpy()})[0]
    apart = float(np.abs(expected - given).max() / max(1.0, float(np.abs(expected).max())))
    alike = float((expected.argmax(1) == given.argmax(1)).mean())
    if apart > _TOLERANCE or alike < _VOXELS:
        raise ScanwrightError(
            f"The exported network's logits differ by {apart:.2g} from the trained network's ({alike:.3%} of voxels agree).",
            f"They must agree within {_TOLERANCE:g}, so that every reader computes the same.",
            "Report this with the plan.json; another model in the plan may export well.",
        )
