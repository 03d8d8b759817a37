"""Whose weights are these? By names and shapes alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from scanwright.core import InputError
from scanwright.models.bases.densenet import DENSENET
from scanwright.models.bases.naming import Arguments, Floats, Tensors
from scanwright.models.bases.resnet import RESNET
from scanwright.models.bases.vit import VIT
from scanwright.models.classifier import Classifier
from scanwright.models.table import MODELS, build

FAMILIES = (RESNET, DENSENET, VIT)
"""What is known. A new one is one file and one name here."""

_WRAPPERS = (
    "module.",
    "model.",
    "net.",
    "network.",
    "backbone.",
    "encoder.",
    "encoder_q.",
    "base_encoder.",
    "_orig_mod.",
)
"""What training code puts before the names of a network."""
_COUNTERS = "num_batches_tracked"


@dataclass(frozen=True, eq=False)
class Base:
    """A network that weights of elsewhere fit.

    Args:
        model: A key of ``MODELS``.
        arguments: Of its builder.
        dimension: Axes of its kernels.
        channels: Channels that it takes.
        naming: Whose names the tensors had.
        tensors: Of its body, under our names.
        mean: What public weights of its family subtract; empty for those of Scanwright.
        std: What they divide by.
        side: Shortest side that it should see; 0 if it was trained on the plan's own sizes.
    """

    model: str
    arguments: Arguments
    dimension: int
    channels: int
    naming: str
    tensors: Mapping[str, Floats]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    side: int = 0


PUBLIC_SIDE = 56
"""Shortest side that networks for photographs should see: below, their last maps are a single place."""


def recognise(tensors: Mapping[str, Floats], *, name: str, seen: str, base: str | None = None) -> Base:
    """Find the network that weights belong to.

    Args:
        tensors: Name to array.
        name: Of the file, for messages.
        seen: What it holds, in words, for messages.
        base: What a file of Scanwright says about itself (JSON), None for others.

    Returns:
        The base.

    Raises:
        InputError: They belong to no network that is known.
    """
    known = {n: v for n, v in tensors.items() if not n.endswith(_COUNTERS)}
    if base is not None:
        return _own(known, json.loads(base), name)
    reasons: list[str] = []
    for candidate in _unwrapped(known):
        for family in FAMILIES:
            for naming in family.namings:
                found = naming.translate(candidate)
                if found is None:
                    continue
                shape = family.shape_of(found)
                if isinstance(shape, str):
                    reasons.append(shape)
                    continue
                model, arguments = shape
                first = found[
                    "0.weight"
                    if "0.weight" in found
                    else "patches.weight"
                    if "patches.weight" in found
                    else "0.conv0.weight"
                ]
                dimension, channels = first.ndim - 2, first.shape[1]
                problem = _misfit(model, arguments, dimension, channels, found)
                if problem:
                    reasons.append(problem)
                    continue
                usual = RESNET if naming.who == "torchvision" else family  # torchvision has one normalisation for all
                mean, std = (v if channels == 3 else (sum(v) / 3,) * channels for v in (usual.mean, usual.std))
                return Base(
                    model,
                    arguments,
                    dimension,
                    channels,
                    naming.who,
                    found,
                    mean,
                    std,
                    PUBLIC_SIDE if dimension == 2 else 0,
                )
    why = f": {reasons[0]}" if reasons else ""
    raise InputError(
        f"The weights in {name} belong to no network that is known{why}; it holds {seen}.",
        f"Known are {', '.join(f.words for f in FAMILIES)}, named as torchvision, timm or MONAI name them, and files of Scanwright.",
        "Use another file, or leave --pretrained out.",
    )


def _own(tensors: Mapping[str, Floats], says: Mapping[str, object], name: str) -> Base:
    """Weights that Scanwright wrote: of ``pretrain``, or of a trained model."""
    model, arguments = str(says.get("model")), dict(says.get("arguments") or {})  # type: ignore[call-overload]
    dimension, channels = int(str(says.get("dimension"))), int(str(says.get("channels")))
    body = {n.removeprefix("body."): v for n, v in tensors.items() if n.startswith("body.")}
    if model == "tuned":  # what was tuned before: the base behind its entry
        model, channels = str(arguments.pop("base")), int(arguments.pop("channels", 3))
        for extra in ("enlarge", "lowest", "head_drop"):
            arguments.pop(extra, None)
        body = {n.removeprefix("1."): v for n, v in body.items() if n.startswith("1.")}
    if model not in MODELS or MODELS[model].kind != "network" or MODELS[model].frames:
        raise InputError(
            f"{name} holds a model {model!r}, which cannot be a base.",
            "A base is a network of feature maps for single images.",
            "Use another file.",
        )
    arguments.pop("head_drop", None)
    problem = _misfit(model, arguments, dimension, channels, body)
    if problem:
        raise InputError(
            f"The weights in {name} are not those of its {model}: {problem}.",
            "Tensors and their description must belong together.",
            "Write the file anew with `scanwright pretrain` or `scanwright run`.",
        )
    mean, std = (tuple(float(v) for v in says.get(which) or ()) for which in ("mean", "std"))  # type: ignore[attr-defined]
    side = int(str(says.get("side") or 0))
    return Base(model, arguments, dimension, channels, "Scanwright", body, mean, std, side)


def _unwrapped(tensors: Mapping[str, Floats], depth: int = 3) -> Iterator[Tensors]:
    """The names as they are, and with what training code puts before them taken off."""
    yield dict(tensors)
    if not depth:
        return
    for prefix in _WRAPPERS:
        inner = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
        if inner:
            yield from _unwrapped(inner, depth - 1)


def _misfit(model: str, arguments: Arguments, dimension: int, channels: int, tensors: Mapping[str, Floats]) -> str:
    """What does not fit, in words; empty if all does."""
    with torch.device("meta"):
        net = build(model, dimension=dimension, in_channels=channels, n_outputs=1, **arguments)
    if not isinstance(net, Classifier):
        return f"{model} has no feature maps"
    expected = _shapes(net.body)
    missing = [n for n in expected if n not in tensors]
    if missing:
        return f"{len(missing)} tensors of {model} are missing, such as {missing[0]}"
    for n, value in tensors.items():
        if n not in expected:
            return f"{model} has no {n}"
        if tuple(value.shape) != expected[n]:
            return f"{n} is {'x'.join(map(str, value.shape))} and {model} has {'x'.join(map(str, expected[n]))}"
    return ""


def _shapes(body: nn.Module) -> dict[str, tuple[int, ...]]:
    return {n: tuple(v.shape) for n, v in body.state_dict().items() if not n.endswith(_COUNTERS)}
