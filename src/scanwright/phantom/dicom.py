"""Phantom pictures as DICOM files: complete headers, no private tags, UIDs from the seed.

Source:
    DICOM PS3.3: A.2 Computed Radiography, A.3 Computed Tomography, A.26 Digital X-Ray for
    presentation. UIDs have the root 2.25 (PS3.5 annex B.2) over a name-based UUID (RFC 9562).
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scanwright.core.volume import Volume
from scanwright.phantom.patient import CT_SCANNERS, SCANNERS, ChestPatient
from scanwright.phantom.xray import MAGNIFICATION, MAX_VALUE

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

_NAMESPACE = uuid.UUID("5ca2f1e6-0a53-5b0e-9c0b-2d1f6f0a7c25")
_CR, _DX, _CT = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.2"
_CLIP = "1.2.840.10008.5.1.4.1.1.3.1"
CT_INTERCEPT = -1024


@dataclass(frozen=True)
class Order:
    """What a header needs beside the picture.

    Args:
        patient_id: Identifier of the synthetic patient, such as ``"PH0001"``.
        name: What the UIDs are derived from; unique for the study.
        date: Day of the study, ``YYYYMMDD``.
        time: Time of the study, ``HHMMSS``.
        birth_date: ``YYYYMMDD``.
        accession: Accession number.
        number: Series and instance count from here.
    """

    patient_id: str
    name: str
    date: str
    time: str
    birth_date: str
    accession: str
    number: int = 1


def uid(*parts: object) -> UID:
    """A UID that depends on nothing but its parts.

    Args:
        *parts: Anything that prints.

    Returns:
        ``2.25.`` and a decimal UUID, at most 44 characters.
    """
    from pydicom.uid import UID

    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(map(str, parts))).int}")


def xray_dataset(volume: Volume, patient: ChestPatient, order: Order) -> Dataset:
    """An X-ray as a CR or DX object.

    Args:
        volume: From :func:`scanwright.phantom.render_xray`.
        patient: Who was imaged.
        order: Identifiers and dates.

    Returns:
        The data set, MONOCHROME1 where the unit writes that.
    """
    unit = SCANNERS[patient.scanner]
    data = _common(patient, order, _DX if unit.modality == "DX" else _CR, unit.modality)
    stored = volume.array[0, :, :, 0].astype(np.uint16)
    inverse = unit.photometric == "MONOCHROME1"
    spacing = [f"{s:.6g}" for s in volume.grid.spacing[:2]]
    data.update(_dict_pixels(MAX_VALUE - stored if inverse else stored, 12, unit.photometric))
    data.Manufacturer, data.ManufacturerModelName = unit.manufacturer, unit.model
    data.SeriesDescription = "Chest PA"
    data.ViewPosition = "PA"
    data.PatientOrientation = ["L", "F"]
    data.ImagerPixelSpacing = [f"{s * MAGNIFICATION:.6g}" for s in volume.grid.spacing[:2]]
    data.PixelSpacing = spacing
    data.PixelSpacingCalibrationType = "GEOMETRY"
    data.PixelSpacingCalibrationDescription = "plane through the middle of the chest"
    data.DistanceSourceToDetector, data.DistanceSourceToPatient = "1800", f"{1800 / MAGNIFICATION:.5g}"
    data.KVP = f"{unit.kvp:g}"
    data.RelativeXRayExposure = str(round(100 * patient.dose))
    data.WindowCenter, data.WindowWidth = f"{MAX_VALUE / 2 + 0.5:g}", f"{MAX_VALUE + 1:d}"
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = "0", "1", "US"
    data.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    data.BurnedInAnnotation, data.LossyImageCompression = "NO", "00"
    if unit.modality == "DX":
        _dx(data, inverse)
    return data


def _dx(data: Dataset, inverse: bool) -> None:
    """Attributes that the DX modules ask for (PS3.3 C.8.11)."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    view = Dataset()
    view.CodeValue, view.CodingSchemeDesignator, view.CodeMeaning = "272479007", "SCT", "postero-anterior"
    view.ViewModifierCodeSequence = Sequence([])
    data.ViewCodeSequence = Sequence([view])
    data.EstimatedRadiographicMagnificationFactor = f"{MAGNIFICATION:g}"
    data.PresentationIntentType = "FOR PRESENTATION"
    data.ImageLaterality = "U"
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "51185008", "SCT", "Chest"
    data.AnatomicRegionSequence = Sequence([region])
    data.PixelIntensityRelationship, data.PixelIntensityRelationshipSign = "LOG", 1 if inverse else -1
    data.DetectorType = "SCINTILLATOR"
    data.DetectorConfiguration = "AREA"
    data.PositionerType = "COLUMN"
    data.AcquisitionContextSequence = Sequence([])


def ct_datasets(volume: Volume, patient: ChestPatient, order: Order) -> list[Dataset]:
    """A CT as one object a slice.

    Args:
        volume: From :func:`scanwright.phantom.render_ct`; rows backwards, columns to the left.
        patient: Who was imaged.
        order: Identifiers and dates.

    Returns:
        Data sets from the lowest slice to the highest.
    """
    unit = CT_SCANNERS[patient.ct_scanner]
    affine, spacing = volume.grid.affine, volume.grid.spacing
    stored = np.clip(volume.array[0].astype(np.int32) - CT_INTERCEPT, 0, 4095).astype(np.uint16)
    series: list[Dataset] = []
    for k in range(volume.grid.shape[2]):
        data = _common(patient, order, _CT, "CT", instance=k + 1)
        data.update(_dict_pixels(stored[:, :, k], 12, "MONOCHROME2"))
        data.Manufacturer, data.ManufacturerModelName = unit.manufacturer, unit.model
        data.SeriesDescription = "Chest without contrast"
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.PatientPosition = "HFS"
        right, front, up = (affine[:3, :3] @ (0, 0, k) + affine[:3, 3]).tolist()
        data.ImagePositionPatient = [f"{-right:.6g}", f"{-front:.6g}", f"{up:.6g}"]  # RAS+ to LPS+
        data.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        data.SliceLocation = f"{up:.6g}"
        data.FrameOfReferenceUID, data.PositionReferenceIndicator = uid(order.name, "frame"), ""
        data.PixelSpacing = [f"{spacing[0]:.6g}", f"{spacing[1]:.6g}"]
        data.SliceThickness = data.SpacingBetweenSlices = f"{spacing[2]:.6g}"
        data.RescaleIntercept, data.RescaleSlope, data.RescaleType = str(CT_INTERCEPT), "1", "HU"
        data.WindowCenter, data.WindowWidth = ["40", "-550"], ["400", "1500"]
        data.WindowCenterWidthExplanation = ["MEDIASTINUM", "LUNG"]
        data.KVP, data.AcquisitionNumber = f"{unit.kvp:g}", "1"
        data.XRayTubeCurrent, data.ExposureTime = str(round(180 * patient.dose)), "500"
        data.ConvolutionKernel = "SHARP" if unit.sharpen else "STANDARD"
        data.BurnedInAnnotation, data.LossyImageCompression = "NO", "00"
        series.append(data)
    return series


def clip_dataset(volume: Volume, patient: ChestPatient, order: Order, *, frame_ms: float) -> Dataset:
    """An ultrasound clip as one multi-frame object.

    Args:
        volume: ``(1, rows, columns, frames)`` uint8.
        patient: Who was imaged.
        order: Identifiers and dates.
        frame_ms: Time between two frames.

    Returns:
        The data set.

    Source:
        PS3.3 A.7 (Ultrasound Multi-frame), C.7.6.5 (Cine), C.8.5.6 (US Image).
    """
    data = _common(patient, order, _CLIP, "US")
    stored = np.moveaxis(volume.array[0], -1, 0)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.NumberOfFrames, data.Rows, data.Columns = (int(n) for n in stored.shape)
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    content = np.ascontiguousarray(stored, dtype=np.uint8).tobytes()
    data.PixelData = content + b"\0" * (len(content) % 2)
    data["PixelData"].VR = "OB"
    data.FrameIncrementPointer = 0x00181063
    data.FrameTime = f"{frame_ms:.6g}"
    data.StudyDescription = data.SeriesDescription = "Heart, short axis"
    data.BodyPartExamined = "HEART"
    data.ImageType = ["ORIGINAL", "PRIMARY"]
    data.Manufacturer, data.ManufacturerModelName = "Calder Systems", "Echo 3"
    data.LossyImageCompression = "00"
    return data


def encode(data: Dataset, *, compress: bool = False) -> bytes:
    """A data set as the bytes of a DICOM file.

    Args:
        data: With its file meta information.
        compress: Encode the pixels as RLE Lossless instead of plain.

    Returns:
        A complete part-10 file.
    """
    import pydicom

    if compress:
        data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    sink = io.BytesIO()
    pydicom.dcmwrite(sink, data, enforce_file_format=True)
    return sink.getvalue()


def _common(patient: ChestPatient, order: Order, sop_class: str, modality: str, *, instance: int = 1) -> Dataset:
    """Patient, study, series, equipment and SOP common modules."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["ORIGINAL", "PRIMARY", ""] if modality == "DX" else ["ORIGINAL", "PRIMARY"]
    data.SOPClassUID, data.SOPInstanceUID = sop_class, uid(order.name, order.number, "instance", instance)
    data.InstanceCreationDate, data.InstanceCreationTime = order.date, order.time
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = order.date
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = order.time
    data.AccessionNumber, data.Modality = order.accession, modality
    data.InstitutionName, data.ReferringPhysicianName = "Phantom Hospital", ""
    data.StudyDescription = "Chest"
    data.PatientName, data.PatientID = f"Phantom^{order.patient_id}", order.patient_id
    data.PatientBirthDate, data.PatientSex = order.birth_date, patient.sex
    data.PatientAge = f"{patient.age:03d}Y"
    data.PatientSize = f"{patient.height_cm / 100:.3f}"
    data.PatientWeight = f"{patient.bmi * (patient.height_cm / 100) ** 2:.1f}"
    data.PatientComments = "Synthetic patient; no person was imaged"
    data.BodyPartExamined = "CHEST"
    data.SoftwareVersions = "phantom 1"
    data.DeviceSerialNumber = str(uuid.uuid5(_NAMESPACE, patient.scanner + patient.ct_scanner).int % 10**6)
    data.StudyInstanceUID, data.SeriesInstanceUID = uid(order.name, "study"), uid(order.name, order.number, "series")
    data.StudyID, data.SeriesNumber, data.InstanceNumber = order.accession[-4:], str(order.number), str(instance)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.ImplementationClassUID = uid("scanwright", "phantom")
    data.file_meta.ImplementationVersionName = "SCANWRIGHT"
    return data


def _dict_pixels(stored: np.ndarray[Any, Any], bits: int, photometric: str) -> Dataset:
    """The image pixel module."""
    from pydicom.dataset import Dataset

    data = Dataset()
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, photometric
    data.Rows, data.Columns = (int(n) for n in stored.shape)
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, bits, bits - 1, 0
    data.PixelData = np.ascontiguousarray(stored, dtype="<u2").tobytes()
    data["PixelData"].VR = "OW"
    return data
