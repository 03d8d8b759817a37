"""Structured reports read back by highdicom, dcmqi, dciodvfy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scanwright.core import GeometryError, InputError
from scanwright.core.prediction import Lesion
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.report import LesionShape, write_measurements, write_summary
from scanwright.io.dicom.segmentation import write_segmentation

NOTE = DicomNote("lung-nodule", "1.2.0")
Make = Callable[..., Any]


def lesion(number: int = 1, **more: Any) -> Lesion:
    values = {
        "number": number, "structure": "lung nodule", "n_voxels": 1, "volume_ml": 1.25, "area_mm2": None,
        "longest_mm": 7.2, "perpendicular_mm": 4.0, "mean": -35.5, "low": -80.0, "high": 10.0, "unit": "HU",
        "centroid": (8.0, 8.0, 2.0), "centroid_mm": (0.0, 0.0, 0.0), "side": "left", "probability": 0.9,
        "slice": 2, "box": ((3, 15), (4, 15), (1, 2)),
    }  # fmt: skip
    return Lesion(**{**values, **more})


SHAPE = LesionShape(lesion(), ((3.0, 4.0), (12.0, 4.0)), ((7.0, 4.0), (7.0, 10.666)), 2)  # rows are 0.8 mm, columns 0.6


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("direction", ["axial", "sagittal", "oblique"])
def test_the_line_of_a_diameter_lies_where_it_was_measured(
    tmp_path: Path, write_series: Make, grid_of: Make, direction: str, reverse: bool
) -> None:
    import highdicom.sr as sr

    files = write_series(tmp_path / "in", direction)
    grid = grid_of(files, reverse=reverse)
    path = write_measurements(tmp_path / "sr.dcm", [SHAPE], grid=grid, source_files=files, note=NOTE)
    group = sr.srread(path).content.get_image_measurement_groups()[0]
    by_uid = {d.SOPInstanceUID: d for d in (pydicom.dcmread(f) for f in files)}
    ends = {"Long Axis": SHAPE.longest, "Short Axis": SHAPE.perpendicular}
    for measurement in group.get_measurements():
        if measurement.name.meaning not in ends:
            continue
        line = next(item for item in measurement[0].ContentSequence if item.ValueType == "SCOORD")
        image = by_uid[line.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID]
        across, down = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3)
        points = (
            np.asarray(line.GraphicData, dtype=float).reshape(-1, 2) - 0.5
        )  # the corner of the first pixel is 0, 0 (C.18.6.1.1)
        place = (
            np.array(image.ImagePositionPatient, dtype=float)
            + points[:, :1] * across * 0.6
            + points[:, 1:] * down * 0.8
        )
        expected = grid.world([(*at, 2) for at in ends.pop(measurement.name.meaning)]) * (-1, -1, 1)
        np.testing.assert_allclose(place, expected, atol=1e-2)
    assert not ends


def test_a_group_says_what_was_measured(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make, errors_of: Make
) -> None:
    import highdicom.sr as sr

    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    place = {"grid": grid, "source_files": files, "note": NOTE}
    one, two = letter()
    seg = write_segmentation(tmp_path / "seg.dcm", [("lung nodule 1", one), ("lung nodule 2", two)], **place)
    second = LesionShape(lesion(2), *[((17.0, 21.5), (17.0, 22.5))] * 2, 5, ((16.5, 22.0), (17.0, 22.5), (17.5, 22.0)))
    path = write_measurements(tmp_path / "sr.dcm", [SHAPE, second], **place, segmentation=seg)
    found = sr.srread(path)
    groups = found.content.get_image_measurement_groups()
    segments = pydicom.dcmread(seg).SegmentSequence
    assert [g.tracking_uid for g in groups] == [s.TrackingUID for s in segments]
    for group in groups:  # a value without coordinates blanks a viewer
        for measurement in group.get_measurements():
            assert any(item.ValueType == "SCOORD" for item in measurement[0].ContentSequence)
    values = {m.name.value: (m.value, m.unit.value) for m in groups[0].get_measurements()}
    assert values == {
        "103339001": (7.2, "mm"), "103340004": (4.0, "mm"), "118565006": (1.25, "cm3"), "112031": (-35.5, "[hnsf'U]"),
    }  # fmt: skip
    assert groups[0].finding_type.value == "27925004"
    assert groups[0].finding_sites[0].value.value == "39607008"
    assert groups[0].finding_sites[0].laterality.meaning == "Left"
    assert (found.CompletionFlag, found.VerificationFlag, found.PreliminaryFlag) == (
        "COMPLETE", "UNVERIFIED", "PRELIMINARY",
    )  # fmt: skip
    assert str(found.PatientName) == "Yamada^Tarou=山田^太郎"
    assert found.SeriesDescription == "AI lung-nodule 1.2.0 - not reviewed"
    assert "not a medical device" in found.to_json()
    listed = [
        i.ReferencedSOPInstanceUID
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in found.get(keyword) or []
        for series in study.ReferencedSeriesSequence
        for i in series.ReferencedSOPSequence
    ]
    expected = {pydicom.dcmread(f).SOPInstanceUID for f in [*files, seg]}
    assert set(listed) == expected
    assert errors_of(path) == []


def test_dcmqi_reads_the_measurements(tmp_path: Path, write_series: Make, grid_of: Make, tool: Make) -> None:
    import subprocess

    files = write_series(tmp_path / "in")
    path = write_measurements(tmp_path / "sr.dcm", [SHAPE], grid=grid_of(files), source_files=files, note=NOTE)
    command = [tool("tid1500reader"), "--inputDICOM", str(path), "--outputMetadata", str(tmp_path / "m.json")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Failed to read" not in told.stdout + told.stderr


def test_a_summary_is_an_enhanced_sr(tmp_path: Path, write_series: Make, errors_of: Make) -> None:
    files = write_series(tmp_path / "in")
    path = write_summary(tmp_path / "s.dcm", ["No nodule was found."], source_files=files, note=NOTE)
    made = pydicom.dcmread(path)
    assert made.SOPClassUID.name == "Enhanced SR Storage"
    assert made.ConceptNameCodeSequence[0].CodeValue == "18748-4"
    told = [item.TextValue for item in made.ContentSequence[-1].ContentSequence]
    assert told[0] == "No nodule was found."
    assert "not a medical device" in told[-1]
    assert errors_of(path) == []
    with pytest.raises(InputError, match="nothing to say"):
        write_summary(tmp_path / "t.dcm", [], source_files=files, note=NOTE)


def test_no_lesion_and_misplaced_lesions_are_refused(tmp_path: Path, write_series: Make, grid_of: Make) -> None:
    files = write_series(tmp_path / "in")
    place = {"grid": grid_of(files), "source_files": files, "note": NOTE}
    with pytest.raises(InputError, match="no lesion to report"):
        write_measurements(tmp_path / "sr.dcm", [], **place)
    far = LesionShape(lesion(), SHAPE.longest, SHAPE.perpendicular, 99)
    with pytest.raises(GeometryError, match="outside the 7 slices"):
        write_measurements(tmp_path / "sr.dcm", [far], **place)
    assert not (tmp_path / "sr.dcm").exists()
