"""What a network should answer on its cells, drawn from boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_WIDTH = 0.09
"""Standard deviation of the hill around a middle, as a share of the box: TTFNet's 0.54 / 6."""
_NARROWEST = 0.35
"""Cells."""
_LEARNT = 0.25
"""Height of the hill from which a cell learns place and size."""


@dataclass(frozen=True, eq=False)
class CellTargets:
    """Targets of a batch.

    Args:
        heat: ``(B, K, *cells)``: 1 where a box of the class is centred, less around.
        known: ``(B, 1, *cells)``: 0 where neither yes nor no is learnt.
        corners: ``(B, 2 * D, *cells)`` edges of the box that a cell learns, in voxels of the window.
        weight: ``(B, *cells)`` how much it learns it; sums to 1 over the cells of a box.
        n_boxes: Boxes of the batch, at least 1.
    """

    heat: Tensor
    known: Tensor
    corners: Tensor
    weight: Tensor
    n_boxes: float


def draw_targets(
    boxes: Sequence[tuple[NDArray[np.float64], NDArray[np.intp]]],
    hidden: Sequence[NDArray[np.float64]],
    *,
    n_classes: int,
    size: Sequence[int],
    stride: Sequence[int],
    device: torch.device,
) -> CellTargets:
    """Draw the boxes of each window.

    Args:
        boxes: ``(n, 2 * D)`` edges in voxel indices of the window, and ``(n,)`` class indices.
        hidden: Edges of boxes of which too little is seen: nothing is learnt there.
        n_classes: Classes.
        size: Voxels of the window.
        stride: Voxels of a cell.
        device: Where targets go.

    Returns:
        The targets.

    Source:
        Liu et al., Training-Time-Friendly Network (AAAI 2020): hills as wide as their boxes, and cells all over the
        hill learn place and size; where boxes overlap the smaller one is learnt.
    """
    d, n = len(size), len(boxes)
    cells = tuple(m // s for m, s in zip(size, stride, strict=True))
    step = np.asarray(stride, dtype=np.float64)
    heat = np.zeros((n, n_classes, *cells), np.float32)
    known = np.ones((n, 1, *cells), np.float32)
    edges = np.zeros((n, 2 * d, *cells), np.float32)
    weight = np.zeros((n, *cells), np.float32)
    total = 0
    for b, (corners, labels) in enumerate(boxes):
        for unseen in hidden[b]:
            place = tuple(
                slice(max(int(np.floor(unseen[a] / step[a])), 0), max(int(np.ceil(unseen[d + a] / step[a])) + 1, 0))
                for a in range(d)
            )
            known[b, 0][place] = 0
        order = np.argsort(-np.prod(corners[:, d:] - corners[:, :d], axis=1), kind="stable")
        for m in order:
            one = corners[m]
            middle = ((one[:d] + one[d:]) / 2 - (step - 1) / 2) / step
            at = np.clip(np.rint(middle).astype(int), 0, np.asarray(cells) - 1)
            place, hill = _hill(at, (one[d:] - one[:d]) / step, cells)
            spot = heat[b, int(labels[m])][place]
            np.maximum(spot, hill, out=spot)
            learnt = hill >= _LEARNT
            share = np.where(learnt, hill, 0)
            here = weight[b][place]
            here[learnt] = (share / share.sum())[learnt]
            block = edges[b][(slice(None), *place)]
            block[:, learnt] = one.astype(np.float32)[:, None]
            known[b, 0][tuple(at)] = 1
            total += 1
    one, two, three, four = (torch.from_numpy(a).to(device) for a in (heat, known, edges, weight))
    return CellTargets(one, two, three, four, n_boxes=float(max(total, 1)))


def _hill(
    at: NDArray[np.intp], size: NDArray[np.float64], cells: Sequence[int]
) -> tuple[tuple[slice, ...], NDArray[np.float32]]:
    """A Gaussian of height 1 on a cell, and the cells that it covers."""
    place, factors = [], []
    for a, n in enumerate(cells):
        width = max(_WIDTH * float(size[a]), _NARROWEST)
        reach = int(np.ceil(3 * width))
        low, high = max(at[a] - reach, 0), min(at[a] + reach + 1, n)
        place.append(slice(int(low), int(high)))
        factors.append(np.exp(-0.5 * ((np.arange(low, high) - at[a]) / width) ** 2))
    hill = factors[0]
    for factor in factors[1:]:
        hill = hill[..., None] * factor
    return tuple(place), hill.astype(np.float32)
