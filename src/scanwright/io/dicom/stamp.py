"""What all written objects share: patient and study of the source, a series of their own, and the way to the disk."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from scanwright.core.errors import FormatError
from scanwright.io.atomic import atomic_write
from scanwright.io.dicom.header import code_item, copy_patient_and_study, long_string
from scanwright.io.dicom.note import MANUFACTURER, DicomNote


def new_uid() -> str:
    """A UID that nobody has used, under ``2.25.``."""
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=None))


def blank(sop_class: str, modality: str, note: DicomNote) -> Any:
    """An object with a UID, a series, equipment and dates of its own, to be filled.

    Args:
        sop_class: UID of its class.
        modality: DICOM modality code.
        note: What the object says of its origin.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = sop_class, new_uid()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.SeriesInstanceUID, made.SeriesNumber, made.InstanceNumber = new_uid(), note.series_number, 1
    made.Modality = modality
    made.Manufacturer, made.ManufacturerModelName = MANUFACTURER, long_string(note.model, 64)
    made.SoftwareVersions = note.software_versions
    now = datetime.now()
    made.InstanceCreationDate, made.InstanceCreationTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    return made


def stamp(made: Any, source: Any, note: DicomNote) -> None:
    """Patient and study of the source; series, review state and notice of our own.

    Raises:
        FormatError: The source names no study.
    """
    copy_patient_and_study(source, made)
    if not made.get("StudyInstanceUID"):
        raise FormatError(
            "The DICOM source has no StudyInstanceUID.",
            "An object belongs to a study.",
            "Write a PNG or NIfTI instead.",
        )
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SeriesDescription = note.series_description
    made.SeriesDate, made.SeriesTime = made.InstanceCreationDate, made.InstanceCreationTime
    if "Rows" in made:
        made.ImageComments = note.comment
    if "Rows" in made and source.get("BodyPartExamined"):
        made.BodyPartExamined = source.BodyPartExamined


def own_dimensions(made: Any) -> None:
    """A UID of ours for the dimensions that highdicom made."""
    own = new_uid()
    made.DimensionOrganizationSequence[0].DimensionOrganizationUID = own
    for index in made.DimensionIndexSequence:
        index.DimensionOrganizationUID = own


def reference(source: Any, frame: int | None = None) -> Any:
    """An item that names an image, and one frame of it where it has several."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    if frame is not None:
        item.ReferencedFrameNumber = frame
    return item


def source_reference(source: Any) -> Any:
    """A reference with the purpose "source image for image processing operation" (121322 DCM)."""
    item = reference(source)
    item.PurposeOfReferenceCodeSequence = [code_item("121322", "DCM", "Source image for image processing operation")]
    return item


def quiet(library: Any) -> None:
    """Keep the library's own messages, which may quote the patient, out of every log."""
    logging.getLogger(library.__name__).setLevel(logging.CRITICAL)


@contextmanager
def no_gossip() -> Iterator[None]:
    """Copy odd values of a source as they are: warnings about them quote the patient."""
    import warnings

    from pydicom.config import disable_value_validation

    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def save(path: Path, dataset: Any) -> None:
    """Write a data set whole or not at all."""
    buffer = BytesIO()
    dataset.preamble = b"\x00" * 128
    dataset.save_as(buffer, enforce_file_format=True)
    atomic_write(path, buffer.getvalue())


@contextmanager
def reading_back(path: Path) -> Iterator[None]:
    """Examine a written file in the block; it goes when the block raises.

    Raises:
        FormatError: The block raised :class:`FormatError`, or something unforeseen.
    """
    try:
        yield
    except FormatError:
        path.unlink(missing_ok=True)
        raise
    except Exception as error:
        path.unlink(missing_ok=True)
        raise not_the_same(path) from error


def not_the_same(path: Path) -> FormatError:
    """The error for a file that does not say what was written."""
    return FormatError(
        f"{path.name} did not read back as it was meant.",
        "Everything written must lie where its source image lies.",
        "Report this with the kind of source; use NIfTI meanwhile.",
    )
