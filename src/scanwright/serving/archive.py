"""Zip archives, unpacked under names of ours and within limits.

Nothing of a member's name reaches the file system; a name that tries to leave the archive
still condemns it, since no honest program writes one.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from scanwright.serving.kinds import check_unpacked, damaged
from scanwright.serving.limits import Limits
from scanwright.serving.refusal import Refusal
from scanwright.serving.upload import Upload, shown_name

_PIECE = 1 << 20
_CHAFF = {"thumbs.db", "desktop.ini", "dicomdir", ".ds_store"}


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip does."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def unpack(upload: Upload, folder: Path, limits: Limits, *, room: int) -> list[Upload]:
    """Unpack a zip.

    Args:
        upload: The archive.
        folder: Where its members go.
        limits: Ceilings.
        room: Members that may still be added to the request.

    Returns:
        The members, without folders and what operating systems leave behind.

    Raises:
        Refusal: 413 for too much, 422 for a damaged, encrypted or hostile archive.
    """
    try:
        with zipfile.ZipFile(upload.path) as archive:
            members = archive.infolist()
            if len(members) > room:
                raise Refusal(
                    413,
                    f"{upload.name} holds {len(members)} files.",
                    f"One request may hold {limits.max_files}.",
                    "Send fewer at a time.",
                    code="too_many",
                )
            check_unpacked(upload.path.stat().st_size, sum(m.file_size for m in members), upload.name, limits)
            wanted = [m for m in members if _is_wanted(m, upload.name)]
            return _extract(archive, wanted, upload, folder, limits)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError):
        raise damaged(upload.name) from None


def _is_wanted(member: zipfile.ZipInfo, archive: str) -> bool:
    name = member.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in member.orig_filename or name[1:2] == ":":
        raise _hostile(archive, "a member whose name leaves the archive")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise _hostile(archive, "a link")
    if member.flag_bits & 0x1:
        raise _hostile(archive, "an encrypted member")
    if member.is_dir() or not parts or "__MACOSX" in parts:
        return False
    return parts[-1].lower() not in _CHAFF and not parts[-1].startswith("._")


def _extract(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], upload: Upload, folder: Path, limits: Limits
) -> list[Upload]:
    """Write the members out, counting what really comes out of them."""
    packed, total, out = upload.path.stat().st_size, 0, []
    for index, member in enumerate(members):
        target = folder / f"{upload.path.name}-{index:05d}"
        with archive.open(member) as source, target.open("xb") as sink:
            while piece := source.read(_PIECE):
                total += len(piece)
                check_unpacked(packed, total, upload.name, limits)
                sink.write(piece)
        out.append(Upload(target, shown_name(member.filename)))
    return out


def _hostile(archive: str, what: str) -> Refusal:
    return Refusal(
        422,
        f"{archive} holds {what}.",
        "Archives hold plain files under plain names.",
        "Pack it anew with an ordinary tool.",
        code="damaged",
    )
