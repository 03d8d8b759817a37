"""Networks for ordered frames: a 2-D network looks at every frame, a head reads them in order.

The input is ``(B, C + 1, I, J, T)``: pictures along the last axis, and the clock as the last
channel, which shows when a frame was taken and -1 where there is none. Frames that are not
there change no answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from scanwright.models.classifier import Classifier, Explainable, Explained
from scanwright.models.cnn import cnn
from scanwright.models.resnet9 import resnet9

_CELLS = 5
"""Most places along each side of a frame for which their share in the answer is worked out."""
_THERE = -0.5
"""The clock is above this on frames that are there."""


def apart(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, clock and presence of a batch.

    Args:
        x: ``(B, C + 1, I, J, T)``.

    Returns:
        Frames ``(B, T, C, I, J)``, clock ``(B, T)`` (0 where absent), and 1 where a frame is there, ``(B, T)``.
    """
    shown = x[:, -1, 0, 0, :]
    there = (shown > _THERE).to(x.dtype)
    return x[:, :-1].movedim(-1, 1), shown * there, there


class Head(nn.Module):
    """Features of frames in order, to one vector for the whole.

    Attributes:
        n_features: Length of that vector.
    """

    n_features: int

    def forward(self, features: Tensor, when: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """The vector ``(B, n_features)`` and the weight of every frame in it ``(B, T)``, which sums to 1.

        Args:
            features: ``(B, T, F)``.
            when: ``(B, T)``, the clock.
            there: ``(B, T)``, 1 where there is a frame.
        """
        raise NotImplementedError


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


class Sequence(Explainable):
    """A 2-D network for every frame, a head over the frames, a linear layer.

    Args:
        body: ``(N, C, I, J)`` to ``(N, F, i, j)``.
        n_features: F.
        head: What reads the frames.
        n_outputs: Logits.
        dropout: Chance that a feature of the whole is set to 0 in training.
    """

    def __init__(self, body: nn.Module, head: Head, *, n_outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = body
        self.reader = head
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(head.n_features, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, n_outputs)`` of ``x`` ``(B, C + 1, I, J, T)``."""
        frames, when, there = apart(x)
        features = self._maps(frames, there).mean((3, 4))
        logits: Tensor = self.head(self.dropout(self.reader(features, when, there)[0]))
        return logits

    def explained(self, x: Tensor) -> Explained:
        """Logits, embedding, the weight of every frame, and what every place of every frame adds.

        A place adds what the answer loses when the place is left out of its frame's mean (Desai and
        Ramaswamy, Ablation-CAM, WACV 2020); the maps are shifted so that their mean and the bias make the logit.
        """
        frames, when, there = apart(x)
        maps = self._maps(frames, there)
        features = maps.mean((3, 4))
        cells = _coarse(maps)  # B T F i j
        whole, weights = self.reader(features, when, there)
        logits = self.head(whole)
        b, t, f, i, j = cells.shape
        n = i * j
        spread = (cells.mean((3, 4))[..., None] - cells.flatten(3)) / max(n - 1, 1)
        without = features[..., None] + spread  # B T F n: the frame less one place
        changed = features[:, None, None].expand(b, t, n, t, f)
        one = torch.eye(t, device=x.device, dtype=x.dtype)[None, :, None, :, None]
        changed = changed * (1 - one) + without.movedim(3, 2)[:, :, :, None] * one
        copies = (b, t, n, t)
        answers = self.head(
            self.reader(
                changed.reshape(b * t * n, t, f),
                when[:, None, None].expand(copies).reshape(b * t * n, t),
                there[:, None, None].expand(copies).reshape(b * t * n, t),
            )[0]
        ).reshape(b, t, n, -1)
        lost = (logits[:, None, None] - answers) * (t * max(n - 1, 1)) * there[:, :, None, None]
        cam = lost.movedim(3, 1).reshape(b, -1, t, i, j).movedim(2, -1)  # B O i j T
        share = (logits - self.head.bias)[..., None, None, None]
        cam = cam + (share - cam.mean((2, 3, 4), keepdim=True))
        return Explained(logits=logits, embedding=whole, cam=cam, frames=weights)

    @torch.no_grad()
    def rescale(self, mean: float, std: float) -> None:
        """Fold ``logits * std + mean`` into the head, so that a regression answers in its own unit."""
        self.head.weight.mul_(std)
        self.head.bias.mul_(std).add_(mean)

    def _maps(self, frames: Tensor, there: Tensor) -> Tensor:
        """Feature maps ``(B, T, F, i, j)``; 0 on frames that are not there."""
        b, t = frames.shape[:2]
        if self.training:  # normalisation must not learn from what is not there
            known = there.reshape(-1) > 0.5
            some = self.body(frames.reshape(b * t, *frames.shape[2:])[known])
            maps = some.new_zeros((b * t, *some.shape[1:]))
            maps[known] = some
            return maps.reshape(b, t, *some.shape[1:])
        maps = self.body(frames.reshape(-1, *frames.shape[2:]))
        return maps.reshape(-1, t, *maps.shape[1:]) * there[..., None, None, None]


def _coarse(maps: Tensor) -> Tensor:
    """At most :data:`_CELLS` places along each side; ``(B, T, F, i, j)``."""
    i, j = maps.shape[3:]
    step = (-(-i // _CELLS), -(-j // _CELLS))
    if step == (1, 1):
        return maps
    b, t, f = maps.shape[:3]
    small = avg_pool2d(maps.reshape(b * t, f, i, j), step, ceil_mode=True, count_include_pad=False)
    return small.reshape(b, t, f, *small.shape[2:])


HEADS: dict[str, Callable[..., Head]] = {
    "mean": lambda n, **_: Mean(n),
    "gated": lambda n, hidden, **_: Gated(n, hidden),
    "lstm": lambda n, hidden, **_: Recurrent(n, kind="lstm", hidden=hidden),
    "lstm-forward": lambda n, hidden, **_: Recurrent(n, kind="lstm", hidden=hidden, both_ways=False),
    "gru": lambda n, hidden, **_: Recurrent(n, kind="gru", hidden=hidden),
    "attention": lambda n, hidden, layers, **_: SelfAttention(n, width=hidden, layers=layers),
}
"""Name to what reads the frames."""

_BODIES: dict[str, Callable[..., Classifier]] = {"cnn": cnn, "resnet9": resnet9}


def reading(head: str) -> Callable[..., Sequence]:
    """A builder of networks whose frames are read by one of :data:`HEADS`.

    Args:
        head: Its name.

    Returns:
        A function for the table of models.
    """

    def build(
        *,
        dimension: int,
        in_channels: int,
        n_outputs: int,
        body: str = "resnet9",
        width: int = 24,
        stem: int = 1,
        pools: int = 3,
        hidden: int = 64,
        layers: int = 1,
        head_drop: float = 0.1,
    ) -> Sequence:
        own = {"width": width, **({"stem": stem, "pools": pools} if body == "resnet9" else {"stages": pools + 1})}
        looks = _BODIES[body](dimension=2, in_channels=in_channels - 1, n_outputs=1, **own)
        reader = HEADS[head](looks.head.in_features, hidden=hidden, layers=layers)
        return Sequence(looks.body, reader, n_outputs=n_outputs, dropout=head_drop)

    return build
