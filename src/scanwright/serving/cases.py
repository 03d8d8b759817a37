"""From files to cases: which of them belong together.

Every file is a case, except DICOM instances that lie in one series and have a place in
space: those are the slices of one volume. A model that looks at pictures gets every slice
as a case of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from scanwright.core import FramesBy
from scanwright.io.clip import frames_together, natural
from scanwright.io.locator import FRAMES
from scanwright.io.probing import is_picture
from scanwright.serving.archive import is_zip, unpack
from scanwright.serving.kinds import KINDS, check_voxels, dicom_header, recognise
from scanwright.serving.limits import Limits
from scanwright.serving.refusal import Refusal, refusal_of
from scanwright.serving.upload import Upload


@dataclass(frozen=True)
class Piece:
    """What is read as one image.

    Args:
        name: As it is shown to the sender.
        path: A file, a row of an array (``x.npy[3]``), or a folder that holds one series; the first
            frame of a sequence.
        kind: A key of ``kinds.KINDS``.
        files: Stored path of each file to what the sender called it.
        frames: Of a sequence of several files: all of them, in order.
    """

    name: str
    path: Path
    kind: str
    files: dict[Path, str] = field(default_factory=dict)
    frames: tuple[Path, ...] = ()

    @property
    def source(self) -> Path | str:
        """What the reader is asked for: a place, or the locator of several frames."""
        return FRAMES.join(map(str, self.frames)) if self.frames else self.path

    def in_words_of_the_sender(self, text: str) -> str:
        """A reader's sentence with our paths and names replaced by the sender's."""
        for path in sorted(self.files, key=lambda p: -len(str(p))):
            text = text.replace(str(path), self.files[path]).replace(path.name, self.files[path])
        text = text.replace(str(self.path), self.name).replace(self.path.name, self.name)
        return text.replace(f"{self.path.parent}/", "").replace(str(self.path.parent), "the upload")


@dataclass
class Sorted:
    """Pieces in order, and what could not become one.

    Args:
        pieces: What is to be read.
        refused: Name and reason of the rest.
    """

    pieces: list[Piece] = field(default_factory=list)
    refused: list[tuple[str, Refusal]] = field(default_factory=list)


@dataclass
class _Series:
    origin: str
    uploads: list[Upload] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)


def sort_files(
    uploads: list[Upload], folder: Path, limits: Limits, *, volumes: bool = True, frames: FramesBy = ""
) -> Sorted:
    """Unpack archives, recognise every file, and put the slices of a series together.

    Args:
        uploads: What was sent.
        folder: Where more may be written.
        limits: Ceilings.
        volumes: Whether series become volumes; otherwise each slice is a case.
        frames: Of a model of sequences: what its frames step through. The single pictures of a folder
            (for visits: of a patient) are then the frames of one case.

    Returns:
        Pieces and refusals.

    Raises:
        Refusal: 413 if there are more cases than a request may hold.
    """
    done, series = Sorted(), dict[str, _Series]()
    for upload in uploads:
        try:
            zipped = is_zip(upload.path)
            members = unpack(upload, folder, limits, room=limits.max_files - len(uploads)) if zipped else [upload]
            if not members:
                raise Refusal(
                    422,
                    f"{upload.name} holds no file.",
                    "An archive must hold an image.",
                    "Pack the images.",
                    code="no_image",
                )
        except Refusal as refusal:
            done.refused.append((upload.name, refusal))
            continue
        for member in members:
            _place(member, upload.name if zipped else "", done, series, limits, volumes)
    for found in series.values():
        _close(found, folder, done, limits)
    if frames in ("time", "visit"):
        done.pieces = _sequences(done.pieces, frames)
    if len(done.pieces) > limits.max_cases:
        raise Refusal(
            413,
            f"The request holds {len(done.pieces)} cases.",
            f"One request may hold {limits.max_cases}.",
            "Send fewer at a time, or use `scanwright predict` on the folder.",
            code="too_many",
        )
    return done


def _sequences(pieces: list[Piece], frames: FramesBy) -> list[Piece]:
    """Single pictures put together; clips of several frames stay what they are.

    Pictures are taken in the order of the sender's names, of one folder or one archive; those of visits by
    patient and date, where headers say so.
    """
    single = {p.path: p for p in pieces if p.kind != "npy" and p.path.is_file() and is_picture(p.path)}
    named = {PurePosixPath(p.name): p for p in single.values()}
    order = sorted(named, key=lambda name: natural(name.as_posix()))
    folders: dict[PurePosixPath, list[Path]] = {}
    for name in order:
        folders.setdefault(name.parent, []).append(named[name].path)
    groups = frames_together(list(single), "visit") if frames == "visit" else list(folders.values())
    found = [p for p in pieces if p.path not in single]
    for group in groups:
        first = single[group[0]]
        if len(group) == 1:
            found.append(first)
            continue
        files = {path: name for path in group for path, name in single[path].files.items()}
        home = PurePosixPath(first.name).parent.as_posix()
        shown = home if home != "." else f"{first.name} (+{len(group) - 1})"
        found.append(Piece(shown, first.path, first.kind, files, tuple(group)))
    return found


def _place(
    upload: Upload, origin: str, done: Sorted, series: dict[str, _Series], limits: Limits, volumes: bool
) -> None:
    """Make one file a piece, or a slice of a series."""
    try:
        kind = recognise(upload.path, upload.name)
        kind.measure(upload.path, upload.name, limits)
        if kind is KINDS["dicom"] and volumes:
            header = dicom_header(upload.path, upload.name)
            if _has_a_place(header):
                found = series.setdefault(str(header.SeriesInstanceUID), _Series(origin))
                found.uploads.append(upload)
                found.headers.append(header)
                return
    except Exception as error:  # noqa: BLE001 - one bad file must not cost the others their answer
        done.refused.append((upload.name, refusal_of(error, about=upload.name)))
        return
    piece = _single(upload, next(k for k, v in KINDS.items() if v is kind))
    done.pieces.extend(_rows(piece, volumes) if piece.kind == "npy" else [piece])


def _single(upload: Upload, kind: str) -> Piece:
    path = upload.path.with_name(upload.path.name + KINDS[kind].suffix)
    upload.path.rename(path)
    return Piece(upload.name, path, kind, {path: upload.name})


def _rows(piece: Piece, volumes: bool) -> list[Piece]:
    """An array of many images as one case a row; an array that is one image as it is."""
    shape = np.load(piece.path, mmap_mode="r", allow_pickle=False).shape
    colour = (1, 3, 4)
    many = len(shape) == 5 if volumes else len(shape) == 4
    if len(shape) == (4 if volumes else 3):
        many = shape[-1] not in colour and shape[0] not in (colour if volumes else (1,))
    if not many:
        return [piece]
    path, name = piece.path, piece.name
    return [Piece(f"{name}[{n}]", path.with_name(f"{path.name}[{n}]"), "npy", piece.files) for n in range(shape[0])]


def _close(found: _Series, folder: Path, done: Sorted, limits: Limits) -> None:
    """Make a piece of a series: a folder of its own when it has several slices."""
    if len(found.uploads) == 1:
        done.pieces.append(_single(found.uploads[0], "dicom"))
        return
    name = _series_name(found)
    first = found.headers[0]
    try:
        check_voxels((len(found.uploads), int(first.Rows), int(first.Columns)), name, limits)
    except Refusal as refusal:
        done.refused.append((name, refusal))
        return
    place = folder / f"s{len(done.pieces):05d}"
    place.mkdir()
    files = {}
    for upload in found.uploads:
        path = place / (upload.path.name + ".dcm")
        upload.path.rename(path)
        files[path] = upload.name
    done.pieces.append(Piece(name, place, "dicom", files))


def _series_name(found: _Series) -> str:
    if found.origin:
        return found.origin
    folders = {PurePosixPath(u.name).parent.as_posix() for u in found.uploads}
    if len(folders) == 1 and (only := folders.pop()) != ".":
        return only
    return f"{found.uploads[0].name} (+{len(found.uploads) - 1})"


def _has_a_place(header: Any) -> bool:
    """Whether an instance is one slice with a position, of a series that is named."""
    if int(header.get("NumberOfFrames") or 1) > 1 or not header.get("SeriesInstanceUID"):
        return False
    return len(header.get("ImagePositionPatient") or ()) == 3 and len(header.get("ImageOrientationPatient") or ()) == 6
