"""Any image by its locator; one row of the table for each kind of file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from scanwright.core.cohort import Case
from scanwright.core.errors import FormatError, GeometryError, InputError
from scanwright.core.volume import LabelMap, Volume
from scanwright.io.archive import read_zip
from scanwright.io.arrays import read_array
from scanwright.io.clip import join_frames, taken_at
from scanwright.io.content import NAMES, kind_by_name, require_kind
from scanwright.io.guard import damaged, not_found, reading
from scanwright.io.itk import read_mha, read_nrrd
from scanwright.io.locator import channels_of, frames_of, parse_locator
from scanwright.io.nifti import read_nifti
from scanwright.io.raster import read_bmp, read_jpeg, read_png, read_tiff

Reader = Callable[[Path, str | None, int | None], Volume]
"""A reader takes a file, a member (or None) and a row (or None)."""


def _read_dicom(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read one DICOM file; see :func:`scanwright.io.dicom.series.read_dicom`."""
    from scanwright.io.dicom.series import read_dicom  # pydicom is loaded when it is needed

    return read_dicom(path, member, row)


READERS: dict[str, Reader] = {
    "dicom": _read_dicom,
    "nifti": read_nifti,
    "nrrd": read_nrrd,
    "mha": read_mha,
    "png": read_png,
    "jpeg": read_jpeg,
    "tiff": read_tiff,
    "bmp": read_bmp,
    "npy": read_array,
    "npz": read_array,
    "idx": read_array,
    "zip": read_zip,
}
"""Kind of file, as :func:`scanwright.io.kind_of` tells it by content, and its reader."""

_SAME_PLACE_MM = 0.01
_WITH_MEMBER = ("npz", "zip")
_WITH_ROW = ("dicom", "nifti", "npy", "npz", "idx", "zip")


def read_volume(source: str | Path, *, root: Path | None = None) -> Volume:
    """Read the image that a locator names.

    What a file is, is decided by its content; a wrong suffix does no harm.

    Args:
        source: A path; ``file.npz::key[7]``; ``file.npy[7]`` or ``images-idx3-ubyte.gz[7]``;
            ``folder::SeriesInstanceUID``, or the folder alone when it holds one series; a zip
            of one series or image. ``[7]`` also picks a frame of a DICOM or 4-D NIfTI file.
            Several locators joined by `` | `` are the channels of one case, joined by `` > `` its
            frames, in order.
        root: Folder that relative paths start from.

    Returns:
        ``(C, I, J, K)`` intensities of type uint8, int8, uint16, int16, int32 or float32, without NaN.

    Raises:
        InputError: Nothing is there, or the locator does not fit what is there.
        FormatError: The content is damaged, truncated, or no image.
        GeometryError: A series makes no volume, or channels lie in different places.
        ResourceError: Memory ran out.

    Source:
        docs/reference/reading.md says what each reader does; places and values agree with
        SimpleITK and nibabel (tests/golden/test_geometry.py).
    """
    frames = frames_of(source, root=root)
    if len(frames) > 1:
        names = [Path(str(f)).name for f in frames]
        return join_frames([read_volume(f, root=root) for f in frames], names, [taken_at(f, root) for f in frames])
    parts = channels_of(source, root=root)
    if len(parts) > 1:
        return _stacked(parts, root)
    locator = parse_locator(source, root=root)
    path = locator.path
    with reading(path, "file"):
        is_folder = path.is_dir()
        if not is_folder and not path.exists():
            raise not_found(path)
    if is_folder:
        if locator.row is not None:
            raise _misfit(path, f"row {locator.row}", "a folder")
        return _read_folder(path, locator.member)
    kind = _kind_again(path) if locator.row is not None else require_kind(path)
    if locator.member is not None and kind not in _WITH_MEMBER:
        raise _misfit(
            path, f"the member {locator.member!r}" if kind != "dicom" else "a series", f"a {NAMES[kind]} file"
        )
    if locator.row is not None and kind not in _WITH_ROW:
        raise _misfit(path, f"row {locator.row}", f"a {NAMES[kind]} file")
    try:
        with reading(path, NAMES[kind]):
            return READERS[kind](path, locator.member, locator.row)
    except FormatError as error:
        promised = kind_by_name(path)
        if promised in (None, kind) or {promised, kind} == {"npz", "zip"}:
            raise
        raise FormatError(
            f"{path.name} is named like a {NAMES[str(promised)]} file but begins like {NAMES[kind]}. {error.fact}",
            error.rule,
            error.fix,
        ) from error


def read_case(case: Case, *, root: Path | None = None) -> Volume:
    """Read the image of a case.

    Args:
        case: Its moments, where its table gives them, become those of the frames.
        root: Folder that relative paths start from.

    Returns:
        See :func:`read_volume`.

    Raises:
        ScanwrightError: See :func:`read_volume`.
    """
    volume = read_volume(case.source, root=root)
    return replace(volume, moments=case.moments, moment_unit=case.moment_unit) if case.moments else volume


def read_label_map(source: str | Path, *, root: Path | None = None) -> LabelMap:
    """Read an image of whole numbers as a label map.

    Args:
        source: See :func:`read_volume`; a DICOM segmentation brings the names of its segments.
        root: Folder that relative paths start from.

    Returns:
        ``(I, J, K)`` integers and their grid.

    Raises:
        FormatError: The values are no whole numbers from 0, or the image has several channels.
        InputError: Nothing is there.
    """
    volume = read_volume(source, root=root)
    name = Path(str(source)).name
    values = volume.array
    if volume.n_channels > 1:
        if volume.channel != "rgb" or not all(np.array_equal(values[0], v) for v in values[1:]):
            raise damaged(Path(name), "label map", f"it has {volume.n_channels} channels")
        values = values[:1]
    labels = values[0]
    if labels.dtype.kind == "f":
        whole = np.rint(labels)
        if not np.array_equal(whole, labels) or (labels.size and np.abs(labels).max() >= 2**31):
            raise damaged(Path(name), "label map", "its values are no whole numbers")
        labels = whole.astype(np.int32)
    if labels.size and int(labels.min()) < 0:
        raise damaged(Path(name), "label map", f"its smallest value is {int(labels.min())}")
    prefix = "label_"
    names = {int(k.removeprefix(prefix)): v for k, v in volume.header.items() if k.startswith(prefix)}
    return LabelMap(labels, volume.grid, names)


def _stacked(parts: Sequence[str | Path], root: Path | None) -> Volume:
    """Channels from several files on one grid."""
    volumes = [read_volume(part, root=root) for part in parts]
    first = volumes[0]
    for part, other in zip(parts[1:], volumes[1:], strict=True):
        grid = other.grid
        if grid.shape != first.grid.shape or not np.allclose(grid.affine, first.grid.affine, atol=_SAME_PLACE_MM):
            raise GeometryError(
                f"{Path(str(part)).name} has {' x '.join(map(str, grid.shape))} voxels and lies elsewhere than "
                f"{Path(str(parts[0])).name} with {' x '.join(map(str, first.grid.shape))}.",
                f"The channels of one case lie on one grid (within {_SAME_PLACE_MM:g} mm).",
                "Resample them onto the first channel's grid.",
            )
    array = np.concatenate([v.array for v in volumes])
    return replace(first, array=array, channel="channel")


def _kind_again(path: Path) -> str:
    """Kind of a file of many rows, asked once as long as it does not change."""
    with reading(path, "file"):
        stat = path.stat()
    return _kind_known(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _kind_known(name: str, mtime_ns: int, size: int) -> str:
    return require_kind(Path(name))


def _read_folder(path: Path, member: str | None) -> Volume:
    from scanwright.io.dicom.series import read_series

    with reading(path, "DICOM series"):
        return read_series(path, uid=member)


def _misfit(path: Path, asked: str, what: str) -> InputError:
    return InputError(
        f"{asked[0].upper()}{asked[1:]} was asked of {path.name}, which is {what}.",
        "Rows belong to arrays and frames, keys to npz files, series to folders.",
        f"Name {path.name} alone.",
    )
