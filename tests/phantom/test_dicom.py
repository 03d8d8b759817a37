"""The files are DICOM that other readers take: headers, geometry, UIDs."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK

from scanwright.phantom import LABELS
from scanwright.phantom.dicom import uid

# PS3.3: type 1 attributes, and type 2 attributes that must be there though they may be empty
ALWAYS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "SeriesNumber",
    "InstanceNumber",
    "Manufacturer",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
    "BodyPartExamined",
    "KVP",
    "WindowCenter",
    "WindowWidth",
    "ImageType",
    "LossyImageCompression",
    "PixelSpacing",
]
OF_DX = [
    "PresentationIntentType",
    "ImageLaterality",
    "AnatomicRegionSequence",
    "PixelIntensityRelationship",
    "PixelIntensityRelationshipSign",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "PresentationLUTShape",
    "BurnedInAnnotation",
    "DetectorType",
    "ImagerPixelSpacing",
    "PatientOrientation",
    "AcquisitionContextSequence",
    "ViewPosition",
]
OF_CT = [
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "RescaleIntercept",
    "RescaleSlope",
    "AcquisitionNumber",
    "PatientPosition",
]


def rows(folder: Path, table: str = "labels.csv") -> list[dict[str, str]]:
    with (folder / table).open(newline="") as file:
        return list(csv.DictReader(file))


def sound(folder: Path) -> list[dict[str, str]]:
    return [r for r in rows(folder) if "20240103" not in r["path"]]


def test_xray_headers_are_complete(xrays: Path) -> None:
    seen = set()
    for row in sound(xrays):
        data = pydicom.dcmread(xrays / row["path"])
        seen.add(data.Modality)
        missing = [n for n in ALWAYS + (OF_DX if data.Modality == "DX" else ["ViewPosition"]) if n not in data]
        assert not missing, f"{row['path']}: {missing}"
        assert data.BitsStored == 12
        assert data.BodyPartExamined == "CHEST"
        assert data.ViewPosition == "PA"
        assert data.PatientID == row["patient_id"]
        assert data.PatientSex == row["sex"]
        assert int(data.PatientAge[:3]) == int(row["age"])
        assert int(data.StudyDate[:4]) - int(data.PatientBirthDate[:4]) - int(row["age"]) in (0, 1)
        assert not [e for e in data.iterall() if e.tag.is_private]
    assert seen == {"CR", "DX"}


def test_negative_films_are_bright_where_the_others_are_dark(xrays: Path) -> None:
    films = {row["path"]: pydicom.dcmread(xrays / row["path"]) for row in sound(xrays)}
    shapes = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
    assert {d.PhotometricInterpretation for d in films.values()} == set(shapes)
    for data in films.values():
        dense = data.pixel_array[-10:, 24:40].mean()  # abdomen
        air = data.pixel_array[:6, -6:].mean()  # beside the neck
        assert (dense > air) == (data.PhotometricInterpretation == "MONOCHROME2")
        assert data.PresentationLUTShape == shapes[data.PhotometricInterpretation]


def test_xray_spacing_reaches_simpleitk_and_truth_lies_in_the_picture(xrays: Path) -> None:
    for lesion in rows(xrays, "truth/lesions.csv"):
        data = pydicom.dcmread(xrays / lesion["path"])
        image = SimpleITK.ReadImage(str(xrays / lesion["path"]))
        assert [float(v) for v in data.PixelSpacing] == pytest.approx([6.125, 6.125])  # 392 mm over 64 pixels
        assert image.GetSize()[:2] == (64, 64)
        assert 0 <= float(lesion["row"]) < 64
        assert 0 <= float(lesion["column"]) < 64


def test_ct_series_has_the_geometry_it_states(cts: Path) -> None:
    row = sound(cts)[0]
    reader = SimpleITK.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(cts / row["path"]))
    reader.SetFileNames(names)
    image = reader.Execute()
    assert image.GetSpacing() == pytest.approx((6.0, 6.0, 5.0))
    assert image.GetDirection() == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))
    hu = SimpleITK.GetArrayFromImage(image)
    assert hu.min() >= -1024
    assert np.median(hu[:, :2]) == pytest.approx(-1000, abs=20)
    for name in names:
        data = pydicom.dcmread(name, stop_before_pixels=True)
        assert not [n for n in ALWAYS[:] + OF_CT if n not in data and n != "PixelData"]


def test_ct_nodule_is_found_by_another_reader(cts: Path) -> None:
    lesions = [r for r in rows(cts, "truth/lesions.csv") if r["what"] == "nodule"]
    assert lesions
    for lesion in lesions:
        mask = SimpleITK.ReadImage(str(cts / "truth" / f"{lesion['patient_id']}.nii.gz")) == LABELS["nodule"]
        wanted = [float(lesion[n]) for n in ("x_mm", "y_mm", "z_mm")]
        shape = SimpleITK.LabelShapeStatisticsImageFilter()
        shape.Execute(SimpleITK.ConnectedComponent(mask))
        centres = np.array([shape.GetCentroid(n) for n in shape.GetLabels()]) * (-1, -1, 1)  # LPS+ to RAS+
        assert np.linalg.norm(centres - wanted, axis=1).min() < 5.0  # a voxel is 6 x 6 x 5 mm
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(cts / lesion["path"])))
        image = reader.Execute()
        place = image.TransformPhysicalPointToIndex((-wanted[0], -wanted[1], wanted[2]))
        assert image[place] > -400  # tissue, where lung is -850


def test_uids_are_valid_unique_and_repeatable(xrays: Path, cts: Path) -> None:
    uids = []
    for folder in (xrays, cts):
        for path in sorted(folder.rglob("*.dcm")):
            if path.name in ("letter.dcm", "IM9002.dcm"):
                continue
            data = pydicom.dcmread(path, stop_before_pixels=True)
            uids.append(data.SOPInstanceUID)
            for value in (data.SOPInstanceUID, data.StudyInstanceUID, data.SeriesInstanceUID):
                assert re.fullmatch(r"2\.25\.(0|[1-9]\d{0,38})", value)
                assert len(value) <= 64
            assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
    assert len(set(uids)) == len(uids)
    assert uid("a", 1) == uid("a", 1) != uid("a", 2)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_dciodvfy_finds_no_error(xrays: Path, cts: Path) -> None:
    paths = [xrays / r["path"] for r in sound(xrays)] + [next((cts / r["path"]).glob("*.dcm")) for r in sound(cts)]
    for path in paths:
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
        assert "Error" not in said, said
