"""Pictures for every viewer: an overlay as Secondary Capture, one picture or a stack of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError
from scanwright.io.dicom.header import UNPAIRED, long_string
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.stamp import blank, no_gossip, not_the_same, reading_back, save, source_reference, stamp
from scanwright.io.guard import reading

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_TRUE_COLOUR_STACK = "1.2.840.10008.5.1.4.1.1.7.4"


def write_capture(
    path: Path, overlay: NDArray[np.uint8], *, source_files: Sequence[Path], note: DicomNote, what: str = "AI overlay"
) -> Path:
    """Write an overlay that any viewer shows: one picture, or a stack of them.

    Args:
        path: File to write; it appears whole or not at all.
        overlay: ``(rows, columns, 3)`` or, for a stack, ``(K, rows, columns, 3)``, uint8 RGB.
        source_files: Files of the source series.
        note: What the object says of its origin.
        what: What is drawn, for the description.

    Returns:
        ``path``.

    Raises:
        FormatError: A source is not DICOM, or the written file does not read back the same.
        InputError: No source was given, or the overlay is no colour picture.

    Source:
        PS3.3 A.8.1 (Secondary Capture), A.8.5 (Multi-frame True Color Secondary Capture).
    """
    import pydicom

    path, overlay = Path(path), np.asarray(overlay)
    if overlay.ndim not in (3, 4) or overlay.shape[-1] != 3 or overlay.dtype != np.uint8 or not overlay.size:
        raise InputError(
            f"An overlay of shape {overlay.shape} and type {overlay.dtype} was given.",
            "A capture is a uint8 RGB picture, or a stack of them.",
            "Give (rows, columns, 3) or (K, rows, columns, 3).",
        )
    with no_gossip():
        datasets = []
        for file in map(Path, source_files):
            with reading(file, "DICOM"):
                datasets.append(pydicom.dcmread(file, stop_before_pixels=True, force=False))
        if not datasets:
            raise InputError(
                "No DICOM source was given.", "A capture belongs to images.", "Give the files of the series."
            )
        write_picture(path, overlay, datasets, note, what)
    return path


def write_picture(
    path: Path, overlay: NDArray[np.uint8], sources: Sequence[Any], note: DicomNote, what: str = "AI overlay"
) -> None:
    """Write an overlay beside headers that were read before, and read it back.

    Raises:
        FormatError: The written file does not read back the same; it is removed.
    """
    import pydicom

    save(path, _object(overlay, sources, note, what))
    with reading_back(path):
        if not np.array_equal(pydicom.dcmread(path).pixel_array.reshape(overlay.shape), overlay):
            raise not_the_same(path)


def _object(overlay: NDArray[np.uint8], sources: Sequence[Any], note: DicomNote, what: str) -> Any:
    """The overlay as an RGB Secondary Capture (PS3.3 A.8.1, A.8.5)."""
    first, several = sources[0], overlay.ndim == 4
    made = blank(_TRUE_COLOUR_STACK if several else _SECONDARY_CAPTURE, "OT", note)
    made.ConversionType, made.ImageType = "WSD", ["DERIVED", "SECONDARY"]
    drawn = f"{what} over the image: {note.finding}" if note.finding else f"{what} over the image"
    made.DerivationDescription = long_string(f"{drawn}. {note.notice}", 1024)
    made.SourceImageSequence = [source_reference(source) for source in sources if source.get("SOPInstanceUID")]
    rows, columns = overlay.shape[-3:-1]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.Rows, made.Columns, made.BitsAllocated, made.BitsStored, made.HighBit = rows, columns, 8, 8, 7
    made.PixelRepresentation = 0
    if several:
        made.NumberOfFrames, made.FrameIncrementPointer = len(overlay), 0x00182001  # PageNumberVector
        made.PageNumberVector = list(range(1, len(overlay) + 1))
    pixels = np.ascontiguousarray(overlay, dtype=np.uint8).tobytes()
    made.PixelData = pixels + b"\x00" * (len(pixels) % 2)
    made["PixelData"].VR = "OB"
    made.BurnedInAnnotation, made.RecognizableVisualFeatures = first.get("BurnedInAnnotation") or "NO", "NO"
    if str(first.get("BodyPartExamined") or "").upper() not in UNPAIRED:  # type 2C (C.7.3.1)
        made.Laterality = first.get("Laterality") or first.get("ImageLaterality") or None
    made.PatientOrientation = None if several else first.get("PatientOrientation") or None
    if (rows, columns) == (first.get("Rows"), first.get("Columns")) and first.get("PixelSpacing"):
        made.PixelSpacing = first.PixelSpacing
    made.ContentDate, made.ContentTime = made.InstanceCreationDate, made.InstanceCreationTime
    stamp(made, first, note)
    return made
