"""All numbers of a generator's networks, chosen in one place."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from scanwright.core import ModelFileError

SMALL = 32
"""Longest side up to which pixels themselves flow; larger pictures flow in an autoencoder's latent space."""

LARGEST = {2: 128, 3: 32}
"""Longest side that is generated on a processor, by dimension, unless a person asks for another."""


@dataclass(frozen=True)
class Design:
    """What a generator is built from.

    Args:
        dimension: 2 or 3.
        size: Pixels along each axis.
        channels: Channels of the image.
        n_classes: Classes; 0 for a generator without.
        widths: Channels of each level of the flow's network, finest first.
        blocks: Residual blocks of each level, each way.
        patch: Side of the square (or cube) of pixels that is folded into channels.
        latent: Channels of the autoencoder's code; 0 where pixels flow themselves.
        shrink: How many times smaller the code's sides are; 1 without an autoencoder.
        encoder_widths: Channels of each level of the autoencoder; empty without one.
    """

    dimension: int
    size: tuple[int, ...]
    channels: int
    n_classes: int
    widths: tuple[int, ...]
    blocks: int
    patch: int
    latent: int = 0
    shrink: int = 1
    encoder_widths: tuple[int, ...] = ()

    @property
    def flow_channels(self) -> int:
        """Channels of what flows: the code's, or the image's."""
        return self.latent or self.channels

    @property
    def flow_size(self) -> tuple[int, ...]:
        """Size of what flows."""
        return tuple(n // self.shrink for n in self.size)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def of(cls, values: dict[str, Any]) -> Design:
        """Read what :meth:`to_dict` gave.

        Raises:
            ModelFileError: A value is missing, unknown or of the wrong kind.
        """
        names = {f.name for f in fields(cls)}
        whole = names == set(values) and all(
            (isinstance(v, int) and 0 <= v <= 4096)
            or (isinstance(v, list) and len(v) <= 8 and all(isinstance(n, int) and 0 < n <= 4096 for n in v))
            for v in values.values()
        )
        if not whole:
            raise ModelFileError(
                "The generator's design is not as Scanwright writes it.",
                f"It names {', '.join(sorted(names))}, each a number or a list of numbers.",
                "Copy the file again, or learn the generator anew.",
            )
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


def design(dimension: int, size: tuple[int, ...], channels: int, n_classes: int, *, gpu: bool = False) -> Design:
    """Choose the networks for images of one size.

    Args:
        dimension: 2 or 3.
        size: Pixels along each axis; multiples of :func:`multiple`.
        channels: Channels of the image.
        n_classes: Classes; 0 for none.
        gpu: Whether there is an accelerator, which affords more channels.

    Returns:
        The design.
    """
    wide = 2 if gpu else 1
    if max(size) <= SMALL:
        widths = (48 * wide, 96 * wide)
        return Design(dimension, size, channels, n_classes, widths, 2, _patch(size, 16))
    shrink = 4
    coarse = tuple(n // shrink for n in size)
    latent = 4 if dimension == 2 else 3
    first = 32 if dimension == 2 else 16
    encoder = (first, 2 * first, 2 * first)
    widths = (64 * wide, 128 * wide)
    return Design(dimension, size, channels, n_classes, widths, 2, _patch(coarse, 16), latent, shrink, encoder)


def multiple(longest: int) -> int:
    """What every side must be a multiple of, so that levels and patches come out even."""
    return 4 if longest <= SMALL else 8 if longest <= 2 * SMALL else 16


def parameters_words(n: int) -> str:
    """A number of weights as a person says it.

    Example:
        >>> parameters_words(1_240_000)
        '1.2 million'
    """
    return f"{n / 1e6:.1f} million" if n >= 1e6 else f"{math.ceil(n / 1000)} thousand"


def _patch(size: tuple[int, ...], most: int) -> int:
    """1 or 2 (or 4): folded so that no side is longer than ``most`` where that divides evenly by two levels."""
    for patch in (1, 2, 4):
        if max(size) / patch <= most and all(n % (2 * patch) == 0 for n in size):
            return patch
    return max((p for p in (1, 2, 4) if all(n % (2 * p) == 0 for n in size)), default=1)
