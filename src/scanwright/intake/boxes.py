"""Boxes as files write them, turned into boxes along the axes of the image's array.

Files count x along columns and y along rows of a picture, so x is ``j`` and y is ``i``; in NIfTI, NRRD and
MetaImage x is the first stored axis, so x is ``i`` and y is ``j``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scanwright.core import Box, InputError
from scanwright.intake.place import suffix_of
from scanwright.io import read_volume

_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(px|pixels?|voxels?|mm)?\s*", re.IGNORECASE)
_STORED_ORDER = frozenset((".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img"))


@dataclass(frozen=True, slots=True)
class BoxSize:
    """Side of the box that stands for a point.

    Args:
        value: Length.
        unit: ``"mm"`` or ``"px"``.
    """

    value: float
    unit: str

    @classmethod
    def of(cls, text: str | None) -> BoxSize | None:
        """Take ``--box-size`` apart.

        Args:
            text: Such as ``"12"``, ``"12px"`` or ``"8mm"``; None if nothing was said.

        Returns:
            The size; None if nothing was said.

        Raises:
            InputError: The text is no length.

        Example:
            >>> BoxSize.of("8 mm")
            BoxSize(value=8.0, unit='mm')
        """
        if text is None or not text.strip():
            return None
        found = _SIZE.fullmatch(text)
        if found is None or float(found[1]) <= 0:
            raise InputError(
                f"--box-size is {text!r}.",
                "It is a positive length in pixels or millimetres.",
                "Write --box-size 12px or --box-size 8mm.",
            )
        unit = (found[2] or "px").lower()
        return cls(float(found[1]), "mm" if unit == "mm" else "px")


class Measure:
    """Shape and spacing of images, read once each and only where a box needs them.

    Args:
        root: Folder that locators start from.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, tuple[tuple[int, int, int], tuple[float, float, float] | None]] = {}

    def shape(self, source: str) -> tuple[int, int, int]:
        """Voxels along ``(i, j, k)``."""
        return self._look(source)[0]

    def voxels(self, source: str, size: BoxSize) -> tuple[float, float, float]:
        """A length in voxels along ``(i, j, k)``.

        Args:
            source: Locator of the image.
            size: The length.

        Returns:
            Voxels along each axis.

        Raises:
            InputError: Millimetres were asked for and the image has no spacing.
        """
        if size.unit == "px":
            return size.value, size.value, size.value
        spacing = self._look(source)[1]
        if spacing is None:
            raise InputError(
                f"The size {size.value:g} mm was given, and {source} has no spacing.",
                "Millimetres become pixels by the spacing that the image's file says.",
                f"Say it in pixels, such as --box-size {size.value:g}px.",
            )
        i, j, k = (size.value / s for s in spacing)
        return i, j, k

    def _look(self, source: str) -> tuple[tuple[int, int, int], tuple[float, float, float] | None]:
        if source not in self._known:
            grid = read_volume(source, root=self.root).grid
            self._known[source] = (grid.shape, grid.spacing if grid.spacing_known else None)
        return self._known[source]


def along_axes(source: str, x: float, y: float, z: float) -> tuple[float, float, float]:
    """``(x, y, z)`` as a file counts them, as ``(i, j, k)`` of the image's array.

    Args:
        source: Locator of the image.
        x: Along columns of a picture.
        y: Along rows of a picture.
        z: Along slices.

    Returns:
        In the array's order.

    Example:
        >>> along_axes("a.png", 1, 2, 0), along_axes("a.nii.gz", 1, 2, 3)
        ((2, 1, 0), (1, 2, 3))
    """
    return (x, y, z) if suffix_of(source) in _STORED_ORDER else (y, x, z)


def box_of_corners(label: int, source: str, one: tuple[float, float, float], other: tuple[float, float, float]) -> Box:
    """A box between two corners, whichever comes first.

    Args:
        label: Index of the class.
        source: Locator of the image.
        one: ``(x, y, z)`` of a corner, in voxel indices.
        other: ``(x, y, z)`` of the opposite corner.

    Returns:
        The box along the array's axes.
    """
    a, b = along_axes(source, *one), along_axes(source, *other)
    low = (min(a[0], b[0]), min(a[1], b[1]), min(a[2], b[2]))
    high = (max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]))
    return Box(label, low, high)


def refuse_shares(file: str, edges: Sequence[float]) -> None:
    """Stop at edges that are shares of the image instead of pixels.

    Args:
        file: Where they stand.
        edges: All edges and sides of all boxes.

    Raises:
        InputError: They all lie between 0 and 1, and some between them.
    """
    if edges and all(0 <= v <= 1 for v in edges) and any(0 < v < 1 for v in edges):
        raise InputError(
            f"All edges in {file} lie between 0 and 1.",
            "Edges are counted in pixels.",
            "Multiply them by the width and height of each image.",
        )


def box_around(
    label: int, centre: tuple[float, float, float], size: tuple[float, float, float], *, round: bool = False
) -> Box:
    """A box around a point.

    Args:
        label: Index of the class.
        centre: ``(i, j, k)`` voxel indices.
        size: Extent along them; a picture's last one is its single slice's.
        round: Whether it stands for a circle or ball.

    Returns:
        The box.
    """
    low = tuple(c - n / 2 for c, n in zip(centre, size, strict=True))
    high = tuple(c + n / 2 for c, n in zip(centre, size, strict=True))
    return Box(label, (low[0], low[1], low[2]), (high[0], high[1], high[2]), round=round)
