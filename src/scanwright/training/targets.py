"""Labels to targets, and targets to the loss of each task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from scanwright.core import Plan, Task


@dataclass(frozen=True, eq=False)
class Targets:
    """How the labels of one cohort are learnt.

    Args:
        task: Task.
        n_outputs: Logits.
        smoothing: Label smoothing, 0 .. 1.
        class_weights: ``(K,)`` weights in the loss; empty for none.
        mean: Mean of a regression's training labels.
        std: Their standard deviation.
    """

    task: Task
    n_outputs: int
    smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, plan: Plan, labels: NDArray[np.float32]) -> Targets:
        """Settings of a plan, with the scale of the training labels.

        Args:
            plan: The plan.
            labels: Training labels, NaN where missing.
        """
        weights = () if plan.training.balanced_sampling and plan.task != "multilabel" else plan.class_weights
        known = labels[np.isfinite(labels)] if plan.task == "regress" else np.zeros(0)
        mean, std = (float(known.mean()), float(known.std())) if len(known) else (0.0, 1.0)
        return cls(plan.task, plan.n_outputs, plan.training.label_smoothing, weights, mean, std if std > 0 else 1.0)

    def soft(self, labels: Tensor) -> Tensor:
        """Targets ``(B, n_outputs)`` of labels ``(B,)`` or ``(B, K)``; NaN stays NaN."""
        if self.task == "regress":
            return ((labels - self.mean) / self.std)[:, None]
        if self.task == "binary":
            return self._softened(labels[:, None], 2)
        if self.task == "multilabel":
            return self._softened(labels, 2)
        known = torch.isfinite(labels)
        hot = functional.one_hot(torch.where(known, labels, torch.zeros_like(labels)).long(), self.n_outputs).float()
        soft = self._softened(hot, self.n_outputs)
        return torch.where(known[:, None], soft, torch.full_like(soft, torch.nan))

    def _softened(self, targets: Tensor, classes: int) -> Tensor:
        return targets * (1 - self.smoothing) + self.smoothing / classes

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss over what is known.

        Args:
            logits: ``(B, n_outputs)``.
            targets: ``(B, n_outputs)`` from :meth:`soft`, perhaps mixed; NaN is left out.

        Returns:
            A number; 0 (with a gradient of 0) if nothing is known.

        Source:
            Binary and multi-label: cross-entropy of sigmoids. Multi-class: cross-entropy of the
            softmax. Ordinal: the same plus the squared distance of the cumulative distributions
            (Hou et al., Squared earth mover's distance loss, 2016). Regression: Huber on
            standardised targets.
        """
        known = torch.isfinite(targets)
        safe = torch.where(known, targets, torch.zeros_like(targets))
        if self.task == "regress":
            each = functional.huber_loss(logits, safe, reduction="none")
        elif self.task in ("binary", "multilabel"):
            each = functional.binary_cross_entropy_with_logits(logits, safe, reduction="none")
            each = each * self._sigmoid_weights(safe)
        else:
            each, known = self._softmax_loss(logits, safe), known[:, :1]
        return (each * known).sum() / known.sum().clamp_min(1)

    def _sigmoid_weights(self, targets: Tensor) -> Tensor:
        if not self.class_weights:
            return torch.ones_like(targets)
        weights = targets.new_tensor(self.class_weights)
        if self.task == "binary":
            return weights[0] + (weights[1] - weights[0]) * targets
        return 1 + (weights - 1) * targets

    def _softmax_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        each = -(targets * functional.log_softmax(logits, dim=1))
        if self.class_weights:
            each = each * targets.new_tensor(self.class_weights)
        found = each.sum(1, keepdim=True)
        if self.task == "ordinal":
            apart = logits.softmax(1).cumsum(1) - targets.cumsum(1)
            found = found + (apart**2).sum(1, keepdim=True)
        return found


class Sampler:
    """Which rows make which batch, as a function of (seed, step) alone.

    Args:
        labels: Labels of the training rows.
        rows: Their row numbers in the store.
        batch: Rows in a batch.
        seed: Seed.
        classes: With ``balanced`` the number of classes; each fills an equal share.
        balanced: Whether classes take turns. Multi-label cases are drawn by their rarest label.
    """

    def __init__(
        self, labels: NDArray[np.float32], rows: NDArray[np.intp], *, batch: int, seed: int, balanced: bool = False
    ) -> None:
        self.batch, self.seed = batch, seed
        self.streams = [rows]
        if balanced:
            owner = labels if labels.ndim == 1 else _rarest(labels)
            self.streams = [rows[owner == c] for c in np.unique(owner)]
        self._orders: dict[tuple[int, int], NDArray[np.intp]] = {}

    def rows(self, step: int) -> NDArray[np.intp]:
        """Row numbers ``(batch,)`` of a step; an epoch of each stream is one permutation."""
        n = len(self.streams)
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        rows = np.empty(self.batch, dtype=np.intp)
        for k, stream in enumerate(self.streams):
            mine = np.flatnonzero(places % n == k)
            turns = places[mine] // n
            for at, turn in zip(mine, turns, strict=True):
                epoch, place = divmod(int(turn), len(stream))
                rows[at] = stream[self._order(k, epoch, len(stream))[place]]
        return np.random.default_rng([self.seed, step, 7]).permutation(rows)

    def _order(self, stream: int, epoch: int, n: int) -> NDArray[np.intp]:
        key = (stream, epoch)
        if key not in self._orders:
            if len(self._orders) > 4 * len(self.streams):
                self._orders.clear()
            self._orders[key] = np.random.default_rng([self.seed, stream, epoch]).permutation(n)
        return self._orders[key]


def _rarest(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each case the rarest label that is 1, or -1 where none is."""
    positive = labels == 1
    counts = positive.sum(0).astype(np.float64)
    cost = np.where(positive, counts[None], np.inf)
    return np.where(positive.any(1), cost.argmin(1), -1).astype(np.float32)
