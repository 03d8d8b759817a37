"""Light heads on a frozen base that are no sum over places: nearest cases, and boosted trees."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from scanwright.models.classifier import Explainable, Explained
from scanwright.models.fixed import area_means
from scanwright.models.transfer import behind_entry

_CELLS = {2: 7, 3: 4}
"""Most places along each axis that are left out in turn for a map."""
_LITTLE = 0.01


class Light(Explainable):
    """A frozen base, its pooled features standardised and turned to their main directions, and a head without layers.

    Args:
        body: Entry and base.
        n_features: Features of the base.
        n_outputs: Logits.
        kept: Main directions that the head sees.
    """

    mean: Tensor
    std: Tensor
    turn: Tensor

    def __init__(self, body: nn.Sequential, *, n_features: int, n_outputs: int, kept: int) -> None:
        super().__init__()
        self.body = body.requires_grad_(False)
        self.kept = min(kept, n_features)
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("std", torch.ones(n_features))
        self.register_buffer("turn", torch.eye(n_features)[:, : self.kept].contiguous())
        self.head = nn.Linear(n_outputs, n_outputs)  # gives the answer its unit, nothing else
        nn.init.eye_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @abstractmethod
    def answer(self, z: Tensor) -> Tensor:
        """Logits ``(B, n_outputs)`` of turned features ``(B, kept)``."""

    def features(self, x: Tensor) -> Tensor:
        """Pooled features of the base."""
        pooled: Tensor = self.body(x).flatten(2).mean(2)
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, n_outputs)``."""
        return self._logits(self.features(x))

    def explained(self, x: Tensor) -> Explained:
        """Logits, turned features, and what the answer loses when a place is left out of the mean.

        Source:
            Desai and Ramaswamy, Ablation-CAM (WACV 2020), on the features of a place instead of a map.
        """
        maps = self.body(x)
        grid = tuple(min(n, _CELLS[maps.ndim - 2]) for n in maps.shape[2:])
        cells = area_means(maps, grid).flatten(2)  # B F P
        n = cells.shape[2]
        pooled = cells.mean(2)
        logits = self._logits(pooled)
        without = pooled[..., None] + (pooled[..., None] - cells) / max(n - 1, 1)
        left = self._logits(without.transpose(1, 2).reshape(-1, pooled.shape[1])).reshape(-1, n, logits.shape[1])
        lost = ((logits[:, None] - left) * max(n - 1, 1)).transpose(1, 2)  # B O P
        lost = lost + (logits - self.head.bias - lost.mean(2))[..., None]
        return Explained(logits=logits, embedding=self._turned(pooled), cam=lost.reshape(*lost.shape[:2], *grid))

    @torch.no_grad()
    def set_features(self, *, mean: Tensor, std: Tensor, turn: Tensor) -> None:
        """Take over what comes before the head; missing directions are 0."""
        self.mean.copy_(mean)
        self.std.copy_(std)
        self.turn.zero_()
        self.turn[:, : turn.shape[1]] = turn[:, : self.kept]

    def _turned(self, pooled: Tensor) -> Tensor:
        return ((pooled - self.mean) / self.std) @ self.turn

    def _logits(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.head(self.answer(self._turned(pooled)))
        return logits


class Nearest(Light):
    """The training cases whose features point the same way vote, the nearer the more.

    Args:
        body: Entry and base.
        n_features: Features of the base.
        n_outputs: Logits.
        kept: Main directions.
        cases: Most cases that it remembers; only their turned features are kept, no image.
        k: Cases that vote.
        regress: Whether answers are numbers instead of votes.
    """

    bank: Tensor
    weight: Tensor
    votes: Tensor
    known: Tensor
    sharpness: Tensor

    def __init__(
        self, body: nn.Sequential, *, n_features: int, n_outputs: int, kept: int, cases: int, k: int, regress: bool
    ) -> None:
        super().__init__(body, n_features=n_features, n_outputs=n_outputs, kept=kept)
        self.regress, self.k = regress, min(k, cases)
        self.register_buffer("bank", torch.zeros(cases, self.kept))
        self.register_buffer("weight", torch.zeros(cases))
        self.register_buffer("votes", torch.zeros(cases, n_outputs))
        self.register_buffer("known", torch.zeros(cases, n_outputs))
        self.register_buffer("sharpness", torch.tensor(14.0))

    def answer(self, z: Tensor) -> Tensor:
        """Log-odds of the weighted votes; of a regression their mean.

        Source:
            Weights of Wu et al., Instance discrimination (CVPR 2018), section 3.4: the exponential of the
            cosine, sharpened.
        """
        alike = normalize(z, dim=1) @ self.bank.T * self.sharpness
        low = torch.full_like(alike, -1e4)
        alike = torch.where(self.weight > 0, alike, low)
        limit = alike.topk(self.k, dim=1).values[:, -1:]
        share = torch.softmax(torch.where(alike >= limit, alike, low), dim=1) * self.weight
        yes, said = share @ (self.votes * self.known), (share @ self.known).clamp_min(1e-6)
        if self.regress:
            return yes / said
        p = (yes / said).clamp(_LITTLE, 1 - _LITTLE)
        return (p / (1 - p)).log()

    @torch.no_grad()
    def remember(self, z: Tensor, votes: Tensor, known: Tensor, weight: Tensor, sharpness: float) -> None:
        """Take over the cases that vote.

        Args:
            z: ``(n, kept)`` turned features.
            votes: ``(n, n_outputs)``: 1 for yes, or the number.
            known: The same shape: 1 where a label is known.
            weight: ``(n,)``: how much a case counts.
            sharpness: What the cosine is multiplied by.
        """
        n = min(len(z), len(self.bank))
        self.weight.zero_()
        for own, given in (
            (self.bank, normalize(z, dim=1)),
            (self.votes, votes),
            (self.known, known),
            (self.weight, weight),
        ):
            own[:n].copy_(given[:n])
        self.sharpness.fill_(sharpness)


class Boosted(Light):
    """Many shallow trees on the turned features, each mending what those before it left.

    Trees are whole: every inner node has two children, and a leaf further up stands in all leaves below it.

    Args:
        body: Entry and base.
        n_features: Features of the base.
        n_outputs: Logits.
        kept: Main directions.
        trees: Most trees.
        depth: Questions on the way to a leaf.
    """

    feature: Tensor
    threshold: Tensor
    leaves: Tensor
    start: Tensor

    def __init__(
        self, body: nn.Sequential, *, n_features: int, n_outputs: int, kept: int, trees: int, depth: int
    ) -> None:
        super().__init__(body, n_features=n_features, n_outputs=n_outputs, kept=kept)
        self.trees, self.depth = trees, depth
        inner = 2**depth - 1
        self.register_buffer("feature", torch.zeros(trees * inner, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(trees * inner))
        self.register_buffer("leaves", torch.zeros(trees * 2**depth, n_outputs))
        self.register_buffer("start", torch.zeros(n_outputs))

    def answer(self, z: Tensor) -> Tensor:
        """The start and one leaf of every tree, added."""
        inner = 2**self.depth - 1
        first = torch.arange(self.trees, device=z.device)[None]  # 1 T
        node = torch.zeros_like(first).expand(z.shape[0], -1)  # B T
        for _ in range(self.depth):
            place = first * inner + node
            right = z.gather(1, self.feature[place]) > self.threshold[place]
            node = 2 * node + 1 + right.long()
        found = self.leaves[first * (inner + 1) + node - inner]  # B T O
        return found.sum(1) + self.start


def nearest(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    base: str,
    channels: int = 3,
    enlarge: int = 1,
    kept: int = 64,
    cases: int = 2000,
    k: int = 20,
    regress: bool = False,
    **of_base: Any,
) -> Nearest:
    """Nearest cases on a frozen base: ``base``, ``channels`` and ``enlarge`` as for ``tuned``, the rest as for :class:`Nearest`."""
    body, n_features = behind_entry(base, dimension, in_channels, channels, enlarge, of_base)
    return Nearest(body, n_features=n_features, n_outputs=n_outputs, kept=kept, cases=cases, k=k, regress=regress)


def boosted(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    base: str,
    channels: int = 3,
    enlarge: int = 1,
    kept: int = 64,
    trees: int = 80,
    depth: int = 3,
    **of_base: Any,
) -> Boosted:
    """Boosted trees on a frozen base: ``base``, ``channels`` and ``enlarge`` as for ``tuned``, the rest as for :class:`Boosted`."""
    body, n_features = behind_entry(base, dimension, in_channels, channels, enlarge, of_base)
    return Boosted(body, n_features=n_features, n_outputs=n_outputs, kept=kept, trees=trees, depth=depth)
