"""DICOM series: which there are in a folder, and one of them as a volume."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonpath
from pathlib import Path
from threading import Lock

import numpy as np

from scanwright.core.errors import FormatError, InputError, ScanwrightError
from scanwright.core.volume import Volume
from scanwright.io.content import kind_of_bytes
from scanwright.io.dicom.open import DIRECTORY, Header, facts, modality, number, numbers, open_dicom, text
from scanwright.io.dicom.read import Item, read_items
from scanwright.io.guard import not_found, reading
from scanwright.io.locator import format_locator

_Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Series:
    """One series of a folder, from the headers.

    UIDs and the patient's key serve to group and to join tables; they are left out of the
    text form and belong in no message.

    Args:
        uid: SeriesInstanceUID.
        study_uid: StudyInstanceUID.
        patient: PatientID, empty if the files have none.
        modality: DICOM code, None if missing.
        files: Files in slice order; by instance number where there are no positions.
        locator: What :func:`scanwright.io.read_volume` takes, relative to the folder.
        n_frames: Frames of all files.
        rows: Height, of the first file.
        columns: Width, of the first file.
        localizers: Files of the series that are localizers and no part of the volume.
        header: Facts that do not identify a person.
    """

    uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    patient: str = field(repr=False)
    modality: str | None
    files: tuple[Path, ...]
    locator: str = field(repr=False)
    n_frames: int
    rows: int
    columns: int
    localizers: tuple[Path, ...] = ()
    header: Mapping[str, str] = field(default_factory=dict, repr=False)


def list_series(folder: str | Path) -> list[Series]:
    """Find the image series of a folder and all folders in it, from headers only.

    Files that are not DICOM, a DICOMDIR, and objects without pixels (reports, value maps) are passed over.
    A folder that has not changed since is not read again.

    Args:
        folder: Folder, or a single DICOM file.

    Returns:
        Series in order of their first file's path.

    Raises:
        InputError: The folder is missing.
    """
    folder = Path(folder)
    groups = _series_of(folder)
    root = folder if folder.is_dir() else folder.parent
    homes: dict[Path, int] = {}
    for items in groups.values():
        homes[_home(items)] = homes.get(_home(items), 0) + 1
    return [_series(uid, items, root, homes) for uid, items in groups.items()]


def read_series(source: str | Path | Iterable[str | Path], *, uid: str | None = None) -> Volume:
    """Read one DICOM series into one array.

    Slices are sorted by position along their normal, whatever the files are called, and each
    is rescaled by its own slope and intercept. Values that stay whole numbers are kept as
    integers (int16 where they fit, else int32); otherwise they are float32. Several frames at
    every place become ``channel="time"``. Palette and YBR colours become RGB; overlays are
    left out; localizers in a series of other images are left out. MONOCHROME1 pictures are
    turned so that more is brighter (``header["inverted"]``), except where the values have a physical unit.

    Args:
        source: Folder, a file, or the files of the series in any order.
        uid: SeriesInstanceUID; needed where there are several series.

    Returns:
        ``(C, rows, columns, slices)`` on a grid in RAS+ mm, with ``unit`` (``"HU"`` for CT,
        ``"BQML"`` or ``"SUVbw"`` for PET), ``window`` and ``header`` from the first file. In
        memory each slice is contiguous.

    Raises:
        InputError: No series, or several and no ``uid``.
        FormatError: A file is damaged, truncated, or holds no image.
        GeometryError: Slices are missing, doubled, uneven, tilted, of different sizes or directions.

    Source:
        PS3.3 C.7.6.2, C.7.6.16, C.11.1; values and places agree with SimpleITK (tests/golden).
    """
    if isinstance(source, str | Path):
        groups = _series_of(Path(source))
        name = Path(source).name or str(source)
    else:
        files = [Path(p) for p in source]
        groups = _grouped([Item(p, open_dicom(p)) for p in files])
        name = f"the list of {len(files)} files"
    if uid is not None:
        if uid not in groups:
            raise InputError(
                f"The series that was asked for is not in {name}, which holds {len(groups)}.",
                "A series is named by its SeriesInstanceUID.",
                "Check the part after '::', or list the series first.",
            )
        return read_items(_sorted_items(_without_localizers(groups[uid])[0]))
    if len(groups) == 1:
        return read_items(_sorted_items(_without_localizers(next(iter(groups.values())))[0]))
    if not groups:
        raise InputError(
            f"{name} holds no DICOM image.", "A series is a set of DICOM files with pixels.", "Name another folder."
        )
    counts = ", ".join(f"{modality(i[0].dataset) or '?'} of {len(i)} files" for i in list(groups.values())[:5])
    raise InputError(
        f"{name} holds {len(groups)} series ({counts}{', ...' if len(groups) > 5 else ''}).",
        "One volume is one series.",
        "Name one as folder::SeriesInstanceUID, or put each into a folder of its own.",
    )


_known: OrderedDict[str, tuple[_Signature, dict[str, list[Item]]]] = OrderedDict()
_lock = Lock()
_KEPT_FOLDERS = 8


def _series_of(folder: Path) -> dict[str, list[Item]]:
    """Files with headers, by series; remembered as long as no file changes."""
    if not folder.exists():
        raise not_found(folder)
    with reading(folder, "folder"):
        paths = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if _is_candidate(p))
        stats = [p.stat() for p in paths]
    signature = tuple((str(p), s.st_size, s.st_mtime_ns) for p, s in zip(paths, stats))
    with _lock:
        kept = _known.get(str(folder))
        if kept and kept[0] == signature:
            _known.move_to_end(str(folder))
            return kept[1]
    groups = _grouped(_items(paths, alone=folder.is_file()))
    with _lock:
        _known[str(folder)] = (signature, groups)
        while len(_known) > _KEPT_FOLDERS:
            _known.popitem(last=False)
    return groups


def _is_candidate(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.upper() != "DICOMDIR" and path.is_file()


def _items(paths: Sequence[Path], *, alone: bool) -> list[Item]:
    items = []
    for path in paths:
        try:
            with path.open("rb") as file:
                kind = kind_of_bytes(file.read(1024))
            if kind == "dicom" or alone:
                items.append(Item(path, open_dicom(path)))
        except (OSError, ScanwrightError):
            if alone:
                raise
    return items


def _grouped(items: Iterable[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        if text(item.dataset, "SOPClassUID") != DIRECTORY and number(item.dataset, "Rows"):
            groups.setdefault(text(item.dataset, "SeriesInstanceUID"), []).append(item)
    return groups


def _without_localizers(items: list[Item]) -> tuple[list[Item], list[Item]]:
    scouts = [i for i in items if "LOCALIZER" in text(i.dataset, "ImageType").upper()]
    if not scouts or len(scouts) == len(items):
        return items, []
    return [i for i in items if not any(i is s for s in scouts)], scouts


def _along(item: Item, dataset: Header) -> tuple[float, float, str]:
    position, orientation = numbers(item.dataset, "ImagePositionPatient"), numbers(dataset, "ImageOrientationPatient")
    place = 0.0
    if position and orientation and len(position) == 3 and len(orientation) == 6:
        place = round(float(np.dot(position, np.cross(orientation[:3], orientation[3:]))), 3)
    return place, number(item.dataset, "InstanceNumber") or 0.0, str(item.path)


def _sorted_items(items: list[Item]) -> list[Item]:
    return sorted(items, key=lambda item: _along(item, items[0].dataset))


def _home(items: Sequence[Item]) -> Path:
    parents = {str(i.path.parent) for i in items}
    return Path(commonpath(parents)) if len(parents) > 1 else items[0].path.parent


def _series(uid: str, items: list[Item], root: Path, homes: Mapping[Path, int]) -> Series:
    images, scouts = _without_localizers(items)
    images = _sorted_items(images)
    first = images[0].dataset
    home = _home(items)
    inside = any(other != home and home in other.parents for other in homes)
    alone = homes[home] == 1 and not inside
    where = home.relative_to(root) if home.is_relative_to(root) else home
    locator = where.as_posix() if alone else format_locator(where, uid)
    if len(items) == 1:
        path = images[0].path
        locator = (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
    return Series(
        uid,
        text(first, "StudyInstanceUID"),
        text(first, "PatientID"),
        modality(first),
        tuple(i.path for i in images),
        locator,
        sum(int(number(i.dataset, "NumberOfFrames") or 1) for i in images),
        int(number(first, "Rows") or 0),
        int(number(first, "Columns") or 0),
        tuple(i.path for i in scouts),
        facts(first),
    )


def read_dicom(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read one DICOM file: a slice, a picture, a multi-frame object or a segmentation.

    Args:
        path: The file.
        member: Not used.
        row: Frame of a multi-frame file, from 0; all of them if None.

    Returns:
        See :func:`read_series`.

    Raises:
        FormatError: The file is damaged, truncated, or holds no image.
        InputError: The frame does not exist.
        GeometryError: Its frames make no volume.
    """
    dataset = open_dicom(path)
    with reading(path, "DICOM"):
        volume = read_items([Item(path, dataset)])
    if row is None:
        return volume
    return _frame(path, volume, row)


def _frame(path: Path, volume: Volume, row: int) -> Volume:
    from scanwright.core.grid import Grid

    n_times, n_slices = (volume.n_channels if volume.channel == "time" else 1), volume.grid.shape[2]
    if row >= n_times * n_slices:
        raise InputError(
            f"Frame {row} was asked of {path.name}, which has {n_times * n_slices}.",
            "A number in square brackets is a frame, from 0.",
            "Correct the number.",
        )
    if volume.channel not in ("channel", "rgb", "time"):
        raise FormatError(
            f"{path.name} has no frames.", "A frame is one picture of a multi-frame object.", "Leave the number out."
        )
    t, k = divmod(row, n_slices)
    array = volume.array[t : t + 1] if volume.channel == "time" else volume.array
    affine = volume.grid.affine.copy()
    affine[:3, 3] = volume.grid.world((0, 0, k))
    grid = Grid((*volume.grid.shape[:2], 1), affine, spacing_known=volume.grid.spacing_known)
    channel = "rgb" if volume.channel == "rgb" else "channel"
    return Volume(array[..., k : k + 1], grid, volume.unit, volume.modality, channel, volume.window, volume.header)  # type: ignore[arg-type]
