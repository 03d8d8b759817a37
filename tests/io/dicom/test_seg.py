"""Segmentations of others read: the kit's, overlapping ones, and what a viewer makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scanwright.core import FormatError
from scanwright.io.dicom.note import DicomNote
from scanwright.io.dicom.seg import read_segmentation, read_segments
from scanwright.io.dicom.segmentation import write_segmentation

NOTE = DicomNote("m", "1.0")
Make = Callable[..., Any]


def test_overlapping_segments_are_read_one_by_one(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make
) -> None:
    files = write_series(tmp_path / "in", "oblique")
    grid = grid_of(files)
    small = letter()[0]
    large = np.zeros_like(small)
    large[2:18, 2:20, 0:4] = True
    masks = [("brain tumour", large), ("tumour core", small), ("liver", np.zeros_like(small))]
    path = write_segmentation(tmp_path / "s.dcm", masks, grid=grid, source_files=files, note=NOTE)
    with pytest.raises(FormatError, match="overlap"):
        read_segmentation(path)
    found = read_segments(path)
    assert [(s.number, s.name) for s in found] == [(1, "brain tumour"), (2, "tumour core"), (3, "liver")]
    assert found[2].code == ("10200004", "SCT", "Liver")
    for segment, (_, mask) in zip(found, masks, strict=True):
        place = segment.grid.world(np.argwhere(segment.mask))
        at = np.round(grid.index(place)).astype(int)
        np.testing.assert_allclose(grid.index(place), at, atol=1e-3)
        assert {tuple(v) for v in at} == {tuple(v) for v in np.argwhere(mask)}


def test_a_label_map_without_frame_content_codes_and_tracking_is_read(
    tmp_path: Path, write_series: Make, grid_of: Make, letter: Make
) -> None:
    """As OHIF stores a correction: LABELMAP, FrameContentSequence missing, codes and algorithm gone."""
    files = write_series(tmp_path / "in")
    grid = grid_of(files)
    path = write_segmentation(
        tmp_path / "s.dcm", list(zip(("a", "b"), letter())), grid=grid, source_files=files, note=NOTE, kind="LABELMAP"
    )
    stripped = pydicom.dcmread(path)
    for group in stripped.PerFrameFunctionalGroupsSequence:
        del group.FrameContentSequence
    stripped.SegmentSequence = [s for s in stripped.SegmentSequence if s.SegmentNumber]
    for segment in stripped.SegmentSequence:
        for keyword in ("SegmentedPropertyTypeCodeSequence", "TrackingUID", "TrackingID", "SegmentAlgorithmName"):
            delattr(segment, keyword)
    stripped.save_as(path)
    found = read_segments(path)
    assert [(s.number, s.name, s.code) for s in found] == [(1, "a", None), (2, "b", None)]
    for segment, mask in zip(found, letter(), strict=True):
        at = np.round(grid.index(segment.grid.world(np.argwhere(segment.mask)))).astype(int)
        assert {tuple(v) for v in at} == {tuple(v) for v in np.argwhere(mask)}
    assert read_segmentation(path).names == {1: "a", 2: "b"}


def test_the_liver_of_the_kit_agrees_with_its_nrrd(data: Path) -> None:
    import SimpleITK

    (segment,) = read_segments(data / "dicom_ct_liver_seg/seg/liver.dcm")
    image = SimpleITK.ReadImage(str(data / "dicom_ct_liver_seg/nrrd/liver_seg.nrrd"))
    other = np.argwhere(SimpleITK.GetArrayFromImage(image))[:, ::-1]
    place = np.array([image.TransformIndexToPhysicalPoint([int(v) for v in at]) for at in other]) * (-1, -1, 1)
    at = segment.grid.index(place)
    np.testing.assert_allclose(at, np.round(at), atol=0.02)
    assert {tuple(v) for v in np.round(at).astype(int)} == {tuple(v) for v in np.argwhere(segment.mask)}


def test_the_tumour_of_the_kit_lies_on_the_slices_that_its_frames_name(data: Path) -> None:
    path = next((data / "dicom_pet_seg/seg").iterdir())
    segments = {segment.number: segment for segment in read_segments(path)}
    assert [s.name for s in segments.values()] == ["Neoplasm, Primary", "Neoplasm, Secondary"]
    assert sum(int(s.mask.sum()) for s in segments.values()) == 266
    assert read_segmentation(path).grid == segments[1].grid
    positions = {
        d.SOPInstanceUID: np.array(d.ImagePositionPatient, dtype=float)
        for d in (pydicom.dcmread(f, stop_before_pixels=True) for f in (data / "dicom_pet_seg/pet").iterdir())
    }
    stored = pydicom.dcmread(path)
    for frame, group in zip(stored.pixel_array, stored.PerFrameFunctionalGroupsSequence, strict=True):
        uid = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        segment = segments[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
        k = segment.grid.index(positions[uid] * (-1, -1, 1))
        np.testing.assert_allclose(k, [0, 0, round(k[2])], atol=0.02)
        np.testing.assert_array_equal(segment.mask[:, :, round(k[2])], frame.astype(bool))
