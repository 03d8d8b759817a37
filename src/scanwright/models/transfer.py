"""Networks that begin from weights of elsewhere: frozen with a fitted head, or tuned as a whole.

In front of every base stands an :class:`Entry`: it turns what the plan prepares into what the base learnt
from (size, values, channels), so that the base's own first layer is used as it is. Batch normalisation
keeps the statistics of the base: small batches of another cohort would spoil them before the
weights can follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, interpolate

from scanwright.core import PlanError
from scanwright.models.classifier import Classifier, Explainable, Explained
from scanwright.models.fixed import Fitted
from scanwright.models.vit import Tokens

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}
LOWEST = 0.1
"""Learning rate of the first layer, as a share of the head's, unless the plan says another."""


class Entry(nn.Module):
    """From a prepared image to what a base takes: enlarged, its values and channels changed by a 1 x 1 convolution.

    Args:
        dimension: 2 or 3.
        n_in: Channels of the image.
        n_out: Channels that the base takes.
        enlarge: How many times the sides grow.
    """

    def __init__(self, dimension: int, n_in: int, n_out: int, enlarge: int) -> None:
        super().__init__()
        self.dimension, self.enlarge = dimension, enlarge
        self.mix = _CONV[dimension](n_in, n_out, 1)
        self.set_values((1.0,) * n_out, (0.0,) * n_out)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, n_in, *size)`` to ``(B, n_out, *size * enlarge)``."""
        x = self.mix(x)
        if self.enlarge > 1:
            size = tuple(n * self.enlarge for n in x.shape[2:])
            x = interpolate(x, size, mode=_LINEAR[self.dimension], align_corners=False)
        return x

    @torch.no_grad()
    def set_values(self, gain: Sequence[float], shift: Sequence[float]) -> None:
        """Make it ``gain * image + shift``, where as many channels are kept, and others are their mean, repeated.

        A mean that is repeated is the same as a first kernel summed over its channels (grey images on a base for
        colour) or repeated and divided (colour on a base for grey), but for the border, where it is exact.

        Args:
            gain: One for each channel that the base takes.
            shift: The same.
        """
        n_out, n_in = self.mix.weight.shape[:2]
        share = torch.eye(n_in) if n_in == n_out else torch.full((n_out, n_in), 1.0 / n_in)
        weight = torch.tensor(gain, dtype=torch.float32)[:, None] * share
        self.mix.weight.copy_(weight.reshape(self.mix.weight.shape))
        if self.mix.bias is not None:
            self.mix.bias.copy_(torch.tensor(shift, dtype=torch.float32))


class Held(nn.Module):
    """Batch normalisation that keeps its statistics, in training too; scale and shift are learnt."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d | nn.BatchNorm3d) -> None:
        super().__init__()
        self.eps = norm.eps
        self.weight, self.bias = nn.Parameter(norm.weight.detach()), nn.Parameter(norm.bias.detach())
        self.register_buffer("running_mean", norm.running_mean)
        self.register_buffer("running_var", norm.running_var)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x`` ``(B, C, *size)``."""
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class Tuned(Classifier):
    """A base that is trained further, its first layers with smaller steps than its last.

    Args:
        body: Entry and base.
        n_features: Features of the base.
        n_outputs: Logits.
        dropout: Chance that a pooled feature is set to 0 in training.
        lowest: Learning rate of the first layer, as a share of the head's.
    """

    def __init__(self, body: nn.Sequential, *, n_features: int, n_outputs: int, dropout: float, lowest: float) -> None:
        super().__init__(body, n_features=n_features, n_outputs=n_outputs, dropout=dropout)
        self.lowest = lowest

    def paces(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Parameters from the image to the head, each group with its share of the learning rate.

        Shares grow by one factor from stage to stage (layer-wise decay, Howard and Ruder, ACL 2018), from
        ``lowest`` to 1 whatever the number of stages.
        """
        stages = [*_stages(self.body), list(self.head.parameters())]
        last = max(len(stages) - 1, 1)
        return [(self.lowest ** (1 - depth / last), stage) for depth, stage in enumerate(stages)]


class Frozen(Fitted):
    """A base that stays as it is, and a linear layer fitted on its pooled, standardised features.

    Args:
        body: Entry and base.
        n_features: Features of the base.
        n_outputs: Logits.
    """

    def __init__(self, body: nn.Sequential, *, n_features: int, n_outputs: int) -> None:
        super().__init__(n_features=n_features, n_outputs=n_outputs)
        self.body = body.requires_grad_(False)

    def features(self, x: Tensor) -> Tensor:
        """Pooled features of the base."""
        pooled: Tensor = self.body(x).flatten(2).mean(2)
        return pooled

    def explained(self, x: Tensor) -> Explained:
        """Logits, standardised features and maps; ``cam`` averages to the logits less the head's bias."""
        maps = self.body(x)
        shape = (1, -1, *(1,) * (maps.ndim - 2))
        z = (maps - self.mean.reshape(shape)) / self.std.reshape(shape)
        embedding = z.flatten(2).mean(2)
        cam = torch.einsum("bf...,of->bo...", z, self.head.weight)
        return Explained(logits=self.head(embedding), embedding=embedding, cam=cam)


def tuned(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    base: str,
    channels: int = 3,
    enlarge: int = 1,
    lowest: float = LOWEST,
    head_drop: float = 0.0,
    **of_base: Any,
) -> Tuned:
    """A base to be trained further.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits.
        base: A row of ``MODELS``.
        channels: Channels that the base takes.
        enlarge: How many times the image's sides grow before it.
        lowest: Learning rate of the first layer, as a share of the head's.
        head_drop: Chance that a pooled feature is dropped.
        **of_base: Arguments of the base.

    Returns:
        The network, its weights still fresh: ``training`` fills in those of the file.
    """
    body, n_features = behind_entry(base, dimension, in_channels, channels, enlarge, of_base)
    return Tuned(body, n_features=n_features, n_outputs=n_outputs, dropout=head_drop, lowest=lowest)


def frozen(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    base: str,
    channels: int = 3,
    enlarge: int = 1,
    **of_base: Any,
) -> Frozen:
    """A base that stays as it is, with a head still 0; arguments as those of :func:`tuned`."""
    body, n_features = behind_entry(base, dimension, in_channels, channels, enlarge, of_base)
    return Frozen(body, n_features=n_features, n_outputs=n_outputs)


def base_of(net: Explainable) -> tuple[Entry, nn.Module]:
    """Entry and base of a tuned or frozen network."""
    body = net.get_submodule("body")
    if not isinstance(body, nn.Sequential) or not isinstance(body[0], Entry):
        raise PlanError(
            "The network has no base from elsewhere.",
            "`tuned` and `frozen` have one.",
            "Correct the candidate's model.",
        )
    return body[0], body[1]


def behind_entry(
    base: str, dimension: int, in_channels: int, channels: int, enlarge: int, of_base: dict[str, Any]
) -> tuple[nn.Sequential, int]:
    """An entry and a base without its head, and the number of its features."""
    from scanwright.models.table import build

    net = build(base, dimension=dimension, in_channels=channels, n_outputs=1, **of_base)
    if not isinstance(net, Classifier) or isinstance(net, Tuned):
        raise PlanError(
            f"The model {base!r} cannot be a base.",
            "A base is a network of feature maps with a mean over places.",
            "Name resnet18, resnet34, resnet50, densenet121, vit, resnet9, resnet3d or cnn.",
        )
    body = net.body
    _hold_norms(body)
    return nn.Sequential(Entry(dimension, in_channels, channels, enlarge), body), net.head.in_features


def _hold_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d | nn.BatchNorm3d):
            setattr(module, name, Held(child))
        else:
            _hold_norms(child)


def _stages(module: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Parameters stage by stage, in the order that an image goes through: rows of layers are opened, blocks are not."""
    if isinstance(module, nn.Sequential | nn.ModuleList | Tokens):
        own = list(module.parameters(recurse=False))
        if own:
            yield own
        for child in module.children():
            yield from _stages(child)
        return
    found = list(module.parameters())
    if found:
        yield found
