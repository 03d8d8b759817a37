"""ResNet-18, -34 and -50 as torchvision, timm and MONAI name them."""

from __future__ import annotations

import numpy as np

from scanwright.models.bases.naming import Arguments, Family, Naming, Tensors

_BLOCKS = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
}
_RULES = (
    (r"conv1\.(.+)", r"0.\1"),
    (r"bn1\.(.+)", r"1.\1"),
    (r"layer1\.(.+)", r"4.\1"),
    (r"layer2\.(.+)", r"5.\1"),
    (r"layer3\.(.+)", r"6.\1"),
    (r"layer4\.(.+)", r"7.\1"),
)
_HEADS = r"(fc|head|heads|projector|predictor|projection_head|prediction_head)\..+"


def _shape_of(tensors: Tensors) -> tuple[str, Arguments] | str:
    stem = tensors["0.weight"]
    if set(stem.shape[2:]) != {7}:
        return f"its first kernel is {'x'.join(map(str, stem.shape[2:]))}, and 7x7 is known"
    counts = tuple(len({n.split(".")[1] for n in tensors if n.startswith(f"{4 + k}.")}) for k in range(4))
    model = _BLOCKS.get((counts, "4.0.conv3.weight" in tensors))  # type: ignore[arg-type]
    if model is None:
        return f"its stages have {', '.join(map(str, counts))} blocks"
    for name in [n for n in tensors if n.endswith("downsample.0.weight")]:  # MONAI's has a bias, torchvision's none
        tensors.setdefault(name.replace("weight", "bias"), np.zeros(len(tensors[name]), np.float32))
    width = stem.shape[0] / 64
    return model, {} if width == 1 else {"width": width}


RESNET = Family(
    "ResNet-18, -34, -50",
    (Naming("torchvision, timm or MONAI", _RULES, "layer1.0.conv1.weight", _HEADS),),
    _shape_of,
)
"""The three libraries give ResNets the same names."""
