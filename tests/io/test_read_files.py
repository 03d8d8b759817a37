"""Pictures, arrays, NIfTI, NRRD and MetaImage beyond what the contract tests cover; and writers."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image

from scanwright.core import FormatError, GeometryError, Grid, InputError
from scanwright.io import open_array, probe, read_label_map, read_volume, write_nifti, write_png

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (13, 17, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (13, 17)).astype(np.uint16)


def test_colour_alpha_palette_and_bits(tmp_path: Path) -> None:
    cases = {
        "rgb": (Image.fromarray(COLOUR), COLOUR),
        "rgba": (Image.fromarray(np.dstack([COLOUR, np.full((13, 17), 255, np.uint8)])), COLOUR),
        "grey16": (Image.fromarray(DEEP), DEEP),
        "bits": (Image.fromarray(COLOUR[..., 0] > 127), (COLOUR[..., 0] > 127) * 255),
    }
    palette = Image.fromarray(COLOUR).quantize(16)
    cases["palette"] = (palette, np.asarray(palette.convert("RGB")))
    for name, (picture, expected) in cases.items():
        path = tmp_path / f"{name}.png"
        picture.save(path)
        volume = read_volume(path)
        shown = volume.array[..., 0].transpose(1, 2, 0) if volume.channel == "rgb" else volume.array[0, ..., 0]
        assert np.array_equal(shown, expected), name
        assert probe(path).n_channels == volume.n_channels
        assert not volume.grid.spacing_known
    assert read_volume(tmp_path / "grey16.png").array.dtype == np.uint16


def test_colour_of_16_bits_is_kept(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (5, 4, 3)).astype(np.uint16)
    sitk.WriteImage(sitk.GetImageFromArray(deep, isVector=True), str(tmp_path / "deep.png"))
    assert np.array_equal(read_volume(tmp_path / "deep.png").array[..., 0].transpose(1, 2, 0), deep)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    letter = np.zeros((48, 32), np.uint8)
    letter[8:40, 8:14] = letter[8:14, 8:24] = letter[22:28, 8:18] = 255
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpose that a viewer must undo
    stored = Image.fromarray(letter)
    if orientation > 1:
        inverse = {0: 0, 1: 1, 3: 3, 5: 5, 6: 6, 2: 4, 4: 2}[undo[orientation]]
        stored = stored.transpose(
            {4: Image.Transpose.ROTATE_270, 2: Image.Transpose.ROTATE_90}.get(inverse, Image.Transpose(inverse))
        )
        if orientation in (6, 8):
            stored = Image.fromarray(letter).transpose(
                Image.Transpose.ROTATE_90 if orientation == 6 else Image.Transpose.ROTATE_270
            )
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "f.jpg", quality=100, exif=exif)
    seen = read_volume(tmp_path / "f.jpg").array[0, :, :, 0]
    assert seen.shape == letter.shape
    assert np.abs(seen.astype(int) - letter).max() < 40
    assert probe(tmp_path / "f.jpg").shape == letter.shape


def test_tiff_keeps_16_bits_floats_and_pages(tmp_path: Path) -> None:
    pages = RNG.integers(0, 65536, (4, 13, 17)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "pages.tif", pages, photometric="minisblack")
    assert np.array_equal(read_volume(tmp_path / "pages.tif").array[0], pages.transpose(1, 2, 0))
    tifffile.imwrite(tmp_path / "stack.tif", pages, imagej=True, metadata={"axes": "ZYX"})
    assert np.array_equal(read_volume(tmp_path / "stack.tif").array[0], pages.transpose(1, 2, 0))
    tifffile.imwrite(tmp_path / "float.tif", DEEP.astype(np.float32) / 7, compression="zlib")
    assert np.array_equal(read_volume(tmp_path / "float.tif").array[0, :, :, 0], DEEP.astype(np.float32) / 7)
    tifffile.imwrite(tmp_path / "rgb.tif", COLOUR, photometric="rgb")
    assert np.array_equal(read_volume(tmp_path / "rgb.tif").array[..., 0].transpose(1, 2, 0), COLOUR)
    tifffile.imwrite(tmp_path / "white.tif", COLOUR[..., 0], photometric="miniswhite")
    assert np.array_equal(read_volume(tmp_path / "white.tif").array[0, :, :, 0], 255 - COLOUR[..., 0])


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    )
    with pytest.raises(FormatError, match="50000 x 50000 pixels"):
        read_volume(tmp_path / "bomb.png")
    nifti = nibabel.Nifti1Header()
    nifti.set_data_shape((30000, 30000, 30000))
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(nifti.binaryblock + bytes(4)))
    with pytest.raises(FormatError, match=r"bomb\.nii\.gz declares"):
        read_volume(tmp_path / "bomb.nii.gz")


ROWS = [
    ((5, 9, 8), (1, 9, 8, 1), "channel"),
    ((5, 9, 8, 1), (1, 9, 8, 1), "channel"),
    ((5, 9, 8, 3), (3, 9, 8, 1), "rgb"),
    ((5, 9, 8, 4), (3, 9, 8, 1), "rgb"),
    ((5, 3, 9, 8), (3, 9, 8, 1), "rgb"),
    ((5, 9, 8, 7), (1, 9, 8, 7), "channel"),
    ((5, 9, 8, 7, 3), (3, 9, 8, 7), "rgb"),
    ((5, 2, 9, 8, 7), (2, 9, 8, 7), "channel"),
]


@pytest.mark.parametrize(("shape", "expected", "channel"), ROWS)
def test_rows_of_arrays(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...], channel: str) -> None:
    array = RNG.integers(0, 255, shape, dtype=np.uint8)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array, y=np.zeros(5))
    for source in ("a.npy[3]", "a.npz::x[3]"):
        volume = read_volume(source, root=tmp_path)
        assert volume.array.shape == expected
        assert volume.channel == channel
    with pytest.raises(InputError, match="Row 5 was asked"):
        read_volume("a.npy[5]", root=tmp_path)
    assert probe(tmp_path / "a.npz").keys == {"x": shape, "y": (5,)}


def test_arrays_are_opened_once_and_read_anew_when_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((2, 4, 4)))
    assert open_array(f"{path}::x") is open_array(f"{path}::x")
    np.savez(path, x=np.ones((3, 4, 4)))
    assert open_array(f"{path}::x").sum() == 48
    with pytest.raises(InputError, match="holds x"):
        read_volume(f"{path}::z[0]")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="Python objects"):
        read_volume(tmp_path / "evil.npy")


def test_nan_is_filled_and_counted_and_infinity_refused(tmp_path: Path) -> None:
    values = np.linspace(-3, 5, 60, dtype=np.float32).reshape(5, 4, 3)
    values[0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "nan.nii")
    volume = read_volume(tmp_path / "nan.nii")
    assert volume.header["not_finite_voxels"] == "3"
    assert volume.array.min() == np.nanmin(values)
    values[1, 1, 1] = np.inf
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "inf.nii")
    with pytest.raises(FormatError, match="1 infinite value"):
        read_volume(tmp_path / "inf.nii")


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"), [(1, 0, np.int16), (2, -1000, np.int32), (0.25, 3, np.float32)]
)
def test_nifti_scaling(tmp_path: Path, slope: float, intercept: float, dtype: type) -> None:
    raw = RNG.integers(-1000, 1000, (5, 4, 3)).astype(np.int16)
    image = nibabel.Nifti1Image(raw, np.diag([1, 2, 3, 1]))
    image.header.set_slope_inter(slope, intercept)
    nibabel.save(image, tmp_path / "a.nii")
    stored = np.asanyarray(nibabel.load(tmp_path / "a.nii").dataobj)
    volume = read_volume(tmp_path / "a.nii")
    assert volume.array.dtype == dtype
    assert np.allclose(volume.array[0], stored)


def test_nifti_in_microns_and_two_dimensions(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.ones((5, 4), np.uint8), np.diag([500, 250, 1000, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").grid.spacing[:2] == pytest.approx((0.5, 0.25))


def test_nrrd_in_ras_and_metaimage_vectors(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype="<i2")
    head = "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 4 3 2\nencoding: raw\nendian: little\n"
    head += "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (5,6,7)\n\n"
    (tmp_path / "ras.nrrd").write_bytes(head.encode() + voxels.tobytes())
    volume = read_volume(tmp_path / "ras.nrrd")
    assert np.allclose(volume.grid.affine, [[1, 0, 0, 5], [0, 2, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    assert np.array_equal(volume.array[0], voxels.reshape(2, 3, 4).transpose(2, 1, 0))
    vectors = RNG.random((2, 3, 4, 5)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(vectors, isVector=True), str(tmp_path / "v.mha"))
    assert np.array_equal(read_volume(tmp_path / "v.mha").array, vectors.transpose(3, 2, 1, 0))


def test_a_header_may_not_reach_out_of_its_folder(tmp_path: Path) -> None:
    head = "NDims = 2\nDimSize = 4 4\nElementType = MET_UCHAR\nElementDataFile = ../secret.raw\n"
    (tmp_path / "a.mhd").write_text(head)
    with pytest.raises(FormatError, match="keeps its voxels in"):
        read_volume(tmp_path / "a.mhd")


def test_zips_with_care(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        picture = io.BytesIO()
        Image.fromarray(COLOUR).save(picture, "PNG")
        archive.writestr("../../escape.png", picture.getvalue())
    assert read_volume(tmp_path / "out.zip").n_channels == 3
    assert not list(tmp_path.parent.glob("escape.png"))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.raw", bytes(200 << 20))
    with pytest.raises(FormatError, match="200 MiB"):
        read_volume(tmp_path / "bomb.zip")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.png", picture.getvalue())
        archive.writestr("b.png", picture.getvalue())
    with pytest.raises(InputError, match="2 other images"):
        read_volume(tmp_path / "two.zip")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_written_nifti_comes_back(tmp_path: Path, name: str) -> None:
    affine = np.array([[0, -0.7, 0.1, 3], [1.1, 0, 0, -4], [0, 0.1, 0.9, 5], [0, 0, 0, 1]])
    grid = Grid((5, 4, 3), affine)
    for array in (RNG.random((5, 4, 3)) > 0.5, RNG.random((2, 5, 4, 3)).astype(np.float32)):
        volume = read_volume(write_nifti(tmp_path / name, array, grid, unit="HU"))
        assert np.array_equal(volume.array, array.reshape(-1, 5, 4, 3))
        assert np.abs(volume.grid.affine - affine).max() < 1e-6
        theirs = nibabel.load(tmp_path / name)
        assert np.abs(theirs.affine - affine).max() < 1e-6
    with pytest.raises(GeometryError, match="do not fit"):
        write_nifti(tmp_path / name, np.zeros((5, 4, 4)), grid)


@pytest.mark.parametrize("picture", [COLOUR, COLOUR[..., 0], DEEP])
def test_written_png_comes_back(tmp_path: Path, picture: np.ndarray) -> None:
    path = write_png(tmp_path / "a.png", picture)
    assert np.array_equal(np.asarray(Image.open(path)), picture)
    seen = read_volume(path).array[..., 0]
    assert np.array_equal(seen[0] if picture.ndim == 2 else seen.transpose(1, 2, 0), picture)
    with pytest.raises(InputError, match="cannot be written as PNG"):
        write_png(path, picture.astype(np.float64))


def test_label_maps_are_whole_numbers(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", np.full((3, 3, 3), 2.0), Grid((3, 3, 3)))
    assert read_label_map(tmp_path / "a.nii").array.max() == 2
    write_nifti(tmp_path / "b.nii", np.full((3, 3, 3), 0.5), Grid((3, 3, 3)))
    with pytest.raises(FormatError, match="no whole numbers"):
        read_label_map(tmp_path / "b.nii")


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="Row 3 was asked of a.png, which is a PNG file"):
        read_volume("a.png[3]", root=tmp_path)
    with pytest.raises(InputError, match="The member 'x' was asked"):
        read_volume("a.png::x", root=tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_volume("b.png", root=tmp_path)
    with pytest.raises(InputError, match="holds no DICOM image"):
        read_volume(tmp_path)
