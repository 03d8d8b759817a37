"""Engines: what runs a network. One function each, one line each in :data:`ENGINES`.

Every engine computes in float32 unless told otherwise, so that training, command line and
service agree, and sends nothing anywhere.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scanwright.core import InputError, ModelFileError
from scanwright.io.onnx_file import read_onnx_facts

Batch = NDArray[np.float32]


class Engine(Protocol):
    """A network that is ready to run. Calls from several threads are safe.

    Attributes:
        name: Key in :data:`ENGINES`.
        outputs: Names of the network's outputs.
    """

    name: str
    outputs: tuple[str, ...]

    def run(self, batch: Batch) -> dict[str, Batch]:
        """Run the network on ``(B, C, *size)`` float32; every output by its name."""
        ...


@dataclass(frozen=True)
class Opened:
    """An engine and how it came to be chosen.

    Args:
        engine: The engine.
        reason: Why it is not the first choice; empty when it is.
    """

    engine: Engine
    reason: str = ""


PRECISIONS: dict[str, tuple[str, str]] = {
    "f32": ("f32", "ACCURACY"),
    "bf16": ("bf16", "PERFORMANCE"),
    "int8": ("f32", "ACCURACY"),
}
"""What networks may compute in, with OpenVINO's hints for it; a network in 8-bit integers says itself which of its
layers they are."""


class _OpenVino:
    """OpenVINO on the CPU, in float32 (left alone it computes in bfloat16 where the CPU can)."""

    name = "openvino"

    def __init__(self, network: bytes, threads: int, precision: str) -> None:
        import openvino

        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            precision = "f32"  # this CPU would only imitate it
        self.precision = precision
        settings = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision][0],
            "EXECUTION_MODE_HINT": PRECISIONS[precision][1],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled = core.compile_model(core.read_model(network, b""), "CPU", settings)
        self._request = self._compiled.create_infer_request()
        self._lock = threading.Lock()
        # A port may carry several names after fusion; its place among the outputs is what stays.
        declared = read_onnx_facts(network).outputs
        known = [port.get_names() for port in self._compiled.outputs]
        self._places = {name: n for name in declared for n, names in enumerate(known) if name in names}
        self.outputs: tuple[str, ...] = tuple(self._places)

    def run(self, batch: Batch) -> dict[str, Batch]:
        """Run the network; see :class:`Engine`."""
        with self._lock:  # one request serves one call at a time
            image = np.ascontiguousarray(batch, dtype=np.float32)
            self._request.infer({"image": image}, share_inputs=True, share_outputs=True)  # the copy is made below
            found = {name: self._request.get_output_tensor(place) for name, place in self._places.items()}
            return {name: np.array(tensor.data, dtype=np.float32) for name, tensor in found.items()}


class _OnnxRuntime:
    """ONNX Runtime on the CPU, float32."""

    name = "onnxruntime"

    def __init__(self, network: bytes, threads: int) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self.outputs: tuple[str, ...] = tuple(port.name for port in self._session.get_outputs())

    def run(self, batch: Batch) -> dict[str, Batch]:
        """Run the network; see :class:`Engine`."""
        values = self._session.run(list(self.outputs), {"image": np.ascontiguousarray(batch, dtype=np.float32)})
        return {name: np.asarray(value, dtype=np.float32) for name, value in zip(self.outputs, values, strict=True)}


def openvino(network: bytes, *, threads: int, precision: str = "f32") -> Engine:
    """OpenVINO: the fastest on the CPUs that we measured."""
    return _OpenVino(network, threads, precision)


def onnxruntime(network: bytes, *, threads: int, precision: str = "f32") -> Engine:
    """ONNX Runtime: runs nearly every network, also where OpenVINO is not available; never in bfloat16."""
    return _OnnxRuntime(network, threads)


ENGINES: dict[str, Callable[..., Engine]] = {
    "openvino": openvino,
    "onnxruntime": onnxruntime,
}
"""Name to ``open(network: bytes, *, threads: int, precision: str = "f32") -> Engine``, in order of preference."""


def open_engine(network: bytes, name: str = "auto", *, threads: int | None = None, precision: str = "f32") -> Opened:
    """Open a network with an engine, or with the first of :data:`ENGINES` that can.

    Args:
        network: A serialised ONNX network with input ``image`` and output ``logits``.
        name: A key of :data:`ENGINES`, or ``"auto"``.
        threads: CPU threads to compute with; those that this process may use if None.
        precision: A key of :data:`PRECISIONS`. ``"bf16"`` is a leave, not a duty: an engine or a
            CPU that cannot computes in float32. ``"int8"`` belongs to a network that was made for it.

    Returns:
        The engine, and why it is not the first choice.

    Raises:
        InputError: There is no engine or precision of that name.
        ModelFileError: No engine can open the network.
    """
    if name != "auto" and name not in ENGINES:
        raise InputError(
            f"There is no engine {name!r}.",
            f"Engines are auto, {', '.join(ENGINES)}.",
            "Choose one of these.",
        )
    if precision not in PRECISIONS:
        raise InputError(
            f"There is no precision {precision!r}.",
            f"Networks compute in {' or '.join(PRECISIONS)}.",
            "Choose one of these.",
        )
    threads = threads or usable_threads()
    refusals: list[str] = []
    for candidate in ENGINES if name == "auto" else (name,):
        engine, refusal = _try(candidate, network, threads, precision)
        if engine is not None:
            reason = f"{'; '.join(refusals)}; so {candidate} is used" if refusals else ""
            return Opened(engine, reason)
        refusals.append(f"{candidate} cannot open this network ({refusal})")
    raise ModelFileError(
        f"No engine can run the network: {'; '.join(refusals)}.",
        "The network must be an ONNX file that OpenVINO or ONNX Runtime understands.",
        "Make the model file anew with `scanwright run`, or run `scanwright doctor`.",
    )


def usable_threads() -> int:
    """CPU threads that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def _try(name: str, network: bytes, threads: int, precision: str) -> tuple[Engine | None, str]:
    try:
        engine = ENGINES[name](network, threads=threads, precision=precision)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors derive from Exception alone
        return None, _one_line(error)
    if "logits" not in engine.outputs:
        return None, f"its outputs are {', '.join(engine.outputs)}, none is logits"
    return engine, ""


def _one_line(error: Any) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
