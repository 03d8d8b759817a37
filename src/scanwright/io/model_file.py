"""The model file: one zip that is the whole product, read without executing anything in it.

Members are stored, never compressed: weights hardly shrink, and so every byte of the file
follows from the manifest. The reader works out what the file must look like and refuses
any other byte, also between members, in the zip's own records and after its end.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.metadata
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from scanwright.core.errors import ModelFileError, PlanError
from scanwright.core.plan import Fingerprint, Plan
from scanwright.io.atomic import atomic_write
from scanwright.io.onnx_file import read_onnx_facts

MODEL_FORMAT = "scanwright-model/1"
MANIFEST = "manifest.json"
REQUIRED = ("plan.json", "network.onnx", "labels.json", "trust.json", "evaluation.json", "card.md")
"""Members that every model file has, beside the manifest."""

OPTIONAL = ("weights.safetensors", "fingerprint.json")
"""Members with a name of their own that a model file may have; others lie under ``evidence/``."""

_EVIDENCE = re.compile(r"evidence/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\.(json|csv|png|npz|safetensors|md|txt)")
_LARGEST_BYTES = 2**32 - 2**20
_LARGEST_TEXT_BYTES = 2**28
_MOST_MEMBERS = 10_000
_CHUNK = 1 << 20
_COMMENT = f"{MODEL_FORMAT} sha256:"


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
            data = file.read(entry["size"]) if name != MANIFEST else _manifest_bytes(self.manifest)
        if name != MANIFEST and hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise _refuse(self.path, f"member {name} has changed since the file was opened")
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
    names = sorted(members, key=lambda name: (_rank(name), name))
    _check_names(path, names)
    _check_contents(path, {name: bytes(members[name]) for name in names if name in (*REQUIRED, "fingerprint.json")})
    manifest = _manifest({name: bytes(members[name]) for name in names}, facts)
    if key is not None:
        manifest["signature"] = {"method": "hmac-sha256", "value": _signature(manifest, key)}
    content = {MANIFEST: _manifest_bytes(manifest), **{name: bytes(members[name]) for name in names}}
    entries = [_Entry(name, len(data), zlib.crc32(data)) for name, data in content.items()]
    if sum(entry.size for entry in entries) > _LARGEST_BYTES:
        raise _refuse(path, "its members are larger than 4 GiB together")
    digest = hashlib.sha256(content[MANIFEST]).hexdigest()
    pieces = [piece for entry in entries for piece in (_local_header(entry), content[entry.name])]
    atomic_write(path, b"".join([*pieces, _tail(entries, digest)]))
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
        entries = _listed(path, file)
        manifest = _read_manifest(path, file, entries)
        names = [entry.name for entry in entries[1:]]
        _check_listing(path, names, manifest)
        _check_names(path, names)
        sha256, offsets = _check_bytes(path, file, entries, manifest)
        small = {
            e.name: _read_at(file, offsets[e.name], e.size)
            for e in entries
            if e.name in (*REQUIRED, "fingerprint.json")
        }
    if key is not None:
        _check_signature(path, manifest, key)
    plan, labels, trust, evaluation, fingerprint = _check_contents(path, small)
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
        card=_text(path, "card.md", small["card.md"]),
        fingerprint=fingerprint,
        signed=key is not None,
        _offsets=offsets,
    )


# ---------------------------------------------------------------- manifest


def _manifest(members: Mapping[str, bytes], facts: Mapping[str, Any]) -> dict[str, Any]:
    own = {"format", "members", "signature"}
    if own & set(facts):
        taken = sorted(own & set(facts))[0]
        raise ModelFileError(
            f"The fact {taken!r} was given.", "The manifest writes this field itself.", "Give the fact another name."
        )
    return {
        "format": MODEL_FORMAT,
        "name": "model",
        "version": "1.0.0",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "scanwright": importlib.metadata.version("scanwright"),
        **facts,
        "signature": None,
        "members": {n: {"size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in members.items()},
    }


def _manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def _read_manifest(path: Path, file: BinaryIO, entries: Sequence[_Entry]) -> dict[str, Any]:
    first = entries[0]
    if first.name != MANIFEST:
        raise _refuse(path, "its first member is not manifest.json")
    data = _read_at(file, len(_local_header(first)), first.size)
    manifest = _json_object(path, MANIFEST, data)
    if manifest.get("format") != MODEL_FORMAT:
        raise ModelFileError(
            f"{path.name} has the format {str(manifest.get('format'))[:40]!r}.",
            f"This version of Scanwright reads {MODEL_FORMAT!r}.",
            "Update Scanwright, or make the model file anew.",
        )
    members = manifest.get("members")
    whole = isinstance(members, dict) and all(
        isinstance(m, dict) and isinstance(m.get("size"), int) and isinstance(m.get("sha256"), str)
        for m in members.values()
    )
    if (
        not whole
        or not {"name", "version", "created", "scanwright"} <= set(manifest)
        or _manifest_bytes(manifest) != data
    ):
        raise _refuse(path, "its manifest is not as Scanwright writes it")
    return manifest


def _check_listing(path: Path, names: Sequence[str], manifest: Mapping[str, Any]) -> None:
    undeclared = [name for name in names if name not in manifest["members"]]
    missing = [name for name in manifest["members"] if name not in names]
    if undeclared:
        raise _refuse(path, f"the member {undeclared[0]!r} is not in its manifest")
    if missing:
        raise _refuse(path, f"the member {missing[0]!r} is missing")


def _signature(manifest: Mapping[str, Any], key: bytes) -> str:
    unsigned = _manifest_bytes({**manifest, "signature": None})
    return hmac.new(key, unsigned, hashlib.sha256).hexdigest()


def _check_signature(path: Path, manifest: Mapping[str, Any], key: bytes) -> None:
    signature = manifest.get("signature")
    if not isinstance(signature, dict) or signature.get("method") != "hmac-sha256":
        raise ModelFileError(
            f"{path.name} is not signed.",
            "A key was given, so only files signed with it are accepted.",
            "Sign the file when it is written, or leave out the key.",
        )
    if not hmac.compare_digest(str(signature.get("value")).encode(), _signature(manifest, key).encode()):
        raise ModelFileError(
            f"The signature of {path.name} does not belong to this key.",
            "A signed file is accepted only with the key that signed it, unaltered.",
            "Use the right key, or fetch the file again from its maker.",
        )


# ---------------------------------------------------------------- contents


def _check_names(path: Path, names: Sequence[str]) -> None:
    for name in names:
        if name not in REQUIRED and name not in OPTIONAL and not _EVIDENCE.fullmatch(name):
            raise ModelFileError(
                f"{path.name} would hold a member {name[:80]!r}.",
                f"Members are {', '.join((*REQUIRED, *OPTIONAL))} and plain files under evidence/.",
                "Leave it out, or rename it.",
            )
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise ModelFileError(
            f"{path.name} has no {missing[0]}.",
            f"A model file holds {', '.join(REQUIRED)}.",
            "Make the model file anew with `scanwright run`.",
        )


def _check_contents(
    path: Path, members: Mapping[str, bytes]
) -> tuple[Plan, dict[str, Any], dict[str, Any], dict[str, Any], Fingerprint | None]:
    network = read_onnx_facts(members["network.onnx"])
    if network.external:
        raise ModelFileError(
            f"The network in {path.name} keeps tensors in another file.",
            "A model file is one file; its network may not point at others.",
            "Export the network without external data.",
        )
    if "image" not in network.inputs or "logits" not in network.outputs:
        raise ModelFileError(
            f"The network in {path.name} has inputs {list(network.inputs)[:5]} and outputs {list(network.outputs)[:5]}.",
            "It must take 'image' and give 'logits'.",
            "Export it with `scanwright run`.",
        )
    try:
        plan = Plan.from_json(_text(path, "plan.json", members["plan.json"]))
    except PlanError as error:
        raise ModelFileError(f"The plan in {path.name} cannot be read: {error.fact}", error.rule, error.fix) from error
    labels, trust, evaluation = (
        _json_object(path, n, members[n]) for n in ("labels.json", "trust.json", "evaluation.json")
    )
    if labels.get("names") != list(plan.classes):
        raise ModelFileError(
            f"The labels of {path.name} are not the classes of its plan.",
            "labels.json lists the plan's classes under 'names', in order.",
            "Make the model file anew with `scanwright run`.",
        )
    fingerprint = None
    if "fingerprint.json" in members:
        try:
            fingerprint = Fingerprint.model_validate_json(members["fingerprint.json"])
        except ValueError:  # pydantic's ValidationError is one
            raise _refuse(path, "fingerprint.json does not hold a fingerprint") from None
    return plan, labels, trust, evaluation, fingerprint


def _text(path: Path, name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise _refuse(path, f"{name} is not UTF-8 text") from None


def _json_object(path: Path, name: str, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(_text(path, name, data))
    except (ValueError, RecursionError):
        raise _refuse(path, f"{name} is not JSON") from None
    if not isinstance(value, dict):
        raise _refuse(path, f"{name} is not a JSON object")
    return value


def _refuse(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{path.name} is not a whole, unaltered model file: {why}.",
        "Every byte of a model file must be as it was written.",
        "Copy or fetch the file again, or make it anew with `scanwright run`.",
    )


# ---------------------------------------------------------------- the zip (APPNOTE.TXT 6.3)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One member as the zip lists it: always stored, dated 1980-01-01."""

    name: str
    size: int
    crc: int


def _rank(name: str) -> int:
    order = (*REQUIRED, *OPTIONAL)
    return order.index(name) if name in order else len(order)


def _local_header(entry: _Entry) -> bytes:
    name = entry.name.encode("ascii", "replace")
    return (
        struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0x21, entry.crc, entry.size, entry.size, len(name), 0)
        + name
    )


def _central_header(entry: _Entry, offset: int) -> bytes:
    name = entry.name.encode("ascii", "replace")
    fixed = struct.pack("<IHHHHHHIII", 0x02014B50, 0x0314, 20, 0, 0, 0, 0x21, entry.crc, entry.size, entry.size)
    return fixed + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0o100644 << 16, offset) + name


def _tail(entries: Sequence[_Entry], manifest_sha256: str) -> bytes:
    """Central directory and end record; the comment holds the hash of the manifest."""
    offset, records = 0, []
    for entry in entries:
        records.append(_central_header(entry, offset))
        offset += len(_local_header(entry)) + entry.size
    directory = b"".join(records)
    comment = (_COMMENT + manifest_sha256).encode("ascii")
    count = len(entries)
    return (
        directory
        + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), offset, len(comment))
        + comment
    )


def _listed(path: Path, file: BinaryIO) -> list[_Entry]:
    """Members as the zip's directory lists them, before anything is believed."""
    if path.stat().st_size > _LARGEST_BYTES:
        raise _refuse(path, "it is larger than 4 GiB")
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
        raise _refuse(path, f"it lists {len(listed)} members")
    seen: set[str] = set()
    for info in listed:
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise _refuse(
                path, f"the member {info.filename[:80]!r} is compressed or encrypted; members are stored as they are"
            )
        if info.filename in seen:
            raise _refuse(path, f"the member {info.filename[:80]!r} stands in it twice")
        if ".." in info.filename or info.filename.startswith(("/", "\\")) or not info.filename.isascii():
            raise _refuse(path, f"the member name {info.filename[:80]!r} leads out of the file")
        if info.filename.endswith((".json", ".md")) and info.file_size > _LARGEST_TEXT_BYTES:
            raise _refuse(path, f"the member {info.filename[:80]!r} says that it has {info.file_size} bytes")
        seen.add(info.filename)
    return [_Entry(info.filename, info.file_size, info.CRC) for info in listed]


def _check_bytes(
    path: Path, file: BinaryIO, entries: Sequence[_Entry], manifest: Mapping[str, Any]
) -> tuple[str, dict[str, int]]:
    """Compare every byte with what must stand there; hash of the whole and place of each member."""
    whole, offsets = hashlib.sha256(), {}
    manifest_sha256 = hashlib.sha256(_manifest_bytes(manifest)).hexdigest()
    file.seek(0)

    def same(expected: bytes, where: str) -> None:
        found = file.read(len(expected))
        whole.update(found)
        if found != expected:
            raise _refuse(path, f"the bytes {where} are not as written")

    for entry in entries:
        same(_local_header(entry), f"before member {entry.name}")
        offsets[entry.name] = file.tell()
        known = manifest["members"].get(entry.name, {"size": entry.size, "sha256": manifest_sha256})
        if entry.size != known["size"]:
            raise _refuse(path, f"the member {entry.name} has {entry.size} bytes, not {known['size']}")
        own, left = hashlib.sha256(), entry.size
        while left > 0:
            piece = file.read(min(_CHUNK, left))
            if not piece:
                raise _refuse(path, f"it ends inside the member {entry.name}")
            own.update(piece)
            whole.update(piece)
            left -= len(piece)
        if own.hexdigest() != known["sha256"]:
            raise _refuse(path, f"the member {entry.name} does not have the hash in the manifest")
    same(_tail(entries, manifest_sha256), "after the last member")
    if file.read(1):
        raise _refuse(path, "bytes follow its end")
    return whole.hexdigest(), offsets


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    data: bytes = file.read(size)
    return data
