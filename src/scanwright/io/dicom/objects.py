"""The DICOM objects of one prediction, by kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError
from scanwright.core.grid import Grid
from scanwright.core.prediction import Lesion, Prediction
from scanwright.io.dicom.capture import write_capture
from scanwright.io.dicom.contours import write_contours
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.outlines import outlines
from scanwright.io.dicom.parametric_map import write_probabilities
from scanwright.io.dicom.report import LesionShape, Point, tracking_name, write_measurements, write_summary
from scanwright.io.dicom.segmentation import Masks, names_of, write_segmentation
from scanwright.io.dicom.stamp import new_uid

Ends = tuple[tuple[Point, Point], tuple[Point, Point]]
"""Longest and perpendicular diameter: end points, row and column in pixels."""

Measure = Callable[[NDArray[np.bool_], tuple[float, float]], Ends]
"""What ``scanwright.preprocessing.diameters.diameters`` does: rooms of one floor do not import each other."""

KINDS = ("seg", "labelmap", "rtstruct", "sr", "summary", "probability", "capture")
"""Objects that can be written."""

_MOST_LESIONS = 200


def write_objects(
    folder: Path,
    prediction: Prediction,
    *,
    source_files: Sequence[Path],
    note: DicomNote,
    kinds: Sequence[str] = ("seg", "sr"),
    measure: Measure | None = None,
) -> list[Path]:
    """Write the DICOM objects of a segmentation beside its source.

    Each lesion becomes a segment of its own, called after its structure and number, so that it
    has one tracking UID in the segmentation and the report. Without a lesion there is no
    measurement report (a valid one has at least one group): ask for ``"summary"``, which says so.

    Args:
        folder: Where to write; names are ``<kind>.dcm``.
        prediction: Answer of a segmenting model, on the grid of the source.
        source_files: Files of the source series, in any order.
        note: What the objects say of their origin; each gets a series number of its own.
        kinds: Some of :data:`KINDS`.
        measure: Gives the end points of the diameters in a slice, for ``"sr"``
            (``scanwright.preprocessing.diameters.diameters``).

    Returns:
        The files, in the order of ``kinds``; those that have nothing to say are left out.

    Raises:
        FormatError: A source is not DICOM, or a written file does not read back the same.
        GeometryError: The source has no place in space, is tilted or uneven, or does not fit.
        InputError: A kind is unknown, or the prediction has no label map.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise InputError(
            f"{unknown[0]!r} is no kind of DICOM object.", f"Kinds are {', '.join(KINDS)}.", "Choose one of them."
        )
    if prediction.label_map is None:
        raise InputError(
            f"{prediction.case} has no label map.",
            "Objects of segmentation come from a segmenting model.",
            "Write the heat map instead.",
        )
    if "sr" in kinds and prediction.lesions and measure is None:
        raise InputError(
            "A measurement report needs the end points of the diameters.",
            "They are measured by scanwright.preprocessing.diameters.diameters.",
            "Give it as measure=.",
        )
    grid, folder, written = prediction.label_map.grid, Path(folder), dict[str, Path]()
    for n, kind in enumerate(sorted(kinds, key=lambda k: k == "sr")):  # the report follows what it refers to
        path, own = folder / f"{kind}.dcm", replace(note, series_number=note.series_number + n)
        found = _write(kind, path, prediction, grid, source_files, own, measure, written)
        if found is not None:
            written[kind] = found
    return [written[kind] for kind in dict.fromkeys(kinds) if kind in written]


def _write(
    kind: str,
    path: Path,
    prediction: Prediction,
    grid: Grid,
    source_files: Sequence[Path],
    note: DicomNote,
    measure: Measure | None,
    written: dict[str, Path],
) -> Path | None:
    if kind in ("seg", "labelmap"):
        masks = _masks(prediction, overlap=kind == "seg")
        earlier = {name: (name, new_uid()) for name, _ in masks}
        return write_segmentation(
            path,
            masks,
            grid=grid,
            source_files=source_files,
            note=note,
            kind="BINARY" if kind == "seg" else "LABELMAP",
            tracking=_tracking_of(written.get("seg") or written.get("labelmap")) or earlier,
        )
    if kind == "rtstruct":
        return write_contours(path, _masks(prediction), grid=grid, source_files=source_files, note=note)
    if kind == "sr":
        if not prediction.lesions or measure is None:
            return None
        return write_measurements(
            path,
            shapes_of(prediction, measure),
            grid=grid,
            source_files=source_files,
            note=note,
            segmentation=written.get("seg") or written.get("labelmap"),
        )
    if kind == "summary":
        return write_summary(path, sentences_of(prediction), source_files=source_files, note=note)
    if kind == "probability":
        if prediction.chances is None:
            return None
        return write_probabilities(path, prediction.chances, grid=grid, source_files=source_files, note=note)
    if prediction.overlay is None:
        return None
    return write_capture(path, prediction.overlay, source_files=source_files, note=note)


def shapes_of(prediction: Prediction, measure: Measure) -> list[LesionShape]:
    """Lesions with the end points of their diameters and their edge, in the slice to look at.

    Args:
        prediction: Answer of a segmenting model.
        measure: Gives the end points of the diameters in a slice.

    Returns:
        One shape for each lesion that its label map shows.
    """
    made = []
    for lesion in prediction.lesions:
        mask = lesion_mask(prediction, lesion)
        if mask is None or not mask[:, :, lesion.slice].any():
            continue
        plane, spacing = mask[:, :, lesion.slice], prediction.label_map.grid.spacing  # type: ignore[union-attr]
        longest, across = measure(plane, (spacing[0], spacing[1]))
        edge = max(outlines(plane), key=len)
        outline = tuple((float(i), float(j)) for i, j in edge)
        made.append(LesionShape(lesion, longest, across, lesion.slice, outline))
    return made


def lesion_mask(prediction: Prediction, lesion: Lesion) -> NDArray[np.bool_] | None:
    """Voxels of a lesion: the piece of its structure with its box and number of voxels.

    Args:
        prediction: Answer of a segmenting model.
        lesion: One of its lesions.

    Returns:
        ``(I, J, K)`` bool, or None where no piece fits.
    """
    from scipy import ndimage

    whole = dict(_structures(prediction)).get(lesion.structure)
    if whole is None:
        return None
    box = tuple(slice(low, high + 1) for low, high in lesion.box)
    for reach in (3, 1):  # pieces that touch at a corner are one, or are not
        pieces, count = ndimage.label(whole[box], ndimage.generate_binary_structure(3, reach))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        for piece in np.flatnonzero(sizes[1:] == lesion.n_voxels) + 1:
            found = pieces == piece
            if all(found.any(axis=tuple(a for a in range(3) if a != axis))[[0, -1]].all() for axis in range(3)):
                mask = np.zeros(whole.shape, dtype=bool)
                mask[box] = found
                return mask
    return None


def sentences_of(prediction: Prediction) -> list[str]:
    """The answer in words: amounts, lesions, and what a reader must be warned of."""
    told = []
    picture = prediction.label_map is not None and prediction.label_map.grid.is_picture
    unit = "mm2" if picture else "mL"
    if prediction.label_map is not None and not prediction.label_map.grid.spacing_known:
        unit = "pixels"
    for name, amount in prediction.amounts.items():
        told.append(f"{name}: {amount:.4g} {unit}." if amount > 0 else f"{name}: not found.")
    for one in prediction.lesions:
        size = f"{one.longest_mm:.1f} x {one.perpendicular_mm:.1f} {'mm' if unit != 'pixels' else 'pixels'}"
        side = f", {one.side}" if one.side else ""
        told.append(f"{tracking_name(one)}: {size}{side}, slice {one.slice + 1}, probability {one.probability:.2f}.")
    if not prediction.lesions:
        told.append("No lesion was found.")
    return [*told, *prediction.warnings]


def _structures(prediction: Prediction) -> list[tuple[str, NDArray[np.bool_]]]:
    if prediction.regions is not None:
        return list(zip(prediction.classes, prediction.regions, strict=False))
    labels = prediction.label_map
    return [] if labels is None else [(name, labels.array == value) for value, name in names_of(labels)]


def _masks(prediction: Prediction, *, overlap: bool = True) -> Masks:
    """Structures, each lesion of them by itself; without overlap the later region is on top."""
    made: list[tuple[str, NDArray[np.bool_]]] = []
    for name, mask in _structures(prediction):
        own = [one for one in prediction.lesions if one.structure == name]
        pieces = [(tracking_name(one), lesion_mask(prediction, one)) for one in own[:_MOST_LESIONS]]
        covered = sum(int(piece.sum()) for _, piece in pieces if piece is not None)
        if pieces and all(piece is not None for _, piece in pieces) and covered == int(mask.sum()):
            made += [(label, piece) for label, piece in pieces if piece is not None]
        else:
            made.append((name, mask))
    if not overlap:
        taken = np.zeros(made[0][1].shape if made else (0, 0, 0), dtype=bool)
        for n in reversed(range(len(made))):
            made[n] = (made[n][0], made[n][1] & ~taken)
            taken |= made[n][1]
    return made


def _tracking_of(seg: Path | None) -> dict[str, tuple[str, str]]:
    """Tracking of a segmentation of the same run, so that both say the same."""
    import pydicom

    if seg is None:
        return {}
    header = pydicom.dcmread(seg, stop_before_pixels=True, specific_tags=["SegmentSequence"])
    return {
        str(s.SegmentLabel): (str(s.TrackingID), str(s.TrackingUID))
        for s in header.SegmentSequence
        if s.get("TrackingUID")
    }
