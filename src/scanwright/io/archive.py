"""A zip that holds one DICOM series or one image, unpacked with care and thrown away."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from scanwright.core.errors import FormatError, InputError
from scanwright.core.volume import Volume
from scanwright.io.content import kind_of, kind_of_bytes
from scanwright.io.guard import damaged, reading, truncated

MAX_MEMBERS = 50_000
MAX_UNPACKED = 8 << 30
_MAX_RATIO = 200
_FREE_BYTES = 64 << 20


def read_zip(path: Path, member: str | None = None, row: int | None = None) -> Volume:
    """Read a zip of one DICOM series or one image.

    Args:
        path: The file.
        member: SeriesInstanceUID, where the zip holds several series.
        row: Row, frame or time point of the image in it.

    Returns:
        The volume.

    Raises:
        FormatError: The zip is damaged, encrypted, a bomb, or holds another zip.
        InputError: It holds no image, or several.
    """
    from scanwright.io.dicom.series import read_series
    from scanwright.io.read import READERS

    with reading(path, "zip"), tempfile.TemporaryDirectory(prefix="scanwright-") as folder:
        files = unpack(path, Path(folder))
        kinds = {file: kind_of(file) for file in files}
        dicom = [file for file, kind in kinds.items() if kind == "dicom"]
        others = [(file, kind) for file, kind in kinds.items() if kind not in (None, "dicom")]
        if dicom and not others:
            return read_series(dicom, uid=member) if row is None else READERS["dicom"](dicom[0], None, row)
        if len(others) == 1 and not dicom:
            file, kind = others[0]
            if kind == "zip":
                raise FormatError(f"{path.name} holds another zip.", "A zip holds images.", "Unpack it first.")
            return READERS[str(kind)](file, member, row)
        what = f"{len(dicom)} DICOM files and {len(others)} other images" if kinds else "nothing"
        raise InputError(
            f"{path.name} holds {what}.", "A zip holds one DICOM series or one image.", "Zip each image on its own."
        )


def unpack(path: Path, folder: Path) -> list[Path]:
    """Unpack the files of a zip under names of our own.

    Args:
        path: The zip.
        folder: Empty folder.

    Returns:
        The files; each keeps the last part of its name where that is harmless.

    Raises:
        FormatError: The zip is damaged, encrypted or unpacks to too much.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise damaged(path, "zip", "its list of contents is missing or wrong") from error
    files = []
    with archive:
        infos = [i for i in archive.infolist() if not i.is_dir() and not _hidden(i.filename)]
        total = sum(i.file_size for i in infos)
        limit = max(_FREE_BYTES, _MAX_RATIO * path.stat().st_size)
        if len(infos) > MAX_MEMBERS or total > min(limit, MAX_UNPACKED):
            raise damaged(path, "zip", f"it declares {len(infos)} files of {total >> 20} MiB in all")
        for number, info in enumerate(infos):
            if info.flag_bits & 1:
                raise damaged(path, "zip", "it is encrypted")
            place = folder / f"{number:05d}" / _harmless(info.filename)
            place.parent.mkdir()
            with archive.open(info) as source, place.open("wb") as target:
                have = 0
                while block := source.read(1 << 20):  # zipfile checks size and sum at the end
                    have += len(block)
                    target.write(block)
                if have != info.file_size:
                    raise truncated(path, "zip", have, info.file_size)
            files.append(place)
    return files


def probe_zip(path: Path) -> tuple[str | None, int]:
    """Kind of the first image in a zip and the number of files, without unpacking.

    Args:
        path: The zip.

    Returns:
        Kind and count.

    Raises:
        FormatError: The zip is damaged.
    """
    with reading(path, "zip"), zipfile.ZipFile(path) as archive:
        infos = [i for i in archive.infolist() if not i.is_dir() and not _hidden(i.filename)]
        for info in infos[:50]:
            with archive.open(info) as file:
                kind = kind_of_bytes(file.read(1024))
            if kind:
                return kind, len(infos)
        return None, len(infos)


def _hidden(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "__MACOSX" or parts[-1].startswith(".") or parts[-1].upper() == "DICOMDIR"


def _harmless(name: str) -> str:
    last = name.replace("\\", "/").split("/")[-1]
    clean = "".join(c if c.isalnum() or c in "._- ()" else "_" for c in last)[-100:]
    return clean.lstrip(".") or "file"
