"""What every classifier is: feature maps, a mean over places, a linear layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NotRequired, TypedDict

import torch
from torch import Tensor, nn


class Explained(TypedDict):
    """Answers of a network with what they are made of.

    ``logits`` ``(B, n_outputs)``; ``embedding`` ``(B, F)``; ``cam`` ``(B, n_outputs, *coarse)``,
    whose mean over places, plus a constant, is the logit; of a sequence also ``frames`` ``(B, T)``, the
    weight of each frame, 0 where there is none.
    """

    logits: Tensor
    embedding: Tensor
    cam: Tensor
    frames: NotRequired[Tensor]


class Explainable(nn.Module, ABC):
    """A module that gives logits, and on request what they are made of."""

    @abstractmethod
    def explained(self, x: Tensor) -> Explained:
        """Logits, embedding and class activation maps of ``x`` ``(B, C, *size)``."""


class Classifier(Explainable):
    """Feature maps from a body, global average pooling and a linear head.

    Args:
        body: ``(B, C, *size)`` to ``(B, F, *coarse)``.
        n_features: F.
        n_outputs: Logits.
        dropout: Chance that a pooled feature is set to 0 in training.

    Source:
        Zhou et al., Learning deep features for discriminative localization (CVPR 2016):
        with this head the class activation map is exact.
    """

    def __init__(self, body: nn.Module, *, n_features: int, n_outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = body
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_features, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, n_outputs)`` of ``x`` ``(B, C, *size)``."""
        logits: Tensor = self.head(self.dropout(self.body(x).flatten(2).mean(2)))
        return logits

    def explained(self, x: Tensor) -> Explained:
        """Logits, embedding and maps; ``cam`` averages to ``logits`` less the head's bias."""
        maps = self.body(x)  # B F coarse...
        embedding = maps.flatten(2).mean(2)
        cam = torch.einsum("bf...,of->bo...", maps, self.head.weight)
        return Explained(logits=self.head(embedding), embedding=embedding, cam=cam)

    @torch.no_grad()
    def rescale(self, mean: float, std: float) -> None:
        """Fold ``logits * std + mean`` into the head, so that a regression answers in its own unit."""
        self.head.weight.mul_(std)
        self.head.bias.mul_(std).add_(mean)
