"""npy, npz and idx: arrays of pictures or volumes, opened once and read row by row."""

from __future__ import annotations

import gzip
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import FormatError, InputError
from scanwright.core.grid import Grid
from scanwright.core.volume import Volume
from scanwright.io.content import NAMES, require_kind
from scanwright.io.guard import check_size, damaged, reading, truncated
from scanwright.io.locator import Locator, parse_locator
from scanwright.io.voxels import fill_not_finite, settle

_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_KEPT_BYTES = 2 << 30
_KEPT_ARRAYS = 32
_Key = tuple[str, int, int, str | None]
_open: OrderedDict[_Key, NDArray[Any]] = OrderedDict()
_lock = Lock()


def open_array(source: str | Path, *, root: Path | None = None) -> NDArray[Any]:
    """Open an array of many images; opened again, it is there at once.

    npy files are memory-mapped. Members of npz files and idx files are decoded once and
    kept, up to 32 arrays and 2 GiB; a file that changes on disk is read anew.

    Args:
        source: ``file.npz::key``, ``file.npy``, ``file-ubyte.gz``; a row is ignored. An npz
            file of one array needs no key.
        root: Folder that a relative path starts from.

    Returns:
        Read-only array of any shape, in the type of the file; bytes of text as text.

    Raises:
        FormatError: The file is damaged, truncated, or holds Python objects.
        InputError: The file or the key is missing.
    """
    return _array_of(parse_locator(source, root=root))


def array_keys(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of each array in a file, from the headers alone.

    Args:
        path: An npy, npz or idx file.

    Returns:
        Key to (shape, type); the key of npy and idx files is empty.

    Raises:
        FormatError: The file is damaged or of another kind.
    """
    kind = require_kind(path)
    with reading(path, NAMES[kind]):
        if kind == "npy":
            with path.open("rb") as file:
                shape, _, dtype = _npy_header(file, path)
            return {"": (shape, dtype.str)}
        if kind == "idx":
            with _idx_file(path) as file:
                shape, dtype, _ = _idx_header(file, path)
            return {"": (shape, dtype.str)}
        if kind == "npz":
            with zipfile.ZipFile(path) as archive:
                found = {}
                for name in archive.namelist():
                    with archive.open(name) as member:
                        shape, _, dtype = _npy_header(member, path)
                    found[name.removesuffix(".npy")] = (shape, dtype.str)
                return found
    raise damaged(path, "array", f"it holds {NAMES[kind]} data")


def read_array(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read one image of an array, or an array that is one image.

    A row ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3 or 4)`` or ``(1 or 3, H, W)`` is a picture; any other
    ``(D, H, W)``, and ``(D, H, W, C)`` or ``(C, D, H, W)`` with C of 1, 3 or 4, is a volume whose
    axes are i, j, k in stored order. The same rules hold for a file that is one image,
    except that ``(3, H, W)`` is then a volume. Spacing is unknown. An alpha channel is dropped.

    Args:
        path: npy, npz or idx file.
        member: Array of an npz file; may be left out when there is only one.
        row: Row along the first axis.

    Returns:
        Volume of unit ``"1"``.

    Raises:
        InputError: The row or member does not exist, or a row is needed and missing.
        FormatError: The file is damaged, or the shape is no image.
    """
    array = _array_of(Locator(path, member, row))
    if row is not None:
        if array.ndim < 2 or row >= array.shape[0]:
            raise InputError(
                f"Row {row} was asked of {path.name}, which has {array.shape[0] if array.ndim else 0}.",
                "A row counts from 0 along the first axis.",
                "Correct the number in square brackets.",
            )
        array = array[row]
    with reading(path, "array"):
        values, channel = _to_channels(np.asarray(array), path, is_row=row is not None)
        values, n_missing = fill_not_finite(settle(values, path, "array"), path)
    shape = values.shape[1:]
    grid = Grid.of_picture(shape[0], shape[1]) if shape[2] == 1 else Grid(shape, np.eye(4), spacing_known=False)
    header = {"not_finite_voxels": str(n_missing)} if n_missing else {}
    return Volume(values, grid, channel="rgb" if channel == "rgb" else "channel", header=header)


def _to_channels(array: NDArray[Any], path: Path, *, is_row: bool) -> tuple[NDArray[Any], str]:
    shape = array.shape
    if array.ndim == 2:
        return array[None, :, :, None], "channel"
    if array.ndim == 3:
        if shape[2] in (1, 3, 4):
            planes = np.moveaxis(array[..., :3], 2, 0)[..., None]
            return planes, "rgb" if shape[2] > 1 else "channel"
        if is_row and shape[0] in (1, 3):
            return array[..., None], "rgb" if shape[0] == 3 else "channel"
        return array[None], "channel"
    if array.ndim == 4 and shape[3] in (1, 3, 4):
        return np.moveaxis(array[..., :3], 3, 0), "rgb" if shape[3] > 1 else "channel"
    if array.ndim == 4 and shape[0] in (1, 2, 3, 4):
        return array, "channel"
    if array.ndim >= 3 and not is_row:
        raise InputError(
            f"{path.name} holds an array of shape {shape}.",
            "One image has two or three axes, and perhaps channels.",
            f"Name a row, such as {path.name}[0].",
        )
    raise FormatError(
        f"{path.name} holds {'rows' if is_row else 'an array'} of shape {shape}.",
        "An image is (H, W), (H, W, 3), (D, H, W) or (D, H, W, C).",
        "Name another array of the file, or reshape it.",
    )


def _array_of(locator: Locator) -> NDArray[Any]:
    path = locator.path
    with reading(path, "array"):
        stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size, locator.member)
    with _lock:
        if key in _open:
            _open.move_to_end(key)
            return _open[key]
    kind = require_kind(path)
    opener: dict[str, Callable[[Path, str | None], NDArray[Any]]] = {"npy": _npy, "npz": _npz, "idx": _idx}
    if kind not in opener:
        raise damaged(path, "array", f"it holds {NAMES[kind]} data")
    with reading(path, NAMES[kind]):
        array = opener[kind](path, locator.member)
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8", "replace")
        array.setflags(write=False)
    with _lock:
        _open[key] = array
        while len(_open) > _KEPT_ARRAYS or (len(_open) > 1 and sum(_held(a) for a in _open.values()) > _KEPT_BYTES):
            _open.popitem(last=False)
    return array


def _held(array: NDArray[Any]) -> int:
    return 0 if isinstance(array, np.memmap) else int(array.nbytes)


def _npy_header(file: Any, path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject or dtype.kind not in "biufUS":  # text is a label; as an image it is refused later
        what = "Python objects" if dtype.hasobject else f"values of type {dtype}"
        raise FormatError(
            f"{path.name} holds {what}.",
            "Arrays hold plain numbers, or text for labels; pickled objects are never loaded.",
            "Save it again with allow_pickle=False: images as uint8, int16 or float32, names with dtype=str.",
        )
    if any(n < 0 for n in shape):
        raise damaged(path, "npy", "its header holds a negative size")
    return shape, fortran, dtype


def _npy(path: Path, member: str | None) -> NDArray[Any]:
    _no_member(path, member)
    with path.open("rb") as file:
        shape, fortran, dtype = _npy_header(file, path)
        start = file.tell()
    need = _n_bytes(shape, dtype)
    have = path.stat().st_size - start
    if have < need:
        raise truncated(path, "npy", have, need)
    if need == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape, order="F" if fortran else "C")


def _npz(path: Path, member: str | None) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        names = {n.removesuffix(".npy"): n for n in archive.namelist()}
        if member is None and len(names) == 1:
            member = next(iter(names))
        if member not in names:
            asked = "No array was named" if member is None else f"The array {member!r} was asked"
            raise InputError(
                f"{asked} of {path.name}, which holds {', '.join(sorted(names))}.",
                "A row of an npz file is named file.npz::key[row].",
                f"Write {path.name}::{next(iter(sorted(names)), 'key')}[0].",
            )
        info = archive.getinfo(names[member])
        with archive.open(info) as file:
            shape, fortran, dtype = _npy_header(file, path)
            need = _n_bytes(shape, dtype)
            check_size(path, "npz", need, packed=info.compress_size)
            array = np.empty(shape, dtype, order="F" if fortran else "C")
            have = _read_into(file, array)
            if have < need or file.read(1):
                raise truncated(path, "npz", have, need)
    return array


def _read_into(file: Any, array: NDArray[Any]) -> int:
    if array.size == 0:
        return 0
    flat = memoryview(array.reshape(-1, order="A").view(np.uint8))  # type: ignore[arg-type]
    done = 0
    while done < len(flat):
        block = file.read(min(1 << 22, len(flat) - done))
        if not block:
            break
        flat[done : done + len(block)] = block
        done += len(block)
    return done


def _idx_file(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _idx_header(file: BinaryIO, path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES or not 1 <= magic[3] <= 5:
        raise damaged(path, "idx", "its first four bytes name no type")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise truncated(path, "idx", 0, 1)
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
    return shape, np.dtype(_IDX_TYPES[magic[2]]), 4 + len(sizes)


def _idx(path: Path, member: str | None) -> NDArray[Any]:
    """Big-endian arrays of the MNIST page: magic number, sizes, values."""
    _no_member(path, member)
    with _idx_file(path) as file:
        shape, dtype, _ = _idx_header(file, path)
        need = _n_bytes(shape, dtype)
        packed = path.stat().st_size
        check_size(path, "idx", need, packed=packed if isinstance(file, gzip.GzipFile) else None)
        if not isinstance(file, gzip.GzipFile) and packed < need:
            raise truncated(path, "idx", packed, need)
        array = np.empty(shape, dtype)
        have = _read_into(file, array)
        if have < need:
            raise truncated(path, "idx", have, need)
        if file.read(1):
            raise damaged(path, "idx", f"bytes are left after its {need} bytes of values")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _n_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    need = dtype.itemsize
    for n in shape:
        need *= int(n)
    return need


def _no_member(path: Path, member: str | None) -> None:
    if member is not None:
        raise InputError(
            f"The array {member!r} was asked of {path.name}, which holds one array without a name.",
            "Only npz files have named arrays.",
            f"Write {path.name} or {path.name}[0].",
        )
