"""Structure sets drawn by hand in the test and read; written, and read back by SimpleITK's geometry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scanwright.core import FormatError, GeometryError, Grid
from scanwright.io.dicom.contours import is_contours, read_contours, read_rois, write_contours
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.outlines import filled, outlines

NOTE = DicomNote("liver", "2.0")
Make = Callable[..., Any]


def dice(a: Any, b: Any) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def blob_and_annulus(shape: tuple[int, int, int]) -> tuple[Any, Any]:
    y, x, z = np.mgrid[: shape[0], : shape[1], : shape[2]].astype(float)
    blob = ((y - 30) / 12) ** 2 + ((x - 28) / 17) ** 2 + ((z - 3) / 3) ** 2 <= 1
    radius = np.hypot(y - 32, x - 90)
    return blob, (radius <= 22) & (radius >= 9) & (z > 1) & (z < 5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("direction", ["axial", "coronal", "sagittal", "oblique"])
def test_what_is_written_is_read(
    tmp_path: Path, write_series: Make, grid_of: Make, direction: str, reverse: bool
) -> None:
    files = write_series(tmp_path / "in", direction, shape=(64, 120, 7))
    grid = grid_of(files, reverse=reverse)
    masks = blob_and_annulus(grid.shape)
    path = write_contours(
        tmp_path / "rs.dcm", list(zip(("liver", "ring"), masks)), grid=grid, source_files=files, note=NOTE
    )
    assert is_contours(path)
    assert not is_contours(files[0])
    found = read_contours(path, grid)
    assert found.names == {1: "liver", 2: "ring"}
    for number, mask in enumerate(masks, start=1):
        assert dice(found.array == number, mask) >= 0.99


def test_contours_lie_on_their_images_and_enclose_the_right_area(
    tmp_path: Path, write_series: Make, grid_of: Make
) -> None:
    files = write_series(tmp_path / "in", "oblique", shape=(64, 120, 7))
    grid = grid_of(files)
    blob, ring = blob_and_annulus(grid.shape)
    path = write_contours(
        tmp_path / "rs.dcm", [("liver", blob), ("ring", ring)], grid=grid, source_files=files, note=NOTE
    )
    by_uid = {d.SOPInstanceUID: d for d in (pydicom.dcmread(f) for f in files)}
    for roi, mask in zip(pydicom.dcmread(path).ROIContourSequence, (blob, ring), strict=True):
        area = 0.0
        for contour in roi.ContourSequence:
            image = by_uid[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            across, down = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3)
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            away = points - np.array(image.ImagePositionPatient, dtype=float)
            assert np.abs(away @ np.cross(across, down)).max() < 1e-3
            x, y = away @ across, away @ down
            area += abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
        assert area * 2.5 == pytest.approx(mask.sum() * 0.8 * 0.6 * 2.5, rel=0.02)


def test_a_structure_set_has_no_errors(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make, errors_of: Make
) -> None:
    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    one, two = letter()
    masks = [("liver", one), ("lesion", two), ("spleen", np.zeros(grid.shape, dtype=bool))]
    path = write_contours(tmp_path / "rs.dcm", masks, grid=grid, source_files=files, note=NOTE)
    assert errors_of(path) == []
    made = pydicom.dcmread(path)
    assert made.Modality == "RTSTRUCT"
    assert [r.ROIGenerationAlgorithm for r in made.StructureSetROISequence] == ["AUTOMATIC"] * 3
    assert made.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0].CodeValue == "10200004"
    assert made.SeriesDescription == "AI liver 2.0 - not reviewed"
    assert read_contours(path, grid).names == {1: "liver", 2: "lesion", 3: "spleen"}
    frame = made.ReferencedFrameOfReferenceSequence[0]
    assert frame.FrameOfReferenceUID == pydicom.dcmread(files[0]).FrameOfReferenceUID


def drawn_by_hand(path: Path, contours: dict[str, list[tuple[Any, str]]]) -> Path:
    """A structure set as another program might write it, ROIs numbered 7, 8 ... and listed backwards."""
    from pydicom.dataset import Dataset, FileMetaDataset

    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = "2.25.5"
    d.Modality, d.StructureSetROISequence, d.ROIContourSequence = "RTSTRUCT", [], []
    for number, (name, loops) in enumerate(contours.items(), start=7):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, f"1.2.3.{number}"
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points, kind in loops:
            loop = Dataset()
            loop.ContourGeometricType, loop.NumberOfContourPoints = kind, len(points)
            loop.ContourData = [f"{v:.6g}" for v in np.asarray(points, dtype=float).ravel()]
            drawn.ContourSequence.append(loop)
        d.StructureSetROISequence.append(roi)
        d.ROIContourSequence.insert(0, drawn)
    d.save_as(path, enforce_file_format=True)
    return path


def box(low: float, high: float, z: float) -> list[tuple[float, float, float]]:
    """A square in LPS mm."""
    return [(low, low, z), (high, low, z), (high, high, z), (low, high, z)]


LIKE = Grid((20, 20, 5), np.diag([-1.0, -1.0, 2.0, 1.0]))  # x and y of voxel (i, j) are i and j in LPS; slices 2 mm


def test_contours_of_others_are_filled_even_odd(tmp_path: Path) -> None:
    path = drawn_by_hand(
        tmp_path / "rs.dcm",
        {
            "ring": [(box(2.5, 12.5, 4), "CLOSED_PLANAR"), (box(5.5, 8.5, 4), "CLOSED_PLANAR")],
            "nothing": [],
            "dot": [([(3.0, 3.0, 2.0)], "POINT"), (box(15.5, 17.5, 4.3), "CLOSED_PLANAR")],
        },
    )
    ring, nothing, dot = read_rois(path, LIKE)
    expected = np.zeros(LIKE.shape, dtype=bool)
    expected[3:13, 3:13, 2] = True
    expected[6:9, 6:9, 2] = False
    np.testing.assert_array_equal(ring[2], expected)
    assert ring[:2] == (7, "ring")
    assert not nothing[2].any()
    assert np.argwhere(dot[2]).tolist() == [[16, 16, 2], [16, 17, 2], [17, 16, 2], [17, 17, 2]]
    found = read_contours(path, LIKE)
    assert found.names == {1: "ring", 2: "nothing", 3: "dot"}
    assert np.bincount(found.array.ravel())[1:].tolist() == [91, 0, 4]


def test_the_smaller_region_is_painted_over_the_larger(tmp_path: Path) -> None:
    loops = {"gtv": [(box(5.5, 8.5, 4), "CLOSED_PLANAR")], "body": [(box(0.5, 18.5, 4), "CLOSED_PLANAR")]}
    found = read_contours(drawn_by_hand(tmp_path / "rs.dcm", loops), LIKE)
    assert (found.array == 1).sum() == 9
    assert (found.array == 2).sum() == 18 * 18 - 9


def test_an_image_stored_in_another_order_is_drawn_on_as_well(tmp_path: Path) -> None:
    turned = Grid((5, 20, 20), LIKE.affine[:, [2, 0, 1, 3]])
    path = drawn_by_hand(tmp_path / "rs.dcm", {"a": [(box(2.5, 12.5, 4), "CLOSED_PLANAR")]})
    mask = read_rois(path, turned)[0][2]
    assert mask.sum() == 100
    assert mask[2, 3:13, 3:13].all()


def test_contours_across_slices_or_elsewhere_are_refused(tmp_path: Path) -> None:
    slanted = [(2, 2, 0), (12, 2, 0), (12, 12, 6), (2, 12, 6)]
    with pytest.raises(GeometryError, match="leaves its slice"):
        read_contours(drawn_by_hand(tmp_path / "a.dcm", {"a": [(slanted, "CLOSED_PLANAR")]}), LIKE)
    with pytest.raises(GeometryError, match="outside the image"):
        read_contours(drawn_by_hand(tmp_path / "b.dcm", {"a": [(box(500, 510, 4), "CLOSED_PLANAR")]}), LIKE)
    with pytest.raises(FormatError, match="names no region"):
        read_contours(drawn_by_hand(tmp_path / "c.dcm", {}), LIKE)


def test_outlines_give_any_mask_back() -> None:
    from scipy import ndimage

    random = np.random.default_rng(0)
    for n in range(40):
        mask = random.random((17, 23)) < 0.6 if n % 2 else ndimage.gaussian_filter(random.random((31, 40)), 2) > 0.5
        found = outlines(mask)
        assert len(found) == ndimage.label(mask)[1]
        np.testing.assert_array_equal(filled(found, mask.shape), mask)


@pytest.mark.parametrize("name", ["dicom_ct_chest_lidc", "dicom_mr_brain_tumour/PGBM-003/T1post"])
def test_real_series(tmp_path: Path, real: Make, name: str, errors_of: Make) -> None:
    files, grid = real(name)
    mask = np.zeros(grid.shape, dtype=bool)
    mask[40:70, 50:90, 3:9] = True
    mask[50:60, 60:70, 4:6] = False
    path = write_contours(tmp_path / "rs.dcm", [("lesion", mask)], grid=grid, source_files=files, note=NOTE)
    np.testing.assert_array_equal(read_contours(path, grid).array == 1, mask)
    assert errors_of(path) == []
