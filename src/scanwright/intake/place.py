"""What lies at a path: one walk through the folder, with the clutter left out."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from scanwright.core import InputError
from scanwright.io.clip import natural
from scanwright.io.content import SUFFIXES

PICTURE_SUFFIXES = tuple(s for kind in ("png", "jpeg", "tiff", "bmp") for s in SUFFIXES[kind])
VOLUME_SUFFIXES = tuple(s for kind in ("nifti", "nrrd", "mha") for s in SUFFIXES[kind] if s != ".hdr")
DICOM_SUFFIXES = SUFFIXES["dicom"]
UNREAD_SUFFIXES = (".gif", ".webp", ".jp2", ".heic", ".svs", ".ndpi", ".mrxs")
"""Pictures that are not read yet: named as skipped, not passed over in silence."""
TABLE_SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet")
ARRAY_SUFFIXES = (".npz", ".npy")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_CLUTTER = frozenset(("thumbs.db", "desktop.ini", "dicomdir", "ehthumbs.db"))
_CLUTTER_FOLDERS = frozenset(("__macosx", "@eadir", "$recycle.bin", "__pycache__", "lost+found"))


def suffix_of(name: str) -> str:
    """Suffix in lower case; ``.gz`` keeps the one before it.

    Example:
        >>> suffix_of("a/b.NII.gz"), suffix_of("x.png"), suffix_of("IM0001")
        ('.nii.gz', '.png', '')
    """
    path = PurePosixPath(name.lower())
    last = path.suffix
    if last in (".gz", ".bz2", ".xz"):
        return path.with_suffix("").suffix + last
    return last


def stem_of(name: str) -> str:
    """File name without folders and without its (double) suffix."""
    base = PurePosixPath(name).name
    suffix = suffix_of(base)
    return base[: len(base) - len(suffix)] if suffix else base


@dataclass(frozen=True)
class Place:
    """A path that a person named, and every file in reach of it.

    Args:
        path: The path as it was given (after unpacking).
        root: Folder that locators start from.
        files: All files under ``root`` that are no clutter, relative, in natural order;
            only the one file when ``path`` is a file.
    """

    path: Path
    root: Path
    files: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> Place:
        """Walk a folder, or take a single file.

        Args:
            path: An existing folder or file.

        Returns:
            The place.

        Raises:
            InputError: Nothing is there (the nearest name is given), or the folder is empty.
        """
        path = Path(path)
        if not path.exists():
            raise _nothing(path)
        if path.is_file():
            return cls(path, path.parent, (path.name,))
        files = tuple(sorted(_walk(path), key=natural))
        if not files:
            raise InputError(
                f"The folder {path} holds no files.",
                "A cohort is a folder of images with their classes, a table, or an array file.",
                "Name the folder that holds the images.",
            )
        return cls(path, path, files)

    @property
    def is_file(self) -> bool:
        """Whether a single file was named."""
        return self.path.is_file()

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Pictures, volumes and DICOM files."""
        known = PICTURE_SUFFIXES + VOLUME_SUFFIXES
        return tuple(f for f in self.files if suffix_of(f) in known or f in self.dicom)

    @cached_property
    def dicom(self) -> frozenset[str]:
        """DICOM files, by suffix, or by their first bytes where there is no usual suffix."""
        other = PICTURE_SUFFIXES + VOLUME_SUFFIXES + TABLE_SUFFIXES + ARRAY_SUFFIXES + ARCHIVE_SUFFIXES
        found = set()
        for name in self.files:
            suffix = suffix_of(name)
            if suffix in DICOM_SUFFIXES or (suffix not in other and _bare(suffix) and _says_dicom(self.root / name)):
                found.add(name)
        return frozenset(found)

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Tables in the folder itself or one folder down, nearest first."""
        near = [f for f in self.files if suffix_of(f) in TABLE_SUFFIXES and f.count("/") <= 1]
        return tuple(sorted(near, key=lambda f: (f.count("/"), natural(f))))

    def named(self, *suffixes: str) -> tuple[str, ...]:
        """Files with one of the suffixes."""
        return tuple(f for f in self.files if suffix_of(f) in suffixes)

    def has(self, relative: str) -> bool:
        """Whether a file is in the list."""
        return relative in self._set

    @cached_property
    def _set(self) -> frozenset[str]:
        return frozenset(self.files)


def nearest(name: str, among: list[str] | tuple[str, ...]) -> str | None:
    """The most similar of several names, or None when none is similar."""
    lowered = {a.casefold(): a for a in among}
    found = difflib.get_close_matches(name.casefold(), list(lowered), n=1, cutoff=0.55)
    return lowered[found[0]] if found else None


def _walk(folder: Path) -> list[str]:
    found = []
    seen: set[str] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link that leads back
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = [f for f in folders if not f.startswith(".") and f.casefold() not in _CLUTTER_FOLDERS]
        below = Path(here).relative_to(folder).as_posix()
        prefix = "" if below == "." else below + "/"
        found += [prefix + n for n in names if not n.startswith(".") and n.casefold() not in _CLUTTER]
    return found


def _bare(suffix: str) -> bool:
    """No suffix, or a number (as in UIDs and ``IM.0001``)."""
    return suffix == "" or suffix[1:].isdigit()


def _says_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _nothing(path: Path) -> InputError:
    parent = path.parent
    names = sorted(p.name for p in parent.iterdir() if not p.name.startswith(".")) if parent.is_dir() else []
    near = nearest(path.name, names)
    if near:
        fix = f"Did you mean {parent / near}?"
    elif parent.is_dir():
        fix = "Check the spelling of the path."
    else:
        fix = f"The folder {parent} does not exist either; check the path."
    return InputError(f"There is nothing at {path}.", "A cohort is an existing folder or file.", fix)
