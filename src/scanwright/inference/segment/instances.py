"""From probabilities of inside and border to numbered objects that may touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.core import ModelFileError

Box = tuple[slice, ...]


@dataclass(frozen=True)
class InstanceRule:
    """How objects are told apart.

    Args:
        seed: Least probability of ``inside`` that starts an object, 0 .. 1.
        foreground: Least probability of ``inside`` or ``border`` that belongs to one, 0 .. 1.
        smallest: Voxels that an object has at least.
    """

    seed: float = 0.5
    foreground: float = 0.5
    smallest: int = 10

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> InstanceRule:
        """Read what :meth:`to_dict` gave.

        Args:
            told: Any of the three numbers.

        Raises:
            ModelFileError: A key is unknown or a value is no number.
        """
        try:
            numbers: dict[str, Any] = {k: int(v) if k == "smallest" else float(v) for k, v in told.items()}
            return cls(**numbers)
        except (TypeError, ValueError):
            raise ModelFileError(
                f"The rule of objects is {dict(told)}.",
                "It holds the numbers seed, foreground and smallest.",
                "Make the model file anew with `scanwright run`.",
            ) from None


def objects(
    inside: NDArray[np.floating],
    chances: NDArray[np.floating],
    rule: InstanceRule | None = None,
    *,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> NDArray[np.int32]:
    """Number the objects of a picture or volume.

    Each component of what is surely inside starts an object. It grows over the foreground that is
    connected to it: a voxel goes to the nearest start within its own component, so that objects
    never grow across background. A component without a start is an object of its own.

    Args:
        inside: ``(I, J, K)`` probability of the inside of an object.
        chances: ``(I, J, K)`` probability of inside or border.
        rule: Thresholds and smallest size.
        spacing: Distance between voxels, for what is nearest.

    Returns:
        ``(I, J, K)`` int32: 0 background, objects 1, 2, 3 ... in order of their first voxel.
    """
    rule = rule or InstanceRule()
    result = np.zeros(inside.shape, dtype=np.int32)
    sure = inside > rule.seed
    front = (chances > rule.foreground) | sure
    box = _box(front)
    if box is None:
        return result
    sure, front = sure[box], front[box]
    seeds, n_seeds = ndimage.label(sure)
    parts, n_parts = ndimage.label(front)
    seeded = np.zeros(n_parts + 1, dtype=bool)
    seeded[np.unique(parts[sure])] = True
    grown = _grow(seeds.astype(np.int32), parts, spacing) if n_seeds else np.zeros(front.shape, dtype=np.int32)
    lone = np.where(seeded[parts], 0, parts)
    grown = np.where(lone > 0, lone + n_seeds, grown)
    result[box] = _renumbered(grown, rule.smallest)
    return result


def _grow(seeds: NDArray[np.int32], parts: NDArray[np.int32], spacing: tuple[float, ...]) -> NDArray[np.int32]:
    """Give each voxel of the foreground the nearest seed within its own component."""
    grown = np.where(parts > 0, _nearest(seeds, spacing), 0)
    owner = np.zeros(int(seeds.max()) + 1, dtype=np.int32)  # component of each seed
    at = np.flatnonzero(seeds)
    owner[seeds.reshape(-1)[at]] = parts.reshape(-1)[at]
    astray = (grown > 0) & (owner[grown] != parts)
    if not astray.any():
        return grown
    boxes = ndimage.find_objects(parts)
    for part in np.unique(parts[astray]):
        box = boxes[part - 1]
        mine = parts[box] == part
        own = np.where(mine, seeds[box], 0)
        near = _nearest(own, spacing) if own.any() else own
        grown[box][mine] = near[mine]
    return grown


def _nearest(seeds: NDArray[np.int32], spacing: tuple[float, ...]) -> NDArray[np.int32]:
    index = ndimage.distance_transform_edt(seeds == 0, sampling=spacing, return_distances=False, return_indices=True)
    found: NDArray[np.int32] = seeds[tuple(index)]
    return found


def _renumbered(grown: NDArray[np.int32], smallest: int) -> NDArray[np.int32]:
    sizes = np.bincount(grown.reshape(-1))
    keep = np.flatnonzero(sizes >= max(smallest, 1))
    keep = keep[keep > 0]
    flat = grown.reshape(-1)
    at = np.flatnonzero(flat)
    _, first = np.unique(flat[at], return_index=True)
    order = {int(flat[at[f]]): int(f) for f in first}
    new = np.zeros(len(sizes), dtype=np.int32)
    for number, old in enumerate(sorted(keep, key=lambda o: order[int(o)]), 1):
        new[old] = number
    return new[grown]


def _box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box around what is true; None where nothing is."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        at = np.flatnonzero(mask.any(axis=others))
        if at.size == 0:
            return None
        box.append(slice(int(at[0]), int(at[-1]) + 1))
    return tuple(box)
