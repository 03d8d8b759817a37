"""DICOM series with structure sets and segmentations: what is read, and what `check` finds before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from scanwright.core import Cohort, Finding, FormatError
from scanwright.intake import check, scan
from scanwright.io import codes_of, read_label_map, read_truth, read_volume
from scanwright.io.dicom.contours import write_contours
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.segmentation import write_segmentation

SHAPE = (36, 44, 9)
NOTE = DicomNote("truth", "1")
Masks = dict[str, np.ndarray]


def series(folder: Path, seed: int) -> list[Path]:
    """A CT of one patient; the order of its files is not that of its slices."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    study, uid, frame = (generate_uid(prefix=None) for _ in range(3))
    for n in range(SHAPE[2]):
        d = Dataset()
        d.file_meta = FileMetaDataset()
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = CTImageStorage
        d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
        d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = study, uid, frame
        d.PatientName, d.PatientID, d.PatientSex, d.PatientBirthDate = f"Test^{seed}", f"P-{seed}", "O", ""
        d.StudyDate, d.StudyTime, d.AccessionNumber, d.StudyID, d.ReferringPhysicianName = "", "", "", "", ""
        d.PositionReferenceIndicator, d.Manufacturer, d.Modality, d.SeriesNumber = "", "ACME", "CT", 1
        d.InstanceNumber, d.Rows, d.Columns, d.PixelSpacing, d.SliceThickness = n + 1, *SHAPE[:2], [0.9, 0.7], 3
        d.ImageOrientationPatient, d.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-20, 10 * seed, 3 * n]
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
        d.RescaleSlope, d.RescaleIntercept = 1, -1024
        d.PixelData = rng.integers(900, 1100, SHAPE[:2]).astype("<u2").tobytes()
        d.save_as(folder / f"{(n * 5) % SHAPE[2]:03d}.dcm", enforce_file_format=True)
    return sorted(folder.glob("*.dcm"))


def drawn(seed: int) -> Masks:
    """A liver that no flip maps to itself, and a tumour within it."""
    rows, columns, slices = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    liver = ((rows - 12 - seed) / 8) ** 2 + ((columns - 15) / 11) ** 2 + ((slices - 3) / 2.6) ** 2 <= 1
    liver |= (abs(rows - 14 - seed) < 3) & (abs(columns - 24) < 9) & (slices > 1) & (slices < 5)
    tumour = ((rows - 12 - seed) / 4) ** 2 + ((columns - 13) / 4) ** 2 + ((slices - 3) / 1.6) ** 2 <= 1
    return {"Liver": liver & ~tumour, "Tumour": tumour, "Whole": liver | tumour}


def cohort_of(root: Path, write: Callable[..., Path], names: tuple[str, ...] = ("Liver",), n: int = 4) -> Path:
    for seed in range(n):
        files = series(root / f"p{seed}" / "ct", seed)
        grid = read_volume(root / f"p{seed}" / "ct").grid
        masks = [(name, drawn(seed)[name]) for name in names]
        write(root / f"p{seed}" / "truth.dcm", masks, grid=grid, source_files=files, note=NOTE)
    return root


def findings(cohort: Cohort) -> dict[str, Finding]:
    return {f.kind: f for f in check(cohort)}


def truth_of(cohort: Cohort, n: int) -> Masks:
    case, code = cohort.cases[n], cohort.mask_code
    assert code is not None
    image = read_volume(case.source, root=cohort.root).grid
    found = read_truth(case.masks, code, like=image, root=cohort.root, name=case.id)
    held = dict.fromkeys(range(len(cohort.classes)), np.zeros(SHAPE, dtype=bool))
    offset = np.rint(image.index(found.grid.world((0, 0, 0)))).astype(int)
    window = tuple(slice(o, o + s) for o, s in zip(offset, found.grid.shape, strict=True))
    for number, classes in enumerate(codes_of(code), start=1):
        for k in classes:
            whole = held[k].copy()
            whole[window] |= found.array == number
            held[k] = whole
    return dict(zip(cohort.classes, held.values(), strict=True))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("write", [write_contours, write_segmentation])
def test_what_was_drawn_is_the_truth_on_the_right_slices(tmp_path: Path, write: Callable[..., Path]) -> None:
    cohort = scan(cohort_of(tmp_path, write, ("Liver", "Tumour")))
    assert (cohort.layout, cohort.classes, len(cohort)) == ("dicom-masks", ("Liver", "Tumour"), 4)
    assert cohort.mask_code is not None
    assert not cohort.mask_code.are_regions
    kinds = set(findings(cohort))
    assert not kinds & {"mask-elsewhere", "mask-value", "damaged-mask", "crooked-volume", "mask-regridded"}
    for n in range(4):
        found = truth_of(cohort, n)
        for name in ("Liver", "Tumour"):
            assert dice(found[name], drawn(n)[name]) >= 0.97, (n, name)
        for axis in range(3):
            assert dice(np.flip(found["Liver"], axis), drawn(n)["Liver"]) < 0.9, "a flip would be seen"


@pytest.mark.parametrize("write", [write_contours, write_segmentation])
def test_structures_within_others_are_regions(tmp_path: Path, write: Callable[..., Path]) -> None:
    cohort = scan(cohort_of(tmp_path, write, ("Whole", "Tumour"), n=3))
    assert cohort.mask_code is not None
    assert cohort.mask_code.are_regions
    assert any(g.what == "regions" and "'Tumour' and 'Whole' share 100%" in g.why for g in cohort.guesses)
    assert not set(findings(cohort)) & {"mask-value", "damaged-mask"}
    for n in range(3):
        found = truth_of(cohort, n)
        assert dice(found["Whole"], drawn(n)["Whole"]) >= 0.97, "the tumour cuts no hole into the whole"
        assert dice(found["Tumour"], drawn(n)["Tumour"]) >= 0.97
    only = scan(tmp_path, structures="Whole=liver")
    assert dice(truth_of(only, 1)["liver"], drawn(1)["Whole"]) >= 0.97


def test_one_label_map_of_overlapping_segments_is_refused_by_name(tmp_path: Path) -> None:
    cohort_of(tmp_path, write_segmentation, ("Whole", "Tumour"), n=1)
    with pytest.raises(FormatError, match=r"Segments 1 \(Whole\) and 2 \(Tumour\) of truth\.dcm overlap in \d+ voxels"):
        read_label_map(tmp_path / "p0" / "truth.dcm")


def test_a_case_that_overlaps_as_no_other_does_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scanwright.intake.masks import overlaps

    cohort_of(tmp_path, write_segmentation, ("Liver", "Tumour"))
    files = sorted((tmp_path / "p2" / "ct").glob("*.dcm"))
    grid = read_volume(tmp_path / "p2" / "ct").grid
    masks = [("Liver", drawn(2)["Whole"]), ("Tumour", drawn(2)["Tumour"])]
    write_segmentation(tmp_path / "p2" / "truth.dcm", masks, grid=grid, source_files=files, note=NOTE)
    monkeypatch.setattr(overlaps, "_LOOK_AT", 2)  # the first and the last case
    found = findings(scan(tmp_path))["damaged-mask"]
    assert found.cases == ("ct-p2",) or "p2" in found.cases[0]
    assert "'Liver' and 'Tumour' of" in found.text


def edited(folder: Path, change: Callable[[Dataset], None]) -> None:
    for path in folder.glob("*.dcm"):
        d = pydicom.dcmread(path)
        change(d)
        d.save_as(path)


def tilt(d: Dataset) -> None:
    x, y, z = map(float, d.ImagePositionPatient)
    d.ImagePositionPatient = [x, y + 0.25 * z, z]


def uneven(d: Dataset) -> None:
    x, y, z = map(float, d.ImagePositionPatient)
    d.ImagePositionPatient = [x, y, z + (1.5 if z > 12 else 0)]


@pytest.mark.parametrize("write", [write_contours, write_segmentation])
@pytest.mark.parametrize(("change", "words"), [(tilt, "gantry tilt"), (uneven, r"3.00 to 4.50 mm apart")])
def test_a_series_that_makes_no_volume_is_named(
    tmp_path: Path, write: Callable[..., Path], change: Callable[[Dataset], None], words: str
) -> None:
    cohort_of(tmp_path, write)
    edited(tmp_path / "p1" / "ct", change)
    cohort = scan(tmp_path)
    found = findings(cohort)["crooked-volume"]
    assert found.cases == found.drop == (cohort.cases[1].id,)
    assert cohort.cases[1].source.startswith("p1/")
    assert words in found.text
    assert "P-1" not in found.text, "no PatientID in a text"


@pytest.mark.parametrize("write", [write_contours, write_segmentation])
def test_an_object_of_another_patient_is_named(tmp_path: Path, write: Callable[..., Path]) -> None:
    cohort_of(tmp_path, write)
    d = pydicom.dcmread(tmp_path / "p2" / "truth.dcm")
    d.PatientID = "P-77"
    d.save_as(tmp_path / "p2" / "truth.dcm")
    cohort = scan(tmp_path)
    assert len(cohort) == 3
    found = findings(cohort)
    assert "'p2/truth.dcm'" in found["mask-without-image"].text
    assert "another patient" in found["mask-without-image"].text
    assert "p2/ct" in found["image-without-mask"].text
    assert "P-77" not in found["mask-without-image"].text


@pytest.mark.parametrize("write", [write_contours, write_segmentation])
def test_an_object_that_speaks_of_this_series_and_lies_elsewhere_stops(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    """References and PatientID are those of the series, and the places are another patient's."""
    cohort_of(tmp_path, write)
    d = pydicom.dcmread(tmp_path / "p1" / "truth.dcm")
    for roi in d.get("ROIContourSequence", []):
        for contour in roi.ContourSequence:
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3) + np.array([0, 400, 0])
            contour.ContourData = [f"{v:.3f}" for v in points.ravel()]
    for group in d.get("PerFrameFunctionalGroupsSequence", []):
        place = group.PlanePositionSequence[0]
        x, y, z = map(float, place.ImagePositionPatient)
        place.ImagePositionPatient = [x, y + 400, z]
    d.save_as(tmp_path / "p1" / "truth.dcm")
    cohort = scan(tmp_path)
    found = findings(cohort)["mask-elsewhere"]
    assert (found.severity, found.cases) == ("stop", (cohort.cases[1].id,))
    assert cohort.cases[1].source.startswith("p1/")
