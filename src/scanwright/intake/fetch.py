"""Public cohorts by name: downloaded once, resumed where a connection broke, checked against their checksum."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from time import monotonic, sleep
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from scanwright.core import Emit, FormatError, InputError, Progress, ResourceError, Said, silent
from scanwright.intake.place import nearest
from scanwright.intake.public_cohorts import PUBLIC_COHORTS, PublicCohort

_TRIES = 5
_BLOCK = 1 << 18
_TIMEOUT_S = 30.0


class _Broken(Exception):
    """The connection ended early; what came so far is on disk."""


def fetch(name: str, out: Path | str, *, base_url: str | None = None, emit: Emit = silent) -> Path:
    """Download a public cohort.

    The file grows as ``<name>.npz.part``; a broken connection is taken up again where it
    ended, also by the next call. Only when its checksum is right does it get its name.

    Args:
        name: A key of ``PUBLIC_COHORTS``, such as ``"pneumoniamnist"`` or ``"pathmnist_64"``.
        out: Folder for the file; made if it is not there.
        base_url: Mirror to take the file from, such as ``"http://localhost:8000"``.
        emit: Receiver of events; the licence and the citation are said first.

    Returns:
        Path of the file.

    Raises:
        InputError: The name is unknown, the server does not have the file or cannot be
            reached, or the folder cannot be written.
        FormatError: What came has another checksum.
        ResourceError: The disk is full.
    """
    cohort = PUBLIC_COHORTS.get(name.strip().casefold())
    if cohort is None:
        raise _unknown(name)
    target = Path(out) / f"{cohort.name}.npz"
    emit(
        Said(
            stage="fetch",
            text=f"{cohort.title} ({cohort.size} pixels) has the licence {cohort.licence}. Cite: {cohort.citation}",
        )
    )
    with disk(target):
        if target.is_file():
            if _md5(target) == cohort.md5:
                emit(Said(stage="fetch", text=f"{target} is already there and whole."))
                return target
            emit(Said(stage="fetch", text=f"{target} is not the published file and is fetched anew.", level="warn"))
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        url = cohort.url if base_url is None else f"{base_url.rstrip('/')}/{cohort.name}.npz"
        download(url, part, emit)
        _settle(cohort, part, target)
    return target


def download(url: str, part: Path, emit: Emit) -> None:
    """Bring ``part`` to its full length, over several connections if need be."""
    last = ""
    for attempt in range(_TRIES):
        before = part.stat().st_size if part.exists() else 0
        try:
            _take(url, part, emit)
            return
        except _Broken as broken:
            last = str(broken)
            got = part.stat().st_size if part.exists() else 0
            emit(
                Said(
                    stage="fetch", text=f"The connection broke at {got / 1e6:.1f} MB; taking it up again.", level="warn"
                )
            )
            if got == before:
                sleep(min(0.2 * 2**attempt, 3.0))
    raise InputError(
        f"The download from {urlsplit(url).netloc} broke off {_TRIES} times ({last}).",
        "The server must be in reach until the file is whole.",
        "Run the same command again: it goes on where it stopped.",
    )


def _take(url: str, part: Path, emit: Emit) -> None:
    have = part.stat().st_size if part.exists() else 0
    with _open(url, have, part) as answer:
        if answer is None:
            return
        resumed = answer.status == 206
        done = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        _room(part, total, done)
        start, first, told = monotonic(), done, 0.0
        with part.open("ab" if resumed else "wb") as file:
            while True:
                try:
                    block = answer.read(_BLOCK)
                except (HTTPException, OSError) as error:
                    raise _Broken(type(error).__name__) from error
                if not block:
                    break
                file.write(block)
                done += len(block)
                now = monotonic()
                if now - told > 0.25 or done == total:
                    told = now
                    speed = (done - first) / max(now - start, 1e-6)
                    left = (total - done) / speed if total and speed else None
                    emit(Progress(stage="fetch", step="download", done=done, total=total or done, left_s=left))
        if total is not None and done < total:
            raise _Broken("it ended early")


@contextmanager
def _open(url: str, have: int, part: Path) -> Iterator[HTTPResponse | None]:
    """The server's answer; None when the file was whole already."""
    request = Request(url, headers={"User-Agent": "scanwright", **({"Range": f"bytes={have}-"} if have else {})})
    try:
        answer = urlopen(request, timeout=_TIMEOUT_S)
    except HTTPError as error:
        if error.code == 416 and have:  # nothing lies beyond what we have
            yield None
            return
        if error.code >= 500 or error.code in (408, 429):
            raise _Broken(f"HTTP {error.code}") from error
        raise InputError(
            f"The server {urlsplit(url).netloc} answered {error.code} for {urlsplit(url).path}.",
            "The file must be there for everybody.",
            "Name a mirror that has it, or fetch the file by hand.",
        ) from error
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise _Broken(str(reason) or type(error).__name__) from error
    except ValueError as error:
        raise InputError(f"{url} is no address.", "A mirror begins with http:// or https://.", "Correct it.") from error
    with answer:
        yield answer


def _settle(cohort: PublicCohort, part: Path, target: Path) -> None:
    found = _md5(part)
    if found != cohort.md5:
        part.unlink()
        raise FormatError(
            f"{cohort.name}.npz came with the MD5 {found}.",
            f"Its authors publish {cohort.md5}.",
            "Run the command again; if it stays so, the server holds another file.",
        )
    part.replace(target)


def _md5(path: Path) -> str:
    key = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            key.update(block)
    return key.hexdigest()


def _room(part: Path, total: int | None, done: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - done > free:
        raise ResourceError(
            f"The file needs {(total - done) / 1e6:.0f} MB and {free / 1e6:.0f} MB are free.",
            "A download needs room on disk.",
            "Make room, or name another folder with --out.",
        )


@contextmanager
def disk(target: Path) -> Iterator[None]:
    try:
        yield
    except (ResourceError, InputError, FormatError):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ResourceError(
                f"The disk is full while {target.name} is written.",
                "A download needs room on disk.",
                "Make room and run the same command again: it goes on where it stopped.",
            ) from error
        raise InputError(
            f"The folder {target.parent} cannot be written ({error.strerror}).",
            "A download needs a folder that you may write to.",
            "Name another with --out.",
        ) from error


def _unknown(name: str) -> InputError:
    near = nearest(name, list(PUBLIC_COHORTS))
    families = sorted({c.family for c in PUBLIC_COHORTS.values()})
    return InputError(
        f"There is no public cohort named {name!r}.",
        f"Known are {', '.join(families)}, some with _64, _128 or _224 for larger pictures.",
        f"Did you mean {near!r}?" if near else "Name one of them.",
    )
