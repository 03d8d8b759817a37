"""Vision transformer whose answer is a mean over places, so that its maps are exact."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from scanwright.models.classifier import Classifier

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}


def vit(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    width: int = 192,
    depth: int = 12,
    heads: int = 3,
    patch: int = 16,
    grid: int = 14,
    token: bool = True,
    eps: float = 1e-6,
    head_drop: float = 0.0,
) -> Classifier:
    """Vision transformer, tiny by default; small has ``width=384, heads=6``.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits.
        width: Numbers of a token.
        depth: Blocks.
        heads: Attention heads; they divide ``width``.
        patch: Pixels along each side of a patch.
        grid: Positions along each axis of the table, which is interpolated to the patches of the image.
        token: Whether a class token goes along: others attend to it, the answer is the mean of the patches.
        eps: Of the normalisations.
        head_drop: Chance that a pooled feature is dropped.

    Returns:
        The network; the coarse grid is the size divided by ``patch``, rounded up.

    Source:
        Dosovitskiy et al., An image is worth 16 x 16 words (ICLR 2021); sizes of Touvron et al., DeiT (ICML
        2021); mean of the patches instead of the class token as in Zhai et al. (CVPR 2022).
    """
    body = Tokens(dimension, in_channels, width, depth=depth, heads=heads, patch=patch, grid=grid, token=token, eps=eps)
    return Classifier(body, n_features=width, n_outputs=n_outputs, dropout=head_drop)


class Tokens(nn.Module):
    """Patches in, patches out: ``(B, C, *size)`` to ``(B, width, *coarse)``."""

    def __init__(
        self,
        dimension: int,
        in_channels: int,
        width: int,
        *,
        depth: int,
        heads: int,
        patch: int,
        grid: int,
        token: bool,
        eps: float,
    ) -> None:
        super().__init__()
        self.patch, self.dimension = patch, dimension
        self.patches = _CONV[dimension](in_channels, width, patch, stride=patch)
        self.positions = nn.Parameter(torch.randn(1, width, *(grid,) * dimension) * 0.02)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02) if token else None
        self.blocks = nn.ModuleList(Block(width, heads, eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of the patches after the last block and its normalisation, in their places."""
        whole = tuple(-(-n // self.patch) * self.patch for n in x.shape[2:])
        if whole != tuple(x.shape[2:]):
            x = interpolate(x, whole, mode=_LINEAR[self.dimension], align_corners=False)
        maps = self.patches(x)  # B F coarse...
        coarse = maps.shape[2:]
        tokens = (maps + self._positions(coarse)).flatten(2).transpose(1, 2)  # B P F
        if self.token is not None:
            tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)[:, 0 if self.token is None else 1 :]
        return tokens.transpose(1, 2).reshape(-1, tokens.shape[2], *coarse)

    def _positions(self, coarse: torch.Size) -> Tensor:
        if self.positions.shape[2:] == coarse:
            return self.positions
        return interpolate(self.positions, coarse, mode=_LINEAR[self.dimension], align_corners=False, antialias=False)


class Block(nn.Module):
    """Attention and two layers, each after a normalisation and added to what came in."""

    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.middle = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x`` ``(B, P, F)``."""
        n, length, width = x.shape
        shape = (n, length, self.heads, width // self.heads)
        three = self.queries_keys_values(self.before(x)).chunk(3, dim=2)
        q, k, v = (part.reshape(shape).transpose(1, 2) for part in three)
        mixed = scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        x = x + self.out(mixed)
        thought: Tensor = self.think(self.middle(x))
        return x + thought
