"""Segmentations read back by others: highdicom, SimpleITK, dcmqi, dciodvfy."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scanwright.core import FormatError, GeometryError, Grid, InputError
from scanwright.core.volume import LabelMap
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.segmentation import write_segmentation

NOTE = DicomNote("lung-nodule", "1.2.0")
NAMES = ("Left_Kidney", "lung nodule")
Make = Callable[..., Any]


def written(folder: Path, files: list[Path], grid: Grid, letter: Make, kind: Any = "BINARY", **more: Any) -> Path:
    masks = letter(grid.shape)
    return write_segmentation(
        folder / "seg.dcm", list(zip(NAMES, masks)), grid=grid, source_files=files, note=NOTE, kind=kind, **more
    )


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("direction", ["axial", "coronal", "sagittal", "oblique"])
def test_highdicom_sees_letter_and_landmark_at_their_place(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make, direction: str, reverse: bool, kind: str
) -> None:
    import highdicom

    files = write_series(tmp_path / "in", direction)
    grid = grid_of(files, reverse=reverse)
    path = written(tmp_path, files, grid, letter, kind)
    volume = highdicom.seg.segread(path).get_volume(combine_segments=False)
    for number, mask in enumerate(letter(grid.shape)):
        index = np.argwhere(np.asarray(volume.array)[..., number])
        place = (np.c_[index, np.ones(len(index))] @ np.asarray(volume.affine).T)[:, :3]
        expected = grid.world(np.argwhere(mask)) * (-1, -1, 1)
        assert len(place) == len(expected)
        nearest = np.linalg.norm(place[:, None] - expected[None], axis=-1)
        assert nearest.min(axis=1).max() < 1e-3
        assert nearest.min(axis=0).max() < 1e-3


@pytest.mark.parametrize("direction", ["axial", "oblique"])
def test_every_frame_names_the_image_that_it_lies_on(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make, direction: str
) -> None:
    import SimpleITK

    files = write_series(tmp_path / "in", direction)
    path = written(tmp_path, files, grid_of(files), letter)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "in")))
    source = reader.Execute()
    made = pydicom.dcmread(path)
    assert made.NumberOfFrames == 3
    by_uid = {d.SOPInstanceUID: d for d in (pydicom.dcmread(f) for f in files)}
    for frame, group in zip(made.pixel_array, made.PerFrameFunctionalGroupsSequence, strict=True):
        position = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
        derivation = group.DerivationImageSequence[0]
        item = derivation.SourceImageSequence[0]
        assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert [float(v) for v in by_uid[item.ReferencedSOPInstanceUID].ImagePositionPatient] == pytest.approx(position)
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for row, column in np.argwhere(frame)[[0, -1]]:
            along, down = np.array(made.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient).reshape(2, 3)  # fmt: skip
            place = np.array(position) + along * 0.6 * column + down * 0.8 * row
            x, y, z = source.TransformPhysicalPointToIndex([float(v) for v in place])
            assert letter()[number - 1][y, x, z]


def test_the_object_says_where_it_comes_from(tmp_path: Path, write_series: Make, grid_of: Make, letter: Make) -> None:
    files = write_series(tmp_path / "in")
    source = pydicom.dcmread(files[0])
    path = written(tmp_path, files, grid_of(files), letter, tracking={"lung nodule": ("n-1", "2.25.77")})
    made = pydicom.dcmread(path)
    assert made.SOPClassUID.name == "Segmentation Storage"
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientBirthDate", "StudyDate"):
        assert made[keyword].value == source[keyword].value
    assert str(made.PatientName) == "Yamada^Tarou=山田^太郎"
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    assert made.SeriesDescription == "AI lung-nodule 1.2.0 - not reviewed"
    assert made.SeriesNumber >= 9000
    assert made.SOPInstanceUID.startswith("2.25.")
    assert made.SeriesInstanceUID.startswith("2.25.")
    assert "not a medical device" in made.ImageComments
    assert (made.ContentLabel, made.ContentCreatorName) == ("AI_SEGMENTATION", "Scanwright^")
    referenced = made.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == source.SeriesInstanceUID
    assert {i.ReferencedSOPInstanceUID for i in referenced.ReferencedInstanceSequence} == {
        pydicom.dcmread(f).SOPInstanceUID for f in files
    }
    kidney, nodule = made.SegmentSequence
    assert kidney.SegmentLabel == "Left_Kidney"
    assert kidney.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = kidney.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("lung-nodule", "1.2.0")
    assert kidney.SegmentedPropertyTypeCodeSequence[0].CodeValue == "64033007"
    assert (
        kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"
    )
    assert nodule.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert nodule.AnatomicRegionSequence[0].CodeValue == "39607008"
    assert (nodule.TrackingID, nodule.TrackingUID) == ("n-1", "2.25.77")
    assert kidney.TrackingUID.startswith("2.25.")
    assert len(nodule.RecommendedDisplayCIELabValue) == 3


def test_a_binary_segmentation_has_no_errors(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make, errors_of: Make
) -> None:
    files = write_series(tmp_path / "in")
    assert errors_of(written(tmp_path, files, grid_of(files), letter)) == []


@pytest.mark.parametrize("direction", ["axial", "oblique"])
def test_dcmqi_sees_letter_and_landmark_at_their_place(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make, tool: Make, direction: str
) -> None:
    import SimpleITK

    files = write_series(tmp_path / "in", direction)
    grid = grid_of(files)
    path = written(tmp_path, files, grid, letter)
    (tmp_path / "out").mkdir()
    command = [tool("segimage2itkimage"), "--inputDICOM", str(path), "--outputDirectory", str(tmp_path / "out")]
    subprocess.run([*command, "-t", "nrrd"], check=True, capture_output=True)
    for number, mask in enumerate(letter(), start=1):
        image = SimpleITK.ReadImage(str(tmp_path / "out" / f"{number}.nrrd"))
        index = np.argwhere(SimpleITK.GetArrayFromImage(image))[:, ::-1]
        place = np.array([image.TransformIndexToPhysicalPoint([int(v) for v in at]) for at in index])
        expected = grid.world(np.argwhere(mask)) * (-1, -1, 1)
        assert len(place) == len(expected)
        assert np.linalg.norm(place[:, None] - expected[None], axis=-1).min(axis=0).max() < 1e-3
    told = json.loads((tmp_path / "out" / "meta.json").read_text())
    labels = [s["SegmentLabel"] for group in told["segmentAttributes"] for s in group]
    assert sorted(labels) == sorted(NAMES)


def test_overlapping_structures_stay_apart(tmp_path: Path, write_series: Make, grid_of: Make, letter: Make) -> None:
    import highdicom

    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    small = letter()[0]
    large = np.zeros_like(small)
    large[2:18, 2:20, 0:4] = True
    masks = [("brain tumour", large), ("tumour core", small)]
    path = write_segmentation(tmp_path / "s.dcm", masks, grid=grid, source_files=files, note=NOTE)
    found = highdicom.seg.segread(path)
    assert found.SegmentsOverlap == "YES"
    array = np.asarray(found.get_volume(combine_segments=False).array)
    assert array[..., 0].sum() == large.sum()
    assert array[..., 1].sum() == small.sum()
    with pytest.raises(InputError, match="overlap in"):
        write_segmentation(tmp_path / "l.dcm", masks, grid=grid, source_files=files, note=NOTE, kind="LABELMAP")


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_nothing_found_is_an_answer(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make, errors_of: Make, kind: Any
) -> None:
    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    empty = np.zeros(grid.shape, dtype=bool)
    path = write_segmentation(
        tmp_path / "none.dcm",
        [("liver", empty), ("spleen", empty)],
        grid=grid,
        source_files=files,
        note=NOTE,
        kind=kind,
    )
    made = pydicom.dcmread(path)
    assert not made.pixel_array.any()
    assert [s.SegmentLabel for s in made.SegmentSequence if s.SegmentNumber] == ["liver", "spleen"]
    assert kind == "LABELMAP" or errors_of(path) == []
    some = write_segmentation(
        tmp_path / "one.dcm",
        [("liver", empty), ("spleen", letter()[0])],
        grid=grid,
        source_files=files,
        note=NOTE,
        kind=kind,
    )
    assert [s.SegmentLabel for s in pydicom.dcmread(some).SegmentSequence if s.SegmentNumber] == ["liver", "spleen"]
    assert pydicom.dcmread(some).NumberOfFrames == 2
    assert kind == "LABELMAP" or errors_of(some) == []


def test_a_label_map_is_numbered_in_order(tmp_path: Path, write_series: Make, grid_of: Make, letter: Make) -> None:
    import highdicom

    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    one, two = letter()
    labels = LabelMap((one * 4 + two * 9).astype(np.uint8), grid, {4: "liver", 9: "lesion"})
    path = write_segmentation(tmp_path / "s.dcm", labels, grid=grid, source_files=files, note=NOTE, kind="LABELMAP")
    found = highdicom.seg.segread(path)
    assert found.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
    assert [(s.SegmentNumber, s.SegmentLabel) for s in found.SegmentSequence if s.SegmentNumber] == [
        (1, "liver"),
        (2, "lesion"),
    ]
    counted = np.bincount(np.asarray(found.get_volume(combine_segments=True).array).ravel())
    assert counted[1:].tolist() == [one.sum(), two.sum()]


def test_tilted_and_uneven_series_are_refused(tmp_path: Path, write_series: Make, grid_of: Make, letter: Make) -> None:
    tilted = write_series(tmp_path / "tilt", shear=0.3)
    with pytest.raises(GeometryError, match="tilt|sideways|right angles") as told:
        written(tmp_path, tilted, grid_of(tilted), letter)
    assert str(told.value).count(".") >= 3
    uneven = write_series(tmp_path / "uneven", step=[0, 2.5, 5, 7.5, 12, 14.5, 17])
    with pytest.raises(GeometryError, match="mm apart"):
        written(tmp_path, uneven, grid_of(uneven), letter)
    assert not (tmp_path / "seg.dcm").exists()


def test_what_does_not_fit_is_refused(tmp_path: Path, write_series: Make, grid_of: Make, letter: Make) -> None:
    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    place = {"grid": grid, "source_files": files, "note": NOTE}
    with pytest.raises(GeometryError, match="do not fit a grid"):
        write_segmentation(tmp_path / "s.dcm", [("liver", np.zeros((2, 2, 2), bool))], **place)
    with pytest.raises(InputError, match="0 structures"):
        write_segmentation(tmp_path / "s.dcm", [], **place)
    nowhere = write_series(tmp_path / "no", other={"FrameOfReferenceUID": None})
    with pytest.raises(GeometryError, match="no place in space"):
        written(tmp_path, nowhere, grid, letter)
    assert not (tmp_path / "s.dcm").exists()


def test_a_file_that_reads_back_otherwise_is_removed(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scanwright.io.dicom import segmentation

    files = write_series(tmp_path / "in")
    honest = segmentation._object

    def shifted(*args: Any) -> Any:
        made = honest(*args)
        for group in made.PerFrameFunctionalGroupsSequence:
            position = group.PlanePositionSequence[0].ImagePositionPatient
            position[0] = float(position[0]) + 0.6  # one pixel to the side
        return made

    monkeypatch.setattr(segmentation, "_object", shifted)
    with pytest.raises(FormatError, match="did not read back"):
        written(tmp_path, files, grid_of(files), letter)
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.parametrize(
    "name", ["dicom_ct_chest_lidc", "dicom_mr_brain_tumour/PGBM-003/T1post", "dicom_pet_seg/pet", "dicom_mr_enhanced/siemens_6_1.dcm"]
)  # fmt: skip
def test_real_series(tmp_path: Path, real: Make, name: str, data: Path, errors_of: Make) -> None:
    """Read by our reader, written, and read back by highdicom at the same place."""
    import highdicom

    files, grid = real(name) if (data / name).is_dir() else ([data / name], None)
    if grid is None:
        from scanwright.io import read_volume

        grid = read_volume(str(data / name)).grid
    mask = np.zeros(grid.shape, dtype=bool)
    spot = (grid.shape[0] // 5, grid.shape[1] // 3, grid.shape[2] // 2)
    mask[spot] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write_segmentation(tmp_path / "s.dcm", [("lesion", mask)], grid=grid, source_files=files, note=NOTE)
        volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    index = np.argwhere(np.asarray(volume.array))
    assert len(index) == 1
    np.testing.assert_allclose((volume.affine @ [*index[0], 1])[:3], grid.world(spot) * (-1, -1, 1), atol=1e-3)
    assert errors_of(path) == []
