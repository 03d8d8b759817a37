"""Archives are unpacked safely: whole or not at all, and never outside their folder."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from scanwright.core import Emit, FormatError, InputError, Progress, ResourceError, Said, silent

MAX_BYTES = 512 << 30
"""Largest total size that is unpacked, in bytes."""

MAX_RATIO = 1100
"""Largest growth of a single member (deflate cannot exceed 1032; more is a bomb)."""

_MARK = ".scanwright-archive"


def unpack(path: Path, work: Path | None = None, *, emit: Emit = silent) -> Path:
    """Unpack an archive into a folder of its own.

    The members go to a temporary folder beside the target, which is renamed when all is
    there. An archive that was unpacked before and has not changed is not unpacked again.

    Args:
        path: A zip or tar file (gz, bz2, xz).
        work: Folder to put it under; the archive's own folder when None.
        emit: Receiver of events.

    Returns:
        The folder: ``<work>/<name>-unpacked``.

    Raises:
        FormatError: The archive is damaged, encrypted, or a member would land outside.
        InputError: The folder cannot be written.
        ResourceError: The disk is full.
    """
    parent = Path(work) if work is not None else path.parent
    target = parent / (re.sub(r"(?i)\.(zip|tar|tar\.\w+|tgz)$", "", path.name) + "-unpacked")
    stamp = f"{path.stat().st_size} {path.stat().st_mtime_ns}"
    mark = target / _MARK
    if mark.is_file() and mark.read_text(encoding="utf-8") == stamp:
        return target
    if target.exists() and not mark.is_file():
        raise InputError(
            f"{target} is in the way of unpacking {path.name}.",
            "An archive is unpacked into a new folder.",
            "Move it away, or name that folder itself.",
        )
    emit(Said(stage="scan", text=f"Unpacking {path.name} into {target}."))
    with _failures(path, target):
        parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=parent))
        try:
            _extract(path, half, emit)
            (half / _MARK).write_text(stamp, encoding="utf-8")
            if target.exists():
                shutil.rmtree(target)
            half.rename(target)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    return target


@contextmanager
def _failures(path: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        zipfile.LargeZipFile,
        RuntimeError,
        NotImplementedError,
    ) as error:
        what = "is encrypted" if "password" in str(error) or "encrypted" in str(error) else "is damaged or cut short"
        raise FormatError(
            f"The archive {path.name} {what}.",
            "An archive must be whole and open.",
            "Copy it again, or unpack it yourself and name the folder.",
        ) from error
    except PermissionError as error:
        raise InputError(
            f"The folder {target.parent} cannot be written.",
            "An archive is unpacked before it is read.",
            "Unpack it yourself and name the folder.",
        ) from error
    except OSError as error:
        if isinstance(error, ResourceError):
            raise
        if "gzip" in str(error).lower() or "lzma" in str(error).lower() or "invalid data" in str(error).lower():
            raise FormatError(
                f"The archive {path.name} is damaged.", "An archive must be whole.", "Copy it again."
            ) from error
        raise ResourceError(
            f"Unpacking {path.name} stopped ({error.strerror or type(error).__name__}).",
            "Its contents need space on disk.",
            "Make room and run the command again.",
        ) from error


def _extract(path: Path, half: Path, emit: Emit) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            infos = [i for i in archive.infolist() if not i.is_dir() and not stat.S_ISLNK(i.external_attr >> 16)]
            _check_total(path, sum(i.file_size for i in infos), half)
            for n, info in enumerate(infos):
                if info.file_size > (info.compress_size + 100) * MAX_RATIO:
                    raise _unsafe(path, info.filename, "grows beyond what compression can do")
                with archive.open(info) as source:
                    _write(source, _inside(path, half, info.filename))
                _tell(emit, n + 1, len(infos))
        return
    with tarfile.open(path) as archive:
        total = 0
        for n, member in enumerate(archive):
            if not member.isfile():
                continue
            total += member.size
            _check_total(path, total, half)
            inner = archive.extractfile(member)
            if inner is not None:
                _write(inner, _inside(path, half, member.name))
            _tell(emit, n + 1, n + 2)


def _inside(path: Path, half: Path, member: str) -> Path:
    name = PurePosixPath(member.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or re.match(r"^[A-Za-z]:", member):
        raise _unsafe(path, member, "would land outside its folder")
    return half.joinpath(*name.parts)


def _write(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    os.utime(target)


def _check_total(path: Path, total: int, half: Path) -> None:
    free = shutil.disk_usage(half).free
    if total > MAX_BYTES or total > free:
        raise ResourceError(
            f"{path.name} unpacks to {total / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free.",
            "Its contents need space on disk.",
            "Make room, or unpack it elsewhere and name the folder.",
        )


def _unsafe(path: Path, member: str, what: str) -> FormatError:
    return FormatError(
        f"The member {member!r} of {path.name} {what}.",
        "Archives are unpacked only when they are harmless.",
        "Unpack it yourself if you trust it.",
    )


def _tell(emit: Emit, done: int, total: int) -> None:
    if done % 200 == 0 or done == total:
        emit(Progress(stage="scan", step="unpack", done=done, total=total))
