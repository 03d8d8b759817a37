"""The file of a generator: a zip like a model file, checked byte by byte, read without executing anything in it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scanwright.core.errors import ModelFileError
from scanwright.io.atomic import atomic_write
from scanwright.io.model_checks import json_object
from scanwright.io.model_zip import (
    MANIFEST,
    Entry,
    check_bytes,
    list_members,
    local_header,
    manifest_bytes,
    read_at,
    refuse,
    tail,
)

GENERATOR_FORMAT = "scanwright-generator/1"
MEMBERS = ("generator.json", "quality.json", "weights.safetensors")
"""What a generator's file holds beside the manifest: how it draws, how good it is, and its weights."""


@dataclass(frozen=True, eq=False)
class GeneratorFile:
    """A generator's file whose every byte has been checked.

    Args:
        path: Where it lies.
        sha256: SHA-256 of the whole file, hexadecimal.
        manifest: Format, facts, and hash and size of each member.
        facts: Content of ``generator.json``.
        quality: Content of ``quality.json``.
        weights: Content of ``weights.safetensors``.
    """

    path: Path
    sha256: str
    manifest: Mapping[str, Any]
    facts: Mapping[str, Any]
    quality: Mapping[str, Any]
    weights: bytes

    @property
    def name(self) -> str:
        """Name of the cohort that was learnt."""
        return str(self.manifest["name"])


def write_generator_file(path: Path, members: Mapping[str, bytes], *, name: str) -> GeneratorFile:
    """Write a generator's file in one step and read it back.

    Args:
        path: File to write.
        members: Content of each of :data:`MEMBERS`.
        name: Name of the cohort.

    Returns:
        The file, as :func:`read_generator_file` sees it.

    Raises:
        ModelFileError: A member is missing or unknown.
        ResourceError: The disk is full.
    """
    path = Path(path)
    _check_names(path, tuple(members))
    manifest = {
        "format": GENERATOR_FORMAT,
        "name": name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "scanwright": importlib.metadata.version("scanwright"),
        "use": "research and teaching - not a medical device; every image drawn is synthetic",
        "members": {n: {"size": len(members[n]), "sha256": hashlib.sha256(members[n]).hexdigest()} for n in MEMBERS},
    }
    content = {MANIFEST: manifest_bytes(manifest), **{n: bytes(members[n]) for n in MEMBERS}}
    entries = [Entry(n, len(data), zlib.crc32(data)) for n, data in content.items()]
    pieces = [piece for entry in entries for piece in (local_header(entry), content[entry.name])]
    digest = hashlib.sha256(content[MANIFEST]).hexdigest()
    atomic_write(path, b"".join([*pieces, tail(entries, digest)]))
    return read_generator_file(path)


def read_generator_file(path: Path) -> GeneratorFile:
    """Open a generator's file; every byte of it is checked.

    Args:
        path: A file that :func:`write_generator_file` wrote.

    Returns:
        The checked file.

    Raises:
        ModelFileError: The file is missing, something else (a model, say), incomplete or altered.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(
            f"There is no generator {path}.",
            "A generator is the generator.scanwright that `scanwright generate FOLDER` writes.",
            "Check the path, or learn one from a folder of images.",
        )
    with path.open("rb") as file:
        entries = list_members(path, file)
        first = entries[0]
        manifest = json_object(path, MANIFEST, read_at(file, len(local_header(first)), first.size))
        if first.name != MANIFEST or manifest.get("format") != GENERATOR_FORMAT:
            raise _another(path, manifest)
        _check_names(path, tuple(entry.name for entry in entries[1:]))
        _check_manifest(path, manifest, read_at(file, len(local_header(first)), first.size))
        sha256, offsets = check_bytes(path, file, entries, manifest)
        found = {entry.name: read_at(file, offsets[entry.name], entry.size) for entry in entries}
    return GeneratorFile(
        path,
        sha256,
        manifest,
        json_object(path, "generator.json", found["generator.json"]),
        json_object(path, "quality.json", found["quality.json"]),
        found["weights.safetensors"],
    )


def is_model_zip(path: Path) -> bool:
    """Whether a file is a zip with our manifest first: a generator, or a model."""
    if not path.is_file() or (path.suffix.lower() != ".scanwright" and not zipfile.is_zipfile(path)):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()[:1] == [MANIFEST]
    except (zipfile.BadZipFile, OSError, ValueError):
        return path.suffix.lower() == ".scanwright"


def _check_names(path: Path, names: tuple[str, ...]) -> None:
    if sorted(names) != sorted(MEMBERS):
        raise ModelFileError(
            f"{path.name} would hold {', '.join(names) or 'nothing'}.",
            f"A generator's file holds {', '.join(MEMBERS)}.",
            "Learn the generator anew with `scanwright generate`.",
        )


def _check_manifest(path: Path, manifest: Mapping[str, Any], data: bytes) -> None:
    members = manifest.get("members")
    whole = isinstance(members, dict) and sorted(members) == sorted(MEMBERS)
    whole = whole and all(
        isinstance(m, dict) and isinstance(m.get("size"), int) and isinstance(m.get("sha256"), str)
        for m in dict(members or {}).values()
    )
    if not whole or not {"name", "created", "scanwright"} <= set(manifest) or manifest_bytes(manifest) != data:
        raise refuse(path, "its manifest is not as Scanwright writes it")


def _another(path: Path, manifest: Mapping[str, Any]) -> ModelFileError:
    kind = str(manifest.get("format", ""))[:40]
    what = (
        "a model that answers questions, not a generator"
        if kind.startswith("scanwright-model/")
        else f"of the format {kind!r}"
    )
    return ModelFileError(
        f"{path.name} is {what}.",
        f"This command draws from a file of the format {GENERATOR_FORMAT!r}.",
        "Give the generator.scanwright that `scanwright generate FOLDER` wrote, or a folder to learn from.",
    )
