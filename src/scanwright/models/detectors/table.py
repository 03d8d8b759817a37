"""The table of networks that answer boxes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from scanwright.core import PlanError
from scanwright.models.detectors.centre import cell_of, centrenet


@dataclass(frozen=True)
class Detector:
    """One row of the table.

    Args:
        builder: Makes the module from ``dimension``, ``in_channels``, ``n_outputs`` and arguments of its own;
            it answers ``(B, n_outputs, *cells)``: classes, offsets in cells, logarithms of sizes.
        words: What it is, in one sentence.
        source: Where it comes from.
    """

    builder: Callable[..., nn.Module]
    words: str
    source: str


DETECTORS: dict[str, Detector] = {
    "centrenet": Detector(centrenet, "Middles of boxes on a coarse lattice, without anchors", "Zhou et al. 2019"),
}
"""Name to network."""


def build_detector(name: str, *, dimension: int, in_channels: int, n_outputs: int, **arguments: object) -> nn.Module:
    """Make a network with fresh weights.

    Args:
        name: A key of :data:`DETECTORS`.
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Classes, offsets and sizes.
        **arguments: Of the builder.

    Returns:
        The network.

    Raises:
        PlanError: The name or an argument is unknown.
    """
    row = DETECTORS.get(name)
    if row is None:
        raise PlanError(
            f"There is no detection network {name!r}.",
            f"They are {', '.join(DETECTORS)}.",
            "Change the candidate's model.",
        )
    shape = {"dimension": dimension, "in_channels": in_channels, "n_outputs": n_outputs}
    try:
        inspect.signature(row.builder).bind(**shape, **arguments)
        return row.builder(**shape, **arguments)
    except (TypeError, KeyError) as error:
        raise PlanError(
            f"The network {name!r} cannot be built: {error}.",
            "A candidate's arguments are those of its builder.",
            "Correct the candidate's arguments in the plan.",
        ) from None


__all__ = ["DETECTORS", "Detector", "build_detector", "cell_of"]
