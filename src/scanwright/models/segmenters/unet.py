"""U-Net as it is built today: strided convolutions, deep supervision, and residual blocks if wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_UP: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_BATCH: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE: dict[int, type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_DROP: dict[int, type[nn.Dropout2d] | type[nn.Dropout3d]] = {2: nn.Dropout2d, 3: nn.Dropout3d}

Shape = tuple[int, ...]


def _norm(dimension: int, channels: int, kind: str) -> nn.Module:
    if kind == "instance":
        return _INSTANCE[dimension](channels, affine=True)
    return _BATCH[dimension](channels)


class Block(nn.Module):
    """Convolution, normalisation, leaky ReLU."""

    def __init__(self, dimension: int, n_in: int, n_out: int, *, stride: Shape, kernel: Shape, norm: str) -> None:
        super().__init__()
        padding = tuple(n // 2 for n in kernel)
        self.conv = _CONV[dimension](n_in, n_out, kernel, stride=stride, padding=padding, bias=False)  # type: ignore[arg-type]
        self.norm = _norm(dimension, n_out, norm)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.conv(x)), 0.01, inplace=True)


class _Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al., CVPR 2016)."""

    def __init__(self, dimension: int, n_in: int, n_out: int, *, stride: Shape, kernel: Shape, norm: str) -> None:
        super().__init__()
        padding = tuple(n // 2 for n in kernel)
        self.first = Block(dimension, n_in, n_out, stride=stride, kernel=kernel, norm=norm)
        self.conv = _CONV[dimension](n_out, n_out, kernel, padding=padding, bias=False)  # type: ignore[arg-type]
        self.norm = _norm(dimension, n_out, norm)
        self.short: nn.Module = nn.Identity()
        if n_in != n_out or max(stride) > 1:
            self.short = nn.Sequential(
                _CONV[dimension](n_in, n_out, 1, stride=stride, bias=False),  # type: ignore[arg-type]
                _norm(dimension, n_out, norm),
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.conv(self.first(x))) + self.short(x), 0.01, inplace=True)


class UNet(nn.Module):
    """Encoder and decoder with skip connections.

    In training the answer is a list of logits, finest first; in evaluation the finest alone.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits of a voxel.
        widths: Channels of each level; the first one is at full resolution.
        strides: Step into each deeper level, ``len(widths) - 1`` of them, one number an axis.
        kernels: Kernel of each level, one number an axis; 1 along an axis that is much coarser.
        blocks: Blocks of each level of the encoder; the decoder has one convolution a level.
        residual: Whether encoder blocks are residual.
        norm: ``"batch"`` or ``"instance"``.
        supervised: Levels that are trained, the finest included.
        dropout: Chance that a channel of the two deepest levels is dropped.
        stem: Step of the first convolution, one number an axis; the last one, a transposed one,
            takes it back, so that logits have the image's full resolution.

    Source:
        Ronneberger et al., MICCAI 2015; Isensee et al., Nature Methods 18:203 (2021) for strided
        convolutions and deep supervision; Isensee et al., MICCAI 2024 for the residual encoder.
    """

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        n_outputs: int,
        *,
        widths: Sequence[int],
        strides: Sequence[Shape],
        kernels: Sequence[Shape],
        blocks: Sequence[int],
        residual: bool,
        norm: str,
        supervised: int,
        dropout: float,
        stem: Shape = (),
    ) -> None:
        super().__init__()
        one = (1,) * dimension
        stem = stem or one
        self.down, self.up, self.join, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        n_in = in_channels
        for level, width in enumerate(widths):
            stage: list[nn.Module] = []
            for n in range(blocks[level]):
                make = _Residual if residual else Block
                stride = one if n else tuple(strides[level - 1]) if level else stem
                stage.append(make(dimension, n_in, width, stride=stride, kernel=kernels[level], norm=norm))
                n_in = width
            if dropout and level >= len(widths) - 2:
                stage.append(_DROP[dimension](dropout))
            self.down.append(nn.Sequential(*stage))
        for level in range(len(widths) - 2, -1, -1):
            step = tuple(strides[level])
            self.up.append(_UP[dimension](widths[level + 1], widths[level], step, stride=step, bias=False))  # type: ignore[arg-type]
            kernel = kernels[level]
            self.join.append(Block(dimension, 2 * widths[level], widths[level], stride=one, kernel=kernel, norm=norm))
            self.heads.append(_CONV[dimension](widths[level], n_outputs, 1))
        if max(stem) > 1:
            self.heads[-1] = _UP[dimension](widths[0], n_outputs, stem, stride=stem)  # type: ignore[arg-type]
        for k in range(len(self.heads) - supervised):  # levels too coarse to be trained need no head
            self.heads[k] = nn.Identity()
        self.supervised = supervised
        self._begin()

    def _begin(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, a=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits ``(B, n_outputs, *size)``; in training a list of them, finest first."""
        kept = []
        for stage in self.down:
            x = stage(x)
            kept.append(x)
        answers: list[Tensor] = []
        last = len(self.up) - 1
        for k, (up, join, head) in enumerate(zip(self.up, self.join, self.heads, strict=True)):
            x = join(torch.cat([up(x), kept[last - k]], dim=1))
            if k == last or (self.training and k > last - self.supervised):
                answers.insert(0, head(x))
        return answers if self.training else answers[0]


def unet(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    size: Literal["swift", "small", "medium", "large"] = "medium",
    levels: int = 4,
    flat: tuple[int, ...] = (),
    norm: str = "batch",
    supervised: int = 3,
    residual: bool = False,
    dropout: float = 0.0,
    stem: int = 1,
) -> UNet:
    """U-Net with plain blocks; see :func:`resunet` for residual ones.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits of a voxel.
        size: Channels and blocks.
        levels: Resolutions, the full one included.
        flat: For each axis how many of the first levels neither pool nor look along it: 0
            everywhere but for an axis of much coarser spacing.
        norm: ``"batch"`` or ``"instance"``.
        supervised: Levels that are trained.
        residual: Whether encoder blocks are residual.
        dropout: Chance that a channel of the two deepest levels is dropped.
        stem: Step of the first convolution along axes that are not flat: 2 makes a step of
            training about four times (in 3-D eight times) as cheap. Levels count from there.

    Returns:
        The network; windows must be divisible by the product of its strides.
    """
    first, most, per_level = _SIZES[size][dimension]
    widths = [min(most, first * 2**n) for n in range(levels)]
    flat = flat or (0,) * dimension
    first_step = tuple(1 if n else stem for n in flat)
    flat = tuple(max(0, n - 1) for n in flat) if stem > 1 else flat
    strides = [tuple(1 if level < n else 2 for n in flat) for level in range(levels - 1)]
    kernels = [tuple(1 if level < n else 3 for n in flat) for level in range(levels)]
    blocks = [1 if residual else per_level] + [per_level] * (levels - 1)
    return UNet(
        dimension,
        in_channels,
        n_outputs,
        widths=widths,
        strides=strides,
        kernels=kernels,
        blocks=blocks,
        residual=residual,
        norm=norm,
        supervised=max(1, min(supervised, levels - 1)),
        dropout=dropout,
        stem=first_step,
    )


def resunet(*, dimension: int, in_channels: int, n_outputs: int, **arguments: object) -> UNet:
    """Residual-encoder U-Net; arguments as in :func:`unet`."""
    return unet(dimension=dimension, in_channels=in_channels, n_outputs=n_outputs, residual=True, **arguments)  # type: ignore[arg-type]


_SIZES: dict[str, dict[int, tuple[int, int, int]]] = {
    "swift": {2: (16, 256, 2), 3: (32, 128, 1)},
    "small": {2: (16, 256, 2), 3: (16, 128, 1)},
    "medium": {2: (24, 384, 2), 3: (24, 192, 2)},
    "large": {2: (32, 512, 2), 3: (32, 320, 2)},
}
"""Channels of the first level, most channels, convolutions a level; by dimension."""
