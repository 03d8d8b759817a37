"""The networks of the articles as they were drawn: U-Net with pooling, and V-Net."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scanwright.models.layers import conv_block, dropout, pool

_UP: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


class ClassicUNet(nn.Module):
    """Two convolutions a level, maximum pooling, transposed convolutions, skips.

    Source:
        Ronneberger et al., MICCAI 2015, with batch normalisation and padded convolutions, so
        that the answer has the size of the image.
    """

    def __init__(self, dimension: int, in_channels: int, n_outputs: int, widths: list[int], drop: float) -> None:
        super().__init__()
        self.down, self.up, self.join = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        n_in = in_channels
        for width in widths:
            self.down.append(nn.Sequential(conv_block(dimension, n_in, width), conv_block(dimension, width, width)))
            n_in = width
        self.pool, self.drop = pool(dimension), dropout(dimension, drop)
        for deep, width in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.up.append(_UP[dimension](deep, width, 2, stride=2))
            self.join.append(
                nn.Sequential(conv_block(dimension, 2 * width, width), conv_block(dimension, width, width))
            )
        self.head = _CONV[dimension](widths[0], n_outputs, 1)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits ``(B, n_outputs, *size)``; in training a list of one."""
        kept = []
        for level, stage in enumerate(self.down):
            x = stage(self.pool(x) if level else x)
            kept.append(x)
        x = self.drop(kept.pop())
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([up(x), kept.pop()], dim=1))
        answer: Tensor = self.head(x)
        return [answer] if self.training else answer


def classic_unet(
    *, dimension: int, in_channels: int, n_outputs: int, width: int = 16, levels: int = 4, drop: float = 0.2
) -> ClassicUNet:
    """The article's U-Net.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits of a voxel.
        width: Channels of the first level; they double from level to level.
        levels: Resolutions.
        drop: Chance that a channel of the deepest level is dropped.
    """
    return ClassicUNet(dimension, in_channels, n_outputs, [width * 2**n for n in range(levels)], drop)


class _VNet(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits ``(B, n_outputs, *size)``; in training a list of one."""
        answer: Tensor = self.net(x)
        return [answer] if self.training else answer


def vnet(*, dimension: int, in_channels: int, n_outputs: int, drop: float = 0.2) -> nn.Module:
    """V-Net: residual levels with 5 x 5 (x 5) kernels; windows must be divisible by 16.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits of a voxel.
        drop: Chance that a channel is dropped in the deeper levels.

    Source:
        Milletari et al., 3DV 2016; ``monai.networks.nets.VNet``.
    """
    from monai.networks.nets import VNet

    arguments: dict[str, Any] = {"dropout_prob_down": drop, "dropout_prob_up": (drop, drop)}
    widened = nn.Identity() if 16 % in_channels == 0 else _CONV[dimension](in_channels, 1, 1)
    n_in = in_channels if 16 % in_channels == 0 else 1
    net = VNet(
        spatial_dims=dimension, in_channels=n_in, out_channels=n_outputs, act=("relu", {"inplace": True}), **arguments
    )
    return _VNet(nn.Sequential(widened, net))
