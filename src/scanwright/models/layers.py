"""Layers by dimension, so that one architecture serves pictures and volumes."""

from __future__ import annotations

from torch import Tensor, nn

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOL: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_DROP: dict[int, type[nn.Dropout2d] | type[nn.Dropout3d]] = {2: nn.Dropout2d, 3: nn.Dropout3d}


def pool(dimension: int) -> nn.Module:
    """Maximum of every 2 x 2 (x 2) block; an odd last row is kept in its own block."""
    return _POOL[dimension](2, ceil_mode=True)


def dropout(dimension: int, chance: float) -> nn.Module:
    """Drop whole channels."""
    return _DROP[dimension](chance)


def conv_block(dimension: int, n_in: int, n_out: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; the size is divided by ``stride``."""
    conv = _CONV[dimension](n_in, n_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, _NORM[dimension](n_out), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """``x + f(x)`` with two convolution blocks.

    Source:
        He et al., Deep residual learning (CVPR 2016).
    """

    def __init__(self, dimension: int, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(conv_block(dimension, channels, channels), conv_block(dimension, channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x`` ``(B, C, *size)``."""
        inner: Tensor = self.inner(x)
        return x + inner
