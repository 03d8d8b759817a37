"""The table of segmentation networks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from scanwright.core import PlanError
from scanwright.models.segmenters.classic import classic_unet, vnet
from scanwright.models.segmenters.unet import resunet, unet


@dataclass(frozen=True)
class Segmenter:
    """One row of the table.

    Args:
        builder: Makes the module from ``dimension``, ``in_channels``, ``n_outputs`` and arguments
            of its own. In training it answers a list of logits, finest first; in evaluation
            the finest logits ``(B, n_outputs, *size)``.
        words: What it is, in one sentence.
        source: Where it comes from.
    """

    builder: Callable[..., nn.Module]
    words: str
    source: str


SEGMENTERS: dict[str, Segmenter] = {
    "unet": Segmenter(
        unet, "U-Net with strided convolutions and deep supervision", "Isensee et al., Nat. Methods 2021"
    ),
    "resunet": Segmenter(resunet, "U-Net with a residual encoder", "Isensee et al., MICCAI 2024"),
    "classic-unet": Segmenter(classic_unet, "U-Net as first drawn, with pooling", "Ronneberger et al., MICCAI 2015"),
    "vnet": Segmenter(vnet, "V-Net", "Milletari et al., 3DV 2016; MONAI"),
}
"""Name to network. A new one is one file and one line here."""


def build_segmenter(
    name: str,
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    **arguments: int | float | str | bool | tuple[int, ...],
) -> nn.Module:
    """Make a segmentation network with fresh weights (drawn from torch's generator).

    Args:
        name: A key of :data:`SEGMENTERS`.
        dimension: 2 for windows ``(B, C, I, J)``, 3 for ``(B, C, I, J, K)``.
        in_channels: C.
        n_outputs: Logits of a voxel.
        **arguments: Arguments of the row's builder, such as ``size``.

    Returns:
        The network.

    Raises:
        PlanError: The name or an argument is unknown.
    """
    row = SEGMENTERS.get(name)
    if row is None:
        raise PlanError(
            f"There is no segmentation network {name!r}.",
            f"They are {', '.join(SEGMENTERS)}.",
            "Change the candidate's model.",
        )
    try:
        inspect.signature(row.builder).bind(
            dimension=dimension, in_channels=in_channels, n_outputs=n_outputs, **arguments
        )
        return row.builder(dimension=dimension, in_channels=in_channels, n_outputs=n_outputs, **arguments)
    except TypeError as error:
        raise PlanError(
            f"The network {name!r} cannot be built: {error}.",
            "A candidate's arguments are those of its builder.",
            "Correct the candidate's arguments in the plan.",
        ) from None
