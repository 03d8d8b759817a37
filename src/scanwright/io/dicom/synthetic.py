"""Synthetic images as DICOM Secondary Capture that nobody can take for a patient's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError
from scanwright.io.dicom.header import long_string
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.stamp import blank, new_uid, not_the_same, reading_back, save

_PICTURE = "1.2.840.10008.5.1.4.1.1.7"
_STACK = "1.2.840.10008.5.1.4.1.1.7.2"


def write_synthetic_capture(path: Path, voxels: NDArray[np.uint8], description: str, seed: int, generator: str) -> Path:
    """Write a synthetic picture, or the slices of a volume as frames.

    Every image is a study, a series and a "patient" of its own, whose number begins with SYNTHETIC.

    Args:
        path: File to write; it appears whole or not at all.
        voxels: ``(C, I, J, K)`` uint8, C 1 or 3; K slices become frames, grey only.
        description: Series description, beginning with SYNTHETIC.
        seed: Seed of the image, which becomes the "patient's" number.
        generator: Name of the generator.

    Returns:
        ``path``.

    Raises:
        InputError: A volume has more than one channel.
        FormatError: The written file does not read back the same; it is removed.

    Source:
        PS3.3 A.8.1 (Secondary Capture), A.8.3 (multi-frame greyscale byte), C.8.6.1 (conversion type SYN),
        C.7.6.1.1.2 (image type DERIVED\\SECONDARY).
    """
    import pydicom

    channels, rows, columns, slices = voxels.shape
    if channels not in (1, 3) or (slices > 1 and channels != 1):
        raise InputError(
            f"An image of {channels} channels and {slices} slices was to be written as DICOM.",
            "A Secondary Capture is one picture, grey or RGB, or a stack of grey ones.",
            "Write --format npy or nifti.",
        )
    made = blank(_STACK if slices > 1 else _PICTURE, "OT", DicomNote(model=generator, version="1"))
    made.SpecificCharacterSet = "ISO_IR 192"
    made.ConversionType, made.ImageType = "SYN", ["DERIVED", "SECONDARY"]
    number = f"SYNTHETIC-{seed}"
    made.PatientName, made.PatientID = "SYNTHETIC^IMAGE", number
    made.PatientBirthDate = made.PatientSex = made.ReferringPhysicianName = made.AccessionNumber = None
    made.StudyInstanceUID, made.StudyID = new_uid(), None
    made.StudyDate, made.StudyTime = made.InstanceCreationDate, made.InstanceCreationTime
    made.SeriesDate, made.SeriesTime = made.StudyDate, made.StudyTime
    made.ContentDate, made.ContentTime = made.StudyDate, made.StudyTime
    made.StudyDescription = "SYNTHETIC"
    made.SeriesDescription = long_string(description, 64)
    made.ImageComments = long_string(
        f"SYNTHETIC IMAGE, no person was imaged. Generator {generator}, seed {seed}.", 10240
    )
    made.DerivationDescription = long_string("Drawn by a generative model; research and teaching only.", 1024)
    made.BurnedInAnnotation, made.RecognizableVisualFeatures = "NO", "NO"
    made.Laterality, made.PatientOrientation = None, None
    made.SamplesPerPixel = channels
    made.PhotometricInterpretation = "RGB" if channels == 3 else "MONOCHROME2"
    if channels == 3:
        made.PlanarConfiguration = 0
    made.Rows, made.Columns, made.BitsAllocated, made.BitsStored, made.HighBit = rows, columns, 8, 8, 7
    made.PixelRepresentation = 0
    if slices > 1:
        made.NumberOfFrames, made.FrameIncrementPointer = slices, 0x00182001  # PageNumberVector
        made.PageNumberVector = list(range(1, slices + 1))
        made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "0", "1", "US"
        made.PresentationLUTShape = "IDENTITY"
    frames = np.moveaxis(voxels, (3, 0), (0, 3))  # K rows columns C
    pixels = np.ascontiguousarray(frames).tobytes()
    made.PixelData = pixels + b"\x00" * (len(pixels) % 2)
    made["PixelData"].VR = "OB"
    save(path, made)
    with reading_back(path):
        if not np.array_equal(pydicom.dcmread(path).pixel_array.reshape(frames.shape), frames):
            raise not_the_same(path)
    return path
