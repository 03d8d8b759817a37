"""Fixed features with a fitted linear head: the classical models, exportable like the networks."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, avg_pool3d, pad

from scanwright.models.classifier import Explainable, Explained

_EPS = 1e-6


class Fitted(Explainable):
    """Features that nobody trains, standardised, and a linear layer that is fitted on them.

    ``mean`` and ``std`` (of the features) are set by whoever fits the model.

    Args:
        n_features: Of one image.
        n_outputs: Logits.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("std", torch.ones(n_features))
        self.head = nn.Linear(n_features, n_outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Raw features ``(B, n_features)`` of images ``(B, C, *size)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, n_outputs)``."""
        logits: Tensor = self.head((self.features(x) - self.mean) / self.std)
        return logits

    @torch.no_grad()
    def set_head(self, *, mean: Tensor, std: Tensor, weight: Tensor, bias: Tensor) -> None:
        """Take over a fitted linear model on standardised features.

        Args:
            mean: ``(n_features,)``.
            std: ``(n_features,)``, positive.
            weight: ``(n_outputs, n_features)``.
            bias: ``(n_outputs,)``.
        """
        self.mean.copy_(mean)
        self.std.copy_(std)
        self.head.weight.copy_(weight)
        self.head.bias.copy_(bias)


class FixedFeatures(Fitted):
    """Features that are written down.

    Local features live on a coarse grid, so their share of a logit has a place; features of
    the whole image are spread evenly. ``low`` and ``high`` (usual range of the intensities)
    are set by whoever fits the model.

    Args:
        n_local: Local features per place.
        grid: Places.
        n_whole: Features of the whole image.
        n_outputs: Logits.
    """

    low: Tensor
    high: Tensor

    def __init__(self, *, n_local: int, grid: tuple[int, ...], n_whole: int, n_outputs: int) -> None:
        super().__init__(n_features=n_local * math.prod(grid) + n_whole, n_outputs=n_outputs)
        self.grid, self.n_local, self.n_whole = grid, n_local, n_whole
        self.register_buffer("low", torch.tensor(-2.0))
        self.register_buffer("high", torch.tensor(2.0))

    @abstractmethod
    def measured(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Local features ``(B, n_local, *grid)`` and whole ones ``(B, n_whole)``.

        Args:
            x: ``(B, C, *size)``, scaled so that the usual range is 0 .. 1.
        """

    def features(self, x: Tensor) -> Tensor:
        """Raw features ``(B, n_features)`` of images ``(B, C, *size)``."""
        local, whole = self.measured((x - self.low) / (self.high - self.low))
        return torch.cat([local.flatten(1), whole], dim=1)

    def explained(self, x: Tensor) -> Explained:
        """Logits, standardised features, and each place's share of each logit."""
        z = (self.features(x) - self.mean) / self.std
        n, places = self.n_local * math.prod(self.grid), math.prod(self.grid)
        weight = self.head.weight[:, :n].reshape(-1, self.n_local, places)
        share = torch.einsum("bfp,ofp->bop", z[:, :n].reshape(-1, self.n_local, places), weight) * places
        whole = z[:, n:] @ self.head.weight[:, n:].T
        cam = (share + whole[:, :, None]).reshape(-1, self.head.out_features, *self.grid)
        return Explained(logits=self.head(z), embedding=z, cam=cam)

    @torch.no_grad()
    def set_features(self, *, low: float, high: float) -> None:
        """Set the usual range of intensities, which comes before the features."""
        self.low.fill_(low)
        self.high.fill_(max(high, low + _EPS))


class Pixels(FixedFeatures):
    """Area means on a grid: the image itself, made small."""

    def __init__(self, *, dimension: int, in_channels: int, n_outputs: int, side: int) -> None:
        super().__init__(n_local=in_channels, grid=(side,) * dimension, n_whole=0, n_outputs=n_outputs)

    def measured(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Area means; nothing of the whole."""
        return area_means(x, self.grid), x.new_zeros((x.shape[0], 0))


class Cells(FixedFeatures):
    """Means, spread, gradient orientations and detail in cells; histograms and shape of the whole."""

    def __init__(self, *, dimension: int, in_channels: int, n_outputs: int, side: int, working: int, bins: int) -> None:
        self.directions = _directions(dimension)
        self.widths = (1, 3, 5, 9)
        n_local = 2 + 2 * len(self.directions) + 2
        n_shape = 1 + dimension + dimension * (dimension + 1) // 2 + 12 * dimension
        n_whole = n_local + len(self.widths) * (bins + 1) + n_shape
        super().__init__(
            n_local=n_local * in_channels, grid=(side,) * dimension, n_whole=n_whole * in_channels, n_outputs=n_outputs
        )
        self.dimension, self.working, self.bins = dimension, working, bins

    def measured(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Local and whole features of every channel."""
        small = area_means(x, tuple(min(n, self.working) for n in x.shape[2:]))
        batch, channels = small.shape[:2]
        flat = small.reshape(batch * channels, 1, *small.shape[2:])
        local = torch.cat([self._intensity(flat), self._orientation(flat), self._detail(flat)], dim=1)
        whole = torch.cat([local.flatten(2).mean(2), self._histograms(flat), self._shape(flat)], dim=1)
        return local.reshape(batch, -1, *self.grid), whole.reshape(batch, -1)

    def _intensity(self, x: Tensor) -> Tensor:
        mean = area_means(x, self.grid)
        spread = (area_means(x * x, self.grid) - mean * mean).clamp_min(0)
        return torch.cat([mean, (spread + _EPS).sqrt()], dim=1)

    def _orientation(self, x: Tensor) -> Tensor:
        found = []
        for image in (x, smooth(x, 5)):
            gradient = torch.cat([_slope(image, axis) for axis in range(2, x.ndim)], dim=1)  # B D size...
            length = (gradient * gradient).sum(1, keepdim=True).add(_EPS).sqrt()
            directions = gradient.new_tensor(self.directions)
            along = torch.einsum("bd...,kd->bk...", gradient / length, directions)
            cells = area_means(length * along**4, self.grid)
            around = length.flatten(2).mean(2).reshape(-1, 1, *(1,) * (x.ndim - 2))
            found.append((cells / (area_means(length, self.grid) * 0.5 + around * 0.5 + 1e-3) + _EPS).sqrt())
        return torch.cat(found, dim=1)

    def _detail(self, x: Tensor) -> Tensor:
        fine, middle, coarse = x, smooth(x, 3), smooth(x, 7)
        return torch.cat(
            [area_means((fine - middle).abs(), self.grid), area_means((middle - coarse).abs(), self.grid)], 1
        )

    def _histograms(self, x: Tensor) -> Tensor:
        """Soft histograms of the image seen through windows of growing width (thickness, texture)."""
        centres = torch.linspace(0, 1, self.bins, device=x.device, dtype=x.dtype).reshape(1, -1, 1)
        found = []
        for width in self.widths:
            seen = smooth(x, width).flatten(2)
            found.append((1 - (seen - centres).abs() * (self.bins - 1)).clamp_min(0).mean(2))
            found.append((seen * x.flatten(2)).mean(2))
        return torch.cat(found, dim=1)

    def _shape(self, x: Tensor) -> Tensor:
        """Mass, centre, second moments and profiles of the intensities taken as mass."""
        mass = x.clamp(0, 1)
        total = mass.flatten(1).mean(1, keepdim=True)
        profiles, places = [], []
        for axis in range(2, x.ndim):
            others = tuple(a for a in range(2, x.ndim) if a != axis)
            profiles.append(mass.mean(others).flatten(1))
            places.append(torch.linspace(-1, 1, x.shape[axis], device=x.device, dtype=x.dtype))
        centres = [(p * q).mean(1, keepdim=True) / (total + _EPS) for p, q in zip(profiles, places, strict=True)]
        moments = []
        for a, b in product(range(self.dimension), repeat=2):
            if a > b:
                continue
            weights = _outer(places, a, b, self.dimension)
            second = (mass[:, 0] * weights).flatten(1).mean(1, keepdim=True) / (total + _EPS)
            moments.append(second - centres[a] * centres[b])
        short = [area_means(p[:, None], (12,)).flatten(1) for p in profiles]
        return torch.cat([total, *centres, *moments, *short], dim=1)


def linear(*, dimension: int, in_channels: int, n_outputs: int, side: int = 0) -> FixedFeatures:
    """Logistic (or ridge) regression on the image made small.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits.
        side: Pixels along each axis; 0 for 28 in 2-D and 12 in 3-D.

    Returns:
        The model, its head still 0.
    """
    side = side or (28 if dimension == 2 else 12)
    return Pixels(dimension=dimension, in_channels=in_channels, n_outputs=n_outputs, side=side)


def features(
    *, dimension: int, in_channels: int, n_outputs: int, side: int = 0, working: int = 0, bins: int = 12
) -> FixedFeatures:
    """Logistic (or ridge) regression on hand-made features.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits.
        side: Cells along each axis; 0 for 7 in 2-D and 4 in 3-D.
        working: Side that larger images are first made small to; 0 for 96 in 2-D, 24 in 3-D.
        bins: Bins of each histogram.

    Returns:
        The model, its head still 0.

    Source:
        Dalal and Triggs, Histograms of oriented gradients (CVPR 2005), with soft bins.
    """
    side = side or (7 if dimension == 2 else 4)
    working = working or (96 if dimension == 2 else 24)
    return Cells(
        dimension=dimension, in_channels=in_channels, n_outputs=n_outputs, side=side, working=working, bins=bins
    )


def area_means(x: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Means over equal parts of each axis, exact for any size.

    Args:
        x: ``(B, C, *size)``.
        grid: Parts along each axis.

    Returns:
        ``(B, C, *grid)``.
    """
    for axis, parts in enumerate(grid, start=2):
        if x.shape[axis] != parts:
            matrix = torch.from_numpy(_area_matrix(int(x.shape[axis]), parts)).to(x)
            x = (x.movedim(axis, -1) @ matrix).movedim(-1, axis)
    return x


def smooth(x: Tensor, width: int) -> Tensor:
    """Means over windows of an odd ``width``, the border repeated; same shape as ``x``."""
    if width == 1:
        return x
    half, dimension = width // 2, x.ndim - 2
    x = pad(x, (half, half) * dimension, mode="replicate")
    for axis in range(dimension):  # one axis at a time: 3 x 9 instead of 9 x 9 x 9
        window = tuple(width if a == axis else 1 for a in range(dimension))
        x = avg_pool2d(x, window, stride=1) if dimension == 2 else avg_pool3d(x, window, stride=1)
    return x


@lru_cache(maxsize=64)
def _area_matrix(size: int, parts: int) -> np.ndarray:
    """``(size, parts)``: how much of each part every pixel fills."""
    edges = np.linspace(0, size, parts + 1)
    start, end = np.arange(size)[:, None], np.arange(1, size + 1)[:, None]
    overlap = np.clip(np.minimum(end, edges[None, 1:]) - np.maximum(start, edges[None, :-1]), 0, None)
    return (overlap / overlap.sum(0, keepdims=True)).astype(np.float32)


def _slope(x: Tensor, axis: int) -> Tensor:
    """Central differences, 0 at the border; same shape."""
    inner = (x.narrow(axis, 2, x.shape[axis] - 2) - x.narrow(axis, 0, x.shape[axis] - 2)) / 2
    zero = torch.zeros_like(x.narrow(axis, 0, 1))
    return torch.cat([zero, inner, zero], dim=axis)


def _directions(dimension: int) -> list[list[float]]:
    if dimension == 2:
        return [[math.cos(k * math.pi / 8), math.sin(k * math.pi / 8)] for k in range(8)]
    ways = [w for w in product((-1, 0, 1), repeat=3) if w > (0, 0, 0) and sum(map(abs, w)) <= 2]
    return [[v / math.sqrt(sum(map(abs, w))) for v in w] for w in ways]


def _outer(places: list[Tensor], a: int, b: int, dimension: int) -> Tensor:
    """Product of two coordinates at every place."""
    shaped = [p.reshape([-1 if d == k else 1 for d in range(dimension)]) for k, p in enumerate(places)]
    return shaped[a] * shaped[b] * torch.ones([len(p) for p in places]).to(shaped[a])
