"""DICOM files and series as a user meets them: order, units, colours, gaps, copies."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from scanwright.core import FormatError, GeometryError, InputError
from scanwright.io import list_series, probe, read_label_map, read_series, read_volume
from scanwright.io.dicom.open import HEADER_NAMES, open_dicom
from scanwright.io.dicom.quick import QuickHeader

KIT = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def kit(name: str) -> Path:
    path = KIT / name
    if not path.exists():
        pytest.skip("the benchmark kit is not beside the repository")
    return path.resolve()


def slice_of(k: int, series: str = "1.2.3", **changes: object) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2", series
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Doe^Jane", "SECRET-77", "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.InstanceNumber = k
    dataset.ImagePositionPatient = [-10, -20, 2.5 * k]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [0.8, 0.6], 2.5
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 6, 5, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = (np.arange(30, dtype="<u2") + 100 * k).tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def write(folder: Path, datasets: list[Dataset], seed: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    names = list(range(len(datasets)))
    random.Random(seed).shuffle(names)
    for name, dataset in zip(names, datasets):
        pydicom.dcmwrite(folder / f"{name:04d}.dcm", dataset, enforce_file_format=True)
    return folder


def test_unordered_files_become_an_ordered_volume_in_hu(tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "ct", [slice_of(k) for k in range(8)]))
    expected = np.stack([(np.arange(30) + 100 * k - 1024).reshape(6, 5) for k in range(8)], axis=2)
    assert np.array_equal(volume.array[0], expected)
    assert volume.array.dtype == np.int16
    assert (volume.unit, volume.modality) == ("HU", "CT")
    assert np.allclose(volume.grid.world((2, 3, 4)), (10 - 3 * 0.6, 20 - 2 * 0.8, 10))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_encodings_give_the_same_values(tmp_path: Path, syntax: str) -> None:
    datasets = [slice_of(k) for k in range(3)]
    expected = read_volume(write(tmp_path / "a", datasets)).array
    for k, dataset in enumerate(datasets):
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = (np.arange(30) + 100 * k).astype(">u2").tobytes()
    assert np.array_equal(read_volume(write(tmp_path / "b", datasets)).array, expected)


def test_slope_of_each_slice(tmp_path: Path) -> None:
    slopes = [0.5, 2.25, 1.0]
    datasets = [
        slice_of(k, Modality="PT", Units="BQML", RescaleSlope=s, RescaleIntercept=0, BitsStored=16, HighBit=15)
        for k, s in enumerate(slopes)
    ]
    volume = read_volume(write(tmp_path / "pet", datasets))
    assert volume.unit == "BQML"
    for k, slope in enumerate(slopes):
        assert np.allclose(volume.array[0, :, :, k].ravel(), (np.arange(30) + 100 * k) * slope, rtol=1e-6)


CHANGES: list[tuple[str, Callable[[list[Dataset]], object], str]] = [
    ("gap", lambda d: d.pop(3), r"Slices are 2\.50 to 5\.00 mm apart; 1 is missing between"),
    ("copy", lambda d: d.append(slice_of(2)), "taken more than once"),
    ("uneven", lambda d: setattr(d[5], "ImagePositionPatient", [-10, -20, 12.8]), r"2\.20 to 2\.80 mm apart"),
    ("no position", lambda d: delattr(d[2], "ImagePositionPatient"), "has no position"),
    ("turned", lambda d: setattr(d[4], "ImageOrientationPatient", [0, 1, 0, 0, 0, -1]), "face different ways"),
    ("spacing", lambda d: setattr(d[4], "PixelSpacing", [0.9, 0.9]), "different pixel spacings"),
]


@pytest.mark.parametrize(("change", "message"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_what_makes_no_volume_is_refused(
    tmp_path: Path, change: Callable[[list[Dataset]], object], message: str
) -> None:
    datasets = [slice_of(k) for k in range(8)]
    change(datasets)
    with pytest.raises(GeometryError, match=message) as caught:
        read_volume(write(tmp_path / "ct", datasets))
    assert "SECRET" not in str(caught.value)


def test_gantry_tilt_is_refused(tmp_path: Path) -> None:
    datasets = [slice_of(k, ImagePositionPatient=[-10, -20 + 0.67 * k, 2.5 * k]) for k in range(5)]
    with pytest.raises(GeometryError, match=r"sheared by 15\.0 degrees"):
        read_volume(write(tmp_path / "ct", datasets))


def test_slices_of_other_sizes_are_refused(tmp_path: Path) -> None:
    odd = slice_of(9, Rows=3, Columns=10)
    with pytest.raises(GeometryError, match="6 x 5 pixels"):
        read_volume(write(tmp_path / "ct", [*(slice_of(k) for k in range(4)), odd]))


def test_localizer_in_a_series_is_left_out(tmp_path: Path) -> None:
    scout = slice_of(50, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    folder = write(tmp_path / "ct", [*(slice_of(k) for k in range(4)), scout])
    assert read_volume(folder).grid.shape == (6, 5, 4)
    assert len(list_series(folder)[0].localizers) == 1


def test_time_points_become_channels(tmp_path: Path) -> None:
    datasets = [slice_of(k, TemporalPositionIdentifier=t, RescaleIntercept=t) for t in (2, 1, 3) for k in range(4)]
    volume = read_volume(write(tmp_path / "mr", datasets))
    assert volume.channel == "time"
    assert volume.array.shape == (3, 6, 5, 4)
    assert volume.array[:, 0, 0, 0].tolist() == [1, 2, 3]


def test_several_series_need_a_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "two", [slice_of(k, series) for series in ("1.2.3", "1.2.4") for k in range(3)])
    with pytest.raises(InputError, match="holds 2 series") as caught:
        read_volume(folder)
    assert "1.2.4" not in str(caught.value)
    for series in list_series(folder):
        volume = read_volume(series.locator, root=folder)
        assert volume.grid.shape == (6, 5, 3)
    with pytest.raises(InputError, match="not in two"):
        read_series(folder, uid="9.9")


def test_list_series_finds_new_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "ct", [slice_of(k) for k in range(3)])
    assert [len(s.files) for s in list_series(folder)] == [3]
    pydicom.dcmwrite(folder / "new.dcm", slice_of(3), enforce_file_format=True)
    assert [len(s.files) for s in list_series(folder)] == [4]
    assert "SECRET" not in repr(list_series(folder))


def test_monochrome1_is_turned_and_its_window_with_it(tmp_path: Path) -> None:
    path = tmp_path / "dx.dcm"
    dataset = slice_of(0, Modality="DX", PhotometricInterpretation="MONOCHROME1", RescaleIntercept=0)
    dataset.WindowCenter, dataset.WindowWidth = 1000, 400
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    volume = read_volume(path)
    assert volume.array[0].ravel().tolist() == [4095 - v for v in range(30)]
    assert volume.window == (3095.0, 400.0)


def test_overlay_bits_are_no_values(tmp_path: Path) -> None:
    path = tmp_path / "mr.dcm"
    stored = np.arange(30, dtype="<u2") | 0x8000
    pydicom.dcmwrite(path, slice_of(0, PixelData=stored.tobytes(), RescaleIntercept=0), enforce_file_format=True)
    assert read_volume(path).array[0].ravel().tolist() == list(range(30))


def test_sixteen_bits_beyond_int16_become_int32(tmp_path: Path) -> None:
    path = tmp_path / "ct.dcm"
    stored = np.linspace(0, 65535, 30).astype("<u2")
    dataset = slice_of(0, PixelData=stored.tobytes(), BitsStored=16, HighBit=15)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    volume = read_volume(path)
    assert volume.array.dtype == np.int32
    assert volume.array.ravel().tolist() == [int(v) - 1024 for v in stored]


SAME = "693_J2KR 693_UNCI JPEG-LL JPGLosslessP14SV1_1s_1f_8b MR-SIEMENS-DICOM-WithOverlays OBXXXX1A_rle_2frame RG3_J2KI"
SAME += " SC_rgb_2frame SC_rgb_expb SC_ybr_full_uncompressed US1_J2KR US1_UNCR color-px emri_small emri_small_RLE"
SAME += " emri_small_jpeg_ls_lossless hd_ct_image hd_dx_image"


@pytest.mark.parametrize("name", SAME.split())
def test_every_transfer_syntax_decodes_as_in_gdcm(name: str) -> None:
    path = kit(f"dicom_misc/{name}.dcm")
    volume = read_volume(path)
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    ours = volume.array.transpose(3, 1, 2, 0)
    assert np.array_equal(ours if volume.channel == "rgb" else ours[..., 0], theirs)


def test_files_that_gdcm_cannot_read() -> None:
    jpeg_ls = read_volume(kit("dicom_misc/JLSL_08_07_0_1F.dcm"))
    assert np.array_equal(jpeg_ls.array[0, :, :, 0], pydicom.dcmread(kit("dicom_misc/JLSL_08_07_0_1F.dcm")).pixel_array)
    floats = read_volume(kit("dicom_misc/parametric_map_float.dcm"))
    raw = pydicom.dcmread(kit("dicom_misc/parametric_map_float.dcm"))
    assert np.array_equal(floats.array.ravel(), np.frombuffer(raw.FloatPixelData, "<f4"))
    slide = read_volume(kit("dicom_misc/hd_sm_image_dots.dcm"))
    tiles = sitk.GetArrayFromImage(sitk.ReadImage(str(kit("dicom_misc/hd_sm_image_dots.dcm"))))
    assert np.array_equal(slide.array[:, 10:20, 30:40, 0].transpose(1, 2, 0), tiles[8])


@pytest.mark.parametrize("name", ["hd_sr_document.dcm"])
def test_objects_without_pixels_are_refused(name: str) -> None:
    with pytest.raises(FormatError, match="SR without pixels"):
        read_volume(kit(f"dicom_misc/{name}"))
    assert not probe(kit(f"dicom_misc/{name}")).has_pixels


def test_segmentation_becomes_labels_with_names() -> None:
    path = next(kit("dicom_pet_seg/seg").glob("*.dcm"))
    labels, raw = read_label_map(path), pydicom.dcmread(path)
    assert set(labels.names) == {int(s.SegmentNumber) for s in raw.SegmentSequence}
    assert int((labels.array > 0).sum()) == int(raw.pixel_array.sum())


def test_dicom_stumps_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for path in sorted(kit("dicom_misc").glob("*.dcm")):
        data = path.read_bytes()
        if path.name == "hd_sr_document.dcm":
            continue
        end = pydicom.dcmread(path).get_item("PixelData")
        whole = len(data) - (200 if end is None or "pad" in path.name else 0)
        for cut in rng.integers(200, whole, 4):
            stump = tmp_path / "stump.dcm"
            stump.write_bytes(data[: int(cut)])
            try:
                read_volume(stump)
            except (FormatError, GeometryError):
                continue
            trailing = pydicom.dcmread(stump)
            assert "DataSetTrailingPadding" in trailing or cut >= len(data) - 200, f"{path.name} cut at {cut}"


def test_quick_header_says_what_pydicom_says() -> None:
    folders = ["dicom_ct_chest_lidc", "dicom_mr_t1", "dicom_pet_seg", "dicom_misc", "dicom_mr_brain_tumour"]
    n_quick = 0
    for folder in folders:
        for path in sorted(kit(folder).rglob("*.dcm"))[::7]:
            quick = open_dicom(path)
            if not isinstance(quick, QuickHeader):
                continue
            n_quick += 1
            full = pydicom.dcmread(path)
            for name in HEADER_NAMES:
                value = full.get(name)
                if value is None or value == "" or name == "PixelPaddingValue":
                    continue
                theirs = (
                    [str(v) for v in value] if isinstance(value, list | pydicom.multival.MultiValue) else [str(value)]
                )
                got = quick.get(name)
                ours = [str(v) for v in got] if isinstance(got, list) else [str(got)]
                try:
                    assert [float(v) for v in ours] == [float(v) for v in theirs]
                except ValueError:
                    assert ours == theirs
    assert n_quick > 50


def test_probe_of_a_dicom_file_hides_who_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ct.dcm"
    pydicom.dcmwrite(path, slice_of(0, ImageLaterality="L"), enforce_file_format=True)
    found = probe(path)
    assert (found.kind, found.shape, found.modality, found.laterality) == ("dicom", (6, 5), "CT", "L")
    assert found.patient == "SECRET-77"
    assert "SECRET" not in repr(found)


def test_a_zip_of_a_series(tmp_path: Path) -> None:
    folder = write(tmp_path / "ct", [slice_of(k) for k in range(4)])
    shutil.make_archive(str(tmp_path / "case"), "zip", folder)
    assert np.array_equal(read_volume(tmp_path / "case.zip").array, read_volume(folder).array)


@pytest.mark.parametrize("name", ["emri_small_RLE", "693_J2KR", "JLSL_08_07_0_1F", "JPEG-LL", "OBXXXX1A_rle_2frame"])
def test_damaged_streams_give_our_error_or_an_image(tmp_path: Path, name: str) -> None:
    """A Rust decoder panics on some of these; that must not get out either."""
    data, rng = kit(f"dicom_misc/{name}.dcm").read_bytes(), np.random.default_rng(1)
    for _ in range(25):
        mutant = bytearray(data)
        for at in rng.integers(len(mutant) // 2, len(mutant), 4):
            mutant[at] = rng.integers(256)
        (tmp_path / "mutant.dcm").write_bytes(bytes(mutant))
        try:
            shape = read_volume(tmp_path / "mutant.dcm").array.shape
        except (FormatError, GeometryError) as error:
            shape = None
            said = str(error)
        assert shape is not None or "mutant.dcm" in said
