"""Which files belong together, and which are refused before anything decodes them."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from scanwright.serving import Limits
from scanwright.serving.cases import sort_files
from scanwright.serving.kinds import KINDS, recognise
from scanwright.serving.refusal import Refusal
from scanwright.serving.upload import Upload

MISC = {
    "nifti_misc/nb_anatomical.nii": "nifti",
    "nifti_misc/ts_example_ct_sm.nii.gz": "nifti-gz",
    "nifti_misc/pr_brain1_image.nrrd": "nrrd",
    "busi/images/normal/normal (1).png": "png",
    "chasedb1/Image_01L.jpg": "jpeg",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "request"
    place.mkdir()
    return place


def put(folder: Path, *contents: tuple[str, bytes]) -> list[Upload]:
    out = []
    for n, (name, data) in enumerate(contents):
        path = folder / f"f{n:05d}"
        path.write_bytes(data)
        out.append(Upload(path, name))
    return out


def refused(folder: Path, name: str, data: bytes, **limits: Any) -> Refusal:
    done = sort_files(put(folder, (name, data)), folder, Limits(**limits))
    assert not done.pieces
    return done.refused[0][1]


@pytest.mark.parametrize(("file", "kind"), MISC.items())
def test_content_decides_what_a_file_is(kit: Path, file: str, kind: str, tmp_path: Path) -> None:
    copy = tmp_path / "wrong.txt"
    shutil.copyfile(kit / file, copy)
    found = recognise(copy, "wrong.txt")
    assert found is KINDS[kind]
    found.measure(copy, "wrong.txt", Limits())


def test_every_dicom_file_of_the_kit_is_recognised(kit: Path) -> None:
    for path in sorted((kit / "dicom_misc").glob("*.dcm")):
        assert recognise(path, path.name) is KINDS["dicom"]


def test_slices_of_one_series_make_one_case(kit: Path, folder: Path) -> None:
    files = sorted((kit / "dicom_ct_chest_lidc").glob("*.dcm"))[:6]
    uploads = put(folder, *((f"ct/{p.name}", p.read_bytes()) for p in files))
    (piece,) = sort_files(uploads, folder, Limits()).pieces
    assert piece.path.is_dir()
    assert len(list(piece.path.iterdir())) == 6
    assert piece.name == "ct"


def test_two_series_are_two_cases_and_projections_stand_alone(kit: Path, folder: Path) -> None:
    sources = [*sorted((kit / "dicom_ct_chest_lidc").glob("*.dcm"))[:2], *sorted((kit / "dicom_mr_t1").glob("*"))[:2]]
    sources = [p for p in sources if p.is_file()]
    radiograph = kit / "dicom_misc/hd_dx_image.dcm"
    uploads = put(folder, *((p.name, p.read_bytes()) for p in [*sources, radiograph, radiograph]))
    done = sort_files(uploads, folder, Limits())
    assert [p.path.is_dir() for p in done.pieces] == [False, False, True, True]
    assert done.refused == []


def test_a_model_of_pictures_gets_every_slice(kit: Path, folder: Path) -> None:
    files = sorted((kit / "dicom_ct_chest_lidc").glob("*.dcm"))[:3]
    uploads = put(folder, *((p.name, p.read_bytes()) for p in files))
    assert [p.name for p in sort_files(uploads, folder, Limits(), volumes=False).pieces] == [p.name for p in files]


def test_a_zip_of_a_series_is_one_case_named_after_the_zip(kit: Path, folder: Path, make: Any) -> None:
    files = sorted((kit / "dicom_ct_chest_lidc").glob("*.dcm"))[:4]
    archive = make["zip"]({f"a/b/{p.name}": p.read_bytes() for p in files})
    (piece,) = sort_files(put(folder, ("ct.zip", archive)), folder, Limits()).pieces
    assert piece.name == "ct.zip"
    assert piece.path.is_dir()


def test_a_dicom_object_without_an_image_is_refused(kit: Path, folder: Path) -> None:
    refusal = refused(folder, "report.dcm", (kit / "dicom_misc/hd_sr_document.dcm").read_bytes())
    assert refusal.status == 422
    assert "without an image" in refusal.fact


@pytest.mark.parametrize("name", ["../up.png", "/abs.png", "a/../../b.png", "C:\\x.png", "..\\..\\x.png", "a\0b.png"])
def test_an_archive_that_reaches_outside_is_refused_whole(folder: Path, make: Any, name: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("good.png", make["png"]())
        info = zipfile.ZipInfo("placeholder")
        info.filename = info.orig_filename = name
        archive.writestr(info, make["png"]())
    before = set(folder.parent.rglob("*"))
    refusal = refused(folder, "evil.zip", out.getvalue())
    assert refusal.status == 422
    assert set(folder.parent.rglob("*")) == before | {folder / "f00000"}


def test_a_link_in_an_archive_is_refused(folder: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert "a link" in refused(folder, "evil.zip", out.getvalue()).fact


def test_a_bomb_is_refused_by_what_it_declares(folder: Path, make: Any) -> None:
    bomb = make["zip"]({"zeros.npy": b"\0" * 40_000_000})
    assert len(bomb) < 100_000
    refusal = refused(folder, "bomb.zip", bomb)
    assert refusal.status == 413
    assert "200 times" in refusal.rule


def test_a_bomb_that_lies_about_its_size_is_refused(folder: Path, make: Any) -> None:
    bomb = bytearray(make["zip"]({"zeros.npy": b"\0" * 40_000_000}))
    central = bomb.rindex(b"PK\x01\x02")
    struct.pack_into("<I", bomb, central + 24, 1000)
    assert refused(folder, "bomb.zip", bytes(bomb)).status in (413, 422)


def test_a_gzip_bomb_is_refused(folder: Path, kit: Path) -> None:
    head = (kit / "nifti_misc/nb_anatomical.nii").read_bytes()[:352]
    refusal = refused(folder, "x.nii.gz", gzip.compress(head + b"\0" * 40_000_000))
    assert refusal.status == 413


def test_a_deflated_dicom_bomb_is_refused(folder: Path) -> None:
    from pydicom.dataset import FileMetaDataset
    from pydicom.filewriter import write_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    out = io.BytesIO(b"\0" * 128 + b"DICM")
    out.seek(132)
    write_file_meta_info(out, meta)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = out.getvalue() + squeeze.compress(b"\0" * 60_000_000) + squeeze.flush()
    assert len(data) < 100_000
    assert refused(folder, "bomb.dcm", data).status == 413


def test_a_zip_in_a_zip_is_refused(folder: Path, make: Any) -> None:
    inner = make["zip"]({"a.png": make["png"]()})
    assert refused(folder, "outer.zip", make["zip"]({"inner.zip": inner})).status == 415


def test_too_many_members_are_refused(folder: Path, make: Any) -> None:
    archive = make["zip"]({f"{n}.png": b"x" for n in range(20)})
    assert refused(folder, "many.zip", archive, max_files=10).status == 413


def test_pixels_are_counted_before_they_are_decoded(folder: Path) -> None:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    idat = zlib.compress(b"\0" * 100)
    chunk += struct.pack(">I", len(idat)) + b"IDAT" + idat + struct.pack(">I", zlib.crc32(b"IDAT" + idat))
    refusal = refused(folder, "huge.png", b"\x89PNG\r\n\x1a\n" + chunk)
    assert refusal.status == 413


def test_a_dicom_file_that_declares_too_much_is_refused(kit: Path, folder: Path) -> None:
    import pydicom

    image = pydicom.dcmread(kit / "dicom_misc/hd_dx_image.dcm")
    image.Rows, image.Columns, image.NumberOfFrames = 65535, 65535, 100000
    out = io.BytesIO()
    image.save_as(out)
    assert refused(folder, "huge.dcm", out.getvalue()).status == 413


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.nrrd", b"NRRD0004\ntype: short\nsizes: 99999 99999 999\nencoding: raw\n\n"),
        (
            "x.mha",
            b"ObjectType = Image\nNDims = 3\nDimSize = 9999 9999 999\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
        ),
    ],
)
def test_volumes_are_counted_before_they_are_read(folder: Path, name: str, data: bytes) -> None:
    assert refused(folder, name, data).status == 413


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.nrrd", b"NRRD0004\ntype: short\nsizes: 4 4\ndata file: /etc/passwd\n\n"),
        (
            "x.mha",
            b"ObjectType = Image\nNDims = 2\nDimSize = 4 4\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n",
        ),
    ],
)
def test_a_header_that_points_at_another_file_is_refused(folder: Path, name: str, data: bytes) -> None:
    assert "another file" in refused(folder, name, data).fact


def test_an_array_that_declares_too_much_is_refused(folder: Path, make: Any) -> None:
    whole = make["npy"](np.zeros((4, 4), np.float32))
    assert refused(folder, "x.npy", whole.replace(b"(4, 4)", b"(9**9)")).status == 422
    assert refused(folder, "cut.npy", whole[:-8]).status == 422
    assert refused(folder, "y.npy", make["npy"](np.zeros((2000, 1000), np.uint8)), max_megavoxels=1).status == 413


def test_too_many_cases_are_refused(client_of: Callable[..., TestClient], fake: Any, make: Any) -> None:
    client = client_of({"chest": fake}, max_cases=2)
    archive = make["zip"]({f"{n}.png": make["png"]() for n in range(3)})
    answer = client.post("/v1/predict", files={"files": ("three.zip", archive)})
    assert answer.status_code == 413
    assert "3 cases" in answer.json()["error"]["fact"]


def test_a_series_reaches_the_model_as_one_volume(
    client_of: Callable[..., TestClient], volume_fake: Any, kit: Path
) -> None:
    client = client_of({"deep": volume_fake})
    files = sorted((kit / "dicom_ct_chest_lidc").glob("*.dcm"))[:5]
    body = client.post("/v1/predict", files=[("files", (p.name, p.read_bytes())) for p in files]).json()
    assert len(body["results"]) == 1
    assert volume_fake.seen[0][1] == (1, 4, 4, 5)
    assert body["results"][0]["case"].endswith("(+4)")
    link = body["results"][0]["heatmap"]["nifti"]
    import nibabel

    heat = nibabel.Nifti1Image.from_bytes(client.get(link).content)
    assert heat.shape == (4, 4, 5)
    assert np.allclose(heat.get_fdata(), 0.5)


@pytest.mark.parametrize(
    ("shape", "volumes", "names"),
    [
        ((8, 9), False, ["x.npy"]),
        ((2, 8, 9), False, ["x.npy[0]", "x.npy[1]"]),
        ((8, 9, 3), False, ["x.npy"]),
        ((2, 8, 9, 3), False, ["x.npy[0]", "x.npy[1]"]),
        ((8, 9, 10), True, ["x.npy"]),
        ((2, 8, 9, 10), True, ["x.npy[0]", "x.npy[1]"]),
        ((3, 8, 9, 10), True, ["x.npy"]),
    ],
)
def test_an_array_of_many_images_is_a_case_a_row(
    folder: Path, make: Any, shape: tuple[int, ...], volumes: bool, names: list[str]
) -> None:
    uploads = put(folder, ("x.npy", make["npy"](np.zeros(shape, np.float32))))
    assert [p.name for p in sort_files(uploads, folder, Limits(), volumes=volumes).pieces] == names


SAMPLES = {
    "dicom": b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x04\0",
    "nifti": struct.pack("<I", 348) + b"\0" * 340 + b"n+1\0",
    "nifti-gz": gzip.compress(struct.pack(">I", 348) + b"\0" * 340 + b"n+1\0"),
    "nrrd": b"NRRD0005\ntype: uint8\n",
    "mha": b"ObjectType = Image\nNDims = 3\nElementType = MET_SHORT\n",
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff\xe0",
    "tiff": b"MM\0*",
    "npy": b"\x93NUMPY\x01\0",
}


def test_each_kind_fits_its_own_content_only_and_refuses_stubs(tmp_path: Path) -> None:
    assert set(SAMPLES) == set(KINDS)
    for name, sample in SAMPLES.items():
        assert [k for k, kind in KINDS.items() if kind.fits(sample)] == [name]
        path = tmp_path / name
        path.write_bytes(sample)
        with suppress(Refusal):  # a stub may be refused here or by the reader, never with another error
            KINDS[name].measure(path, name, Limits())
