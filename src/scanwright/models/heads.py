"""What reads the frames of a sequence: features of frames in order, to one vector for the whole.

Frames that are not there change no answer.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn


class Head(nn.Module, ABC):
    """Features of frames in order, to one vector for the whole.

    Attributes:
        n_features: Length of that vector.
    """

    n_features: int

    @abstractmethod
    def forward(self, features: Tensor, when: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """The vector ``(B, n_features)`` and the weight of every frame in it ``(B, T)``, which sums to 1.

        Args:
            features: ``(B, T, F)``.
            when: ``(B, T)``, the clock.
            there: ``(B, T)``, 1 where there is a frame.
        """


class Mean(Head):
    """The mean over frames: order changes nothing. What the others must beat."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.n_features = n_in

    def forward(self, features: Tensor, when: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Head.forward`."""
        weights = there / there.sum(1, keepdim=True).clamp_min(1.0)
        return (weights[..., None] * features).sum(1), weights


class Gated(Head):
    """Attention pooling: a small network decides how much each frame counts; order changes nothing.

    Source:
        Ilse, Tomczak, Welling, Attention-based deep multiple instance learning (ICML 2018), eq. 9.
    """

    def __init__(self, n_in: int, hidden: int = 32) -> None:
        super().__init__()
        self.n_features = n_in
        self.value = nn.Linear(n_in, hidden)
        self.gate = nn.Linear(n_in, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, features: Tensor, when: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Head.forward`."""
        scores = self.score(torch.tanh(self.value(features)) * torch.sigmoid(self.gate(features)))[..., 0]
        weights = masked_softmax(scores, there)
        return (weights[..., None] * features).sum(1), weights


class Recurrent(Head):
    """LSTM or GRU over the frames, both ways, then attention pooling of its states and the last one.

    Source:
        Hochreiter and Schmidhuber, Long short-term memory (1997); Cho et al., GRU (EMNLP 2014);
        Zhou et al., Attention-based bidirectional LSTM (ACL 2016). The gates are those of
        ``torch.nn.LSTM`` and ``torch.nn.GRU`` (tests/models work them out by hand).
    """

    def __init__(self, n_in: int, *, kind: Literal["lstm", "gru"], hidden: int, both_ways: bool = True) -> None:
        super().__init__()
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
        self.norm = nn.LayerNorm(n_in)
        self.forwards = cell(n_in + 2, hidden, batch_first=True)
        self.backwards = cell(n_in + 2, hidden, batch_first=True) if both_ways else None
        self.score = nn.Linear(hidden * (2 if both_ways else 1), 1)
        self.n_features = 2 * hidden * (2 if both_ways else 1)

    def forward(self, features: Tensor, when: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Head.forward`."""
        x = torch.cat([self.norm(features), _times(when, there)], dim=2)
        states = self.forwards(x)[0]
        last = _at_last(states, there)
        if self.backwards is not None:
            order = _reversed(there)
            back = self.backwards(_taken(x, order))[0]
            last = torch.cat([last, _at_last(back, there)], dim=1)
            states = torch.cat([states, _taken(back, order)], dim=2)
        weights = masked_softmax(self.score(torch.tanh(states))[..., 0], there)
        return torch.cat([(weights[..., None] * states).sum(1), last], dim=1), weights


class SelfAttention(Head):
    """Transformer encoder over the frames with positions from the clock, then attention pooling.

    Source:
        Vaswani et al., Attention is all you need (2017), eq. 1 and section 3.5; normalised first, as
        Xiong et al. (ICML 2020).
    """

    def __init__(self, n_in: int, *, width: int = 64, heads: int = 4, layers: int = 1, drop: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.enter = nn.Sequential(nn.LayerNorm(n_in), nn.Linear(n_in, width))
        self.layers = nn.ModuleList(_Layer(width, heads, drop) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1)
        self.n_features = width

    def forward(self, features: Tensor, when: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Head.forward`."""
        x = self.enter(features) + positions(when, self.width)
        for layer in self.layers:
            x = layer(x, there)
        x = self.norm(x)
        weights = masked_softmax(self.score(x)[..., 0], there)
        return (weights[..., None] * x).sum(1), weights


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, drop: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.middle = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.drop = nn.Dropout(drop)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        n, length, width = x.shape
        shape = (n, length, self.heads, width // self.heads)
        q, k, v = (p.reshape(shape).transpose(1, 2) for p in self.queries_keys_values(self.before(x)).chunk(3, dim=2))
        mixed = attend(q, k, v, there[:, None, None, :])
        x = x + self.drop(self.out(mixed.transpose(1, 2).reshape(n, length, width)))
        return x + self.drop(self.think(self.middle(x)))


def attend(queries: Tensor, keys: Tensor, values: Tensor, there: Tensor) -> Tensor:
    """Scaled dot-product attention: ``softmax(Q K^T / sqrt(d)) V`` over the keys that are there.

    Args:
        queries: ``(..., T, d)``.
        keys: ``(..., T, d)``.
        values: ``(..., T, e)``.
        there: 1 for keys that count, broadcast to ``(..., T, T)``.

    Returns:
        ``(..., T, e)``.

    Source:
        Vaswani et al., Attention is all you need (2017), eq. 1.
    """
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
    return masked_softmax(scores, there.expand_as(scores)) @ values


def masked_softmax(scores: Tensor, there: Tensor) -> Tensor:
    """Softmax over the last axis among the places where ``there`` is 1; 0 elsewhere."""
    low = scores.masked_fill(there < 0.5, -1e4)
    return torch.softmax(low.float(), dim=-1).to(scores.dtype) * there


def positions(when: Tensor, width: int) -> Tensor:
    """Sines and cosines of the clock, ``(B, T, width)``: frames at unequal distances are told apart.

    Source:
        Vaswani et al. (2017), section 3.5, with times for positions and periods from 2 pi to 200 pi.
    """
    steps = torch.arange(width // 2, device=when.device, dtype=when.dtype) / max(width // 2 - 1, 1)
    angles = when[..., None] * torch.exp(-steps * math.log(100.0))
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _times(when: Tensor, there: Tensor) -> Tensor:
    """Time since the first frame and since the one before, as logarithms, ``(B, T, 2)``."""
    gap = torch.cat([torch.zeros_like(when[:, :1]), (when[:, 1:] - when[:, :-1]).clamp_min(0.0)], dim=1)
    return torch.stack([torch.log1p(when), torch.log1p(gap)], dim=2) * there[..., None]


def _at_last(states: Tensor, there: Tensor) -> Tensor:
    """State at the last frame that is there, ``(B, H)``; the frames that are there come first."""
    last = there - torch.cat([there[:, 1:], torch.zeros_like(there[:, :1])], dim=1)
    return (states * last[..., None]).sum(1)


def _reversed(there: Tensor) -> Tensor:
    """Indices ``(B, T)`` that turn the frames that are there round and leave the others."""
    at = torch.arange(there.shape[1], device=there.device)[None].expand(there.shape[0], -1)
    n = there.sum(1, keepdim=True).long()
    return torch.where(at < n, n - 1 - at, at)


def _taken(x: Tensor, order: Tensor) -> Tensor:
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))


HEADS: dict[str, Callable[..., Head]] = {
    "mean": lambda n, **_: Mean(n),
    "gated": lambda n, hidden, **_: Gated(n, hidden),
    "lstm": lambda n, hidden, **_: Recurrent(n, kind="lstm", hidden=hidden),
    "lstm-forward": lambda n, hidden, **_: Recurrent(n, kind="lstm", hidden=hidden, both_ways=False),
    "gru": lambda n, hidden, **_: Recurrent(n, kind="gru", hidden=hidden),
    "attention": lambda n, hidden, layers, **_: SelfAttention(n, width=hidden, layers=layers),
}
"""Name to what reads the frames."""
