"""All objects of one prediction, and the pictures and maps among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scanwright.core import GeometryError, InputError
from scanwright.core.prediction import Lesion, Prediction
from scanwright.core.volume import LabelMap
from scanwright.io.dicom.capture import write_capture
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.objects import KINDS, write_objects
from scanwright.io.dicom.parametric_map import write_probabilities
from scanwright.preprocessing.diameters import diameters

NOTE = DicomNote("lung-nodule", "1.2.0", series_number=9010)
Make = Callable[..., Any]


def prediction(grid: Any, letter: Make) -> Prediction:
    """An organ, and two nodules of which one is a single voxel."""
    one, two = letter(grid.shape)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[0:2, :, :] = 1
    labels[one | two] = 2
    boxes = (((3, 15), (4, 15), (1, 2)), ((17, 17), (22, 22), (5, 5)))
    lesions = tuple(
        Lesion(
            n, "lung nodule", int(mask.sum()), 0.1, None, 9.0, 5.0, 20.0, 0.0, 40.0, "HU", (8.0, 8.0, 2.0),
            (0.0, 0.0, 0.0), "left", 0.8, box[2][0], box,
        )
        for n, mask, box in ((1, one, boxes[0]), (2, two, boxes[1]))
    )  # fmt: skip
    return Prediction(
        "case 1", "segment", ("lung", "lung nodule"), (), (), "", grid=grid,
        label_map=LabelMap(labels, grid, {1: "lung", 2: "lung nodule"}),
        chances=(labels > 0).astype(np.float32) * 0.75,
        lesions=lesions, amounts={"lung": 12.5, "lung nodule": 0.2},
        overlay=np.zeros((grid.shape[0], grid.shape[1], 3), dtype=np.uint8),
    )  # fmt: skip


def test_all_kinds_share_series_numbers_and_tracking(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make, errors_of: Make
) -> None:
    import highdicom.sr as sr

    files = write_series(tmp_path / "in")
    made = write_objects(
        tmp_path / "out", prediction(grid_of(files), letter), source_files=files, note=NOTE, kinds=KINDS, measure=diameters
    )  # fmt: skip
    assert [p.stem for p in made] == list(KINDS)
    read = {p.stem: pydicom.dcmread(p) for p in made}
    assert len({d.SeriesInstanceUID for d in read.values()}) == len(KINDS)
    assert sorted(d.SeriesNumber for d in read.values()) == list(range(9010, 9017))
    segments = {s.SegmentLabel: s.TrackingUID for s in read["seg"].SegmentSequence}
    assert list(segments) == ["lung", "lung nodule 1", "lung nodule 2"]
    assert {s.SegmentLabel: s.TrackingUID for s in read["labelmap"].SegmentSequence if s.SegmentNumber} == segments
    groups = sr.srread(tmp_path / "out" / "sr.dcm").content.get_image_measurement_groups()
    assert [g.tracking_uid for g in groups] == [segments["lung nodule 1"], segments["lung nodule 2"]]
    told = [i.TextValue for i in read["summary"].ContentSequence[-1].ContentSequence]
    assert told[0] == "lung: 12.5 mL."
    assert any(t.startswith("lung nodule 2: 9.0 x 5.0 mm, left, slice 6") for t in told)
    for path in made:
        if path.stem != "labelmap":  # dciodvfy of 2022 does not know it
            assert errors_of(path) == [], path.stem


def test_nothing_found_is_written_as_well(tmp_path: Path, write_series: Make, grid_of: Make, letter: Make) -> None:
    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    empty = LabelMap(np.zeros(grid.shape, dtype=np.uint8), grid, {1: "lung nodule"})
    nothing = replace(prediction(grid, letter), label_map=empty, lesions=(), amounts={"lung nodule": 0.0}, chances=None)
    made = write_objects(tmp_path / "out", nothing, source_files=files, note=NOTE, kinds=("seg", "sr", "summary", "probability"))  # fmt: skip
    assert [p.stem for p in made] == ["seg", "summary"]
    told = [i.TextValue for i in pydicom.dcmread(made[1]).ContentSequence[-1].ContentSequence]
    assert told[:2] == ["lung nodule: not found.", "No lesion was found."]


def test_what_cannot_be_written_is_refused(tmp_path: Path, write_series: Make, grid_of: Make, letter: Make) -> None:
    files = write_series(tmp_path / "in")
    one = prediction(grid_of(files), letter)
    with pytest.raises(InputError, match="no kind of DICOM object"):
        write_objects(tmp_path, one, source_files=files, note=NOTE, kinds=("pdf",))
    with pytest.raises(InputError, match="has no label map"):
        write_objects(tmp_path, replace(one, label_map=None), source_files=files, note=NOTE)
    with pytest.raises(InputError, match="needs the end points"):
        write_objects(tmp_path, one, source_files=files, note=NOTE)


def test_probabilities_lie_at_their_place(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make, errors_of: Make
) -> None:
    import highdicom

    files = write_series(tmp_path / "in", "oblique")
    grid = grid_of(files, reverse=True)
    chances = letter(grid.shape)[0] * np.float32(0.25) + letter(grid.shape)[1] * np.float32(0.875)
    path = write_probabilities(tmp_path / "p.dcm", chances, grid=grid, source_files=files, note=NOTE)
    volume = highdicom.pm.ParametricMap.from_dataset(pydicom.dcmread(path)).get_volume()
    values = np.asarray(volume.array)
    assert values.max() == 0.875
    index = np.unravel_index(values.argmax(), values.shape)
    np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], grid.world([17, 22, 5]) * (-1, -1, 1), atol=1e-3)
    mapping = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    quantity = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    assert (quantity.CodeValue, quantity.CodeMeaning) == ("122157", "Probability")
    assert errors_of(path) == []
    with pytest.raises(GeometryError, match="do not fit a grid"):
        write_probabilities(tmp_path / "q.dcm", chances[:5], grid=grid, source_files=files, note=NOTE)


@pytest.mark.parametrize("shape", [(21, 27, 3), (4, 21, 27, 3)])
def test_a_capture_is_the_picture_that_was_given(
    tmp_path: Path, write_series: Make, errors_of: Make, shape: tuple[int, ...]
) -> None:
    files = write_series(tmp_path / "in")
    overlay = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    path = write_capture(tmp_path / "c.dcm", overlay, source_files=files, note=NOTE)
    np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, overlay)
    assert errors_of(path) == []
    with pytest.raises(InputError, match="An overlay of shape"):
        write_capture(tmp_path / "d.dcm", overlay[..., 0], source_files=files, note=NOTE)
