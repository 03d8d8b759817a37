"""Regions that lie within others by what they are made of, such as a tumour's core within the whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def outer_of(codes: Sequence[Sequence[int]], n: int) -> tuple[tuple[int, ...], ...]:
    """The regions that contain each region.

    Args:
        codes: For each code of the label maps the regions it belongs to.
        n: Number of regions.

    Returns:
        For each region those of whose codes it has only a part.

    Example:
        >>> outer_of([(0,), (0, 1), (2,)], 3)
        ((), (0,), ())
    """
    made_of = [{c for c, own in enumerate(codes) if k in own} for k in range(n)]
    return tuple(tuple(o for o in range(n) if made_of[k] < made_of[o]) for k in range(n))


def nest(regions: NDArray[np.bool_], labels: NDArray[np.integer], outer: Sequence[Sequence[int]]) -> None:
    """Let every region lie within those that contain it, in place.

    A voxel of an inner region is one of the outer ones, as it is in the truth: each region is
    answered on its own, so that an answer may say less.

    Args:
        regions: ``(n, I, J, K)``, changed.
        labels: ``(I, J, K)``, painted anew; the later region is on top.
        outer: From :func:`outer_of`.

    Source:
        nnU-Net's ``regions_class_order`` paints an inner region whatever the outer one says.
    """
    changed = False
    for region, around in zip(regions, outer, strict=True):
        for one in around:
            if (region & ~regions[one]).any():
                regions[one] |= region
                changed = True
    if changed:
        labels[:] = 0
        for number, region in enumerate(regions, start=1):
            labels[region] = number
