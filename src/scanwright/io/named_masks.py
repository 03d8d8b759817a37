"""DICOM segmentations and contours as label maps by the names of their structures, which may overlap.

Structures that overlap by design (a tumour within its organ) have codes for what they share; where outlines only
touch, the smaller structure takes the voxel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanwright.core.cohort import MaskCode
from scanwright.core.errors import FormatError, GeometryError
from scanwright.core.grid import Grid
from scanwright.core.volume import LabelMap
from scanwright.io.content import kind_of
from scanwright.io.locator import parse_locator
from scanwright.io.probing import probe
from scanwright.io.read import read_label_map

BY_DESIGN = 0.1
"""Structures overlap by design when they share at least this part of the smaller one."""

_CONTOURS = "1.2.840.10008.5.1.4.1.1.481.3"
_SAME = 0.02
_Mask = NDArray[np.bool_]


def class_masks(
    masks: Sequence[str],
    names: Sequence[Sequence[str]],
    *,
    like: Grid,
    root: Path | None = None,
    case: str = "the case",
) -> tuple[dict[int, _Mask], Grid]:
    """The mask of every structure of a case.

    Args:
        masks: Locators of its segmentations and structure sets.
        names: For each structure the names it has in the files, in any case.
        like: Grid of the image.
        root: Folder that relative paths start from.
        case: Its name, for errors.

    Returns:
        Index of the structure to ``(I, J, K)`` bool, those that occur; on ``like`` where the files lie on
        its voxels, else on their own grid.

    Raises:
        FormatError: A file is damaged.
        GeometryError: The files lie on different grids, or contours outside the image.
    """
    wanted = _wanted(names)
    found: dict[int, _Mask] = {}
    grid = like
    for n, source in enumerate(masks):
        parts, own_grid = _structures(source, like, root)
        placed = _window(own_grid, like)
        here = like if placed is not None else own_grid
        if n and not _alike(here, grid):
            raise GeometryError(
                f"{case} has masks of {grid.shape} and {here.shape} voxels, or in different places.",
                "All masks of a case lie on one grid.",
                "Export them again on the image's grid, or into one file.",
            )
        grid = here
        for number, name, mask in parts:
            k = _class_of(wanted, number, name)
            if k is not None:
                whole = found.setdefault(k, np.zeros(grid.shape, dtype=bool))
                whole[placed or ...] |= mask
    return {k: mask for k, mask in found.items() if mask.any()}, grid


def read_named(
    masks: Sequence[str], code: MaskCode, *, like: Grid, root: Path | None = None, case: str = "the case"
) -> LabelMap:
    """Read the masks of a case by the names of their structures.

    Args:
        masks: See :func:`class_masks`.
        code: Of the kind ``"segments"``: names, and the classes of each code.
        like: Grid of the image.
        root: Folder that relative paths start from.
        case: Its name, for errors.

    Returns:
        Codes, 0 where there is no structure.

    Raises:
        FormatError: A file is damaged, or two structures overlap for which the cohort has no code.
        GeometryError: See :func:`class_masks`.
    """
    flat = flat_file(masks[0], root) if len(masks) == 1 else None
    if flat is not None:
        return _looked_up(flat, code, like)
    found, grid = class_masks(masks, code.names, like=like, root=root, case=case)
    sizes = {k: int(np.count_nonzero(mask)) for k, mask in found.items()}
    codes = code_numbers(code)
    for (a, b), share in shared(found, sizes).items():
        if share >= BY_DESIGN and not any({a, b} <= set(classes) for classes in codes):
            raise FormatError(
                f"{code.names[a][0]!r} and {code.names[b][0]!r} of {case} share {share:.0%} of the smaller one.",
                "In the masks of this cohort that were looked at these structures do not overlap.",
                "Correct the case, or leave one of them out with --structures.",
            )
    array = np.zeros(grid.shape, dtype=np.uint8)
    for k in sorted(found, key=lambda k: -sizes[k]):
        array[found[k]] = _joined(codes, k)[array[found[k]]]
    return LabelMap(array, grid)


def code_numbers(code: MaskCode) -> dict[tuple[int, ...], int]:
    """Classes to the number that stands for exactly these, as :func:`scanwright.io.codes_of` orders them."""
    from scanwright.io.truth import codes_of

    return {classes: n for n, classes in enumerate(codes_of(code), start=1)}


def shared(found: Mapping[int, _Mask], sizes: Mapping[int, int]) -> dict[tuple[int, int], float]:
    """The part of the smaller structure that two have in common, for those that have any voxel in common."""
    shares = {}
    keys = sorted(found)
    boxes = {k: _box(found[k]) for k in keys}
    for n, a in enumerate(keys):
        for b in keys[n + 1 :]:
            both = tuple(
                slice(max(x.start, y.start), min(x.stop, y.stop)) for x, y in zip(boxes[a], boxes[b], strict=True)
            )
            if any(s.start >= s.stop for s in both):
                continue
            n_both = int(np.count_nonzero(found[a][both] & found[b][both]))
            if n_both:
                shares[a, b] = n_both / min(sizes[a], sizes[b])
    return shares


def _joined(codes: Mapping[tuple[int, ...], int], k: int) -> NDArray[np.uint8]:
    """What each code becomes where structure ``k`` is painted over it."""
    table = np.full(max(codes.values()) + 1, codes[(k,)], dtype=np.uint8)
    for classes, number in codes.items():
        kept = (part for n in range(len(classes), 0, -1) for part in combinations(classes, n))
        together = (codes.get(tuple(sorted({*part, k}))) for part in kept)
        table[number] = next((c for c in together if c is not None), codes[(k,)])
    return table


def flat_file(source: str, root: Path | None = None) -> LabelMap | None:
    """One file as a label map; None where its structures may overlap: contours, and segments that do.

    Args:
        source: Locator.
        root: Folder that a relative path starts from.

    Returns:
        Label values with the names of the segments, on the file's own grid.

    Raises:
        FormatError: The file is damaged.
    """
    from scanwright.io.dicom.seg import flat_segmentation

    path = parse_locator(source, root=root).path
    if not path.is_file() or kind_of(path) != "dicom":
        return read_label_map(source, root=root)
    return None if probe(path).sop_class == _CONTOURS else flat_segmentation(path)


def _structures(source: str, like: Grid, root: Path | None) -> tuple[list[tuple[int, str, _Mask]], Grid]:
    """Number, name and mask of each structure of one file."""
    from scanwright.io.dicom.contours import read_rois
    from scanwright.io.dicom.seg import read_segments

    flat = flat_file(source, root)
    if flat is not None:
        return [(n, name, flat.array == n) for n, name in flat.names.items()], flat.grid
    path = parse_locator(source, root=root).path
    if probe(path).sop_class == _CONTOURS:
        return list(read_rois(path, like)), like
    segments = read_segments(path)
    return [(s.number, s.name, s.mask) for s in segments], segments[0].grid


def _looked_up(flat: LabelMap, code: MaskCode, like: Grid) -> LabelMap:
    """A label map of other numbers as codes; segments of other names are background."""
    numbers, wanted = code_numbers(code), _wanted(code.names)
    table = np.zeros(max([int(flat.array.max(initial=0)), *flat.names]) + 1, dtype=np.uint8)
    for n, name in flat.names.items():
        k = _class_of(wanted, n, name)
        table[n] = 0 if k is None else numbers[(k,)]
    placed = _window(flat.grid, like)
    if placed is None:
        return LabelMap(table[flat.array], flat.grid)
    array = np.zeros(like.shape, dtype=np.uint8)
    array[placed] = table[flat.array]
    return LabelMap(array, like)


def _wanted(names: Sequence[Sequence[str]]) -> dict[str, int]:
    return {_plain(name): k for k, own in enumerate(names) for name in own}


def _class_of(wanted: Mapping[str, int], number: int, name: str) -> int | None:
    return wanted.get(_plain(name), wanted.get(f"structure {number}"))


def _window(mask: Grid, image: Grid) -> tuple[slice, slice, slice] | None:
    """Where the voxels of a mask are those of the image; None where they are not."""
    if not (mask.spacing_known and image.spacing_known):
        return None
    start = image.index(mask.world((0, 0, 0)))
    end = image.index(mask.world(np.array(mask.shape) - 1))
    first, last = np.rint(start).astype(int), np.rint(end).astype(int)
    whole = max(np.abs(start - first).max(), np.abs(end - last).max()) <= _SAME
    if not whole or (first < 0).any() or (last - first + 1 != mask.shape).any() or (last >= image.shape).any():
        return None
    i, j, k = (slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
    return i, j, k


def _alike(one: Grid, other: Grid) -> bool:
    return one.shape == other.shape and bool(np.abs(one.affine - other.affine).max() <= _SAME)


def _box(mask: _Mask) -> tuple[slice, ...]:
    there = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return tuple(slice(int(t[0]), int(t[-1]) + 1) for t in there)


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
