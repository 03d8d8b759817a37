"""The exported network in 8-bit integers, calibrated on windows of training cases."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scanwright.core import Candidate, Plan
from scanwright.io.voxel_store import VoxelStore
from scanwright.training.segment.windows import Windows
from scanwright.training.trained import Trained

_WINDOWS = 12
_HEAVY = ("Conv", "ConvTranspose")


def quantised(network: bytes, trained: Trained, plan: Plan, store: VoxelStore) -> bytes | None:
    """Bring the convolutions of a network to 8-bit integers.

    Weights are rounded channel by channel and values between layers by one scale each, all of them
    symmetric, since processors multiply those fastest. Convolutions at full resolution stay as they
    are: there borders are drawn, and rounding moves them. Whether the result may be used is for
    :func:`scanwright.inference.segment.gate`.

    Args:
        network: What :func:`export_segmenter` gave.
        trained: Result of training.
        plan: Its plan.
        store: Prepared cases; a few windows of training cases set the scales.

    Returns:
        An ONNX file with ``QuantizeLinear`` nodes; None where the network has no convolution at a
        coarser resolution.

    Source:
        Jacob et al., CVPR 2018; computed by ONNX Runtime's ``quantize_static``.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    coarse = _coarse(network)
    if not coarse:
        return None
    level = logging.getLogger().level
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "network.onnx", Path(folder) / "network.int8.onnx"
        source.write_bytes(network)
        logging.getLogger().setLevel(logging.ERROR)  # the library warns that folding was not done by itself
        try:
            quantize_static(
                source,
                target,
                _Windows(_examples(trained, plan, store)),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_HEAVY),
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=coarse,
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
            )
        finally:
            logging.getLogger().setLevel(level)
        return target.read_bytes()


def _coarse(network: bytes) -> list[str]:
    """Convolutions that answer at less than full resolution."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(network)).graph
    sizes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim[2:]]
        for value in (*graph.value_info, *graph.output, *graph.input)
    }
    full = sizes[graph.input[0].name]
    return [n.name for n in graph.node if n.op_type in _HEAVY and sizes.get(n.output[0], full) != full]


class _Windows:
    """What the library asks for windows, one at a time."""

    def __init__(self, windows: NDArray[np.float32]) -> None:
        self._left: Iterator[NDArray[np.float32]] = iter(windows)

    def get_next(self) -> dict[str, Any] | None:
        """The next window as the network's input; None after the last."""
        window = next(self._left, None)
        return None if window is None else {"image": window[None]}


def _examples(trained: Trained, plan: Plan, store: VoxelStore) -> NDArray[np.float32]:
    """Windows of training cases as they are, about half of them centred on a structure."""
    data = Windows(store, plan, torch.device("cpu"))
    chosen: Candidate = next(c for c in plan.candidates if c.name == trained.chosen[0])
    plain = chosen.model_copy(update={"augment": False, "batch_size": _WINDOWS})
    return np.asarray(data.batch(plain, None, 0, slice(None)).images.numpy(), dtype=np.float32)
