"""Rectified flow: straight ways from noise to images, learnt by regression, walked in few steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

Field = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Image ``(B, C, *size)``, moments ``(B,)`` and labels ``(B,)`` to velocities of the image's shape."""


def flow_loss(field: Field, clean: Tensor, label: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Squared error of the velocity, one number for each image.

    Args:
        field: The network.
        clean: Images ``(B, C, *size)``.
        label: Classes ``(B,)``; the number of classes where the label is dropped.
        noise: Standard normal, the shape of ``clean``.
        t: Moments ``(B,)``: 0 is noise, 1 is the image.

    Returns:
        ``(B,)``.

    Source:
        Liu, Gong, Liu, Flow straight and fast (ICLR 2023), eq. 1; Lipman et al. (ICLR 2023).
    """
    at = t.view(-1, *(1,) * (clean.ndim - 1))
    velocity = field((1 - at) * noise + at * clean, t, label)
    return (velocity.float() - (clean - noise)).square().flatten(1).mean(1)


def draw_times(n: int, generator: torch.Generator) -> Tensor:
    """Moments ``(n,)``, more of them in the middle of the way, where the work is.

    Source:
        Logit-normal with mean 0 and scale 1: Esser et al., Scaling rectified flow transformers (ICML 2024).
    """
    return torch.sigmoid(torch.randn(n, generator=generator))


def guided(field: Field, n_classes: int, strength: float) -> Field:
    """The field pushed away from what has no class (classifier-free guidance).

    Args:
        field: The network.
        n_classes: The label that stands for no class.
        strength: 1 leaves the field as it is; more makes classes more typical and images less varied.

    Returns:
        A field that asks the network twice, or once where ``strength`` is 1.

    Source:
        Ho and Salimans, Classifier-free diffusion guidance (2022).
    """
    if strength == 1 or n_classes == 0:
        return field

    def pushed(x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        none = torch.full_like(label, n_classes)
        both = field(torch.cat((x, x)), torch.cat((t, t)), torch.cat((label, none)))
        with_class, without = both.chunk(2)
        return without + strength * (with_class - without)

    return pushed


def euler(field: Field, x: Tensor, label: Tensor, times: Tensor) -> Tensor:
    """Walk along the field, one look a step: error of first order."""
    for now, then in itertools.pairwise(times):
        x = x + (then - now) * field(x, now.expand(len(x)), label)
    return x


def heun(field: Field, x: Tensor, label: Tensor, times: Tensor) -> Tensor:
    """Walk along the field, two looks a step: error of second order.

    Source:
        Heun 1900; Karras et al., Elucidating the design space of diffusion models (NeurIPS 2022).
    """
    for now, then in itertools.pairwise(times):
        here = field(x, now.expand(len(x)), label)
        ahead = field(x + (then - now) * here, then.expand(len(x)), label)
        x = x + (then - now) * (here + ahead) / 2
    return x


SAMPLERS: dict[str, Callable[[Field, Tensor, Tensor, Tensor], Tensor]] = {"euler": euler, "heun": heun}
"""Name to way of walking: field, noise ``(B, C, *size)``, labels, times 0 .. 1 ``(steps + 1,)`` to images."""


def sample(field: Field, noise: Tensor, label: Tensor, *, steps: int, sampler: str = "heun") -> Tensor:
    """Draw images.

    Args:
        field: The network, guided or not.
        noise: Standard normal ``(B, C, *size)``: the same noise gives the same image.
        label: Classes ``(B,)``.
        steps: Steps, 1 or more.
        sampler: A key of :data:`SAMPLERS`.

    Returns:
        ``(B, C, *size)``.
    """
    times = torch.linspace(0, 1, steps + 1, device=noise.device)
    return SAMPLERS[sampler](field, noise, label, times)
