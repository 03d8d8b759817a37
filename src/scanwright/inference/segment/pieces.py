"""Lesions: the connected pieces of each structure, measured on the source's own grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.core import Grid, LabelMap, Lesion, Volume
from scanwright.preprocessing.diameters import diameters, length_mm

_TOUCHING = np.ones((3, 3, 3), dtype=bool)
_WITH_SIDES = ("CT", "MR", "PT", "NM")
"""Modalities whose left and right are those of the patient."""
_COUNTED = 8 << 20
MOST = 200
"""Pieces of a structure that are listed; the others are counted."""


@dataclass(frozen=True)
class Pieces:
    """What was found.

    Args:
        lesions: Structure by structure, the largest first; numbered through.
        warnings: A sentence for each structure with more pieces than are listed.
    """

    lesions: tuple[Lesion, ...]
    warnings: tuple[str, ...] = ()


def lesions_of(
    label_map: LabelMap,
    chances: NDArray[np.floating] | None,
    volume: Volume,
    names: Sequence[str],
    *,
    regions: NDArray[np.bool_] | None = None,
    instances: bool = False,
    most: int = MOST,
) -> tuple[Lesion, ...]:
    """The connected pieces of each structure; see :func:`pieces_of`."""
    return pieces_of(label_map, chances, volume, names, regions=regions, instances=instances, most=most).lesions


def pieces_of(
    label_map: LabelMap,
    chances: NDArray[np.floating] | None,
    volume: Volume,
    names: Sequence[str],
    *,
    regions: NDArray[np.bool_] | None = None,
    instances: bool = False,
    most: int = MOST,
) -> Pieces:
    """Measure the connected pieces of each structure.

    Voxels that touch by a face, an edge or a corner belong together. Volume is the number of
    voxels times that of one; diameters are those of the slice in which the piece is largest.

    Args:
        label_map: Structure n of ``names`` is n + 1; object numbers for ``instances``.
        chances: ``(I, J, K)`` probability of any structure; 1 if None.
        volume: The source; intensities are those of its first channel.
        names: Of the structures; one for ``instances``.
        regions: ``(n, I, J, K)`` where structures overlap, else None.
        instances: Whether each number of the label map is an object already.
        most: Pieces of a structure that are listed.

    Returns:
        Lesions and warnings; no lesion where there is nothing.

    Source:
        Components as ``scipy.ndimage.label`` with 26 neighbours; diameters after RECIST 1.1
        (Eisenhauer et al., 2009): the longest, and the longest across it.
    """
    found: list[Lesion] = []
    warnings: list[str] = []
    for structure, (offset, parts) in _structures(label_map.array, names, regions, instances):
        sizes = counts(parts, int(parts.max(initial=0)))[1:]
        order = sorted(np.flatnonzero(sizes), key=lambda n: (-sizes[n], n))
        if len(order) > most:
            warnings.append(
                f"{structure} has {len(order)} pieces; the {most} largest are listed, "
                f"the others have {int(sizes[order[most:]].sum())} voxels together."
            )
        boxes = ndimage.find_objects(parts)
        for n in order[:most]:
            inner = boxes[n]
            mask = parts[inner] == n + 1
            corner = tuple(o + s.start for o, s in zip(offset, inner, strict=True))
            found.append(_measured(structure, mask, corner, chances, volume))
    return Pieces(tuple(replace(one, number=n) for n, one in enumerate(found, 1)), tuple(warnings))


def amounts(
    label_map: LabelMap, names: Sequence[str], *, regions: NDArray[np.bool_] | None = None, instances: bool = False
) -> dict[str, float]:
    """How much there is of each structure.

    Args:
        label_map: Structure n of ``names`` is n + 1; object numbers for ``instances``.
        names: Of the structures.
        regions: ``(n, I, J, K)`` where structures overlap, else None.
        instances: Whether the numbers of the label map are objects of the first structure.

    Returns:
        mL of a volume, mm2 of a picture, voxels where the spacing is unknown.
    """
    grid = label_map.grid
    if regions is not None:
        told = [int(np.count_nonzero(one)) for one in regions]
    elif instances:
        told = [int(np.count_nonzero(label_map.array))]
    else:
        told = [int(n) for n in counts(label_map.array, len(names))[1:]]
    return {name: count * voxel_amount(grid) for name, count in zip(names, told, strict=False)}


def counts(numbers: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """How often each number occurs, without a copy of the whole in eight bytes a voxel.

    Args:
        numbers: From 0 to ``n``, any shape.
        n: The highest number.

    Returns:
        ``(n + 1,)``.
    """
    flat = numbers.reshape(-1)
    total = np.zeros(n + 1, dtype=np.int64)
    for first in range(0, flat.size, _COUNTED):
        total += np.bincount(flat[first : first + _COUNTED], minlength=n + 1)
    return total


def voxel_amount(grid: Grid) -> float:
    """One voxel in mL, one pixel of a picture in mm2, or 1 where the spacing is unknown."""
    if not grid.spacing_known:
        return 1.0
    if grid.is_picture:
        return grid.spacing[0] * grid.spacing[1]
    return abs(float(np.linalg.det(grid.affine[:3, :3]))) / 1000


def amount_unit(grid: Grid) -> str:
    """Unit of :func:`voxel_amount`: ``"mL"``, ``"mm²"`` or ``"voxels"``."""
    if not grid.spacing_known:
        return "pixels" if grid.is_picture else "voxels"
    return "mm²" if grid.is_picture else "mL"


Parts = tuple[tuple[int, int, int], NDArray[Any]]


def _structures(
    array: NDArray[Any], names: Sequence[str], regions: NDArray[np.bool_] | None, instances: bool
) -> Iterator[tuple[str, Parts]]:
    """Name, and the numbered pieces of each structure in its box."""
    if instances:
        yield names[0], ((0, 0, 0), array)
        return
    if regions is not None:
        boxes: Iterable[Any] = [(ndimage.find_objects(one.view(np.uint8)) or [None])[0] for one in regions]
    else:
        boxes = ndimage.find_objects(array, max_label=len(names))
    for n, (name, box) in enumerate(zip(names, boxes, strict=True)):
        if box is None:
            continue
        mask = regions[n][box] if regions is not None else array[box] == n + 1
        parts, _ = ndimage.label(mask, structure=_TOUCHING)
        yield name, ((box[0].start, box[1].start, box[2].start), parts)


def _measured(
    structure: str,
    mask: NDArray[np.bool_],
    corner: tuple[int, ...],
    chances: NDArray[np.floating] | None,
    volume: Volume,
) -> Lesion:
    grid = volume.grid
    box = tuple(slice(c, c + n) for c, n in zip(corner, mask.shape, strict=True))
    values = np.asarray(volume.array[0][box][mask], dtype=np.float64)
    centroid = np.argwhere(mask).mean(axis=0) + corner
    areas = np.count_nonzero(mask, axis=(0, 1))
    best = int(areas.argmax())
    spacing = grid.spacing if grid.spacing_known else (1.0, 1.0, 1.0)
    longest, across = diameters(mask[:, :, best], (spacing[0], spacing[1]))
    n = int(np.count_nonzero(mask))
    amount = n * voxel_amount(grid) if grid.spacing_known else None
    placed = grid.spacing_known and not grid.is_picture
    i, j, k = (float(c) for c in centroid)
    x, y, z = (float(c) for c in grid.world(centroid))
    a, b, c = ((int(s.start), int(s.stop) - 1) for s in box)
    return Lesion(
        number=0,
        structure=structure,
        n_voxels=n,
        volume_ml=None if grid.is_picture else amount,
        area_mm2=amount if grid.is_picture else None,
        longest_mm=length_mm(longest, (spacing[0], spacing[1])),
        perpendicular_mm=length_mm(across, (spacing[0], spacing[1])),
        mean=float(values.mean()),
        low=float(values.min()),
        high=float(values.max()),
        unit=volume.unit,
        centroid=(i, j, k),
        centroid_mm=(x, y, z) if placed else None,
        side=_side(x, volume) if placed else "",
        probability=1.0 if chances is None else float(np.asarray(chances[box][mask], dtype=np.float64).mean()),
        slice=corner[2] + best,
        box=(a, b, c),
    )


def _side(x: float, volume: Volume) -> str:
    """Side of the image's middle: the world's x rises towards the patient's right.

    A NIfTI file names no modality; its header says whether its axes are those of the body.
    """
    if volume.modality not in _WITH_SIDES and (volume.modality is not None or not volume.header.get("space")):
        return ""
    middle = float(volume.grid.world((np.array(volume.grid.shape) - 1) / 2)[0])
    return "" if abs(x - middle) < 1.0 else ("right" if x > middle else "left")
