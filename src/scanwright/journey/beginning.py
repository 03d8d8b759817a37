"""The weights that a run begins from: found, read, recognised, and kept in the run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from tempfile import gettempdir

from scanwright.core import (
    Cohort,
    Emit,
    InputError,
    Plan,
    PlanError,
    Preprocessing,
    Pretrained,
    Said,
    ScanwrightError,
    Volume,
)
from scanwright.io import read_case
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.io.store import voxel_hash
from scanwright.journey.request import Request

BASE = "pretrained.safetensors"
"""Name under ``work`` of the base's tensors, under our names."""
_FRESH = {"segment": "Segmentations", "detect": "Detections"}
"""Tasks whose networks begin from nothing, in words."""


def locate(request: Request, emit: Emit) -> Path | None:
    """The weight file that a person asked for; a known name is downloaded to the cache, once.

    Args:
        request: Its ``pretrained``.
        emit: Receiver of events.

    Returns:
        The file; None if no weights were asked for.

    Raises:
        InputError: It is neither a file nor a known name, or it could not be downloaded.
    """
    from scanwright.intake.public_weights import PUBLIC_WEIGHTS, fetch_weights

    wish = request.pretrained
    if wish is None or wish.strip().lower() in ("", "no", "none"):
        return None
    if Path(wish).is_file():
        return Path(wish)
    if wish.strip().lower() in PUBLIC_WEIGHTS:
        cache = request.cache or Path(gettempdir()) / "scanwright"
        with stage_events("fetch", emit):
            return fetch_weights(wish, cache / "weights", emit=emit)
    near = get_close_matches(wish.lower(), PUBLIC_WEIGHTS, n=1)
    raise InputError(
        f"There are no weights {wish!r}: no such file, and no known name.",
        f"--pretrained takes a safetensors, .pth or .scanwright file, or one of {', '.join(PUBLIC_WEIGHTS)}.",
        f"Did you mean --pretrained {near[0]}?" if near else "Check the path.",
    )


def begin(folder: RunFolder, cohort: Cohort, path: Path, emit: Emit) -> Pretrained:
    """Read weights, find out what they are, and keep them under our names in the run folder.

    Args:
        folder: Run folder.
        cohort: What they are for.
        path: Weight file.
        emit: Receiver of events; the licence is said.

    Returns:
        What the plan says of them.

    Raises:
        InputError: They belong to no known network, or the cohort cannot begin from weights yet.
        FormatError: The file is damaged.
    """
    from scanwright.intake.public_weights import known_row
    from scanwright.io.weights import read_weights, write_base
    from scanwright.models.bases import recognise

    what = _FRESH.get(cohort.task, "Sequences" if cohort.frames else "")
    if what:
        raise InputError(
            f"{what} cannot begin from the weights {path.name} yet.",
            "--pretrained serves classes and numbers of single images and volumes.",
            "Leave --pretrained out.",
        )
    weights = read_weights(path)
    base = recognise(weights.tensors, name=path.name, seen=weights.seen(), base=weights.facts.get("base"))
    row = known_row(weights.sha256, path.name)
    found = Pretrained(
        file=path.name,
        sha256=weights.sha256,
        naming=base.naming,
        model=base.model,
        arguments=base.arguments,
        dimension=3 if base.dimension == 3 else 2,
        channels=base.channels,
        mean=row.mean if row else base.mean,
        std=row.std if row else base.std,
        side=base.side,
        licence=row.licence if row else weights.facts.get("licence"),
        trained_on=row.trained_on if row else weights.facts.get("trained_on"),
        source=row.url if row else weights.facts.get("source", ""),
        seen=_seen(cohort, weights.facts),
    )
    write_base(folder.work / BASE, base.tensors, {})
    emit(Said(stage="plan", text=f"Begins from {found.file}: {found.model} in {found.naming} names."))
    known = found.licence is not None
    emit(Said(stage="plan", text=f"Weights: {found.licence_words}.", level="info" if known else "warn"))
    if found.seen:
        text = f"{found.seen} test images were seen when these weights were learnt: figures on them flatter."
        emit(Said(stage="plan", text=text, level="warn"))
    return found


def _seen(cohort: Cohort, facts: Mapping[str, str]) -> int:
    """Test cases that a base says it learnt from: by their voxels, or for a model file by its prepared arrays."""
    known = set(facts.get("seen", "").split())
    if known:
        return sum(image_hash(read_case(case, root=cohort.root)) in known for case in cohort.of("test"))
    known = set(facts.get("seen_prepared", "").split())
    if not known or "preprocessing" not in facts:
        return 0
    from scanwright.preprocessing import prepare

    spec = Preprocessing.model_validate_json(facts["preprocessing"])
    found = 0
    for case in cohort.of("test"):
        try:
            found += voxel_hash(prepare(read_case(case, root=cohort.root), spec)) in known
        except ScanwrightError:  # prepared otherwise, it cannot have been seen
            continue
    return found


def image_hash(volume: Volume) -> str:
    """Short hash of a source image, by which a base knows what it has seen."""
    return hashlib.blake2b(volume.array.astype("<f4").tobytes(), digest_size=8).hexdigest()


def refuse_other_weights(plan: Plan, start: Pretrained | None) -> None:
    """A plan that is followed begins from the weights that it names, and no others.

    Raises:
        PlanError: It names none and some were given, or the other way round, or others.
    """
    wanted = plan.pretrained
    if wanted is None and start is None:
        return
    if wanted is None or start is None or wanted.sha256 != start.sha256:
        named = f"{wanted.file} (SHA-256 {wanted.sha256[:12]}...)" if wanted else "no weights"
        given = f"{start.file} (SHA-256 {start.sha256[:12]}...)" if start else "none"
        raise PlanError(
            f"The plan begins from {named}, and {given} were given.",
            "A plan that is followed gets the weights that it names.",
            f"Give --pretrained {wanted.file}." if wanted else "Leave --pretrained out.",
        )


def weights_facts(start: Pretrained) -> dict[str, str]:
    """Where the weights come from, for the report and the model card."""
    return {
        "starting weights": f"{start.file}: {start.model}, {start.naming} names, learnt from {start.trained_on or 'unknown images'}"
        + (f", {start.source}" if start.source else ""),
        "starting weights (SHA-256)": start.sha256,
        "licence of the starting weights": start.licence_words,
    } | ({"test images that the starting weights have seen": str(start.seen)} if start.seen else {})


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
