"""Numbered objects as what a network learns of them: inside and border."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

INSIDE, BORDER = 1, 2


def inside_and_border(objects: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Border voxels of numbered objects, so that touching ones come apart.

    Args:
        objects: ``(I, J, K)``; 0 is background, every other value one object.

    Returns:
        ``(I, J, K)`` uint8: 0 background, 1 inside, 2 border: the outermost voxels of each object,
        and every voxel within two of another object. An object too thin to have an inside keeps
        its middle as inside.

    Source:
        The three classes of Caicedo et al., Cytometry A 95:952 (2019).
    """
    flat = objects.shape[-1] == 1
    size = (3, 3, 1) if flat else (3, 3, 3)
    wide = (5, 5, 1) if flat else (5, 5, 5)
    low = ndimage.minimum_filter(objects, size=size, mode="nearest")
    high = ndimage.maximum_filter(objects, size=size, mode="nearest")
    empty = objects == 0
    far = np.where(empty, np.iinfo(objects.dtype).max, objects)
    near_low = ndimage.minimum_filter(far, size=wide, mode="nearest")
    near_high = ndimage.maximum_filter(objects, size=wide, mode="nearest")
    edge = ~empty & ((low != objects) | (high != objects))
    touching = ~empty & (near_low != near_high)
    result = np.where(empty, 0, np.where(edge | touching, BORDER, INSIDE)).astype(np.uint8)
    _keep_thin(objects, result)
    return result


def _keep_thin(objects: NDArray[np.integer[Any]], result: NDArray[np.uint8]) -> None:
    """Give objects without an inside the voxels that lie deepest in them."""
    have = np.unique(objects[result == INSIDE])
    thin = np.setdiff1d(np.unique(objects), np.append(have, 0))
    for number, box in enumerate(ndimage.find_objects(objects.astype(np.int32)), start=1):
        if box is None or number not in thin:
            continue
        own = np.pad(objects[box] == number, 1)
        deep = ndimage.distance_transform_edt(own)[1:-1, 1:-1, 1:-1]
        result[box][deep >= deep.max()] = INSIDE
