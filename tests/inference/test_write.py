"""A prediction as files that other programs open."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from scanwright.core import Grid, Plan, Volume
from scanwright.inference import Predictor, blend, write_prediction
from scanwright.inference.heatmap import colours
from scanwright.inference.write import enlarged, file_stem

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


@pytest.fixture
def flat(network: Callable[..., bytes], plan: Callable[..., Plan]) -> Predictor:
    return Predictor.from_network(network(bias=(1.0,)), plan())


def test_a_picture_gives_json_and_two_pictures(flat: Predictor, tmp_path: Path) -> None:
    array = np.full((1, 40, 50, 1), 60, dtype=np.uint8)
    array[0, 5:15, 30:40] = 250
    answer = flat.predict(Volume(array, Grid.of_picture(40, 50)), case="ward 3/case 7.png")
    files = write_prediction(answer, tmp_path / "out")
    assert set(files) == {"json", "picture", "overlay"}
    told = json.loads(files["json"].read_text(encoding="utf-8"))
    assert told["case"] == "ward 3/case 7.png"
    assert told["label"] == answer.label
    assert told["probabilities"] == pytest.approx(dict(zip(answer.classes, answer.probabilities, strict=True)))
    assert told["files"] == {"picture": files["picture"].name, "overlay": files["overlay"].name}
    picture = np.asarray(Image.open(files["picture"]))
    assert min(picture.shape) >= 240
    factor = picture.shape[0] // 40
    np.testing.assert_array_equal(picture[::factor, ::factor], array[0, ..., 0])
    overlay = np.asarray(Image.open(files["overlay"])).astype(int)
    coloured = np.abs(overlay - overlay.mean(axis=-1, keepdims=True)).max(axis=-1) > 10
    assert coloured[10 * factor, 35 * factor]
    assert not coloured[35 * factor, 5 * factor]


def test_a_volume_gives_nifti_on_its_own_grid(
    network: Callable[..., bytes], plan: Callable[..., Plan], tmp_path: Path
) -> None:
    affine = np.array([[0, -1.5, 0, 7], [0, 0, 2.5, -3], [1.25, 0, 0, 11], [0, 0, 0, 1]])
    array = np.zeros((1, 20, 24, 28), dtype=np.float32)
    array[0, 3:9, 12:20, 4:12] = 255
    volume = Volume(array, Grid((20, 24, 28), affine))
    chosen = plan(dimension=3, size=(16, 16, 16), orientation="RAS")
    answer = Predictor.from_network(network((16, 16, 16), bias=(1.0,)), chosen).predict(volume, case="v")
    files = write_prediction(answer, tmp_path)
    image = nibabel.load(files["nifti"])
    np.testing.assert_allclose(image.affine, affine, atol=1e-6)
    found = np.asarray(image.dataobj)
    np.testing.assert_allclose(found, answer.heatmap, atol=1e-6)
    assert found[3:9, 12:20, 4:12].mean() > 4 * found.mean()


def test_a_dicom_file_gets_dicom_back(flat: Predictor, tmp_path: Path) -> None:
    if not DATA.exists():
        pytest.skip("the data kit is not here")
    from scanwright.io import read_volume

    for name, kind in (
        ("hd_ct_image.dcm", "Parametric Map Storage"),
        ("hd_dx_image.dcm", "Secondary Capture Image Storage"),
    ):
        source = DATA / "dicom_misc" / name
        answer = flat.predict(read_volume(str(source)), case=name)
        assert answer.heatmap is not None
        if not answer.heatmap.any():
            continue
        files = write_prediction(answer, tmp_path, source=source)
        made = pydicom.dcmread(files["dicom"])
        assert made.SOPClassUID.name == kind
        assert made.StudyInstanceUID == pydicom.dcmread(source).StudyInstanceUID
        assert json.loads(files["json"].read_text(encoding="utf-8"))["files"]["dicom"] == files["dicom"].name


def test_a_heat_map_that_does_not_fit_its_source_is_told_not_fatal(flat: Predictor, tmp_path: Path) -> None:
    if not DATA.exists():
        pytest.skip("the data kit is not here")
    array = np.full((1, 40, 50, 1), 250, dtype=np.uint8)
    answer = flat.predict(Volume(array, Grid.of_picture(40, 50)), case="x")
    files = write_prediction(answer, tmp_path, source=DATA / "dicom_misc" / "hd_ct_image.dcm")
    assert "dicom" not in files
    assert "pixels, the grid" in json.loads(files["json"].read_text(encoding="utf-8"))["not_written"]["dicom"]


def test_names_never_leave_the_folder() -> None:
    assert file_stem("../../etc/passwd") == "etc__passwd"
    assert file_stem("/abs/case.dcm") == "abs__case.dcm"
    assert file_stem("a/b") != file_stem("a_b")
    assert file_stem("...") == "case"
    assert file_stem("") == "case"
    for wild in ("a\0b", "..\\..\\x", "~/x", "x" * 500, "字" * 200, "a:b|c?"):
        stem = file_stem(wild)
        assert stem
        assert len(stem.encode()) <= 255
        assert not set(stem) & set("/\\\0:|?~")
        assert not stem.startswith(".")
    assert file_stem("x" * 500) != file_stem("x" * 501)


def test_without_evidence_the_picture_is_untouched() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 11)).astype(np.uint8)
    np.testing.assert_array_equal(blend(picture, np.zeros((9, 11))), np.repeat(picture[..., None], 3, axis=-1))


def test_the_stronger_the_evidence_the_lighter_the_colour() -> None:
    """So it reads in grey print and for the colour-blind; luma by Rec. 709."""
    steps = colours(np.linspace(0, 1, 50))
    luma = steps @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luma) > 0).all()
    assert steps.min() >= 0
    assert steps.max() <= 255


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    small = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)
    large = enlarged(small)
    assert large.shape == (252, 252)
    np.testing.assert_array_equal(large[::9, ::9], small)
    assert enlarged(np.zeros((600, 300), np.uint8)).shape == (600, 300)
