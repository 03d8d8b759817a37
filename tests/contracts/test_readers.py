"""Every reader of the table: reads its sample, refuses a stump, and never lets a library's error out."""

from __future__ import annotations

import gzip
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from scanwright.core import FormatError, ScanwrightError, Volume
from scanwright.io import READERS, probe, read_volume

GREY = (np.arange(37 * 29).reshape(37, 29) * 7 % 251).astype(np.uint8)
BLOCK = np.random.default_rng(3).integers(-1000, 1000, (11, 9, 7)).astype(np.int16)


def dicom(path: Path, *, rle: bool = False) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4.5"
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Doe^Jane", "SECRET-77", "OT"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 37, 29, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = GREY.tobytes() + b"\0"
    if rle:
        dataset.compress(RLELossless, encoding_plugin="pydicom")
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def itk(path: Path, packed: bool) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(BLOCK.transpose(2, 1, 0)), str(path), useCompression=packed)


def nifti(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(BLOCK, np.diag([1, 1, 2.0, 1])), path)


def idx(path: Path) -> None:
    data = struct.pack(">4B2I", 0, 0, 8, 2, 37, 29) + GREY.tobytes()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)


def zipped(path: Path) -> None:
    inside = path.parent / "inside.png"
    Image.fromarray(GREY).save(inside)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inside, "case/inside.png")


def tiff(path: Path, **options: str) -> None:
    Image.fromarray(GREY).save(path, **options)


SAMPLES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a.dcm": ("dicom", dicom),
    "rle.dcm": ("dicom", lambda p: dicom(p, rle=True)),
    "a.nii": ("nifti", nifti),
    "a.nii.gz": ("nifti", nifti),
    "raw.nrrd": ("nrrd", lambda p: itk(p, False)),
    "gzip.nrrd": ("nrrd", lambda p: itk(p, True)),
    "raw.mha": ("mha", lambda p: itk(p, False)),
    "zlib.mha": ("mha", lambda p: itk(p, True)),
    "a.png": ("png", lambda p: Image.fromarray(GREY).save(p)),
    "a.jpg": ("jpeg", lambda p: Image.fromarray(GREY).save(p, quality=100)),
    "progressive.jpg": ("jpeg", lambda p: Image.fromarray(GREY).save(p, quality=100, progressive=True)),
    "a.tif": ("tiff", tiff),
    "deflate.tif": ("tiff", lambda p: tiff(p, compression="tiff_adobe_deflate")),
    "lzw.tif": ("tiff", lambda p: tiff(p, compression="tiff_lzw")),
    "a.bmp": ("bmp", lambda p: Image.fromarray(GREY).save(p)),
    "a.npy": ("npy", lambda p: np.save(p, GREY)),
    "a.npz": ("npz", lambda p: np.savez(p, image=GREY)),
    "packed.npz": ("npz", lambda p: np.savez_compressed(p, image=GREY)),
    "a-idx2-ubyte": ("idx", idx),
    "a-idx2-ubyte.gz": ("idx", idx),
    "a.zip": ("zip", zipped),
}


@pytest.fixture
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    SAMPLES[request.param][1](path)
    return path


every = pytest.mark.parametrize("sample", SAMPLES, indirect=True)


def test_every_reader_has_a_sample() -> None:
    assert {kind for kind, _ in SAMPLES.values()} == set(READERS)


@every
def test_reads_its_sample(sample: Path) -> None:
    volume = read_volume(sample)
    assert isinstance(volume, Volume)
    if volume.grid.is_picture:
        tolerance = 3 if sample.suffix == ".jpg" else 0
        assert np.abs(volume.array[0, :, :, 0].astype(int) - GREY).max() <= tolerance
    else:
        assert np.array_equal(volume.array[0], BLOCK)


@every
def test_probe_tells_the_kind_and_the_shape(sample: Path) -> None:
    found = probe(sample)
    assert found.kind == SAMPLES[sample.name][0]
    assert found.has_pixels
    if found.kind != "zip":
        assert found.shape in ((37, 29), (11, 9, 7))


@every
def test_is_known_by_its_content(sample: Path, tmp_path: Path) -> None:
    """A wrong suffix does no harm."""
    liar = tmp_path / ("liar.bmp" if sample.suffix == ".png" else "liar.png")
    shutil.copy(sample, liar)
    assert np.array_equal(read_volume(liar).array, read_volume(sample).array)


@every
def test_refuses_every_stump(sample: Path, tmp_path: Path) -> None:
    data = sample.read_bytes()
    rng = np.random.default_rng(11)
    cuts = {
        0,
        1,
        8,
        100,
        131,
        133,
        len(data) // 2,
        len(data) - 2,
        len(data) - 1,
        *rng.integers(1, len(data), 60).tolist(),
    }
    stump = tmp_path / f"stump-{sample.name}"
    for cut in sorted(c for c in cuts if 0 <= c < len(data)):
        stump.write_bytes(data[:cut])
        with pytest.raises(ScanwrightError, match="stump"):
            read_volume(stump)


@every
def test_damage_gives_our_error_or_an_image(sample: Path, tmp_path: Path) -> None:
    data = bytearray(sample.read_bytes())
    rng = np.random.default_rng(5)
    broken = tmp_path / f"broken-{sample.name}"
    for _ in range(120):
        mutant = bytearray(data)
        reach = len(mutant) if rng.random() < 0.5 else min(400, len(mutant))
        for at in rng.integers(0, reach, rng.integers(1, 6)):
            mutant[at] = rng.integers(0, 256)
        broken.write_bytes(bytes(mutant))
        try:
            volume = read_volume(broken)
            said = ""
        except ScanwrightError as error:
            volume, said = None, str(error)
        assert "SECRET" not in said
        assert "Doe" not in said
        assert volume is None or volume.array.size


@every
def test_a_damaged_file_of_the_wrong_name_names_both_kinds(sample: Path, tmp_path: Path) -> None:
    data = sample.read_bytes()
    liar = tmp_path / ("liar.bmp" if sample.suffix == ".png" else "liar.png")
    liar.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(FormatError, match=r"liar\.(png|bmp)"):
        read_volume(liar)


@pytest.mark.parametrize("content", [b"", b"hello, I am a picture", bytes(5000)])
@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a.nii.gz", "a.npz", "notes.txt"])
def test_content_of_no_kind_is_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=name):
        read_volume(tmp_path / name)
    with pytest.raises(FormatError, match=name):
        probe(tmp_path / name)
