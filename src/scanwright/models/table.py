"""The table of models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from scanwright.core import PlanError
from scanwright.models.classifier import Explainable
from scanwright.models.cnn import cnn
from scanwright.models.fixed import features, linear
from scanwright.models.light import boosted, nearest
from scanwright.models.monai_nets import densenet121, resnet18, resnet34, resnet50
from scanwright.models.resnet3d import resnet3d
from scanwright.models.resnet9 import resnet9
from scanwright.models.sequence import reading
from scanwright.models.transfer import frozen, tuned
from scanwright.models.vit import vit


@dataclass(frozen=True)
class Model:
    """One row of the table.

    Args:
        builder: Makes the module from ``dimension``, ``in_channels``, ``n_outputs`` and
            arguments of its own, all by keyword.
        words: What it is, in one sentence.
        dims: Dimensions that it serves.
        source: Where it comes from.
        kind: ``"network"`` is trained by gradient steps, ``"classical"`` is fitted.
        frames: Whether it reads sequences, whose frames are the last of three axes, and nothing else.
    """

    builder: Callable[..., Explainable]
    words: str
    dims: tuple[int, ...]
    source: str
    kind: Literal["network", "classical"] = "network"
    frames: bool = False


MODELS: dict[str, Model] = {
    "linear": Model(linear, "Logistic regression on the downsampled pixels", (2, 3), "Cox 1958", "classical"),
    "features": Model(
        features,
        "Logistic regression on pooled intensities, histograms, gradient orientations and shape",
        (2, 3),
        "Dalal and Triggs, CVPR 2005",
        "classical",
    ),
    "cnn": Model(cnn, "Plain convolutional network with pooling and dropout", (2, 3), "LeCun et al. 1998"),
    "resnet9": Model(resnet9, "Small residual network of nine layers", (2, 3), "Page 2018"),
    "resnet3d": Model(resnet3d, "Narrow strided residual network for volumes", (2, 3), "He et al., CVPR 2016"),
    "resnet18": Model(resnet18, "ResNet-18", (2, 3), "He et al., CVPR 2016; MONAI"),
    "resnet34": Model(resnet34, "ResNet-34", (2, 3), "He et al., CVPR 2016; MONAI"),
    "resnet50": Model(resnet50, "ResNet-50", (2, 3), "He et al., CVPR 2016; MONAI"),
    "densenet121": Model(densenet121, "DenseNet-121", (2, 3), "Huang et al., CVPR 2017; MONAI"),
    "vit": Model(
        vit, "Vision transformer that answers by the mean of its patches", (2, 3), "Dosovitskiy et al., ICLR 2021"
    ),
    "frozen": Model(
        frozen,
        "Logistic regression on the features of a base from elsewhere",
        (2, 3),
        "Donahue et al., DeCAF, ICML 2014",
        "classical",
    ),
    "nearest": Model(
        nearest,
        "Votes of the training cases with the most similar features of a base from elsewhere",
        (2, 3),
        "Cover and Hart 1967; Wu et al., CVPR 2018",
        "classical",
    ),
    "boosted": Model(
        boosted,
        "Gradient-boosted trees on the features of a base from elsewhere",
        (2, 3),
        "Friedman 2001; scikit-learn",
        "classical",
    ),
    "tuned": Model(
        tuned,
        "A base from elsewhere, trained further: its head first, then the whole with smaller steps near the image",
        (2, 3),
        "Kumar et al., ICLR 2022; Howard and Ruder, ACL 2018",
    ),
    "frames-mean": Model(
        reading("mean"),
        "A 2-D network for every frame, and their mean: order changes nothing",
        (3,),
        "Ng et al., CVPR 2015",
        frames=True,
    ),
    "frames-mil": Model(
        reading("gated"),
        "A 2-D network for every frame, and attention that finds the frames that matter; order changes nothing",
        (3,),
        "Ilse et al., ICML 2018",
        frames=True,
    ),
    "frames-lstm": Model(
        reading("lstm"),
        "A 2-D network for every frame, and an LSTM over them both ways",
        (3,),
        "Hochreiter and Schmidhuber 1997",
        frames=True,
    ),
    "frames-gru": Model(
        reading("gru"),
        "A 2-D network for every frame, and a GRU over them both ways",
        (3,),
        "Cho et al., EMNLP 2014",
        frames=True,
    ),
    "frames-attention": Model(
        reading("attention"),
        "A 2-D network for every frame, and self-attention among them with their times",
        (3,),
        "Vaswani et al. 2017",
        frames=True,
    ),
}
"""Name to model. A new one is one file and one line here."""


def build(
    name: str,
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    **arguments: int | float | str | bool | tuple[int, ...],
) -> Explainable:
    """Make a model with fresh weights (drawn from torch's generator).

    Args:
        name: A key of :data:`MODELS`.
        dimension: 2 for ``(B, C, I, J)``, 3 for ``(B, C, I, J, K)``.
        in_channels: C.
        n_outputs: Logits.
        **arguments: Arguments of the row's builder, such as ``width``.

    Returns:
        A module with ``forward(x)`` and ``explained(x)``.

    Raises:
        PlanError: The name, the dimension or an argument is unknown.
    """
    row = MODELS.get(name)
    if row is None:
        raise PlanError(
            f"There is no model {name!r}.", f"Models are {', '.join(MODELS)}.", "Change the candidate's model."
        )
    if dimension not in row.dims:
        raise PlanError(
            f"The model {name!r} was asked for {dimension} dimensions.",
            f"It serves {' and '.join(map(str, row.dims))}.",
            "Choose another model for this cohort.",
        )
    known = arguments_of(name, arguments)
    unknown = set(arguments) - known
    if unknown:
        raise PlanError(
            f"The model {name!r} has no argument {min(unknown)!r}.",
            f"It takes {', '.join(sorted(known)) or 'none'}.",
            "Correct the candidate's arguments in the plan.",
        )
    return row.builder(dimension=dimension, in_channels=in_channels, n_outputs=n_outputs, **arguments)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def arguments_of(name: str, given: Mapping[str, object]) -> set[str]:
    """Names of the arguments that a model takes beside those that all of them take.

    Args:
        name: A key of :data:`MODELS`.
        given: Its arguments; one that stands on a base also takes the base's.

    Returns:
        The names.
    """
    signature: Mapping[str, inspect.Parameter] = inspect.signature(MODELS[name].builder).parameters
    known = {p.name for p in signature.values() if p.kind is not inspect.Parameter.VAR_KEYWORD}
    if "base" in known and given.get("base") in MODELS:
        known |= arguments_of(str(given["base"]), {})
    return known - {"dimension", "in_channels", "n_outputs"}
