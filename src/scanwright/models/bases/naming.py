"""How others name the tensors of a network, and what ours are called."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Tensors = dict[str, Floats]
Arguments = dict[str, int | float | str | bool | tuple[int, ...]]


@dataclass(frozen=True)
class Naming:
    """Names that one library gives.

    Args:
        who: The library or libraries.
        rules: Pattern of a whole name, and ours; the first that fits counts.
        needed: A name that is there whenever the naming is this one.
        ignored: Pattern of names that have no place in a base: heads, decoders.
    """

    who: str
    rules: tuple[tuple[str, str], ...]
    needed: str
    ignored: str

    def translate(self, tensors: Mapping[str, Floats]) -> Tensors | None:
        """Tensors under our names; None if a name fits no rule, or the needed one is missing."""
        if self.needed not in tensors:
            return None
        found: Tensors = {}
        for name, value in tensors.items():
            if re.fullmatch(self.ignored, name):
                continue
            rule = next(((p, ours) for p, ours in self.rules if re.fullmatch(p, name)), None)
            if rule is None:
                return None
            found[re.sub(rule[0], rule[1], name)] = value
        return found


@dataclass(frozen=True)
class Family:
    """Networks of one kind.

    Args:
        words: What they are, for messages.
        namings: How they are named.
        shape_of: Translated tensors to a key of ``MODELS`` and its arguments, or a reason why not; it may
            reshape tensors in place.
        mean: What its public weights subtract from values of 0 .. 1, channel by channel.
        std: What they divide by.
    """

    words: str
    namings: tuple[Naming, ...]
    shape_of: Callable[[Tensors], tuple[str, Arguments] | str]
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
