"""Heat maps as DICOM, read back by others: pydicom, highdicom, SimpleITK, dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from scanwright.core import FormatError, GeometryError, Grid, InputError
from scanwright.io.dicom.write import DicomNote, files_of_series, is_dicom, write_heatmap_dicom

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
NOTE = DicomNote("lung-nodule", "1.2.0", "nodule")
ROWS, COLUMNS, SLICES = 12, 20, 7

AXIAL = ((1, 0, 0), (0, 1, 0))
CORONAL = ((1, 0, 0), (0, 0, -1))
SAGITTAL = ((0, 1, 0), (0, 0, -1))
OBLIQUE = ((0.9659258, 0.2588190, 0.0), (-0.2418448, 0.9025763, 0.3561613))


def write_series(
    folder: Path, orientation: Any = AXIAL, *, step: float = 2.5, other: dict[str, Any] | None = None
) -> list[Path]:
    """A CT series whose file order is not its slice order, of a patient with a Japanese name."""
    across, down = (np.array(v, dtype=float) for v in orientation)
    normal = np.cross(across, down)
    study, series, frame = (generate_uid(prefix=None) for _ in range(3))
    for n in range(SLICES):
        d = Dataset()
        d.file_meta = FileMetaDataset()
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = CTImageStorage
        d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
        d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = study, series, frame
        d.PatientName, d.PatientID, d.PatientSex, d.PatientBirthDate = "Yamada^Tarou=山田^太郎", "P-7", "M", "19600101"
        d.StudyDate, d.StudyTime, d.AccessionNumber, d.StudyID = "20250102", "101112", "A1", "S1"
        d.ReferringPhysicianName, d.StudyDescription, d.BodyPartExamined = "Doc^A", "Thorax", "CHEST"
        d.Modality, d.SeriesNumber, d.InstanceNumber = "CT", 3, n + 1
        d.Rows, d.Columns, d.PixelSpacing, d.SliceThickness = ROWS, COLUMNS, [0.8, 0.6], step
        d.ImageOrientationPatient = [round(float(v), 7) for v in (*across, *down)]
        d.ImagePositionPatient = [round(float(v), 6) for v in np.array([-30.5, 12.25, 100]) + normal * step * n]
        d.SamplesPerPixel, d.PhotometricInterpretation, d.BitsAllocated, d.BitsStored, d.HighBit = (
            1,
            "MONOCHROME2",
            16,
            16,
            15,
        )
        d.PixelRepresentation, d.RescaleSlope, d.RescaleIntercept = 0, 1, -1024
        d.PixelData = np.full((ROWS, COLUMNS), n, dtype="<u2").tobytes()
        for keyword, value in (other or {}).items():
            if value is None:
                delattr(d, keyword)
            else:
                setattr(d, keyword, value)
        d.save_as(folder / f"{(n * 5) % SLICES}.dcm", enforce_file_format=True)
    return sorted(folder.glob("*.dcm"))


def grid_of(files: list[Path], *, reverse: bool = False) -> Grid:
    """Rows, columns, slices in RAS+, worked out from the headers alone (PS3.3 C.7.6.2.1.1)."""
    sets = [pydicom.dcmread(f, stop_before_pixels=True) for f in files]
    across, down = np.array(sets[0].ImageOrientationPatient).reshape(2, 3).astype(float)
    normal = np.cross(across, down)
    sets.sort(key=lambda d: float(np.dot(d.ImagePositionPatient, normal)), reverse=reverse)
    first, last = (np.array(d.ImagePositionPatient, dtype=float) for d in (sets[0], sets[-1]))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = down * float(sets[0].PixelSpacing[0]), across * float(sets[0].PixelSpacing[1])
    affine[:3, 2] = (last - first) / (len(sets) - 1) if len(sets) > 1 else normal
    affine[:3, 3] = first
    affine[:2] *= -1
    return Grid((int(sets[0].Rows), int(sets[0].Columns), len(sets)), affine)


def letter(shape: tuple[int, ...] = (ROWS, COLUMNS, SLICES)) -> NDArray[np.float32]:
    """An F in the first half of the slices, with a single landmark in the last."""
    heat = np.zeros(shape, dtype=np.float32)
    heat[2:10, 3:5, : shape[2] // 2] = 0.5
    heat[2:4, 3:12, : shape[2] // 2] = 0.5
    heat[5:7, 3:9, : shape[2] // 2] = 0.5
    heat[8, 15, shape[2] - 1] = 1.0
    return heat


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, OBLIQUE])
def test_others_see_the_map_at_the_same_place_in_mm(tmp_path: Path, orientation: Any, reverse: bool) -> None:
    import highdicom
    import SimpleITK

    (tmp_path / "in").mkdir()
    files = write_series(tmp_path / "in", orientation)
    grid, heat = grid_of(files, reverse=reverse), letter()
    path = write_heatmap_dicom(tmp_path / "map.dcm", heat, files, grid=grid, note=NOTE)

    landmark = grid.world([8, 15, SLICES - 1]) * (-1, -1, 1)  # LPS
    volume = highdicom.pm.ParametricMap.from_dataset(pydicom.dcmread(path)).get_volume()
    values = np.asarray(volume.array)
    index = np.unravel_index(values.argmax(), values.shape)
    np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], landmark, atol=1e-3)

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "in")))
    source = reader.Execute()  # (x, y, z) index order: column, row, slice
    written = pydicom.dcmread(path)
    frames = np.frombuffer(written.FloatPixelData, "<f4").reshape(-1, ROWS, COLUMNS)
    assert len(frames) == SLICES
    for frame, group in zip(frames, written.PerFrameFunctionalGroupsSequence, strict=True):
        position = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
        at = source.TransformPhysicalPointToContinuousIndex(position)
        np.testing.assert_allclose(at[:2], 0, atol=1e-3)
        k = round(at[2])
        assert at[2] == pytest.approx(k, abs=1e-3)
        reference = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        referenced = next(d for d in map(pydicom.dcmread, files) if reference == d.SOPInstanceUID)
        np.testing.assert_allclose([float(v) for v in referenced.ImagePositionPatient], position, atol=1e-4)
        own = round(float(grid.index(np.array(position) * (-1, -1, 1))[2]))
        np.testing.assert_array_equal(frame, heat[..., own])


def test_the_object_says_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    files = write_series(tmp_path / "in")
    source = pydicom.dcmread(files[0])
    paths = [
        write_heatmap_dicom(tmp_path / f"{n}.dcm", letter(), files, grid=grid_of(files), note=NOTE) for n in range(2)
    ]
    made, again = (pydicom.dcmread(p) for p in paths)
    assert made.SOPClassUID.name == "Parametric Map Storage"
    for keyword in (
        "StudyInstanceUID",
        "FrameOfReferenceUID",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
    ):
        assert made[keyword].value == source[keyword].value
    assert str(made.PatientName) == str(source.PatientName) == "Yamada^Tarou=山田^太郎"
    assert made.StudyDescription == "Thorax"
    assert made.SeriesDescription == "AI lung-nodule 1.2.0 - not reviewed"
    assert made.SeriesNumber >= 9000
    assert "not a medical device" in made.ImageComments
    assert made.ContentQualification == "RESEARCH"
    uids = [u for d in (made, again) for u in (d.SOPInstanceUID, d.SeriesInstanceUID)]
    assert len(set(uids)) == 4
    assert source.SeriesInstanceUID not in uids
    assert all(u.startswith("2.25.") for u in uids)
    assert all(e.value.startswith("2.25.") for e in made.iterall() if e.keyword == "DimensionOrganizationUID")
    assert {i.ReferencedSOPInstanceUID for i in made.ReferencedSeriesSequence[0].ReferencedInstanceSequence} == {
        pydicom.dcmread(f).SOPInstanceUID for f in files
    }
    shared = made.SharedFunctionalGroupsSequence[0]
    assert shared.FrameAnatomySequence[0].FrameLaterality == "U"
    assert shared.FrameAnatomySequence[0].AnatomicRegionSequence[0].CodeValue == "816094009"
    mapping = shared.RealWorldValueMappingSequence[0]
    assert (mapping.DoubleFloatRealWorldValueFirstValueMapped, mapping.DoubleFloatRealWorldValueLastValueMapped) == (
        0,
        1,
    )
    assert "PixelData" not in made


def errors_of(path: Path) -> list[str]:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    told = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False).stderr
    return [line for line in told.splitlines() if line.startswith("Error")]


def test_a_parametric_map_has_no_errors(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    files = write_series(tmp_path / "in")
    path = write_heatmap_dicom(tmp_path / "map.dcm", letter(), files, grid=grid_of(files), note=NOTE)
    assert errors_of(path) == []


def radiograph(path: Path) -> Path:
    """A picture with no place in space."""
    (path.parent / "one").mkdir()
    gone = dict.fromkeys(("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient"))
    files = write_series(path.parent / "one", other={**gone, "ImageLaterality": "L"})
    shutil.copy(files[0], path)
    return path


def test_a_source_without_a_place_gets_a_secondary_capture(tmp_path: Path) -> None:
    source = radiograph(tmp_path / "x.dcm")
    overlay = np.random.default_rng(0).integers(0, 255, (ROWS, COLUMNS, 3)).astype(np.uint8)
    grid = Grid.of_picture(ROWS, COLUMNS)
    path = write_heatmap_dicom(
        tmp_path / "sc.dcm", letter((ROWS, COLUMNS, 1)), [source], grid=grid, note=NOTE, overlay=overlay
    )
    made = pydicom.dcmread(path)
    assert made.SOPClassUID.name == "Secondary Capture Image Storage"
    np.testing.assert_array_equal(made.pixel_array, overlay)
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == pydicom.dcmread(source).SOPInstanceUID
    assert str(made.PatientName) == "Yamada^Tarou=山田^太郎"
    assert made.SeriesDescription == "AI lung-nodule 1.2.0 - not reviewed"
    assert made.SOPInstanceUID.startswith("2.25.")
    assert errors_of(path) == []
    with pytest.raises(InputError, match="no overlay was given"):
        write_heatmap_dicom(tmp_path / "y.dcm", letter((ROWS, COLUMNS, 1)), [source], grid=grid, note=NOTE)


def test_slices_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    with pytest.raises(GeometryError, match="missing for slice"):
        write_heatmap_dicom(tmp_path / "m.dcm", letter(), files[1:], grid=grid, note=NOTE)
    moved = grid.affine.copy()
    moved[0, 3] += 1.0
    with pytest.raises(GeometryError, match="voxels from its place"):
        write_heatmap_dicom(tmp_path / "m.dcm", letter(), files, grid=Grid(grid.shape, moved), note=NOTE)
    turned = Grid(grid.shape, grid.affine @ np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    with pytest.raises(GeometryError, match="voxels from its place"):
        write_heatmap_dicom(tmp_path / "m.dcm", letter(), files, grid=turned, note=NOTE)
    with pytest.raises(GeometryError, match="pixels, the grid"):
        write_heatmap_dicom(
            tmp_path / "m.dcm", np.zeros((5, 5, 7)), files, grid=Grid((5, 5, 7), grid.affine), note=NOTE
        )
    assert not (tmp_path / "m.dcm").exists()


def test_what_is_not_dicom_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"hello")
    assert not is_dicom(tmp_path / "x.dcm")
    with pytest.raises(FormatError, match=r"x\.dcm"):
        write_heatmap_dicom(tmp_path / "m.dcm", letter(), [tmp_path / "x.dcm"], grid=Grid((2, 2, 2)), note=NOTE)
    with pytest.raises(InputError, match="No DICOM source"):
        write_heatmap_dicom(tmp_path / "m.dcm", letter(), [], grid=Grid((2, 2, 2)), note=NOTE)


def test_nobody_is_named_in_warnings_or_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = write_series(
            tmp_path / "in", other={"PatientName": "DOE", "PatientBirthDate": "sixties", "PatientAge": "42"}
        )
        grid = grid_of(files)
    caplog.clear()
    with warnings.catch_warnings(record=True) as told, caplog.at_level("DEBUG"):
        warnings.simplefilter("always")
        write_heatmap_dicom(tmp_path / "m.dcm", letter(), files, grid=grid, note=NOTE)
    said = caplog.text + " ".join(str(w.message) for w in told)
    assert "DOE" not in said
    assert "sixties" not in said.replace(str(tmp_path), "")


def test_descriptions_fit_and_keep_the_review_state() -> None:
    long = DicomNote("a-very-long-model-name " * 5, "10.20.30")
    assert len(long.series_description) <= 64
    assert long.series_description.endswith(" 10.20.30 - not reviewed")


def test_a_series_is_picked_out_of_a_folder(tmp_path: Path) -> None:
    for name, other in (("a", None), ("b", {"SliceThickness": 5})):
        (tmp_path / name).mkdir()
        write_series(tmp_path / name, other=other)
    (tmp_path / "b" / "6.dcm").unlink()
    (tmp_path / "notes.txt").write_text("hello")
    assert files_of_series(tmp_path, None) == sorted((tmp_path / "a").glob("*.dcm"))
    uid = str(pydicom.dcmread(tmp_path / "b" / "0.dcm").SeriesInstanceUID)
    assert files_of_series(tmp_path, uid) == sorted((tmp_path / "b").glob("*.dcm"))
    assert files_of_series(tmp_path, "1.2.3") == []


@pytest.mark.parametrize(
    "name", ["dicom_ct_liver_seg/ct", "dicom_mr_brain_tumour/PGBM-003/T1post", "dicom_mr_enhanced/siemens_6_1.dcm"]
)
def test_real_series(tmp_path: Path, name: str) -> None:
    """Read by our reader, written, and read back by highdicom at the same place."""
    if not DATA.exists():
        pytest.skip("the data kit is not here")
    import highdicom

    from scanwright.io import read_volume

    source = DATA / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grid = read_volume(str(source)).grid
        files = files_of_series(source, None) if source.is_dir() else [source]
        heat = np.zeros(grid.shape, dtype=np.float32)
        spot = (grid.shape[0] // 5, grid.shape[1] // 3, grid.shape[2] // 2)
        heat[spot] = 1
        path = write_heatmap_dicom(tmp_path / "m.dcm", heat, files, grid=grid, note=NOTE)
        volume = highdicom.pm.ParametricMap.from_dataset(pydicom.dcmread(path)).get_volume()
    index = np.unravel_index(np.asarray(volume.array).argmax(), volume.array.shape)
    np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], grid.world(spot) * (-1, -1, 1), atol=1e-3)
