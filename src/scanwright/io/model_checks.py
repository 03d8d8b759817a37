"""What the members of a model file must be: names, contents, manifest and signature."""

from __future__ import annotations

import hashlib
import hmac
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from scanwright.core.errors import ModelFileError, PlanError
from scanwright.core.plan import Fingerprint, Plan
from scanwright.io.model_zip import (
    MANIFEST,
    MODEL_FORMAT,
    OPTIONAL,
    REQUIRED,
    Entry,
    local_header,
    manifest_bytes,
    read_at,
    refuse,
)
from scanwright.io.onnx_file import read_onnx_facts

_EVIDENCE = re.compile(r"evidence/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\.(json|csv|png|npz|safetensors|md|txt)")


def make_manifest(members: Mapping[str, bytes], facts: Mapping[str, Any]) -> dict[str, Any]:
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


def read_manifest(path: Path, file: BinaryIO, entries: Sequence[Entry]) -> dict[str, Any]:
    first = entries[0]
    if first.name != MANIFEST:
        raise refuse(path, "its first member is not manifest.json")
    data = read_at(file, len(local_header(first)), first.size)
    manifest = json_object(path, MANIFEST, data)
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
        or manifest_bytes(manifest) != data
    ):
        raise refuse(path, "its manifest is not as Scanwright writes it")
    return manifest


def check_listing(path: Path, names: Sequence[str], manifest: Mapping[str, Any]) -> None:
    undeclared = [name for name in names if name not in manifest["members"]]
    missing = [name for name in manifest["members"] if name not in names]
    if undeclared:
        raise refuse(path, f"the member {undeclared[0]!r} is not in its manifest")
    if missing:
        raise refuse(path, f"the member {missing[0]!r} is missing")


def signature_of(manifest: Mapping[str, Any], key: bytes) -> str:
    unsigned = manifest_bytes({**manifest, "signature": None})
    return hmac.new(key, unsigned, hashlib.sha256).hexdigest()


def check_signature(path: Path, manifest: Mapping[str, Any], key: bytes) -> None:
    signature = manifest.get("signature")
    if not isinstance(signature, dict) or signature.get("method") != "hmac-sha256":
        raise ModelFileError(
            f"{path.name} is not signed.",
            "A key was given, so only files signed with it are accepted.",
            "Sign the file when it is written, or leave out the key.",
        )
    if not hmac.compare_digest(str(signature.get("value")).encode(), signature_of(manifest, key).encode()):
        raise ModelFileError(
            f"The signature of {path.name} does not belong to this key.",
            "A signed file is accepted only with the key that signed it, unaltered.",
            "Use the right key, or fetch the file again from its maker.",
        )


def check_names(path: Path, names: Sequence[str]) -> None:
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


def check_contents(
    path: Path, members: Mapping[str, bytes]
) -> tuple[Plan, dict[str, Any], dict[str, Any], dict[str, Any], Fingerprint | None]:
    for name in ("network.onnx", "network.int8.onnx"):
        if name in members:
            _check_network(path, name, members[name])
    try:
        plan = Plan.from_json(text_of(path, "plan.json", members["plan.json"]))
    except PlanError as error:
        raise ModelFileError(f"The plan in {path.name} cannot be read: {error.fact}", error.rule, error.fix) from error
    labels, trust, evaluation = (
        json_object(path, n, members[n]) for n in ("labels.json", "trust.json", "evaluation.json")
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
            raise refuse(path, "fingerprint.json does not hold a fingerprint") from None
    return plan, labels, trust, evaluation, fingerprint


def text_of(path: Path, name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise refuse(path, f"{name} is not UTF-8 text") from None


def json_object(path: Path, name: str, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text_of(path, name, data))
    except (ValueError, RecursionError):
        raise refuse(path, f"{name} is not JSON") from None
    if not isinstance(value, dict):
        raise refuse(path, f"{name} is not a JSON object")
    return value


def _check_network(path: Path, name: str, data: bytes) -> None:
    network = read_onnx_facts(data)
    if network.external:
        raise ModelFileError(
            f"The network in {path.name} keeps tensors in another file ({name}).",
            "A model file is one file; its network may not point at others.",
            "Export the network without external data.",
        )
    if "image" not in network.inputs or "logits" not in network.outputs:
        raise ModelFileError(
            f"{name} in {path.name} has inputs {list(network.inputs)[:5]} and outputs {list(network.outputs)[:5]}.",
            "It must take 'image' and give 'logits'.",
            "Export it with `scanwright run`.",
        )
