"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scanwright.core.errors import InputError, ResourceError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into errors that a person can act on.

    Args:
        path: What is being written, for the message.

    Raises:
        ResourceError: The disk or quota is full.
        InputError: The place may not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceError(
                f"The disk is full: {path} could not be written.",
                "A run needs room for its prepared arrays, checkpoints and report.",
                "Free some space or choose another place with --out, and type the same command again.",
            ) from error
        if error.errno in _REFUSED:
            raise InputError(
                f"{path} cannot be written ({error.strerror}).",
                "Results go to a folder that you may write to.",
                "Choose another place with --out.",
            ) from error
        raise


def atomic_write(path: Path, data: bytes | str) -> Path:
    """Write a file so that readers see the old content or the new, never half.

    The bytes go to a temporary file in the same folder, are flushed to the disk and
    then take the place of ``path`` in one step; the folder entry is flushed as well.

    Args:
        path: File to write; its folder is made if missing.
        data: Bytes, or text that is encoded as UTF-8.

    Returns:
        ``path``.

    Raises:
        ResourceError: The disk is full; ``path`` is as it was.
        InputError: The place may not be written.
    """
    path = Path(path)
    content = data.encode("utf-8") if isinstance(data, str) else data
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system allows it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows cannot open folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> Path:
    """Write a value as indented JSON, atomically.

    Args:
        path: File to write.
        value: Plain JSON values; NaN is refused, as JSON has none.

    Returns:
        ``path``.
    """
    return atomic_write(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
