"""A multipart body, written to disk as it arrives."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from scanwright.serving.limits import Limits
from scanwright.serving.refusal import Refusal

_LONGEST_NAME = 200


@dataclass(frozen=True)
class Upload:
    """A file as it lies in the work folder.

    Args:
        path: Where it lies, under a name of ours.
        name: What the sender called it; to be shown, never to be opened.
    """

    path: Path
    name: str


async def receive_files(request: Request, folder: Path, limits: Limits) -> list[Upload]:
    """Write the files of a multipart request into a folder, never holding one in memory.

    Args:
        request: A request whose body nobody has read.
        folder: An empty folder.
        limits: Ceilings; the body as a whole is counted by the guard.

    Returns:
        The files that are not empty parts, in order.

    Raises:
        Refusal: 400 if the body is no multipart or holds no file, 413 if it holds too
            many, 415 if it is of another type.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise Refusal(
            415,
            f"The body is {kind.decode('latin-1') or 'of no type'}.",
            "Images are sent as multipart/form-data.",
            "Send them as curl does with -F files=@image.dcm.",
        )
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise _broken("it names no boundary of 1 to 70 characters")
    sink = _Sink(folder, limits.max_files)
    try:
        parser = MultipartParser(boundary, sink.callbacks())  # type: ignore[arg-type]
        async for chunk in request.stream():
            parser.write(chunk)
            if sink.waiting:
                await asyncio.to_thread(sink.write_out)
        parser.finalize()
        if not sink.ended:
            raise _broken("it ends in the middle of a part")
    except FormParserError:
        raise _broken("it does not parse") from None
    except ClientDisconnect:
        raise Refusal(400, "The sender went away.", "A request must arrive whole.", "Send it again.") from None
    except OSError as error:
        raise _no_room(error) from None
    finally:
        sink.close()
    if not sink.files:
        raise Refusal(
            400, "The request holds no file.", "At least one image is needed.", "Send it as -F files=@image.dcm."
        )
    return sink.files


class _Sink:
    """What the parser calls: it notes the pieces, and writes them out between two chunks."""

    def __init__(self, folder: Path, max_files: int) -> None:
        self.folder, self.max_files = folder, max_files
        self.files: list[Upload] = []
        self.waiting: list[tuple[Path, bytes]] = []
        self.ended = False
        self._open: tuple[Path, BinaryIO] | None = None
        self._into: Path | None = None
        self._header, self._value, self._disposition, self._parts = b"", b"", b"", 0

    def callbacks(self) -> dict[str, object]:
        names = ("part_begin", "part_data", "header_field", "header_value", "header_end", "headers_finished", "end")
        return {f"on_{name}": getattr(self, f"on_{name}") for name in names}

    def on_part_begin(self) -> None:
        self._header, self._value, self._disposition, self._into = b"", b"", b"", None
        self._parts += 1
        if self._parts > self.max_files + 20:
            raise _too_many(self.max_files)

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"filename")
        if not name:  # a field, or a file input that was left empty
            return
        if len(self.files) >= self.max_files:
            raise _too_many(self.max_files)
        self._into = self.folder / f"f{len(self.files):05d}"
        self.files.append(Upload(self._into, shown_name(name.decode("utf-8", "replace"))))
        self.waiting.append((self._into, b""))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._into is not None:
            self.waiting.append((self._into, data[start:end]))

    def on_end(self) -> None:
        self.ended = True

    def write_out(self) -> None:
        for path, piece in self.waiting:
            if self._open is None or self._open[0] != path:
                self.close()
                self._open = (path, path.open("xb"))
            self._open[1].write(piece)
        self.waiting.clear()

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


def shown_name(name: str) -> str:
    """A sender's file name, fit to be shown: printable, without drive or leading slashes, not endless.

    Args:
        name: As it was sent.

    Returns:
        The same with ``/`` between folders.

    Example:
        >>> shown_name("C:\\\\scans\\\\a\\tb.dcm")
        'scans/ab.dcm'
    """
    plain = "".join(c for c in name.replace("\\", "/") if c.isprintable())
    parts = [p for p in plain.split("/") if p not in ("", ".", "..") and not (len(p) == 2 and p[1] == ":")]
    return "/".join(parts)[-_LONGEST_NAME:] or "file"


def _broken(why: str) -> Refusal:
    return Refusal(
        400, f"The multipart body is broken: {why}.", "Parts lie between boundaries.", "Send the files again."
    )


def _too_many(most: int) -> Refusal:
    return Refusal(
        413,
        f"The request holds more than {most} files.",
        f"One request may hold {most}.",
        "Send fewer at a time.",
        code="too_many",
    )


def _no_room(error: OSError) -> Refusal:
    return Refusal(
        507,
        f"The upload could not be written: {error.strerror or type(error).__name__}.",
        "The service needs room in its work folder.",
        "Free some space, then send it again.",
    )
