"""Losses of label maps, and how codes become targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from scanwright.core import Plan

IGNORED = 255
_TOP = 0.1
_ALPHA, _BETA, _GAMMA = 0.3, 0.7, 0.75
_SMOOTH = 1e-5


class MaskTargets:
    """Codes of prepared label maps to what a plan's network answers.

    Args:
        plan: Target, codes and outputs.
        device: Where targets live.
    """

    def __init__(self, plan: Plan, device: torch.device) -> None:
        spec = plan.segmentation
        if spec is None:
            raise ValueError("the plan is no segmentation's")
        self.target = spec.target
        self.n_outputs = plan.n_outputs
        table = torch.zeros(256, self.n_outputs)
        if spec.target == "regions":
            for code, classes in enumerate(spec.codes, start=1):
                table[code, list(classes)] = 1
        else:
            n_codes = 2 if spec.target == "instances" else len(spec.codes)
            table[0, 0] = 1
            for code in range(1, n_codes + 1):
                channel = code if spec.target == "instances" else spec.codes[code - 1][0] + 1
                table[code, channel] = 1
        self.table = table.to(device)

    def hot(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Targets of codes.

        Args:
            codes: ``(B, *size)`` uint8.

        Returns:
            ``(B, n_outputs, *size)`` of 0 and 1, and ``(B, 1, *size)``: 1 where the truth is known.
        """
        known = (codes != IGNORED)[:, None].float()
        return self.table[codes.long()].movedim(-1, 1), known

    def chances(self, logits: Tensor) -> Tensor:
        """Probabilities of logits, in full precision."""
        return logits.float().sigmoid() if self.target == "regions" else logits.float().softmax(1)

    def structures(self, values: Tensor) -> Tensor:
        """The channels that are structures: without the background."""
        return values if self.target == "regions" else values[:, 1:]


def overlap_loss(chances: Tensor, hot: Tensor, known: Tensor, *, alpha: float = 0.5, gamma: float = 1.0) -> Tensor:
    """1 - Dice over the whole batch, mean over structures; with another ``alpha`` the Tversky index.

    Args:
        chances: ``(B, K, *size)`` probabilities of structures.
        hot: Their targets.
        known: ``(B, 1, *size)``.
        alpha: Weight of false positives; false negatives weigh ``1 - alpha``.
        gamma: Power of the loss.

    Source:
        Milletari et al., 3DV 2016 (Dice); Abraham and Khan, ISBI 2019 (focal Tversky).
    """
    axes = (0, *range(2, chances.ndim))
    hit = (chances * hot * known).sum(axes)
    false_positive = (chances * (1 - hot) * known).sum(axes)
    false_negative = ((1 - chances) * hot * known).sum(axes)
    index = (hit + _SMOOTH) / (hit + alpha * false_positive + (1 - alpha) * false_negative + _SMOOTH)
    return ((1 - index).clamp_min(0) ** gamma).mean()


def _voxel_loss(logits: Tensor, hot: Tensor, target: str) -> Tensor:
    """Cross-entropy of every voxel, ``(B, 1, *size)``."""
    if target == "regions":
        return functional.binary_cross_entropy_with_logits(logits, hot, reduction="none").mean(1, keepdim=True)
    return -(hot * functional.log_softmax(logits, dim=1)).sum(1, keepdim=True)


def _mean(values: Tensor, known: Tensor) -> Tensor:
    return (values * known).sum() / known.sum().clamp_min(1)


def _hardest(values: Tensor, known: Tensor) -> Tensor:
    """Mean of the hardest tenth."""
    flat = (values * known).flatten()
    return flat.topk(max(1, int(_TOP * flat.numel()))).values.mean()


def dice_ce(logits: Tensor, hot: Tensor, known: Tensor, targets: MaskTargets) -> Tensor:
    """Soft Dice and cross-entropy."""
    found = targets.structures(targets.chances(logits))
    return overlap_loss(found, targets.structures(hot), known) + _mean(_voxel_loss(logits, hot, targets.target), known)


def dice_topk(logits: Tensor, hot: Tensor, known: Tensor, targets: MaskTargets) -> Tensor:
    """Soft Dice and the cross-entropy of the hardest tenth of the voxels (Wu et al. 2016)."""
    found = targets.structures(targets.chances(logits))
    hardest = _hardest(_voxel_loss(logits, hot, targets.target), known)
    return overlap_loss(found, targets.structures(hot), known) + hardest


def dice_focal_tversky(logits: Tensor, hot: Tensor, known: Tensor, targets: MaskTargets) -> Tensor:
    """Focal Tversky, which weighs missed voxels more, and cross-entropy."""
    found = targets.structures(targets.chances(logits))
    overlap = overlap_loss(found, targets.structures(hot), known, alpha=_ALPHA, gamma=_GAMMA)
    return overlap + _mean(_voxel_loss(logits, hot, targets.target), known)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, MaskTargets], Tensor]] = {
    "dice_ce": dice_ce,
    "dice_topk": dice_topk,
    "dice_focal_tversky": dice_focal_tversky,
}
"""Name in the plan to loss of ``(logits, hot, known, targets)``."""


def supervised_loss(name: str, levels: Sequence[Tensor], codes: Tensor, targets: MaskTargets) -> Tensor:
    """The loss of every level of a decoder, each coarser one with half the weight.

    Args:
        name: A key of :data:`LOSSES`.
        levels: Logits, finest first.
        codes: ``(B, *size)`` uint8.
        targets: How codes become targets.

    Returns:
        One number, in float32.

    Source:
        Deep supervision as in Isensee et al., Nature Methods 18:203 (2021).
    """
    total, weights = levels[0].new_zeros((), dtype=torch.float32), 0.0
    for n, logits in enumerate(levels):
        coarse = codes
        if logits.shape[2:] != codes.shape[1:]:
            sized = functional.interpolate(codes[:, None].float(), size=logits.shape[2:], mode="nearest-exact")
            coarse = sized[:, 0].to(codes.dtype)
        hot, known = targets.hot(coarse)
        weight = 0.5**n
        total = total + weight * LOSSES[name](logits.float(), hot, known, targets)
        weights += weight
    return total / weights
