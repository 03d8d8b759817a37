"""The network of the flow: from a noisy image, a moment and a class to the direction towards an image.

A light U-Net of our own. MONAI's ``DiffusionModelUNet`` has the same parts, but always attends in
its middle, which needs einops (docs/decisions/0015-generation.md).
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scanwright.generation.sizes import Design


class Velocity(nn.Module):
    """Velocity of the flow at a moment.

    Pixels are folded into channels first (``patch``), so that most of the work is done on a coarse
    lattice; residual blocks take the moment and the class as scale and shift; the coarsest lattice
    attends to itself.

    Args:
        design: Channels, widths and levels.

    Source:
        Ho et al., DDPM (NeurIPS 2020) for the U-Net; Dhariwal and Nichol (NeurIPS 2021) for scale and
        shift; Hoogeboom et al., simple diffusion (ICML 2023) for the folded pixels.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        d, widths = design.dimension, design.widths
        features = 4 * widths[0]
        folded = design.flow_channels * design.patch**d
        self.moment = nn.Sequential(nn.Linear(64, features), nn.SiLU(), nn.Linear(features, features))
        self.label = nn.Embedding(design.n_classes + 1, features)  # the last row stands for no class
        self.stem = _conv(d, folded, widths[0])
        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        before = widths[0]
        for level, width in enumerate(widths):
            blocks = [_Block(d, before if k == 0 else width, width, features) for k in range(design.blocks)]
            self.down.append(nn.ModuleList(blocks))
            self.shrink.append(_conv(d, width, width, stride=2) if level + 1 < len(widths) else nn.Identity())
            before = width
        self.middle = nn.ModuleList([_Block(d, before, before, features), _Block(d, before, before, features)])
        self.attend = _Attention(before)
        self.up = nn.ModuleList()
        for width in reversed(widths):
            blocks = [_Block(d, (before if k == 0 else width) + width, width, features) for k in range(design.blocks)]
            self.up.append(nn.ModuleList(blocks))
            before = width
        self.out_norm = nn.GroupNorm(_groups(before), before)
        self.out = _conv(d, before, folded)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(cast(Tensor, self.out.bias))

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """Velocity ``(B, C, *size)`` of ``x`` at moments ``t`` ``(B,)`` 0 .. 1 for classes ``label`` ``(B,)``.

        A label of ``n_classes`` stands for no class.
        """
        given = self.moment(_waves(t)) + self.label(label)
        h = self.stem(fold(x, self.design.patch))
        passed = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            for block in cast(nn.ModuleList, blocks):
                h = block(h, given)
                passed.append(h)
            h = shrink(h)
        h = self.middle[1](self.attend(self.middle[0](h, given)), given)
        for level, blocks in enumerate(self.up):
            if level:
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")
            for block in cast(nn.ModuleList, blocks):
                h = block(torch.cat((h, passed.pop()), dim=1), given)
        return unfold(self.out(F.silu(self.out_norm(h))), self.design.patch)


class _Block(nn.Module):
    """Two convolutions with a way around them; moment and class scale and shift what is between."""

    def __init__(self, dimension: int, before: int, after: int, features: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_groups(before), before)
        self.conv1 = _conv(dimension, before, after)
        self.given = nn.Linear(features, 2 * after)
        self.norm2 = nn.GroupNorm(_groups(after), after)
        self.conv2 = _conv(dimension, after, after)
        self.around: nn.Module = nn.Identity() if before == after else _conv(dimension, before, after, kernel=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(cast(Tensor, self.conv2.bias))

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        """``(B, before, *size)`` to ``(B, after, *size)``."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.given(F.silu(given)).view(len(x), -1, *(1,) * (x.ndim - 2)).chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        whole: Tensor = self.around(x) + h
        return whole


class _Attention(nn.Module):
    """Every place of the coarsest lattice looks at every other (Vaswani et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // 32)
        self.norm = nn.GroupNorm(_groups(width), width)
        self.into = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, F, *size)``, the same shape."""
        b, f = x.shape[:2]
        places = self.norm(x).flatten(2).transpose(1, 2)  # B N F
        q, k, v = (
            part.view(b, -1, self.heads, f // self.heads).transpose(1, 2) for part in self.into(places).chunk(3, dim=2)
        )
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, -1, f)
        return x + self.out(seen).transpose(1, 2).view(x.shape)


def fold(x: Tensor, patch: int) -> Tensor:
    """Fold squares (or cubes) of pixels into channels: ``(B, C, *size)`` to ``(B, C * patch**d, *size / patch)``."""
    if patch == 1:
        return x
    d = x.ndim - 2
    split = [n for size in x.shape[2:] for n in (size // patch, patch)]
    axes = (0, 1, *range(3, 3 + 2 * d, 2), *range(2, 2 + 2 * d, 2))
    coarse = tuple(size // patch for size in x.shape[2:])
    return x.reshape(*x.shape[:2], *split).permute(axes).reshape(x.shape[0], -1, *coarse)


def unfold(x: Tensor, patch: int) -> Tensor:
    """The way back from :func:`fold`."""
    if patch == 1:
        return x
    d = x.ndim - 2
    coarse = x.shape[2:]
    split = x.reshape(x.shape[0], -1, *(patch,) * d, *coarse)
    axes = (0, 1, *(axis for k in range(d) for axis in (2 + d + k, 2 + k)))
    return split.permute(axes).reshape(x.shape[0], -1, *(n * patch for n in coarse))


def _waves(t: Tensor) -> Tensor:
    """Moments ``(B,)`` as 64 sines and cosines (Vaswani et al. 2017), periods from 2 pi / 1000 upward."""
    rates = torch.exp(torch.arange(32, device=t.device) * (-math.log(10_000.0) / 31))
    angles = 1000.0 * t[:, None] * rates[None]
    return torch.cat((angles.cos(), angles.sin()), dim=1)


def _conv(dimension: int, before: int, after: int, *, stride: int = 1, kernel: int = 3) -> nn.Conv2d | nn.Conv3d:
    make = nn.Conv2d if dimension == 2 else nn.Conv3d
    return make(before, after, kernel, stride=stride, padding=kernel // 2)


def _groups(width: int) -> int:
    return next(g for g in (8, 4, 2, 1) if width % g == 0)
