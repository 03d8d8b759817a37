"""What a training loop needs of what is learnt: classes and numbers, or label maps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from scanwright.core import Candidate


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step learns from.

    Args:
        images: ``(B, C, *size)`` on the device, augmented.
        targets: Whatever the lesson's loss takes.
        names: Case ids.
        note: A sentence about something odd in it; empty mostly.
    """

    images: Tensor
    targets: Any
    names: list[str]
    note: str = ""


class Figures(Protocol):
    """Figures of one look at validation; a dataclass of plain numbers.

    Attributes:
        score: What candidates are ranked by; higher is better.
        loss: Validation loss.
    """

    @property
    def score(self) -> float: ...

    @property
    def loss(self) -> float: ...

    def measured(self) -> dict[str, float]:
        """Figures for the learning curve, by name."""
        ...


class Lesson(Protocol):
    """What is learnt. ``Data`` teaches classes and numbers, ``Windows`` label maps."""

    @property
    def dimension(self) -> int:
        """Axes of the network: 2 or 3."""

    def build(self, candidate: Candidate) -> nn.Module:
        """The candidate's network with fresh weights."""

    def sampler(self, candidate: Candidate) -> Any:
        """Whatever says which cases make which batch."""

    def batch(self, candidate: Candidate, sampler: Any, step: int, mine: slice) -> Batch:
        """The batch of a step, a function of seed, candidate and step alone; ``mine`` is this process's share."""

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """The loss, in full precision."""

    def look(self, network: nn.Module, *, bf16: bool) -> Any:
        """Figures on validation."""

    def figures(self, values: dict[str, Any]) -> Any:
        """Figures from their plain values."""


def seed_of(*facts: object) -> int:
    """A seed that is a function of its arguments alone.

    Args:
        *facts: Such as the plan's seed, a candidate's name and a step.

    Returns:
        0 .. 2**63 - 1.
    """
    digest = hashlib.blake2b("/".join(map(str, facts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
