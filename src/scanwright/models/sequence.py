"""Networks for ordered frames: a 2-D network looks at every frame, a head reads them in order.

The input is ``(B, C + 1, I, J, T)``: pictures along the last axis, and the clock as the last
channel, which shows when a frame was taken and -1 where there is none. Frames that are not
there change no answer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from scanwright.models.classifier import Classifier, Explainable, Explained
from scanwright.models.cnn import cnn
from scanwright.models.heads import HEADS, Head
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

        A place adds what the answer loses when it is left out of its frame's mean, and what the answer loses
        when its frame is replaced by the mean of the others (Desai and Ramaswamy, Ablation-CAM, WACV 2020), so
        that for the mean over frames the map is exact. The mean of the maps and the bias make the logit.
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
        n_there = there.sum(1).clamp_min(1.0)[:, None, None, None]  # B 1 1 1
        places = logits[:, None, None] - self._read(changed, when, there)
        others = ((features * there[..., None]).sum(1, keepdim=True) - features) / (n_there[..., 0] - 1).clamp_min(1.0)
        whole_frames = features[:, None].expand(b, t, t, f) * (1 - one[:, :, 0]) + others[:, :, None] * one[:, :, 0]
        frames_lost = logits[:, None, None] - self._read(whole_frames[:, :, None], when, there)
        lost = n_there * max(n - 1, 1) * places + (n_there - 1) * frames_lost  # B T n O
        lost = lost * there[:, :, None, None]
        cam = lost.movedim(3, 1).reshape(b, -1, t, i, j).movedim(2, -1)  # B O i j T
        share = (logits - self.head.bias)[..., None, None, None]
        cam = cam + (share - cam.mean((2, 3, 4), keepdim=True))
        return Explained(logits=logits, embedding=whole, cam=cam, frames=weights)

    def _read(self, features: Tensor, when: Tensor, there: Tensor) -> Tensor:
        """Logits ``(B, T, n, O)`` of changed features ``(B, T, n, T, F)``."""
        b, t, n = features.shape[:3]
        copies = (b, t, n, t)
        whole, _ = self.reader(
            features.reshape(b * t * n, t, -1),
            when[:, None, None].expand(copies).reshape(b * t * n, t),
            there[:, None, None].expand(copies).reshape(b * t * n, t),
        )
        logits: Tensor = self.head(whole)
        return logits.reshape(b, t, n, -1)

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
