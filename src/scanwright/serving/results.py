"""Pictures and heat maps of answers, kept for a while under names that nobody can guess."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from scanwright.core.errors import ResourceError

_PREFIX = "scanwright-serve-"
_LOCK = "lock"


class Results:
    """A bounded store of files that expire.

    Args:
        work: Folder to make the store in; the system's temporary folder if None.
        keep_s: Life of a file, in seconds.
        keep_bytes: Space for all files; the oldest go first.
        clock: Seconds since any fixed moment.

    Raises:
        ResourceError: The folder cannot be written.
    """

    def __init__(
        self, work: Path | None, *, keep_s: float, keep_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        parent = Path(tempfile.gettempdir()) if work is None else work
        try:
            parent.mkdir(parents=True, exist_ok=True)
            sweep(parent)
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._own = (self.folder / _LOCK).open("wb")
            take_lock(self._own)
        except OSError as error:
            raise ResourceError(
                f"The work folder {parent} cannot be written: {error.strerror}.",
                "The service keeps uploads and heat maps there while they are needed.",
                "Name another with --work.",
            ) from None
        self.keep_s, self.keep_bytes, self._clock = keep_s, keep_bytes, clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Path, float, int]] = OrderedDict()
        self._bytes = 0

    def new_folder(self) -> Path:
        """An empty folder for one request; the caller removes it."""
        return Path(tempfile.mkdtemp(prefix="request-", dir=self.folder))

    @staticmethod
    def new_key() -> str:
        """32 random characters."""
        return secrets.token_urlsafe(24)

    def keep(self, suffix: str, write: Callable[[Path], Any], *, key: str = "") -> str:
        """Keep a file.

        Args:
            suffix: Such as ``".png"``.
            write: Writes it to the path that it is given.
            key: Of :meth:`new_key`, for files that belong together; a new one if empty.

        Returns:
            Its key: 32 random characters and the suffix.
        """
        key = (key or self.new_key()) + suffix
        path = self.folder / key
        write(path)
        size = path.stat().st_size
        with self._lock:
            self._kept[key] = (path, self._clock() + self.keep_s, size)
            self._bytes += size
            self._make_room()
        return key

    def find(self, key: str) -> Path | None:
        """Where a kept file lies.

        Args:
            key: As :meth:`keep` gave it.

        Returns:
            The path, or None when it is unknown or has expired.
        """
        with self._lock:
            self._make_room()
            found = self._kept.get(key)
            return found[0] if found else None

    def close(self) -> None:
        """Remove everything."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0
        self._own.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_room(self) -> None:
        now = self._clock()
        while self._kept:
            path, until, size = next(iter(self._kept.values()))
            if until > now and self._bytes <= self.keep_bytes:
                return
            self._kept.popitem(last=False)
            self._bytes -= size
            path.unlink(missing_ok=True)


def sweep(parent: Path) -> int:
    """Remove what services that were killed have left behind.

    A living service holds a lock in its store, which the system lets go of when it dies.

    Args:
        parent: Folder that holds the stores.

    Returns:
        Number of stores removed.
    """
    removed = 0
    for place in parent.glob(f"{_PREFIX}*"):
        lock = place / _LOCK
        if place.is_symlink() or lock.is_symlink() or not lock.is_file():
            continue
        with lock.open("ab") as file:
            if take_lock(file):
                shutil.rmtree(place, ignore_errors=True)
                removed += 1
    return removed


def take_lock(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed.

    Args:
        file: Any file.

    Returns:
        Whether nobody else holds the lock; False where locks are not to be had.
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
