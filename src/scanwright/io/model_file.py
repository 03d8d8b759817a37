"""The model file: one zip that is the whole product, read without executing anything in it.

Members are stored, never compressed: weights hardly shrink, and so every byte of the file
follows from the manifest. The reader works out what the file must look like and refuses
any other byte, also between members, in the zip's own records and after its end.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scanwright.core.errors import ModelFileError
from scanwright.core.plan import Fingerprint, Plan
from scanwright.io.atomic import atomic_write
from scanwright.io.model_checks import (
    check_contents,
    check_listing,
    check_names,
    check_signature,
    make_manifest,
    read_manifest,
    signature_of,
    text_of,
)
from scanwright.io.model_zip import (
    LARGEST_BYTES,
    MANIFEST,
    MODEL_FORMAT,
    OPTIONAL,
    REQUIRED,
    Entry,
    check_bytes,
    list_members,
    local_header,
    manifest_bytes,
    rank_of,
    read_at,
    refuse,
    tail,
)

__all__ = ["MANIFEST", "MODEL_FORMAT", "OPTIONAL", "REQUIRED", "ModelFile", "read_model_file", "write_model_file"]


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model file whose every byte has been checked.

    Args:
        path: Where it lies.
        name: Short name of the model.
        version: Version of the model.
        sha256: SHA-256 of the whole file, hexadecimal.
        manifest: The manifest: format, facts, and hash and size of each member.
        plan: How its images are prepared and how it was trained.
        labels: ``names`` of the classes, and optionally ``codes`` and ``colours``.
        trust: Calibration, operating points and the examination of heat maps.
        evaluation: Figures on each part.
        card: Model card, Markdown.
        fingerprint: Facts of the training cohort, None if the file has none.
        signed: Whether the signature was checked with a key and held.
    """

    path: Path
    name: str
    version: str
    sha256: str
    manifest: Mapping[str, Any]
    plan: Plan
    labels: Mapping[str, Any]
    trust: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    card: str
    fingerprint: Fingerprint | None = None
    signed: bool = False
    _offsets: Mapping[str, int] = field(default_factory=dict, repr=False)

    @property
    def members(self) -> tuple[str, ...]:
        """Names of all members, the manifest first."""
        return tuple(self._offsets)

    def member(self, name: str) -> bytes:
        """Bytes of one member, checked against the manifest again.

        Args:
            name: Such as ``"network.onnx"``.

        Returns:
            The content.

        Raises:
            ModelFileError: There is no such member, or the file has changed since it was opened.
        """
        if name not in self._offsets:
            raise ModelFileError(
                f"{self.path.name} has no member {name!r}.",
                f"It holds {', '.join(self.members)}.",
                "Ask for one of these.",
            )
        entry = self.manifest["members"].get(name, {"size": 0, "sha256": ""})
        with self.path.open("rb") as file:
            file.seek(self._offsets[name])
            data = file.read(entry["size"]) if name != MANIFEST else manifest_bytes(self.manifest)
        if name != MANIFEST and hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise refuse(self.path, f"member {name} has changed since the file was opened")
        return data

    def facts(self) -> dict[str, str]:
        """Name, version and hash, as they stand on every prediction."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}


def write_model_file(
    path: Path | str, members: Mapping[str, bytes], *, facts: Mapping[str, Any], key: bytes | None = None
) -> ModelFile:
    """Write a model file in one step and read it back.

    The same members and facts give the same bytes; ``created`` is the only fact that is
    taken from the clock, and only when it is not given.

    Args:
        path: File to write; an existing one is replaced only when the new one is whole.
        members: Content of each member: all of :data:`REQUIRED`, any of :data:`OPTIONAL`,
            and files under ``evidence/``.
        facts: Plain JSON values for the manifest: ``name``, ``version``, ``created`` and others.
        key: Secret that signs the manifest (HMAC-SHA-256), None for no signature.

    Returns:
        The file, as :func:`read_model_file` sees it.

    Raises:
        ModelFileError: A member is missing, unknown or not what its name says, or a fact is
            a field of the manifest.
        ResourceError: The disk is full; an older file is as it was.
    """
    path = Path(path)
    names = sorted(members, key=lambda name: (rank_of(name), name))
    check_names(path, names)
    check_contents(path, {name: bytes(members[name]) for name in names if name in (*REQUIRED, "fingerprint.json")})
    manifest = make_manifest({name: bytes(members[name]) for name in names}, facts)
    if key is not None:
        manifest["signature"] = {"method": "hmac-sha256", "value": signature_of(manifest, key)}
    content = {MANIFEST: manifest_bytes(manifest), **{name: bytes(members[name]) for name in names}}
    entries = [Entry(name, len(data), zlib.crc32(data)) for name, data in content.items()]
    if sum(entry.size for entry in entries) > LARGEST_BYTES:
        raise refuse(path, "its members are larger than 4 GiB together")
    digest = hashlib.sha256(content[MANIFEST]).hexdigest()
    pieces = [piece for entry in entries for piece in (local_header(entry), content[entry.name])]
    atomic_write(path, b"".join([*pieces, tail(entries, digest)]))
    return read_model_file(path, key=key)


def read_model_file(path: Path | str, *, key: bytes | None = None) -> ModelFile:
    """Open a model file; every byte of it is checked, nothing in it is executed.

    Args:
        path: A file that :func:`write_model_file` wrote.
        key: Secret that the manifest must be signed with; None accepts unsigned files.

    Returns:
        The checked file.

    Raises:
        ModelFileError: The file is missing, not a model file, of an unknown version, incomplete,
            altered in any byte, or not signed with ``key``.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(
            f"There is no model file {path}.",
            "A model file is the model.scanwright of a run.",
            "Give its path, or train one with `scanwright run FOLDER`.",
        )
    with path.open("rb") as file:
        entries = list_members(path, file)
        manifest = read_manifest(path, file, entries)
        names = [entry.name for entry in entries[1:]]
        check_listing(path, names, manifest)
        check_names(path, names)
        sha256, offsets = check_bytes(path, file, entries, manifest)
        small = {
            e.name: read_at(file, offsets[e.name], e.size) for e in entries if e.name in (*REQUIRED, "fingerprint.json")
        }
    if key is not None:
        check_signature(path, manifest, key)
    plan, labels, trust, evaluation, fingerprint = check_contents(path, small)
    return ModelFile(
        path=path,
        name=str(manifest["name"]),
        version=str(manifest["version"]),
        sha256=sha256,
        manifest=manifest,
        plan=plan,
        labels=labels,
        trust=trust,
        evaluation=evaluation,
        card=text_of(path, "card.md", small["card.md"]),
        fingerprint=fingerprint,
        signed=key is not None,
        _offsets=offsets,
    )
