"""What an ONNX file declares, read without the ONNX library and without running anything.

Only the few fields that decide whether a network is safe to load and is one of ours
are looked at: names of inputs and outputs, and tensors that point at other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scanwright.core.errors import ModelFileError

_DEEPEST = 40

# Field numbers of onnx.proto3: message -> field -> message that the field holds.
_NESTED: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 11: "Value", 12: "Value", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_INPUT, _OUTPUT = 11, 12


@dataclass(frozen=True)
class OnnxFacts:
    """What a network declares.

    Args:
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        external: Whether a tensor points at another file.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    external: bool


def read_onnx_facts(network: bytes) -> OnnxFacts:
    """Read the names of a network's inputs and outputs, and whether it needs other files.

    Args:
        network: A serialised ONNX ``ModelProto``.

    Returns:
        The facts.

    Raises:
        ModelFileError: The bytes are not an ONNX network.

    Source:
        onnx.proto3 and the protocol-buffer wire format; agrees with the ``onnx`` library
        (tests/io/test_model_file.py).
    """
    found: dict[str, list[str]] = {"in": [], "out": [], "external": []}
    try:
        _walk(memoryview(network), "Model", found, 0)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise not_onnx(str(error)) from None
    if not found["out"]:
        raise not_onnx("it has no outputs")
    return OnnxFacts(tuple(found["in"]), tuple(found["out"]), bool(found["external"]))


def not_onnx(why: str) -> ModelFileError:
    """The error for bytes that are no ONNX network."""
    return ModelFileError(
        f"The network is not an ONNX file ({why}).",
        "A model file holds its whole network as one ONNX file.",
        "Make the model file anew with `scanwright run`, or fetch it again.",
    )


def _walk(data: memoryview, message: str, found: dict[str, list[str]], depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("its graphs are nested too deeply")
    nested = _NESTED.get(message, {})
    for number, value in _fields(data):
        if message == "Tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value == 1)):
            found["external"].append("")
        elif message == "Graph" and number in (_INPUT, _OUTPUT) and depth == 1 and isinstance(value, memoryview):
            found["in" if number == _INPUT else "out"].append(_name(value))
        elif number in nested and isinstance(value, memoryview) and nested[number] != "Value":
            _walk(value, nested[number], found, depth + 1)


def _name(value_info: memoryview) -> str:
    for number, value in _fields(value_info):
        if number == 1 and isinstance(value, memoryview):
            return bytes(value).decode("utf-8")
    return ""


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Fields of one message: number, and an integer or the bytes of the field."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("field number 0")
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"unknown field kind {kind}")
        if length > end - at:
            raise ValueError("it ends in the middle of a field")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")
