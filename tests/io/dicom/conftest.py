"""Source series made with pydicom alone, a letter F with a landmark, and other people's readers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from scanwright.core import Grid

ROWS, COLUMNS, SLICES = 21, 27, 7  # 567 pixels: frames of one bit a pixel do not end on a byte
DIRECTIONS = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "oblique": ((0.9659258, 0.2588190, 0.0), (-0.2418448, 0.9025763, 0.3561613)),
}


def _write_series(
    folder: Path,
    direction: str = "axial",
    *,
    step: Any = 2.5,
    shear: float = 0.0,
    shape: tuple[int, int, int] = (ROWS, COLUMNS, SLICES),
    other: dict[str, Any] | None = None,
) -> list[Path]:
    """A CT series whose file order is not its slice order, of a patient with a Japanese name."""
    folder.mkdir(parents=True, exist_ok=True)
    across, down = (np.array(v, dtype=float) for v in DIRECTIONS[direction])
    normal = np.cross(across, down)
    study, series, frame = (generate_uid(prefix=None) for _ in range(3))
    along = np.arange(shape[2]) * step if np.isscalar(step) else np.asarray(step, dtype=float)
    for n in range(shape[2]):
        d = Dataset()
        d.file_meta = FileMetaDataset()
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = CTImageStorage
        d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
        d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = study, series, frame
        d.PatientName, d.PatientID, d.PatientSex, d.PatientBirthDate = "Yamada^Tarou=山田^太郎", "P-7", "M", "19600101"
        d.StudyDate, d.StudyTime, d.AccessionNumber, d.StudyID = "20250102", "101112", "A1", "S1"
        d.ReferringPhysicianName, d.StudyDescription, d.BodyPartExamined = "Doc^A", "Thorax", "CHEST"
        d.PositionReferenceIndicator, d.Manufacturer, d.PatientPosition = "", "ACME", "HFS"
        d.Modality, d.SeriesNumber, d.InstanceNumber = "CT", 3, n + 1
        d.Rows, d.Columns, d.PixelSpacing, d.SliceThickness = shape[0], shape[1], [0.8, 0.6], 2.5
        d.ImageOrientationPatient = [round(float(v), 7) for v in (*across, *down)]
        place = np.array([-30.5, 12.25, 100]) + normal * along[n] + down * shear * along[n]
        d.ImagePositionPatient = [round(float(v), 6) for v in place]
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
        d.RescaleSlope, d.RescaleIntercept = 1, -1024
        d.PixelData = np.full(shape[:2], n, dtype="<u2").tobytes()
        for keyword, value in (other or {}).items():
            if value is None:
                delattr(d, keyword)
            else:
                setattr(d, keyword, value)
        d.save_as(folder / f"{(n * 5) % shape[2]:03d}.dcm", enforce_file_format=True)
    return sorted(folder.glob("*.dcm"))


def _grid_of(files: list[Path], *, reverse: bool = False) -> Grid:
    """Rows, columns, slices in RAS+, worked out from the headers alone (PS3.3 C.7.6.2.1.1)."""
    sets = [pydicom.dcmread(f, stop_before_pixels=True) for f in files]
    across, down = np.array(sets[0].ImageOrientationPatient).reshape(2, 3).astype(float)
    normal = np.cross(across, down)
    sets.sort(key=lambda d: float(np.dot(d.ImagePositionPatient, normal)), reverse=reverse)
    first, last = (np.array(d.ImagePositionPatient, dtype=float) for d in (sets[0], sets[-1]))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = down * float(sets[0].PixelSpacing[0]), across * float(sets[0].PixelSpacing[1])
    affine[:3, 2] = (last - first) / (len(sets) - 1) if len(sets) > 1 else normal
    affine[:3, 3] = first
    affine[:2] *= -1
    return Grid((int(sets[0].Rows), int(sets[0].Columns), len(sets)), affine)


def _letter(shape: tuple[int, int, int] = (ROWS, COLUMNS, SLICES)) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """An F in slices 1 and 2, and a landmark of one voxel at (17, 22, 5)."""
    letter, landmark = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    letter[3:16, 4:7, 1:3] = True
    letter[3:6, 4:16, 1:3] = True
    letter[8:11, 4:12, 1:3] = True
    landmark[17, 22, 5] = True
    return letter, landmark


def _errors_of(path: Path) -> list[str]:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    told = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False).stderr
    return [line for line in told.splitlines() if line.startswith("Error")]


def _tool(name: str) -> str:
    """A program of dcmqi: beside this Python, in DCMQI_BIN, or on the path."""
    places = [os.environ.get("DCMQI_BIN", ""), str(Path(sys.executable).parent)]
    found = next((p for place in places if place and (p := shutil.which(name, path=place))), None) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} (dcmqi) is not installed")
    return found


@pytest.fixture
def write_series() -> Callable[..., list[Path]]:
    return _write_series


@pytest.fixture
def grid_of() -> Callable[..., Grid]:
    return _grid_of


@pytest.fixture
def letter() -> Callable[..., tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    return _letter


@pytest.fixture
def errors_of() -> Callable[[Path], list[str]]:
    return _errors_of


@pytest.fixture
def tool() -> Callable[[str], str]:
    return _tool


@pytest.fixture
def data() -> Path:
    """The kit of real images."""
    found = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
    if not found.exists():
        pytest.skip("the data kit is not here")
    return found


@pytest.fixture
def real(data: Path) -> Callable[[str], tuple[list[Path], Grid]]:
    """Files and grid of a series of the kit."""

    def read(name: str) -> tuple[list[Path], Grid]:
        from scanwright.io import read_volume
        from scanwright.io.dicom.write import files_of_series

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return files_of_series(data / name, None), read_volume(str(data / name)).grid

    return read
