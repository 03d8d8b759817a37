"""A network from elsewhere, turned into one of ours: image in with channels first, logits, features and maps out.

Only the ends of the graph are touched. What is in between, and every weight, stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from scanwright.core import InputError

Activation = Literal["none", "sigmoid", "softmax"]
Order = Literal["first", "last"]
_SOFTENERS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
_SMALLEST = 1e-7
"""Probabilities are kept so far from 0 and 1 before they become logits."""
_PICTURE_CHANNELS = (1, 3)
_SAME = ("Identity", "Cast", "Dropout")
"""What changes no number (casts of a network that computes in single precision)."""
_PASSED = (*_SAME, "Flatten", "Squeeze", "Reshape")
"""What may stand between the pooled features and the last layer without changing a number."""


@dataclass(frozen=True, eq=False)
class Adopted:
    """A network that takes and gives what ours do.

    Args:
        network: ONNX: ``image`` ``(B, C, *size)`` float32 in; ``logits`` ``(B, n)`` out, and ``embedding`` and
            ``cam`` where the network ends in a global average and one linear layer.
        size: Sides of the image.
        channels: 1 or 3.
        n_logits: What it gives.
        activation: What stood after the logits and was taken off.
        notes: What was found and done, a sentence each.
    """

    network: bytes
    size: tuple[int, ...]
    channels: int
    n_logits: int
    activation: Activation
    notes: tuple[str, ...]


def adopt_network(
    data: bytes, *, size: Sequence[int] | None = None, order: Order | None = None, classes: int | None = None
) -> Adopted:
    """Turn the ends of an ONNX network to our conventions.

    Args:
        data: An ONNX file with its weights inside.
        size: Sides of the image, where the file leaves them open.
        order: Whether channels come first or last; None: worked out from the shape of the input.
        classes: How many there are; two classes with two outputs of a softmax become one logit, their difference.

    Returns:
        The network, and what was understood of it.

    Raises:
        InputError: It is no ONNX network, has several inputs or outputs, does not take pictures or volumes of
            one or three channels, or does not give one row of numbers a case.

    Source:
        Zhou et al., CVPR 2016, for the maps: the linear layer applied to every place before the mean.
    """
    model = _load(data)
    graph = model.graph
    notes: list[str] = []
    sides, channels, last = _image(graph, size, order, notes)
    answer = _only_output(graph)
    _name_ends(graph, answer, last=last, dims=len(sides))
    activation = _strip(graph, notes)
    found = _maps(graph, len(sides), notes)
    logits = _run(model, sides, channels)
    if logits.ndim != 2:
        raise InputError(
            f"The network answers with an array of shape {logits.shape[1:]} for each case.",
            "A classifier gives one number for each class.",
            "Adopt a network that classifies; segmentation is trained with `scanwright run`.",
        )
    if activation == "none" and _are_chances(logits):
        activation = _undo(graph, logits.shape[1], notes)
    if classes == 2 and logits.shape[1] == 2 and activation != "sigmoid":
        _difference(graph, notes, found)
    else:
        _output(graph, "logits")
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model)
    n = 1 if classes == 2 and logits.shape[1] == 2 and activation != "sigmoid" else int(logits.shape[1])
    return Adopted(model.SerializeToString(), sides, channels, n, activation, tuple(notes))


def _load(data: bytes) -> Any:
    try:
        model = onnx.load_model_from_string(data)
        if not model.graph.node:
            raise ValueError("it has no layers")
        if any(t.data_location == TensorProto.EXTERNAL for t in model.graph.initializer):
            raise InputError(
                "The network keeps its weights in another file.",
                "A model file is one file.",
                "Export it with its weights inside (save_as_external_data=False).",
            )
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - protobuf's and the checker's errors have no common base
        raise InputError(
            f"The file is no usable ONNX network ({str(error).splitlines()[0][:120]}).",
            "A network is adopted from one ONNX file.",
            "Export it again, with keras: model.export('network.onnx', format='onnx').",
        ) from None
    return model


def _image(
    graph: Any, size: Sequence[int] | None, order: Order | None, notes: list[str]
) -> tuple[tuple[int, ...], int, bool]:
    """Sides, channels, and whether channels come last; the input's node is left as it is."""
    weights = {t.name for t in graph.initializer}
    inputs = [port for port in graph.input if port.name not in weights]
    if len(inputs) != 1:
        raise InputError(
            f"The network has {len(inputs)} inputs: {', '.join(p.name for p in inputs[:5])}.",
            "It must take one image.",
            "Export the part that takes the image.",
        )
    kind = inputs[0].type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim]
    shown = " x ".join(str(d or "any") for d in dims)
    if len(dims) not in (4, 5):
        raise InputError(
            f"The network's input has the shape {shown}.",
            "Pictures have four axes (cases, channels, rows, columns in either order), volumes five.",
            "Export a network that takes images.",
        )
    ends = {"first": dims[1], "last": dims[-1]}
    could = [where for where, n in ends.items() if n in _PICTURE_CHANNELS]
    if order is None:
        if len(could) != 1:
            raise InputError(
                f"It cannot be told whether channels come first or last in an input of {shown}.",
                "One of the two ends is 1 or 3 channels.",
                "Say it with --channels first or --channels last (Keras: last; PyTorch: first).",
            )
        order = "first" if could == ["first"] else "last"
        notes.append(f"Channels come {order} in an input of {shown}.")
    channels = ends[order]
    if channels not in _PICTURE_CHANNELS:
        raise InputError(
            f"The network takes {channels or 'any number of'} channels.",
            "Images have one channel (grey) or three (colour).",
            "Export a network for grey or colour images, or say --channels first or last.",
        )
    given = dims[2:] if order == "first" else dims[1:-1]
    if size is not None and len(size) not in (1, len(given)):
        raise InputError(
            f"--size has {len(size)} numbers.",
            f"The network's images have {len(given)} sides.",
            f"Write --size {'x'.join(['224'] * len(given))}, or one number.",
        )
    wanted = tuple(size) * len(given) if size is not None and len(size) == 1 else tuple(size or given)
    if not all(wanted):
        raise InputError(
            f"The network leaves the size of its images open ({shown}).",
            "All images are brought to one size.",
            "Name the size that it was trained with: --size 224x224.",
        )
    if any(g and g != w for g, w in zip(given, wanted, strict=True)):
        raise InputError(
            f"The network takes images of {' x '.join(map(str, given))}, not {' x '.join(map(str, wanted))}.",
            "The size is fixed in the file.",
            "Leave --size out.",
        )
    return tuple(int(w) for w in wanted), int(channels), order == "last"


def _only_output(graph: Any) -> str:
    if len(graph.output) != 1:
        raise InputError(
            f"The network has {len(graph.output)} outputs: {', '.join(p.name for p in graph.output[:5])}.",
            "It must give one row of numbers for each case.",
            "Export the output that answers the question alone.",
        )
    return str(graph.output[0].name)


def _name_ends(graph: Any, answer: str, *, last: bool, dims: int) -> None:
    """The input becomes ``image``, float32 with channels first; every name inside keeps clear of ours."""
    taken = {"image", "logits", "embedding", "cam"}
    for node in graph.node:
        node.input[:] = [f"adopted_{n}" if n in taken else n for n in node.input]
        node.output[:] = [f"adopted_{n}" if n in taken else n for n in node.output]
    for tensor in graph.initializer:
        tensor.name = f"adopted_{tensor.name}" if tensor.name in taken else tensor.name
    del graph.value_info[:]
    weights = {t.name for t in graph.initializer}
    port = next(p for p in graph.input if p.name not in weights)
    inside = f"adopted_{port.name}" if port.name in taken else port.name
    kind = port.type.tensor_type.elem_type
    sides = [d.dim_value or None for d in port.type.tensor_type.shape.dim][1:]
    shape = ["batch", sides[-1], *sides[:-1]] if last else ["batch", *sides]
    for n, side in enumerate(shape):
        shape[n] = side if side is not None else f"side{n}"
    kept = [p for p in graph.input if p.name in weights]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, shape))
    graph.input.extend(kept)
    first, at = [], "image"
    if last:
        first.append(helper.make_node("Transpose", [at], ["image_turned"], perm=[0, *range(2, dims + 2), 1]))
        at = "image_turned"
    if kind != TensorProto.FLOAT:
        first.append(helper.make_node("Cast", [at], ["image_cast"], to=kind))
        at = "image_cast"
    for node in graph.node:
        node.input[:] = [at if n == inside else n for n in node.input]
    nodes = [*first, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    output = graph.output[0]
    output.name = f"adopted_{answer}" if answer in taken else answer


def _maker(graph: Any, name: str, past: Sequence[str] = ()) -> Any:
    """The layer that gives a tensor, past layers that change nothing; None for an input or a weight."""
    node = next((n for n in graph.node if name in n.output), None)
    while node is not None and node.op_type in past:
        node = next((n for n in graph.node if node.input[0] in n.output), None)
    return node


def _strip(graph: Any, notes: list[str]) -> Activation:
    """Take a last softmax or sigmoid off; what came before it is called ``logits``."""
    name = graph.output[0].name
    node = _maker(graph, name, _SAME)
    kind: Activation = "none"
    if node is not None and node.op_type in _SOFTENERS:
        kind = _SOFTENERS[node.op_type]  # type: ignore[assignment]
        notes.append(f"Its last {kind} was taken off, so that its answers can be calibrated.")
        name = node.input[0]
    _rename(graph, name, "logits")
    _output(graph, "logits")
    return kind


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if n == old else n for n in node.input]
        node.output[:] = [new if n == old else n for n in node.output]


def _output(graph: Any, *names: str) -> None:
    """What the graph gives: these first, then the maps if there are any."""
    kept = {p.name: p for p in graph.output}
    more = [p for n, p in kept.items() if n in ("embedding", "cam")]
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names)
    graph.output.extend(more)
    needed = {p.name for p in graph.output}
    for node in reversed(list(graph.node)):  # layers that nobody asks any more
        if not needed & set(node.output):
            graph.node.remove(node)
        else:
            needed |= set(node.input)


def _maps(graph: Any, dims: int, notes: list[str]) -> bool:
    """Features and exact class activation maps, where the network ends in a global average and one linear layer."""
    found = _head(graph, rank=dims + 2)
    if found is None:
        notes.append(
            "It does not end in a global average and one linear layer: its heat maps are made by covering places."
        )
        return False
    features, pooled, weight, channels_last = found
    graph.initializer.append(numpy_helper.from_array(weight.reshape(*weight.shape, *(1,) * dims), "cam_weight"))
    at = features
    if channels_last:
        graph.node.append(
            helper.make_node("Transpose", [at], ["features_first"], perm=[0, dims + 1, *range(1, dims + 1)])
        )
        at = "features_first"
    graph.node.append(helper.make_node("Conv", [at, "cam_weight"], ["cam"], name="cam"))
    graph.node.append(helper.make_node("Flatten", [pooled], ["embedding"], name="embedding", axis=1))
    for name in ("embedding", "cam"):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    notes.append("It ends in a global average and one linear layer: its heat maps are exact.")
    return True


def _head(graph: Any, *, rank: int) -> tuple[str, str, NDArray[np.float32], bool] | None:
    """Feature maps, pooled features, weight ``(K, F)``, and whether channels come last in the maps."""
    weights = {t.name: t for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            weights[node.output[0]] = node.attribute[0].t
    node = _maker(graph, "logits", _SAME)
    if node is not None and node.op_type == "Add":
        left, right = node.input
        node = _maker(graph, left if right in weights else right, _SAME)
    if node is None or node.op_type not in ("Gemm", "MatMul") or node.input[1] not in weights:
        return None
    weight = numpy_helper.to_array(weights[node.input[1]]).astype(np.float32)
    flags = {a.name: a for a in node.attribute}
    if weight.ndim != 2 or ("transA" in flags and flags["transA"].i):
        return None
    if not (node.op_type == "Gemm" and "transB" in flags and flags["transB"].i):
        weight = weight.T
    if "alpha" in flags:
        weight = weight * np.float32(flags["alpha"].f)
    pooled = node.input[0]
    pool = _maker(graph, pooled, _PASSED)
    if pool is None:
        return None
    if pool.op_type == "GlobalAveragePool":
        return pool.input[0], pooled, weight, False
    if pool.op_type != "ReduceMean":
        return None
    axes = sorted(a % rank for a in _axes(pool, weights))
    if axes not in (list(range(2, rank)), list(range(1, rank - 1))):
        return None
    return pool.input[0], pooled, weight, axes[0] == 1


def _axes(node: Any, weights: dict[str, Any]) -> list[int]:
    for a in node.attribute:
        if a.name == "axes":
            return list(a.ints)
    if len(node.input) > 1 and node.input[1] in weights:
        return [int(v) for v in numpy_helper.to_array(weights[node.input[1]]).reshape(-1)]
    return []


def _run(model: Any, size: tuple[int, ...], channels: int) -> NDArray[np.float32]:
    """Logits of four images of noise; shows what the network gives, and that it runs at all."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    rng = np.random.default_rng(0)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        rows = [
            session.run(["logits"], {"image": rng.uniform(0, 1, (1, channels, *size)).astype(np.float32)})[0]
            for _ in range(4)
        ]
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors derive from Exception alone
        raise InputError(
            f"The network does not run ({str(error).splitlines()[0][:160]}).",
            f"It must take images of {channels} x {' x '.join(map(str, size))}.",
            "Check --size and --channels, or export it again.",
        ) from None
    return np.concatenate([np.asarray(r, dtype=np.float32) for r in rows])


def _are_chances(rows: NDArray[np.float32]) -> bool:
    """Whether answers look like probabilities that no activation at the end explains."""
    inside = bool(((rows >= 0) & (rows <= 1)).all())
    return inside and rows.shape[1] > 1 and bool(np.allclose(rows.sum(axis=1), 1, atol=1e-4))


def _undo(graph: Any, n: int, notes: list[str]) -> Activation:
    """Logarithms of probabilities that are made in another way than by a last softmax."""
    _rename(graph, "logits", "chances")
    for name, value in (("smallest", _SMALLEST), ("largest", 1.0)):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    graph.node.append(helper.make_node("Clip", ["chances", "smallest", "largest"], ["chances_kept"]))
    graph.node.append(helper.make_node("Log", ["chances_kept"], ["logits"]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", n]))
    notes.append("It gives probabilities; their logarithms serve as logits.")
    return "softmax"


def _difference(graph: Any, notes: list[str], mapped: bool) -> None:
    """Two logits of a softmax become one, which says the same."""
    _rename(graph, "logits", "both_logits")
    graph.initializer.append(numpy_helper.from_array(np.array([[-1.0], [1.0]], np.float32), "second_less_first"))
    graph.node.append(helper.make_node("MatMul", ["both_logits", "second_less_first"], ["logits"]))
    if mapped:
        weight = next(t for t in graph.initializer if t.name == "cam_weight")
        pair = numpy_helper.to_array(weight)
        graph.initializer.remove(weight)
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(pair[1:] - pair[:1]), "cam_weight"))
    _output(graph, "logits")
    notes.append("Two answers of a softmax say one thing: their difference is the logit of the second class.")
