"""Every TIFF that is said to be read: packed, tiled, of both byte orders, in pages and planes, with all bits.

The files are written by tifffile with imagecodecs, another program than the one that reads them here,
and read in a process of its own in which imagecodecs cannot be imported.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scanwright.core import FormatError
from scanwright.io import read_volume

PACKED = ("none", "lzw", "zlib", "packbits")
KINDS = ("uint8", "uint16", "int16", "float32")
READ = """
import sys
sys.modules["imagecodecs"] = None
import numpy as np
from pathlib import Path
from scanwright.io import read_volume
for path in sorted(Path(sys.argv[1]).glob("*.tif")):
    try:
        np.save(path.with_suffix(".npy"), read_volume(path).array)
    except Exception as error:
        path.with_suffix(".error").write_text(f"{type(error).__name__}: {error}")
"""


def pixels(dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Slopes and noise over the whole range of a type: lost low bits would show."""
    rng = np.random.default_rng(7)
    if dtype == "float32":
        return rng.normal(0, 1e3, shape).astype(dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    slope = np.linspace(low, high - 300, shape[0] * shape[1]).reshape(shape[:2] + (1,) * (len(shape) - 2))
    return np.clip(slope + rng.integers(0, 300, shape), low, high).astype(dtype)


def combinations() -> dict[str, dict[str, Any]]:
    """Name of a file to how it is written."""
    found = {}
    for packed, dtype, colour, tiled, order in itertools.product(PACKED, KINDS, (0, 1), (0, 1), "<>"):
        if dtype in ("int16", "float32") and colour:
            continue
        for predictor in (0, 2) if packed in ("lzw", "zlib") and dtype in ("uint8", "uint16") else (0,):
            name = f"{packed}-{dtype}-{'rgb' if colour else 'grey'}-{'tiles' if tiled else 'strips'}"
            name += f"-{'big' if order == '>' else 'little'}-{predictor}"
            found[name] = {"dtype": dtype, "colour": colour, "order": order, "packed": packed, "predictor": predictor,
                           "tile": (16, 32) if tiled else None, "pages": 1, "planar": None}  # fmt: skip
    for packed, dtype in itertools.product(PACKED, KINDS):
        plain = {
            "dtype": dtype,
            "colour": 0,
            "order": "<",
            "packed": packed,
            "predictor": 0,
            "tile": None,
            "planar": None,
        }
        found[f"{packed}-{dtype}-pages"] = {**plain, "pages": 3}
        if dtype in ("uint8", "uint16"):
            found[f"{packed}-{dtype}-planes"] = {**plain, "pages": 1, "colour": 1, "planar": "separate"}
    return found


COMBINATIONS = combinations()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray[Any, Any]]]:
    """Folder of the files, read again without imagecodecs; and what was written."""
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed, which packs the files")
    import tifffile

    folder, truth = tmp_path_factory.mktemp("tiff"), {}
    for name, how in COMBINATIONS.items():
        array = pixels(how["dtype"], (45, 70, 3) if how["colour"] else (45, 70))
        pages = np.stack([np.roll(array, k, axis=0) for k in range(how["pages"])])
        planar = how["planar"]
        data = np.moveaxis(pages[0], -1, 0) if planar else pages if how["pages"] > 1 else pages[0]
        tifffile.imwrite(
            folder / f"{name}.tif", data, byteorder=how["order"], tile=how["tile"], planarconfig=planar,
            photometric="rgb" if how["colour"] else "minisblack", rowsperstrip=None if how["tile"] else 11,
            compression=None if how["packed"] == "none" else how["packed"], predictor=how["predictor"] or None,
            metadata=None,
        )  # fmt: skip
        # C I J K: channels first, pages last
        truth[name] = np.moveaxis(pages, 0, 2)[None] if pages.ndim == 3 else np.moveaxis(pages, (3, 0), (0, 3))
    subprocess.run([sys.executable, "-W", "ignore", "-c", READ, str(folder)], check=True)
    return folder, truth


@pytest.mark.parametrize("name", COMBINATIONS)
def test_every_packed_tiff_keeps_its_values(name: str, written: tuple[Path, dict[str, Any]]) -> None:
    folder, truth = written
    error = folder / f"{name}.error"
    assert not error.exists(), error.read_text()
    array = np.load(folder / f"{name}.npy")
    assert array.dtype.itemsize >= truth[name].dtype.itemsize
    np.testing.assert_array_equal(array, truth[name])


@pytest.mark.parametrize("packed", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw"])
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "F"])
def test_tiffs_of_pillow_keep_their_values(tmp_path: Path, packed: str, mode: str) -> None:
    dtype = {"L": "uint8", "RGB": "uint8", "I;16": "uint16", "F": "float32"}[mode]
    array = pixels(dtype, (40, 30, 3) if mode == "RGB" else (40, 30))
    Image.fromarray(array).save(tmp_path / "a.tif", compression=packed)
    found = read_volume(tmp_path / "a.tif").array[..., 0]
    np.testing.assert_array_equal(np.moveaxis(found, 0, -1) if mode == "RGB" else found[0], array)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_in_a_tiff_is_read_as_pillow_reads_it(tmp_path: Path, mode: str) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    array = np.stack([smooth, smooth[::-1], smooth[:, ::-1]], -1) if mode == "RGB" else smooth
    Image.fromarray(array).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    found = read_volume(tmp_path / "a.tif").array[..., 0].astype(int)
    found = np.moveaxis(found, 0, -1) if mode == "RGB" else found[0]
    assert np.abs(found - array.astype(int)).mean() < 4


def test_a_damaged_lzw_strip_is_named(tmp_path: Path) -> None:
    import tifffile

    Image.fromarray(pixels("uint16", (40, 30))).save(tmp_path / "a.tif", compression="tiff_lzw")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        offset, size = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]  # type: ignore[union-attr]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[offset : offset + size] = b"\xff" * size
    (tmp_path / "b.tif").write_bytes(data)
    with pytest.raises(FormatError, match="b.tif"):
        read_volume(tmp_path / "b.tif")
