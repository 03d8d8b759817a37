"""One string that names an image: a path, a row of an array, or one series of a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from scanwright.core.errors import InputError

CHANNELS = " | "
"""Between the files that hold the channels of one case."""

FRAMES = " > "
"""Between the frames of one case, in order."""

_ROW = re.compile(r"^(?P<rest>.+)\[(?P<row>\d{1,12})\]$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Locator:
    """A locator taken apart.

    Args:
        path: File or folder.
        member: Array of an npz file, or SeriesInstanceUID of a folder; None if not given.
        row: Row along the first axis of an array, None for the whole.
    """

    path: Path
    member: str | None = None
    row: int | None = None


def parse_locator(source: str | Path, *, root: Path | None = None) -> Locator:
    """Take a locator apart.

    What exists on disk under exactly this name is a path, whatever brackets or colons
    it contains; only then are ``[7]`` and ``::member`` read as a row and a member.

    Args:
        source: ``picture (145).png``, ``file.npz::train_images[7]``, ``file.npy[7]``,
            ``folder::SeriesInstanceUID``.
        root: Folder that a relative path starts from; the working directory if None.

    Returns:
        Path (joined to ``root``), member and row. The path need not exist.

    Raises:
        InputError: The locator is empty.

    Example:
        >>> parse_locator("mnist/t10k-images-idx3-ubyte.gz[7]").row
        7
        >>> parse_locator("chest.npz::train_images[12]").member
        'train_images'
    """
    if isinstance(source, Path):
        return Locator(source if root is None else Path(root) / source)
    if not source.strip() or "\0" in source:
        raise InputError(
            f"The locator {source!r} names nothing.",
            "A locator is a path, file.npz::key[row], file.npy[row] or folder::series.",
            "Give the path of an image.",
        )
    base = Path() if root is None else Path(root)
    if "[" not in source and "::" not in source:
        return Locator(base / source)
    if _exists(base / source):
        return Locator(base / source)
    text, row = source, None
    if found := _ROW.match(source):
        text, row = found["rest"], int(found["row"])
        if _exists(base / text):
            return Locator(base / text, None, row)
    head, separator, member = text.rpartition("::")
    if separator and head and member:
        return Locator(base / head, member, row)
    return Locator(base / text, None, row)


def format_locator(path: str | Path, member: str | None = None, row: int | None = None) -> str:
    """Write a locator: the inverse of :func:`parse_locator`.

    Args:
        path: File or folder, usually relative to the cohort's root.
        member: Array of an npz file, or SeriesInstanceUID.
        row: Row along the first axis.

    Returns:
        The locator, with forward slashes.

    Example:
        >>> format_locator("chest.npz", "train_images", 12)
        'chest.npz::train_images[12]'
    """
    text = path.as_posix() if isinstance(path, Path) else path
    return text + (f"::{member}" if member is not None else "") + (f"[{row}]" if row is not None else "")


def channels_of(source: str | Path, *, root: Path | None = None) -> list[str | Path]:
    """Locators of the channels of one case: several when the source names several files.

    Args:
        source: A locator, or several joined by `` | ``.
        root: Folder that relative paths start from.

    Returns:
        One locator a file; the source itself when a file of exactly this name exists.

    Example:
        >>> channels_of("imagesTr/a_0000.nii.gz | imagesTr/a_0001.nii.gz")
        ['imagesTr/a_0000.nii.gz', 'imagesTr/a_0001.nii.gz']
    """
    return _parts(source, CHANNELS, root)


def frames_of(source: str | Path, *, root: Path | None = None) -> list[str | Path]:
    """Locators of the frames of one case, in order: several when the source names several.

    Args:
        source: A locator, or several joined by `` > ``.
        root: Folder that relative paths start from.

    Returns:
        One locator a frame; the source itself when a file of exactly this name exists.

    Example:
        >>> frames_of("visit1.dcm > visit2.dcm")
        ['visit1.dcm', 'visit2.dcm']
    """
    return _parts(source, FRAMES, root)


def _parts(source: str | Path, joint: str, root: Path | None) -> list[str | Path]:
    """What a source joins; the source itself where a file is called just so."""
    if isinstance(source, Path) or joint not in source or _exists((Path() if root is None else Path(root)) / source):
        return [source]
    return [part.strip() for part in source.split(joint)]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for the file system
        return False
