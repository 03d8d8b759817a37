"""True label maps of a case, whatever kind of file they come in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanwright.core.cohort import MaskCode
from scanwright.core.errors import FormatError, GeometryError
from scanwright.core.grid import Grid
from scanwright.core.volume import LabelMap
from scanwright.io.content import kind_of
from scanwright.io.hot_masks import read_hot
from scanwright.io.locator import parse_locator
from scanwright.io.probing import probe
from scanwright.io.read import read_label_map, read_volume

IGNORED = 255
"""Code of voxels that are neither trained on nor judged."""

_COLOUR_APART = 48
"""A colour picture saved with loss has colours near the named ones: largest distance in any channel."""

_SAME_PLACE_MM = 0.01
_CONTOURS = "1.2.840.10008.5.1.4.1.1.481.3"


def codes_of(code: MaskCode) -> tuple[tuple[int, ...], ...]:
    """The classes that each code of a coded label map belongs to.

    Args:
        code: How masks are read.

    Returns:
        For code 1, 2, 3 ... the class indices: one each, or several for regions. Label values of
        the same classes share a code.

    Example:
        >>> codes_of(MaskCode(values=((1, 2), (2,))))
        ((0,), (0, 1))
    """
    return tuple(_grouped(code))


def read_truth(
    masks: Sequence[str], code: MaskCode, *, like: Grid, root: Path | None = None, name: str = "the case"
) -> LabelMap:
    """Read the masks of a case as one label map of codes.

    Args:
        masks: Locators of the masks.
        code: How they are read.
        like: Grid of the image: contours are drawn on it, and a picture's masks take its place.
        root: Folder that relative paths start from.
        name: Case id, for errors.

    Returns:
        Codes on the masks' own grid (which may differ from ``like``): 0 background, then as
        :func:`codes_of` says, :data:`IGNORED`. For instances the objects' own numbers.

    Raises:
        FormatError: A mask is damaged, holds a value that the code does not name, or is no mask.
        GeometryError: Several masks of the case lie on different grids.
        InputError: A mask is missing.
    """
    if code.kind == "files":
        return _from_files(masks, like, root, name)
    if not masks:
        raise FormatError(f"{name} has no mask.", "A truth is read from masks.", "Name them in cohort.csv.")
    if code.kind == "segments":
        from scanwright.io.named_masks import read_named

        return read_named(masks, code, like=like, root=root, case=name)
    return _painted([_from_one(mask, code, like, root) for mask in masks], name)


def _from_one(mask: str, code: MaskCode, like: Grid, root: Path | None) -> LabelMap:
    """One mask as codes on its own grid."""
    if code.kind == "colours":
        return _from_colours(mask, code, like, root)
    if code.kind in ("onehot", "multihot"):
        values = read_hot(mask, like.shape, root=root, overlapping=code.kind == "multihot")
        return LabelMap(_coded(values, code, Path(mask).name), like)
    found = _placed(_read(mask, root, like), like)
    if code.kind == "instances":
        return found
    return LabelMap(_coded(found.array, code, Path(mask).name), found.grid)


def _painted(found: list[LabelMap], name: str) -> LabelMap:
    """Several masks of one case on one another: the earlier wins where both say something."""
    first = found[0]
    if len(found) == 1:
        return first
    array = first.array.copy()
    for other in found[1:]:
        if other.grid.shape != first.grid.shape or np.abs(other.grid.affine - first.grid.affine).max() > _SAME_PLACE_MM:
            raise GeometryError(
                f"{name} has masks of {first.grid.shape} and {other.grid.shape} voxels, or in different places.",
                "All masks of a case lie on one grid.",
                "Export them again on the image's grid, or into one file.",
            )
        array = np.where(array == 0, other.array, array)
    return LabelMap(array, first.grid, first.names)


def _read(source: str, root: Path | None, like: Grid) -> LabelMap:
    path = parse_locator(source, root=root).path
    if path.is_file() and kind_of(path) == "dicom" and probe(path).sop_class == _CONTOURS:
        from scanwright.io.dicom.contours import read_contours

        return read_contours(path, like)
    return read_label_map(source, root=root)


def _coded(array: NDArray[np.integer], code: MaskCode, name: str) -> NDArray[np.uint8]:
    groups = _grouped(code)
    values = sorted(v for group in groups.values() for v in group)
    there = {int(v) for v in np.unique(array)}
    known = {0, *values, *code.background, *([] if code.ignore is None else [code.ignore])}
    strange = sorted(there - known)
    if strange:
        raise FormatError(
            f"{name} holds the label value {strange[0]}.",
            f"The masks of this cohort hold {', '.join(str(v) for v in sorted(known))}.",
            "Correct the mask, or name the value's structure with --structures.",
        )
    table = np.zeros(max(there | known) + 1, dtype=np.uint8)
    for n, group in enumerate(groups.values(), start=1):
        table[group] = n
    if code.ignore is not None:
        table[code.ignore] = IGNORED
    return table[array]


def _grouped(code: MaskCode) -> dict[tuple[int, ...], list[int]]:
    """Classes to the label values that stand for exactly these, by the lowest value."""
    found: dict[tuple[int, ...], list[int]] = {}
    for value in sorted({v for values in code.values for v in values}):
        found.setdefault(tuple(k for k, values in enumerate(code.values) if value in values), []).append(value)
    return found


def _from_files(masks: Sequence[str], like: Grid, root: Path | None, name: str) -> LabelMap:
    """One file for each structure; an empty locator is a structure that is not there."""
    painted: NDArray[np.uint8] | None = None
    grid = like
    for n, source in enumerate(masks, start=1):
        if not source:
            continue
        found = _placed(_read(source, root, like), like)
        if painted is None:
            painted, grid = np.zeros(found.grid.shape, dtype=np.uint8), found.grid
        if found.grid.shape != grid.shape:
            raise GeometryError(
                f"The masks of {name} have {grid.shape} and {found.grid.shape} voxels.",
                "All masks of a case lie on one grid.",
                "Export them again on the image's grid.",
            )
        painted[found.array != 0] = n
    return LabelMap(np.zeros(like.shape, dtype=np.uint8) if painted is None else painted, grid)


def _from_colours(source: str, code: MaskCode, like: Grid, root: Path | None) -> LabelMap:
    volume = read_volume(source, root=root)
    if volume.n_channels < 3:
        raise FormatError(
            f"{Path(source).name} has one channel.",
            "The masks of this cohort are colour pictures.",
            "Name the label values with --structures.",
        )
    pixels = volume.array[:3].astype(np.int16)
    apart = [np.abs(pixels - np.array(c).reshape(3, 1, 1, 1)).max(axis=0) for c in ((0, 0, 0), *code.colours)]
    nearest = np.argmin(apart, axis=0)
    worst = int(np.min(apart, axis=0).max())
    if worst > _COLOUR_APART:
        raise FormatError(
            f"{Path(source).name} holds a colour that is {worst} away from every named one.",
            f"Masks are black or one of {', '.join(map(str, code.colours))}.",
            "Save it as PNG, or name the colours with --structures.",
        )
    return _placed(LabelMap(_coded(nearest, code, Path(source).name), volume.grid), like)


def _placed(found: LabelMap, like: Grid) -> LabelMap:
    """A picture's mask, or one without a place, takes the place of an image of the same shape."""
    placeless = not found.grid.spacing_known or (found.grid.is_picture and like.is_picture)
    if placeless and found.grid.shape == like.shape:
        return LabelMap(found.array, like, found.names)
    return found
