"""Voxels in a place: intensities and label maps."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import GeometryError
from scanwright.core.grid import Grid


@dataclass(frozen=True, eq=False)
class Volume:
    """Intensities on a grid.

    Axes ``i, j`` of a picture are rows and columns, so ``array[c, :, :, 0]`` shows it
    upright. A volume keeps the axis order of its source: rows, columns, slices for a
    DICOM series, the stored order for NIfTI, NRRD and MetaImage.

    Args:
        array: ``(C, I, J, K)`` intensities in ``unit``.
        grid: Place of the voxels; its shape is ``(I, J, K)``.
        unit: ``"HU"``, ``"SUVbw"``, ``"BQML"`` or ``"1"`` for arbitrary units.
        modality: DICOM modality code (``"CT"``, ``"MR"``, ``"DX"`` ...), None if unknown.
        channel: What the first axis means: ``"channel"``, ``"rgb"`` or ``"time"``.
        window: Display window (centre, width) in ``unit``, None if the source has none.
        header: Other facts of the source that do not identify a person, as text.
        moments: For a sequence, a number for each of its frames (the last axis, or the first of a
            time series), rising: when it was taken or how deep it lies, in ``moment_unit``. Empty if unknown.
        moment_unit: ``"mm"``, ``"s"``, ``"days"``, or ``"frame"`` where only the order is known.

    Raises:
        GeometryError: The array has not four axes, or does not fit the grid.
    """

    array: NDArray[Any]
    grid: Grid
    unit: str = "1"
    modality: str | None = None
    channel: Literal["channel", "rgb", "time"] = "channel"
    window: tuple[float, float] | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    moments: tuple[float, ...] = ()
    moment_unit: str = "frame"

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.shape[1:] != self.grid.shape:
            raise GeometryError(
                f"Voxels of shape {self.array.shape} do not fit a grid of shape {self.grid.shape}.",
                "A volume is (C, I, J, K) with (I, J, K) equal to the grid.",
                "Add a channel axis in front.",
            )

    @property
    def n_channels(self) -> int:
        """Length of the first axis."""
        return int(self.array.shape[0])

    def picture(self, k: int | None = None) -> NDArray[np.uint8]:
        """One slice as it would be shown on a screen.

        Args:
            k: Slice along the last axis; the middle one if None.

        Returns:
            ``(rows, columns)`` or, for colour, ``(rows, columns, 3)``, uint8. Grey values
            go through the display window, or from the 0.5th to the 99.5th percentile.
        """
        k = self.grid.shape[2] // 2 if k is None else k
        plane = np.asarray(self.array[..., k], dtype=np.float32)
        if self.channel == "rgb" and self.n_channels == 3:
            top = 255.0 if self.array.dtype == np.uint8 else float(max(plane.max(), 1e-6))
            return (np.clip(np.moveaxis(plane, 0, -1) / top, 0, 1) * 255).astype(np.uint8)
        plane = plane[0]
        if not self.grid.is_picture:
            plane = _upright(plane, self.grid.orientation)
        if self.window:
            low, high = self.window[0] - self.window[1] / 2, self.window[0] + self.window[1] / 2
        elif self.array.dtype == np.uint8:
            low, high = 0.0, 255.0
        else:
            low, high = (float(v) for v in np.nanpercentile(plane, (0.5, 99.5)))
        return (np.clip((np.nan_to_num(plane) - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)

    def _repr_html_(self) -> str:
        spacing = " x ".join(f"{s:.3g}" for s in self.grid.spacing) + " mm" if self.grid.spacing_known else "unknown"
        facts = {
            "shape (C, I, J, K)": str(tuple(self.array.shape)),
            "spacing": spacing,
            "orientation": self.grid.orientation,
            "modality": self.modality or "unknown",
            "unit": self.unit,
        }
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts.items()
        )
        data = base64.b64encode(png_bytes(self.picture())).decode()
        return (
            f"<img alt='middle slice' style='max-width:320px' src='data:image/png;base64,{data}'><table>{rows}</table>"
        )


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Which structure each voxel belongs to.

    Args:
        array: ``(I, J, K)`` integers; 0 is background.
        grid: Place of the voxels.
        names: Name of each label value.

    Raises:
        GeometryError: The array does not fit the grid.
    """

    array: NDArray[np.integer[Any]]
    grid: Grid
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise GeometryError(
                f"Labels of shape {self.array.shape} do not fit a grid of shape {self.grid.shape}.",
                "A label map is (I, J, K), equal to its grid.",
                "Resample the labels onto the grid of the image.",
            )


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """Encode a picture as PNG.

    Args:
        picture: ``(rows, columns)`` grey or ``(rows, columns, 3)`` RGB, uint8.

    Returns:
        A complete PNG file.

    Source:
        PNG specification (ISO/IEC 15948), colour types 0 and 2, filter 0.
    """
    pixels = np.ascontiguousarray(picture, dtype=np.uint8)
    rows, columns = pixels.shape[:2]
    raw = np.zeros((rows, 1 + pixels.size // rows), dtype=np.uint8)
    raw[:, 1:] = pixels.reshape(rows, -1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw.tobytes(), 6))
        + chunk(b"IEND", b"")
    )


def _upright(plane: NDArray[Any], orientation: str) -> NDArray[Any]:
    """Turn a slice so that it hangs as radiologists expect (patient's right on the left)."""
    down, right = orientation[0], orientation[1]
    if down in "LR" or (down in "PA" and right in "IS"):  # axis i runs sideways: it becomes the columns
        plane, down, right = plane.T, right, down
    if down in "AS":
        plane = plane[::-1]
    if right in "RA":
        plane = plane[:, ::-1]
    return plane
