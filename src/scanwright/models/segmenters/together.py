"""The mean answer of several segmentation networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Together(nn.Module):
    """Networks of one task, whose logits are averaged.

    Args:
        members: Networks that answer ``(B, n_outputs, *size)`` in evaluation.

    Source:
        Lakshminarayanan et al., Simple and scalable predictive uncertainty estimation using deep
        ensembles (NeurIPS 2017), on logits.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, n_outputs, *size)`` of windows ``(B, C, *size)``; in evaluation only."""
        return torch.stack([member(x) for member in self.members]).mean(0)
