"""Place without voxels: a shape and where its voxel centres lie in millimetres."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanwright.core.errors import GeometryError


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular lattice of voxel centres.

    Column ``n`` of ``affine`` is one step along array axis ``n``, in mm, in RAS+
    world coordinates; its last column is the centre of voxel ``(0, 0, 0)``. A 2-D
    image is a grid with one slice. Where the source gives no spacing (a PNG, say)
    ``spacing_known`` is false and the affine counts pixels instead of millimetres.

    Args:
        shape: Voxels along axes ``i, j, k``.
        affine: 4 x 4 matrix from ``(i, j, k, 1)`` to RAS+ millimetres.
        spacing_known: Whether the affine is in millimetres.

    Raises:
        GeometryError: The shape is not three positive integers, or the affine is
            not a finite, invertible 4 x 4 matrix.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    spacing_known: bool = True

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(
                f"A grid of shape {self.shape} was asked for.",
                "A grid has three axes of at least one voxel.",
                "Give a 2-D image a third axis of length 1.",
            )
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise GeometryError(
                f"An affine of shape {affine.shape} cannot place voxels.",
                "An affine is a finite, invertible 4 x 4 matrix.",
                "Check orientation and spacing in the source header.",
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Grid)
            and self.shape == other.shape
            and self.spacing_known == other.spacing_known
            and np.array_equal(self.affine, other.affine)
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of_picture(cls, rows: int, columns: int, spacing_mm: tuple[float, float] | None = None) -> Grid:
        """Grid of a 2-D picture whose place in the body is unknown.

        Args:
            rows: Height in pixels; axis ``i`` points down.
            columns: Width in pixels; axis ``j`` points right.
            spacing_mm: Distance between rows and between columns, or None if unknown.

        Returns:
            A grid of one slice; rows run towards inferior, columns towards the
            patient's left, as a frontal radiograph is hung.
        """
        step_i, step_j = spacing_mm or (1.0, 1.0)
        affine = np.array([[0, -step_j, 0, 0], [0, 0, 1.0, 0], [-step_i, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
        return cls((rows, columns, 1), affine, spacing_known=spacing_mm is not None)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along ``i, j, k``, in mm (pixels if unknown)."""
        i, j, k = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(i), float(j), float(k)

    @property
    def is_picture(self) -> bool:
        """Whether the grid has a single slice."""
        return self.shape[2] == 1

    @property
    def orientation(self) -> str:
        """Closest anatomical direction of each axis, such as ``"RAS"`` or ``"LPS"``.

        Source:
            NIfTI-1 ``sform``; agrees with ``nibabel.aff2axcodes``.
        """
        directions = self.affine[:3, :3] / np.asarray(self.spacing)
        codes, left = ["", "", ""], directions.copy()
        for _ in range(3):
            world, axis = np.unravel_index(np.nanargmax(np.abs(left)), (3, 3))
            codes[int(axis)] = ("LR", "PA", "IS")[int(world)][int(directions[world, axis] > 0)]
            left[world, :] = 0
            left[:, axis] = np.nan
        return "".join(codes)

    def world(self, index: ArrayLike) -> NDArray[np.float64]:
        """Positions of voxel indices.

        Args:
            index: ``(..., 3)`` indices ``i, j, k``; fractions are allowed.

        Returns:
            ``(..., 3)`` RAS+ positions ``x, y, z`` in mm.
        """
        return np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def index(self, position: ArrayLike) -> NDArray[np.float64]:
        """Voxel indices of positions: the inverse of :meth:`world`.

        Args:
            position: ``(..., 3)`` RAS+ positions in mm.

        Returns:
            ``(..., 3)`` fractional indices ``i, j, k``.
        """
        offset = np.asarray(position, dtype=np.float64) - self.affine[:3, 3]
        return offset @ np.linalg.inv(self.affine[:3, :3]).T
