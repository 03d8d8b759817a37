"""Averages inside the network: over mirror images, and over several models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scanwright.models.classifier import Explainable, Explained


class Flipped(Explainable):
    """The mean answer over an image and its mirror images.

    Args:
        model: Any explainable model.
        axes: Axes to mirror, counted without batch and channel; each gives one mirror image.
    """

    def __init__(self, model: Explainable, axes: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.axes = tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, n_outputs)``."""
        return torch.stack([self.model(x), *(self.model(x.flip(a + 2)) for a in self.axes)]).mean(0)

    def explained(self, x: Tensor) -> Explained:
        """Means of logits and embeddings; maps are mirrored back before their mean."""
        views = [self.model.explained(x), *(self.model.explained(x.flip(a + 2)) for a in self.axes)]
        cams = [views[0]["cam"], *(v["cam"].flip(a + 2) for v, a in zip(views[1:], self.axes, strict=True))]
        found = Explained(
            logits=torch.stack([v["logits"] for v in views]).mean(0),
            embedding=torch.stack([v["embedding"] for v in views]).mean(0),
            cam=torch.stack(cams).mean(0),
        )
        if "frames" in views[0]:
            found["frames"] = torch.stack([v["frames"] for v in views]).mean(0)
        return found


class Averaged(Explainable):
    """A weighted sum of several models' logits.

    Args:
        members: Models of the same task.
        weights: One per member.
    """

    weights: Tensor

    def __init__(self, members: Sequence[Explainable], weights: Sequence[float]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("weights", torch.tensor(list(weights), dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, n_outputs)``."""
        return torch.stack([w * m(x) for w, m in zip(self.weights, self.members, strict=True)]).sum(0)

    def explained(self, x: Tensor) -> Explained:
        """Weighted logits and maps (on the finest member's grid); embeddings side by side."""
        views = [m.explained(x) for m in self.members if isinstance(m, Explainable)]
        size = max((v["cam"].shape[2:] for v in views), key=lambda s: s.numel())
        cams = [w * _resized(v["cam"], size) for w, v in zip(self.weights, views, strict=True)]
        logits = [w * v["logits"] for w, v in zip(self.weights, views, strict=True)]
        found = Explained(
            logits=torch.stack(logits).sum(0),
            embedding=torch.cat([v["embedding"] for v in views], dim=1),
            cam=torch.stack(cams).sum(0),
        )
        weighted = [v["frames"] for v in views if "frames" in v]
        if weighted:
            found["frames"] = torch.stack(weighted).mean(0)
        return found


def _resized(cam: Tensor, size: torch.Size) -> Tensor:
    """Maps on another grid; their mean, which makes the logit, is kept exactly."""
    if cam.shape[2:] == size:
        return cam
    mode = "bilinear" if cam.ndim == 4 else "trilinear"
    large = nn.functional.interpolate(cam, size=tuple(size), mode=mode, align_corners=False)
    axes = tuple(range(2, cam.ndim))
    return large + cam.mean(axes, keepdim=True) - large.mean(axes, keepdim=True)
