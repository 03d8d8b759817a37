"""The zip of a model file (APPNOTE.TXT 6.3): what every byte of it must be, and refusing any other."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from scanwright.core.errors import ModelFileError

MODEL_FORMAT = "scanwright-model/1"
MANIFEST = "manifest.json"
REQUIRED = ("plan.json", "network.onnx", "labels.json", "trust.json", "evaluation.json", "card.md")
"""Members that every model file has, beside the manifest."""

OPTIONAL = ("weights.safetensors", "fingerprint.json", "network.int8.onnx")
"""Members with a name of their own that a model file may have; others lie under ``evidence/``."""

LARGEST_BYTES = 2**32 - 2**20
_LARGEST_TEXT_BYTES = 2**28
_MOST_MEMBERS = 10_000
_CHUNK = 1 << 20
_COMMENT = f"{MODEL_FORMAT} sha256:"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member as the zip lists it: always stored, dated 1980-01-01."""

    name: str
    size: int
    crc: int


def rank_of(name: str) -> int:
    order = (*REQUIRED, *OPTIONAL)
    return order.index(name) if name in order else len(order)


def local_header(entry: Entry) -> bytes:
    name = entry.name.encode("ascii", "replace")
    return (
        struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0x21, entry.crc, entry.size, entry.size, len(name), 0)
        + name
    )


def _central_header(entry: Entry, offset: int) -> bytes:
    name = entry.name.encode("ascii", "replace")
    fixed = struct.pack("<IHHHHHHIII", 0x02014B50, 0x0314, 20, 0, 0, 0, 0x21, entry.crc, entry.size, entry.size)
    return fixed + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0o100644 << 16, offset) + name


def tail(entries: Sequence[Entry], manifest_sha256: str) -> bytes:
    """Central directory and end record; the comment holds the hash of the manifest."""
    offset, records = 0, []
    for entry in entries:
        records.append(_central_header(entry, offset))
        offset += len(local_header(entry)) + entry.size
    directory = b"".join(records)
    comment = (_COMMENT + manifest_sha256).encode("ascii")
    count = len(entries)
    return (
        directory
        + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), offset, len(comment))
        + comment
    )


def list_members(path: Path, file: BinaryIO) -> list[Entry]:
    """Members as the zip's directory lists them, before anything is believed."""
    if path.stat().st_size > LARGEST_BYTES:
        raise refuse(path, "it is larger than 4 GiB")
    try:
        with zipfile.ZipFile(file) as archive:
            listed = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, OverflowError, struct.error) as error:
        raise ModelFileError(
            f"{path.name} is not a zip file ({error}).",
            "A model file is the model.scanwright of a run, whole.",
            "Give the path of a model file, or copy it again.",
        ) from None
    if not listed or len(listed) > _MOST_MEMBERS:
        raise refuse(path, f"it lists {len(listed)} members")
    seen: set[str] = set()
    for info in listed:
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise refuse(
                path, f"the member {info.filename[:80]!r} is compressed or encrypted; members are stored as they are"
            )
        if info.filename in seen:
            raise refuse(path, f"the member {info.filename[:80]!r} stands in it twice")
        if ".." in info.filename or info.filename.startswith(("/", "\\")) or not info.filename.isascii():
            raise refuse(path, f"the member name {info.filename[:80]!r} leads out of the file")
        if info.filename.endswith((".json", ".md")) and info.file_size > _LARGEST_TEXT_BYTES:
            raise refuse(path, f"the member {info.filename[:80]!r} says that it has {info.file_size} bytes")
        seen.add(info.filename)
    return [Entry(info.filename, info.file_size, info.CRC) for info in listed]


def check_bytes(
    path: Path, file: BinaryIO, entries: Sequence[Entry], manifest: Mapping[str, Any]
) -> tuple[str, dict[str, int]]:
    """Compare every byte with what must stand there; hash of the whole and place of each member."""
    whole, offsets = hashlib.sha256(), {}
    manifest_sha256 = hashlib.sha256(manifest_bytes(manifest)).hexdigest()
    file.seek(0)

    def same(expected: bytes, where: str) -> None:
        found = file.read(len(expected))
        whole.update(found)
        if found != expected:
            raise refuse(path, f"the bytes {where} are not as written")

    for entry in entries:
        same(local_header(entry), f"before member {entry.name}")
        offsets[entry.name] = file.tell()
        known = manifest["members"].get(entry.name, {"size": entry.size, "sha256": manifest_sha256})
        if entry.size != known["size"]:
            raise refuse(path, f"the member {entry.name} has {entry.size} bytes, not {known['size']}")
        own, left = hashlib.sha256(), entry.size
        while left > 0:
            piece = file.read(min(_CHUNK, left))
            if not piece:
                raise refuse(path, f"it ends inside the member {entry.name}")
            own.update(piece)
            whole.update(piece)
            left -= len(piece)
        if own.hexdigest() != known["sha256"]:
            raise refuse(path, f"the member {entry.name} does not have the hash in the manifest")
    same(tail(entries, manifest_sha256), "after the last member")
    if file.read(1):
        raise refuse(path, "bytes follow its end")
    return whole.hexdigest(), offsets


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    data: bytes = file.read(size)
    return data


def refuse(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{path.name} is not a whole, unaltered model file: {why}.",
        "Every byte of a model file must be as it was written.",
        "Copy or fetch the file again, or make it anew with `scanwright run`.",
    )


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
