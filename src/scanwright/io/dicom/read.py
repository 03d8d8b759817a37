"""DICOM frames to a volume: order, rescale, unit, window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from scanwright.core.errors import FormatError, GeometryError
from scanwright.core.grid import Grid
from scanwright.core.volume import Volume
from scanwright.io.dicom.frames import frames_of, shared_item
from scanwright.io.dicom.geometry import Frame, stack
from scanwright.io.dicom.open import SEGMENTATIONS, SLIDE, Header, facts, modality, number, numbers, text, unit, window
from scanwright.io.dicom.pixels import Layout, layout_of, read_frames
from scanwright.io.guard import check_size
from scanwright.io.voxels import fill_not_finite, integral

_CLIPS = frozenset(("US", "IVUS", "XA", "RF", "ES"))
"""Modalities whose several frames without a place are pictures in time."""
_RADIOACTIVE = "RadiopharmaceuticalInformationSequence"


@dataclass(frozen=True)
class Item:
    """One file with its header."""

    path: Path
    dataset: Header


def read_items(items: Sequence[Item]) -> Volume:
    """Read the files of one series.

    Args:
        items: Files with their headers, in any order.

    Returns:
        See :func:`scanwright.io.read_series`.

    Raises:
        FormatError: A file is damaged or holds no image.
        GeometryError: The slices make no volume.
    """
    first = items[0]
    if text(first.dataset, "SOPClassUID") in SEGMENTATIONS:
        from scanwright.io.dicom.seg import read_segmentation

        if len(items) > 1:
            raise FormatError(
                f"{len(items)} segmentation objects lie in one series ({first.path.name}, ...).",
                "A segmentation is read from one file.",
                "Name the file.",
            )
        labels = read_segmentation(first.path)
        header = facts(first.dataset) | {f"label_{value}": name for value, name in labels.names.items()}
        return Volume(labels.array[None], labels.grid, modality="SEG", header=header)
    layouts = [layout_of(item.dataset, item.path) for item in items]
    _check_layouts(items, layouts)
    layout = layouts[0]
    if text(first.dataset, "SOPClassUID") == SLIDE and number(first.dataset, "TotalPixelMatrixRows"):
        return _slide(first, layout)
    frames = [frame for item in items for frame in frames_of(item.dataset, item.path)]
    ordered = stack(frames, layout.rows, layout.columns)
    order = ordered.order
    if layout.colour and len(order) > 1:
        raise FormatError(
            f"{first.path.name} holds colour frames at {len(order)} time points.",
            "A volume has either colour or time as its first axis.",
            "Split the series by time point.",
        )
    dtype = np.result_type(*{one.dtype for one in layouts})
    check_size(first.path, "DICOM", len(frames) * layout.frame_bytes)
    values = _decode(items, layouts, order, dtype)
    if layout.colour:
        volume = _colour(first, values, ordered.grid)
    else:
        volume = _grey(items, layouts, frames, order, values, ordered.grid)
    placed = frames[0].position is not None and frames[0].orientation is not None
    n = len(order) if order.shape[1] == 1 else 0 if placed else order.shape[1]
    return volume if n < 2 else _timed(volume, first.dataset, n)


def _timed(volume: Volume, dataset: Header, n: int) -> Volume:
    """The moments of a clip's frames: pictures of one place, or without a place.

    Source:
        PS3.3 C.7.6.5 (Cine: FrameTime, FrameTimeVector, in ms).
    """
    gaps = numbers(dataset, "FrameTimeVector")
    gap = number(dataset, "FrameTime")
    if gaps and len(gaps) == n:
        moments = np.cumsum([0.0, *gaps[1:]]) / 1000
    elif gap and gap > 0:
        moments = np.arange(n) * gap / 1000
    elif modality(dataset) in _CLIPS:
        return replace(volume, moments=tuple(float(k) for k in range(n)), moment_unit="frame")
    else:
        return volume
    return replace(volume, moments=tuple(round(float(m), 6) for m in moments), moment_unit="s")


def _check_layouts(items: Sequence[Item], layouts: Sequence[Layout]) -> None:
    for item, layout in zip(items, layouts):
        if layout.shape != layouts[0].shape:
            a, b = layouts[0], layout
            raise GeometryError(
                f"{items[0].path.name} has {a.rows} x {a.columns} pixels and {item.path.name} {b.rows} x {b.columns}"
                f"{', and one is colour' if a.colour != b.colour else ''}.",
                "The slices of a volume are of one size.",
                "Leave localizers and captures out, or put each size into a folder of its own.",
            )


def _decode(
    items: Sequence[Item], layouts: Sequence[Layout], order: NDArray[np.intp], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """All frames, ``(T, K, rows, columns[, 3])``, each file into its place."""
    values = np.empty((*order.shape, *layouts[0].shape), dtype)
    flat = values.reshape(-1, *layouts[0].shape)
    place = np.empty(order.size, dtype=np.intp)  # of frame n in the result
    place[order.reshape(-1)] = np.arange(order.size)
    start = 0
    for item, layout in zip(items, layouts):
        where = place[start : start + layout.n_frames]
        start += layout.n_frames
        if layout.dtype == dtype and (np.diff(where) == 1).all():
            read_frames(item.path, item.dataset, layout, flat[where[0] : where[0] + layout.n_frames])
        else:
            block = np.empty((layout.n_frames, *layout.shape), layout.dtype)
            read_frames(item.path, item.dataset, layout, block)
            flat[where] = block
    return values


def _colour(first: Item, values: NDArray[Any], grid: Grid) -> Volume:
    if values.dtype == np.uint16:
        low = values & 0xFF  # palettes of 8 bits are stored in the high byte, or in both
        if (low == 0).all() or (low == values >> 8).all():
            values = (values >> 8).astype(np.uint8)
        elif values.max() < 256:
            values = values.astype(np.uint8)
    planes = values[0].transpose(3, 1, 2, 0)
    return Volume(planes, grid, "1", modality(first.dataset), "rgb", None, facts(first.dataset))


def _grey(
    items: Sequence[Item],
    layouts: Sequence[Layout],
    frames: Sequence[Frame],
    order: NDArray[np.intp],
    values: NDArray[Any],
    grid: Grid,
) -> Volume:
    first, layout = items[0], layouts[0]
    dataset = first.dataset
    has_rescale = number(dataset, "RescaleIntercept") is not None or bool(
        shared_item(dataset, "PixelValueTransformationSequence")
    )
    meaning = unit(dataset, has_rescale=has_rescale)
    header = facts(dataset)
    shown = _window(dataset)
    slopes = np.array([frames[int(n)].slope for n in order.reshape(-1)])
    intercepts = np.array([frames[int(n)].intercept for n in order.reshape(-1)])
    turned = layout.photometric == "MONOCHROME1" and meaning == "1" and values.dtype.kind in "iu"
    if turned:
        span = _invert(values, layout)
        if shown:
            shown = (float(slopes[0]) * span + 2 * float(intercepts[0]) - shown[0], shown[1])
        header["inverted"] = "MONOCHROME1"
    if dataset.get("ModalityLUTSequence"):
        values = _modality_lut(values, dataset)
    else:
        values = _rescale(values, slopes, intercepts)
    values, n_missing = fill_not_finite(values, first.path)
    if n_missing:
        header["not_finite_voxels"] = str(n_missing)
    if meaning == "BQML" and (factor := _suv_factor(dataset)):
        header["suvbw_per_bqml"] = f"{factor:.9g}"
    array = values.transpose(0, 2, 3, 1)
    channel = "time" if len(order) > 1 else "channel"
    return Volume(array, grid, meaning, modality(dataset), channel, shown, header)  # type: ignore[arg-type]


def _window(dataset: Header) -> tuple[float, float] | None:
    return window(dataset) or window(shared_item(dataset, "FrameVOILUTSequence"))


def _invert(values: NDArray[Any], layout: Layout) -> int:
    """White to black within the stored bits; returns the sum of the two ends of the range."""
    span = -1 if layout.signed else (1 << layout.stored_bits) - 1
    np.subtract(np.array(span).astype(values.dtype), values, out=values)
    return span


def _modality_lut(values: NDArray[Any], dataset: Header) -> NDArray[Any]:
    from pydicom.pixels import apply_modality_lut

    found = np.asarray(apply_modality_lut(values, cast("Dataset", dataset)))  # sequences come from pydicom
    return found if found.dtype.itemsize <= 2 else found.astype(np.float32)


def _rescale(values: NDArray[Any], slopes: NDArray[np.float64], intercepts: NDArray[np.float64]) -> NDArray[Any]:
    """Slope and intercept frame by frame: integers stay integers where the numbers allow it."""
    if values.dtype.kind in "iu" and all(integral(v) for v in (*set(slopes.tolist()), *set(intercepts.tolist()))):
        if (slopes == 1).all() and (intercepts == 0).all():
            return _narrow(values)
        return _rescale_whole(values, slopes, intercepts)
    out = np.empty(values.shape, np.float32)
    frames, result = values.reshape(-1, *values.shape[2:]), out.reshape(-1, *values.shape[2:])
    for n, (slope, intercept) in enumerate(zip(slopes, intercepts)):
        if values.dtype.itemsize <= 2:
            np.multiply(frames[n], np.float32(slope), out=result[n])
            np.add(result[n], np.float32(intercept), out=result[n])
        else:
            result[n] = frames[n] * slope + intercept
    return out


def _rescale_whole(values: NDArray[Any], slopes: NDArray[np.float64], intercepts: NDArray[np.float64]) -> NDArray[Any]:
    frames = values.reshape(-1, *values.shape[2:])
    ends = []
    for frame, slope, intercept in zip(frames, slopes, intercepts):
        ends += [int(frame.min()) * int(slope) + int(intercept), int(frame.max()) * int(slope) + int(intercept)]
    low, high = min(ends), max(ends)
    bits = 16 if low >= -(2**15) and high < 2**15 else 32
    if low < -(2**31) or high >= 2**31:
        return _rescale(values.astype(np.float64), slopes, intercepts)
    # arithmetic is modulo 2**16: where the result fits int16, so does its lowest half
    out = (
        values.view(np.int16) if bits == 16 and values.dtype.itemsize == 2 else np.empty(values.shape, f"i{bits // 8}")
    )
    result = out.reshape(-1, *values.shape[2:])
    for n, (slope, intercept) in enumerate(zip(slopes, intercepts)):
        if out.dtype.itemsize == values.dtype.itemsize == 2:
            if slope != 1:
                np.multiply(result[n], np.int64(int(slope)).astype(np.int16), out=result[n])
            np.add(result[n], np.int64(int(intercept)).astype(np.int16), out=result[n])
        else:
            result[n] = frames[n].astype(np.int64) * int(slope) + int(intercept)
    return out


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.itemsize <= 2 or values.dtype == np.int32:
        return values
    fits = int(values.min()) >= -(2**31) and int(values.max()) < 2**31
    return values.astype(np.int32 if fits else np.float32)


def _suv_factor(dataset: Header) -> float | None:
    """SUVbw of one Bq/ml, where weight, dose and times are all in the header.

    Source:
        QIBA FDG-PET/CT profile: weight [g] / dose decayed to the start of the scan.
    """
    import pydicom

    from scanwright.io.dicom.frames import clock_s

    name = getattr(dataset, "filename", None)
    if text(dataset, "DecayCorrection").upper() != "START" or not name:
        return None
    tags = ["PatientWeight", _RADIOACTIVE, "SeriesTime", "AcquisitionTime"]
    more = pydicom.dcmread(name, stop_before_pixels=True, specific_tags=tags, force=True)
    tracer = (more.get(_RADIOACTIVE) or [Dataset()])[0]
    weight, dose = number(more, "PatientWeight"), number(tracer, "RadionuclideTotalDose")
    half_life = number(tracer, "RadionuclideHalfLife")
    scan, injection = clock_s(text(more, "SeriesTime")), clock_s(text(tracer, "RadiopharmaceuticalStartTime"))
    if not weight or not dose or not half_life or scan is None or injection is None:
        return None
    waited = (scan - injection) % 86400
    return weight * 1000 / (dose * 2 ** (-waited / half_life))


def _slide(item: Item, layout: Layout) -> Volume:
    """Tiles of a slide laid out as one picture.

    Source:
        PS3.3 C.7.6.17.3 (TILED_FULL), C.8.12.14 (position in the total pixel matrix).
    """
    rows, columns = (
        int(number(item.dataset, "TotalPixelMatrixRows") or 0),
        int(number(item.dataset, "TotalPixelMatrixColumns") or 0),
    )
    from scanwright.io.guard import check_pixels

    check_pixels(item.path, "DICOM", columns, rows)
    tiles = np.empty((layout.n_frames, *layout.shape), layout.dtype)
    read_frames(item.path, item.dataset, layout, tiles)
    across = -(-columns // layout.columns)
    picture = np.zeros((rows, columns, *layout.shape[2:]), layout.dtype)
    groups = item.dataset.get("PerFrameFunctionalGroupsSequence")
    for n, tile in enumerate(tiles):
        top, left = n // across * layout.rows, n % across * layout.columns
        if groups and n < len(groups) and groups[n].get("PlanePositionSlideSequence"):
            place = groups[n].PlanePositionSlideSequence[0]
            top, left = (
                int(place.RowPositionInTotalImagePixelMatrix) - 1,
                int(place.ColumnPositionInTotalImagePixelMatrix) - 1,
            )
        if 0 <= top < rows and 0 <= left < columns:
            picture[top : top + layout.rows, left : left + layout.columns] = tile[: rows - top, : columns - left]
    measures = shared_item(item.dataset, "PixelMeasuresSequence")
    spacing = numbers(measures, "PixelSpacing")
    grid = Grid.of_picture(
        rows, columns, (spacing[0], spacing[1]) if spacing and len(spacing) == 2 and min(spacing) > 0 else None
    )
    if layout.colour:
        return _colour(item, picture[None, None], grid)
    return Volume(picture[None, ..., None], grid, "1", modality(item.dataset), header=facts(item.dataset))
