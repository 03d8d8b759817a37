"""DenseNet-121 as torchvision, timm and MONAI name it."""

from __future__ import annotations

from scanwright.models.bases.naming import Arguments, Family, Naming, Tensors

_BLOCKS = (6, 12, 24, 16)
_HEADS = r"(classifier|class_layers|head|head_drop)\..+"
_LAYER = r"features\.(denseblock\d+\.denselayer\d+)"
_REST = (r"features\.(.+)", r"0.\1")


def _shape_of(tensors: Tensors) -> tuple[str, Arguments] | str:
    counts = tuple(len({n.split(".")[2] for n in tensors if n.startswith(f"0.denseblock{k}.")}) for k in range(1, 5))
    if counts != _BLOCKS:
        return f"its blocks have {', '.join(map(str, counts))} layers"
    growth = tensors["0.denseblock1.denselayer1.layers.conv2.weight"].shape[0]
    return "densenet121", {} if growth == 32 else {"growth": growth}


DENSENET = Family(
    "DenseNet-121",
    (
        Naming(
            "torchvision or timm",
            ((_LAYER + r"\.(norm|conv)\.?([12])\.(.+)", r"0.\1.layers.\2\3.\4"), _REST),  # norm.1 in files of 2017
            "features.denseblock1.denselayer1.norm1.weight",
            _HEADS,
        ),
        Naming(
            "torchvision",
            ((_LAYER + r"\.(norm|conv)\.([12])\.(.+)", r"0.\1.layers.\2\3.\4"), _REST),
            "features.denseblock1.denselayer1.norm.1.weight",
            _HEADS,
        ),
        Naming("MONAI", (_REST,), "features.denseblock1.denselayer1.layers.norm1.weight", _HEADS),
    ),
    _shape_of,
)
