"""Fill a network with the weights of a base."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from scanwright.core import ModelFileError
from scanwright.models.bases.naming import Floats
from scanwright.models.classifier import Explainable
from scanwright.models.transfer import base_of


def begin_from(
    net: Explainable,
    tensors: Mapping[str, Floats],
    *,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    image_mean: Sequence[float] = (0.0,),
    image_std: Sequence[float] = (1.0,),
) -> None:
    """Give a tuned or frozen network the weights of its base, and set its entry.

    Kernels of two axes are inflated for volumes: repeated along the third axis and divided by its length,
    so that a volume of equal slices is answered like its slice. Kernels of three axes are summed along the
    third one for pictures.

    Args:
        net: Made by ``tuned`` or ``frozen``; changed in place.
        tensors: Of the base's body, under our names.
        mean: What the base's weights expect to be subtracted from values of 0 .. 1; empty if they learnt from
            standardised values, as those of Scanwright do.
        std: What they expect these to be divided by.
        image_mean: What the plan subtracts, also from values of 0 .. 1.
        image_std: What the plan divides by.

    Raises:
        ModelFileError: A tensor is missing or does not fit.

    Source:
        Carreira and Zisserman, Quo vadis, action recognition? (CVPR 2017), section 2.4.
    """
    entry, body = base_of(net)
    own = body.state_dict()
    for name, value in own.items():
        if name.endswith("num_batches_tracked"):
            continue
        given = tensors.get(name)
        fitting = None if given is None else _fitted(torch.from_numpy(np.array(given)), value.shape)
        if fitting is None:
            raise ModelFileError(
                f"The weights hold no {name} that fits the network.",
                "Weights and plan must belong together.",
                "Make the plan anew with --pretrained FILE.",
            )
        own[name] = fitting
    body.load_state_dict(own)
    n_out = entry.mix.weight.shape[0]
    if not mean:
        entry.set_values((1.0,) * n_out, (0.0,) * n_out)
        return
    m, s = float(np.mean(image_mean)), float(np.mean(image_std))
    ms = list(image_mean) if len(image_mean) == n_out else [m] * n_out
    ss = list(image_std) if len(image_std) == n_out else [s] * n_out
    gain = [si / file for si, file in zip(ss, std, strict=True)]
    shift = [(mi - expected) / file for mi, expected, file in zip(ms, mean, std, strict=True)]
    entry.set_values(gain, shift)


def enlargement(size: Sequence[int], side: int) -> int:
    """How many times images of a size grow, so that their shortest side is at least ``side``.

    Example:
        >>> enlargement((28, 28), 56), enlargement((224, 224), 56)
        (2, 1)
    """
    return max(1, math.ceil(side / min(size))) if side else 1


def _fitted(value: Tensor, shape: torch.Size) -> Tensor | None:
    """A tensor of the shape, inflated or summed along the third axis; None if it does not fit."""
    if value.shape == shape:
        return value
    if value.ndim == 4 and len(shape) == 5 and value.shape == shape[:4]:
        repeated = value[..., None].expand(shape)
        is_table = shape[0] == 1
        return repeated.clone() if is_table else repeated / shape[4]
    if value.ndim == 5 and len(shape) == 4 and value.shape[:4] == shape:
        is_table = shape[0] == 1
        return value.mean(4) if is_table else value.sum(4)
    return None
