"""A network without anchors: for every cell of a coarse lattice, what is centred there, where exactly, how large."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from scanwright.models.segmenters.unet import Block, Shape

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_UP: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_RARE = 0.01
"""Share of cells that a fresh network takes for a middle, so that the many empty cells do not drown the first steps
(Lin et al., ICCV 2017)."""


class CentreNet(nn.Module):
    """Encoder, decoder back to the cells, and one head.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Classes, then ``dimension`` offsets and ``dimension`` logarithms of sizes.
        widths: Channels of each level; the first one is one step of the stem below the image.
        strides: Step into each level from the one above, the stem first; one number an axis.
        blocks: Convolutions of each level.
        answer: Level whose cells answer.
        norm: ``"batch"`` or ``"instance"``.

    Source:
        Zhou et al., Objects as Points (2019); size and place as factors of the usual box and in cells;
        upward path of a U-Net (Ronneberger et al., MICCAI 2015).
    """

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        n_outputs: int,
        *,
        widths: Sequence[int],
        strides: Sequence[Shape],
        blocks: Sequence[int],
        answer: int,
        norm: str,
    ) -> None:
        super().__init__()
        one, kernel = (1,) * dimension, (3,) * dimension
        self.answer = answer
        self.down, self.up, self.join = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        n_in = in_channels
        for width, stride, n_blocks in zip(widths, strides, blocks, strict=True):
            stage: list[nn.Module] = []
            for n in range(n_blocks):
                stage.append(Block(dimension, n_in, width, stride=one if n else stride, kernel=kernel, norm=norm))
                n_in = width
            self.down.append(nn.Sequential(*stage))
        for level in range(len(widths) - 2, answer - 1, -1):
            step = strides[level + 1]
            self.up.append(_UP[dimension](widths[level + 1], widths[level], step, stride=step, bias=False))  # type: ignore[arg-type]
            self.join.append(Block(dimension, 2 * widths[level], widths[level], stride=one, kernel=kernel, norm=norm))
        wide = max(widths[answer], 32)
        self.neck = Block(dimension, widths[answer], wide, stride=one, kernel=kernel, norm=norm)
        self.head = _CONV[dimension](wide, n_outputs, 1)
        self._begin(n_outputs - 2 * dimension)

    def _begin(self, n_classes: int) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, a=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.head.weight, std=0.01)
        if self.head.bias is not None:
            nn.init.constant_(self.head.bias[:n_classes], -math.log(1 / _RARE - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Answers ``(B, n_outputs, *cells)``."""
        kept = []
        for stage in self.down:
            x = stage(x)
            kept.append(x)
        for n, (up, join) in enumerate(zip(self.up, self.join, strict=True)):
            x = join(torch.cat([up(x), kept[len(kept) - 2 - n]], dim=1))
        answers: Tensor = self.head(self.neck(x))
        return answers


def centrenet(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    size: Literal["swift", "small", "medium", "large"] = "small",
    levels: int = 5,
    answer: int = 1,
    flat: tuple[int, ...] = (),
    norm: str = "batch",
) -> CentreNet:
    """Build the network of a size.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Classes, offsets and sizes.
        size: Channels and blocks.
        levels: Resolutions, each half of the one before; the first is half of the image's.
        answer: Level whose cells answer: 0 has cells of 2 voxels, 1 of 4, 2 of 8.
        flat: For each axis how many of the first steps pass it by, because its spacing is much coarser.
        norm: ``"batch"`` or ``"instance"``.

    Returns:
        The network; windows must be divisible by the product of its strides.
    """
    first, most, n_blocks = _SIZES[size][dimension]
    widths = [min(most, first * 2**n) for n in range(levels)]
    return CentreNet(
        dimension,
        in_channels,
        n_outputs,
        widths=widths,
        strides=[tuple(1 if level < n else 2 for n in flat or (0,) * dimension) for level in range(levels)],
        blocks=[1] + [n_blocks] * (levels - 1),
        answer=min(answer, levels - 1),
        norm=norm,
    )


def cell_of(dimension: int, *, answer: int, flat: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Voxels of a cell along each axis.

    Args:
        dimension: 2 or 3.
        answer: Level whose cells answer.
        flat: First steps that pass an axis by.

    Returns:
        One number an axis.

    Example:
        >>> cell_of(2, answer=1), cell_of(3, answer=1, flat=(0, 0, 1))
        ((4, 4), (4, 4, 2))
    """
    return tuple(2 ** max(answer + 1 - n, 0) for n in flat or (0,) * dimension)


_SIZES: dict[str, dict[int, tuple[int, int, int]]] = {
    "swift": {2: (16, 192, 1), 3: (16, 96, 1)},
    "small": {2: (24, 256, 2), 3: (24, 128, 1)},
    "medium": {2: (32, 384, 2), 3: (32, 192, 2)},
    "large": {2: (48, 512, 3), 3: (32, 256, 2)},
}
"""Channels of the first level, most channels, convolutions a level; by dimension."""
