"""Every synthetic image says that it is one, in its own header, and is seen to say so."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanwright.core import Grid, InputError, ModelFileError
from scanwright.io import (
    SYNTHETIC_WRITERS,
    SyntheticMark,
    is_synthetic,
    read_generator_file,
    read_volume,
    write_generator_file,
    write_nifti,
    write_png,
    write_synthetic,
)
from scanwright.io.generator_file import is_model_zip

MARK = SyntheticMark("lungs", "ab" * 32, 123456789, "pneumonia", steps=20, licence="CC BY 4.0")


def letter_f(*, slices: int = 1) -> np.ndarray:
    """An F, which no flip or transpose maps to itself, fainter from slice to slice: ``(1, 24, 80, K)``."""
    picture = np.zeros((24, 80), np.uint8)
    picture[2:22, 3:7] = picture[2:5, 3:18] = picture[10:13, 3:13] = 200
    return np.stack([picture // (k + 1) for k in range(slices)], axis=-1)[None]


@pytest.mark.parametrize("kind", SYNTHETIC_WRITERS)
@pytest.mark.parametrize("slices", [1, 5])
def test_written_images_read_back_and_say_what_they_are(kind: str, slices: int, tmp_path: Path) -> None:
    voxels = letter_f(slices=slices)
    if kind == "png" and slices > 1:
        with pytest.raises(InputError, match="one picture"):
            write_synthetic(tmp_path / "a", voxels, kind=kind, mark=MARK)
        return
    path = write_synthetic(tmp_path / "a", voxels, kind=kind, mark=MARK)
    assert path.name == "a" + SYNTHETIC_WRITERS[kind].suffix
    assert is_synthetic(path)
    assert np.array_equal(np.squeeze(read_volume(path).array), np.squeeze(voxels))


def test_png_text_is_there_for_any_viewer(tmp_path: Path) -> None:
    path = write_synthetic(tmp_path / "a", letter_f(), kind="png", mark=MARK)
    text = Image.open(path).text
    assert text["Synthetic"] == "true"
    assert text["Description"].startswith("SYNTHETIC lungs: pneumonia")
    assert text["Scanwright:seed"] == "123456789"
    assert text["Scanwright:licence"] == "CC BY 4.0"


def test_dicom_cannot_be_taken_for_a_patients_image(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    one, two = (pydicom.dcmread(write_synthetic(tmp_path / name, letter_f(), kind="dicom", mark=MARK)) for name in "ab")
    assert list(one.ImageType) == ["DERIVED", "SECONDARY"]
    assert one.ConversionType == "SYN"
    assert one.SeriesDescription == "SYNTHETIC lungs: pneumonia"
    assert one.PatientID.startswith("SYNTHETIC")
    assert str(one.PatientName) == "SYNTHETIC^IMAGE"
    assert one.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    for uid in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert one[uid].value != two[uid].value
    deep = pydicom.dcmread(write_synthetic(tmp_path / "c", letter_f(slices=3), kind="dicom", mark=MARK))
    assert (deep.SOPClassUID, deep.NumberOfFrames) == ("1.2.840.10008.5.1.4.1.1.7.2", 3)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("slices", [1, 3])
def test_dicom_keeps_the_standard(slices: int, tmp_path: Path) -> None:
    path = write_synthetic(tmp_path / "a", letter_f(slices=slices), kind="dicom", mark=MARK)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    errors = [line for line in (said.stderr + said.stdout).splitlines() if line.startswith("Error")]
    assert not errors


def test_nifti_keeps_place_and_description(tmp_path: Path) -> None:
    import nibabel

    grid = Grid((24, 80, 3), np.diag([1.5, 2.0, 3.0, 1.0]))
    path = write_synthetic(tmp_path / "a", letter_f(slices=3), kind="nifti", mark=MARK, grid=grid, unit="HU")
    image = nibabel.load(path)
    assert np.allclose(image.affine, grid.affine)
    assert bytes(image.header["descrip"].item()).startswith(b"SYNTHETIC lungs: pneumonia")


def test_npy_has_its_facts_beside_it(tmp_path: Path) -> None:
    path = write_synthetic(tmp_path / "a", letter_f(), kind="npy", mark=MARK)
    assert np.load(path).shape == (24, 80)
    assert json.loads(path.with_suffix(".json").read_text())["seed"] == 123456789


def test_other_images_do_not_say_so(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", letter_f()[0, ..., 0])
    write_nifti(tmp_path / "a.nii.gz", letter_f(slices=3)[0], Grid((24, 80, 3)))
    np.save(tmp_path / "a.npy", letter_f())
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "words.txt").write_text("SYNTHETIC")
    assert not any(is_synthetic(p) for p in tmp_path.iterdir())
    assert not is_synthetic(tmp_path / "gone.png")


def test_the_visible_word_is_in_the_pixels_and_needs_room(tmp_path: Path) -> None:
    from dataclasses import replace

    mark = replace(MARK, visible=True)
    shown = read_volume(write_synthetic(tmp_path / "a", letter_f(), kind="png", mark=mark)).array[0, ..., 0]
    assert 100 < (shown[:12] == 200).sum() < 500, "the word, bright on dark"
    assert np.array_equal(shown[12:], letter_f()[0, 12:, :, 0])
    with pytest.raises(InputError, match="too small for the visible mark"):
        write_synthetic(tmp_path / "b", letter_f()[:, :, :28], kind="png", mark=mark)


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean --format nifti"):
        write_synthetic(tmp_path / "a", letter_f(), kind="nifty", mark=MARK)


MEMBERS = {"generator.json": b'{"classes": ["a"]}\n', "quality.json": b"{}\n", "weights.safetensors": bytes(range(200))}


def test_a_generator_file_reads_back_whole(tmp_path: Path) -> None:
    made = write_generator_file(tmp_path / "g.scanwright", MEMBERS, name="lungs")
    assert made.name == "lungs"
    assert made.facts == {"classes": ["a"]}
    assert made.weights == MEMBERS["weights.safetensors"]
    assert is_model_zip(made.path)
    import hashlib
    import zipfile

    with zipfile.ZipFile(made.path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        for name, facts in manifest["members"].items():
            assert hashlib.sha256(archive.read(name)).hexdigest() == facts["sha256"]


def test_any_altered_byte_of_a_generator_is_refused(tmp_path: Path) -> None:
    path = write_generator_file(tmp_path / "g.scanwright", MEMBERS, name="lungs").path
    whole = path.read_bytes()
    for at in range(0, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ModelFileError, match=r"\."):
            read_generator_file(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(ModelFileError, match=r"\."):
        read_generator_file(path)


def test_a_generator_needs_its_members(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="holds generator.json"):
        write_generator_file(tmp_path / "g.scanwright", {"weights.safetensors": b""}, name="x")
    with pytest.raises(ModelFileError, match="There is no generator"):
        read_generator_file(tmp_path / "gone.scanwright")
