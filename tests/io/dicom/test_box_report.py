"""Boxes as structured reports, read back by highdicom and dciodvfy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scanwright.core import Box, GeometryError, InputError, Prediction
from scanwright.io.dicom.box_report import write_box_report
from scanwright.io.dicom.note import DicomNote

NOTE = DicomNote("nodule-finder", "1.2.0")
Make = Callable[..., Any]
BOXES = (
    Box(0, (2.5, 3.5, 0.5), (15.5, 15.5, 2.5), score=0.91),
    Box(0, (16.5, 21.5, 4.5), (17.5, 22.5, 5.5), score=0.4),
)


def answer(grid: Any, boxes: tuple[Box, ...] = BOXES) -> Prediction:
    return Prediction("a", "detect", ("lung nodule",), (), (), "2 lung nodule", grid=grid, boxes=boxes)


def test_every_box_is_a_closed_line_on_its_slice(
    tmp_path: Path, write_series: Make, grid_of: Make, errors_of: Make
) -> None:
    import highdicom.sr as sr

    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    path = write_box_report(tmp_path / "sr.dcm", answer(grid), files, note=NOTE)
    groups = sr.srread(path).content.get_planar_roi_measurement_groups()
    assert len(groups) == 2
    known = {pydicom.dcmread(f).SOPInstanceUID: pydicom.dcmread(f) for f in files}
    for group, box, k in zip(groups, BOXES, (1, 5), strict=True):
        region = group.roi
        assert region.graphic_type.value == "POLYLINE"
        line = np.array(region.value)
        np.testing.assert_allclose(line[0], line[-1])
        np.testing.assert_allclose(line.min(axis=0), (box.low[1] + 0.5, box.low[0] + 0.5))
        np.testing.assert_allclose(line.max(axis=0), (box.high[1] + 0.5, box.high[0] + 0.5))
        image = known[region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID]
        place = grid.world((0, 0, k)) * (-1, -1, 1)
        np.testing.assert_allclose([float(v) for v in image.ImagePositionPatient], place, atol=1e-3)
        values = {m.name.value: m.value for m in group.get_measurements()}
        assert values["detection-score"] == pytest.approx(box.score)
        assert group.finding_type.value == "27925004"
    assert errors_of(path) == []


def test_nothing_found_and_wrong_sources_are_refused(tmp_path: Path, write_series: Make, grid_of: Make) -> None:
    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    with pytest.raises(InputError, match="no box to report"):
        write_box_report(tmp_path / "sr.dcm", answer(grid, ()), files, note=NOTE)
    with pytest.raises(GeometryError, match="missing for slice"):
        write_box_report(tmp_path / "sr.dcm", answer(grid), files[:3], note=NOTE)
    assert not (tmp_path / "sr.dcm").exists()
