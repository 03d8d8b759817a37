"""Weights that are known by name: where they are, what they learnt from, under which licence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from scanwright.core import Emit, FormatError, InputError, Said, silent
from scanwright.intake.fetch import disk, download

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TERMS = (
    "the terms of ImageNet's images allow non-commercial research only, and whether they bind weights is not settled"
)


@dataclass(frozen=True, slots=True)
class PublicWeights:
    """One row of the table.

    Args:
        url: Where the file is.
        sha256: First digits of its SHA-256, as its authors publish them; empty if they publish none.
        licence: As its authors state it, and what is known beside it.
        trained_on: What it learnt from.
        mean: What it subtracts from values of 0 .. 1.
        std: What it divides by.
    """

    url: str
    sha256: str
    licence: str
    trained_on: str
    mean: tuple[float, ...] = _IMAGENET[0]
    std: tuple[float, ...] = _IMAGENET[1]


def _torchvision(name: str, digits: str) -> PublicWeights:
    """torchvision writes the first eight digits of the hash into the file's name."""
    return PublicWeights(
        f"https://download.pytorch.org/models/{name}-{digits}.pth",
        digits,
        f"BSD-3-Clause (torchvision); {_TERMS}",
        "ImageNet-1k, with labels",
    )


PUBLIC_WEIGHTS: dict[str, PublicWeights] = {
    "resnet18": _torchvision("resnet18", "f37072fd"),
    "resnet34": _torchvision("resnet34", "b627a593"),
    "resnet50": _torchvision("resnet50", "0676ba61"),
    "densenet121": _torchvision("densenet121", "a639ec97"),
    "dino-vits16": PublicWeights(
        "https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth",
        "",
        f"Apache-2.0 (DINO, Meta AI); {_TERMS}",
        "ImageNet-1k, without labels",
    ),
}
"""Name to row. A new one is one line here."""


def fetch_weights(name: str, folder: Path, *, base_url: str | None = None, emit: Emit = silent) -> Path:
    """Download weights by name, once: resumed, and checked against the published digits of their hash.

    Args:
        name: A key of :data:`PUBLIC_WEIGHTS`.
        folder: Where they are kept.
        base_url: Mirror to take the file from.
        emit: Receiver of events; the licence is said first.

    Returns:
        The file.

    Raises:
        InputError: The server cannot be reached.
        FormatError: What came has another hash.
        ResourceError: The disk is full.
    """
    row = PUBLIC_WEIGHTS[name.strip().lower()]
    file = row.url.rsplit("/", 1)[1]
    target = folder / file
    emit(Said(stage="fetch", text=f"{file}: learnt from {row.trained_on}. Licence: {row.licence}."))
    with disk(target):
        if target.is_file() and (not row.sha256 or _sha256(target).startswith(row.sha256)):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(file + ".part")
        try:
            download(row.url if base_url is None else f"{base_url.rstrip('/')}/{file}", part, emit)
        except InputError as error:
            raise InputError(
                error.fact, error.rule, f"Or fetch {row.url} by other means and give the file: --pretrained {file}."
            ) from error
        found = _sha256(part)
        if not found.startswith(row.sha256):
            part.unlink()
            raise FormatError(
                f"{file} came with the SHA-256 {found[:16]}....",
                f"Its authors publish one that begins with {row.sha256}.",
                "Run the command again; if it stays so, the server holds another file.",
            )
        part.replace(target)
    if not row.sha256:
        emit(Said(stage="fetch", text=f"Its authors publish no hash; this file has {found}.", level="warn"))
    return target


def known_row(sha256: str, file: str) -> PublicWeights | None:
    """The row of a file: by its hash, whatever it is called now, or by its name where no hash is published."""
    rows = PUBLIC_WEIGHTS.values()
    by_hash = next((r for r in rows if r.sha256 and sha256.startswith(r.sha256)), None)
    return by_hash or next((r for r in rows if not r.sha256 and r.url.endswith(f"/{file}")), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
