"""Reading a DICOM series: Scanwright beside SimpleITK, in one run, from a warm cache.

Both start from the folder and end with all voxels in memory, in physical units and in order.
SimpleITK sorts with `GetGDCMSeriesFileNames`. Run: `python benchmarks/speed/read_series.py [FOLDER ...]`.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from scanwright.io import read_series
from scanwright.io.dicom import series

KIT = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
SETS = ("dicom_ct_chest_lidc", "dicom_mr_t1", "dicom_pet_seg/pet")
REPEATS = 15


def ours(folder: Path) -> np.ndarray:
    """Values as (slices, rows, columns); nothing is remembered from an earlier call."""
    series._known.clear()
    return read_series(folder).array[0].transpose(2, 0, 1)


def theirs(folder: Path) -> np.ndarray:
    """The same through SimpleITK."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute())


def seconds(read: Callable[[Path], Any], folder: Path) -> float:
    """Wall clock of one call."""
    start = time.perf_counter()
    read(folder)
    return time.perf_counter() - start


def main() -> None:
    """Print a table: fastest and median seconds of each, and their ratios."""
    folders = [Path(p) for p in sys.argv[1:]] or [(KIT / name).resolve() for name in SETS]
    print(f"Python {platform.python_version()}, SimpleITK {sitk.Version_VersionString()}, {platform.machine()}")
    print(
        f"{'series':<24}{'slices':>7}{'ours min':>10}{'median':>9}{'sitk min':>10}{'median':>9}{'x min':>7}{'x med':>7}"
    )
    for folder in folders:
        if not folder.is_dir():
            print(f"{folder.name:<24} not there")
            continue
        mine, other = ours(folder), theirs(folder)
        same = mine.shape == other.shape and bool(np.allclose(mine, other, rtol=1e-5, atol=1e-3))
        pairs = [(seconds(ours, folder), seconds(theirs, folder)) for _ in range(REPEATS)]  # in turn: same weather
        a, b = [p[0] for p in pairs], [p[1] for p in pairs]
        ratio_min, ratio_median = min(b) / min(a), statistics.median(y / x for x, y in pairs)
        print(
            f"{folder.name:<24}{len(mine):>7}{min(a):>10.4f}{statistics.median(a):>9.4f}{min(b):>10.4f}"
            f"{statistics.median(b):>9.4f}{ratio_min:>7.2f}{ratio_median:>7.2f}{'' if same else '  values differ'}"
        )


if __name__ == "__main__":
    main()
