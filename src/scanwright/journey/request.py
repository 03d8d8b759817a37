"""What a person asked for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from scanwright.core import TASKS, Budget, Cohort, InputError, Pretrained, Task

Repair = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Request:
    """Wishes of the person who started a run; everything else is worked out.

    Args:
        source: Folder, file or archive of images.
        task: Overrides the inferred task.
        labels: Label column, comma-separated columns, or a path to a table of labels.
        patient: Patient column.
        layout: Layout to read the folder as.
        structures: What label values of masks stand for, such as ``"1=liver,2=tumour"``.
        modality: DICOM code of the modality.
        sequence: Whether cases are sequences of frames: ``"no"``, ``"slice"``, ``"time"``, ``"visit"`` or a column.
        box_size: Side of the box around a point, such as ``"24px"``, where things are given as points.
        columns: Columns of the table to learn beside the images, joined by commas, or ``"all"``.
        budget: How long the whole run may take.
        seed: Seed of everything random, 0 or more.
        devices: ``"auto"``, ``"cpu"``, ``"cuda"``, or how many devices to train on.
        plan: A plan to follow instead of making one.
        repair: ``"auto"`` mends what costs few cases and stops otherwise; ``"always"``; ``"never"``.
        cohort: A cohort that is known already; then nothing is scanned.
        pretrained: Weights to begin from: a file, or a name of ``workflow.public_weights``.
        cache: Folder that remembers how fast this machine is.
        rank: Number of this process when a launcher such as torchrun started several; 0 does
            everything, the others only train.
        start: What the weights of ``pretrained`` are, once they were read.

    Raises:
        InputError: A value is not one of those allowed.
    """

    source: Path
    task: Task | None = None
    labels: str | None = None
    patient: str | None = None
    layout: str | None = None
    structures: str | None = None
    modality: str | None = None
    sequence: str | None = None
    box_size: str | None = None
    columns: str | None = None
    budget: Budget = field(default_factory=lambda: Budget(600.0))
    seed: int = 0
    devices: str = "auto"
    plan: Path | None = None
    pretrained: str | None = None
    repair: Repair = "auto"
    cohort: Cohort | None = field(default=None, repr=False)
    cache: Path | None = None
    rank: int = 0
    start: Pretrained | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _one_of("--task", self.task, (None, *TASKS))
        _one_of("--repair", self.repair, get_args(Repair))
        if self.seed < 0:
            raise InputError(f"The seed is {self.seed}.", "A seed is 0 or more.", "Write --seed 0.")

    @classmethod
    def of(cls, source: Path | str | Cohort, wishes: dict[str, Any]) -> Request:
        """Make a request from what Python or the command line gives.

        Args:
            source: Folder, file, archive or cohort.
            wishes: Other fields by name; a budget may be text.

        Returns:
            The request.

        Raises:
            InputError: A wish is unknown or its value is wrong.
        """
        known = {f.name for f in fields(cls)} - {"source", "cohort", "start"}
        for name in wishes.keys() - known:
            near = get_close_matches(name, known, n=1)
            raise InputError(
                f"run() has no option {name!r}.",
                f"It takes {', '.join(sorted(known))}.",
                f"Did you mean {near[0]!r}?" if near else "Leave it out.",
            )
        values = {name: value for name, value in wishes.items() if value is not None}
        values["budget"] = Budget.parse(values.get("budget", "standard"))
        if "plan" in values:
            values["plan"] = Path(values["plan"])
        if "pretrained" in values:
            values["pretrained"] = str(values["pretrained"])
        values["devices"] = str(values.get("devices", "auto"))
        if isinstance(source, Cohort):
            return cls(source.root, cohort=source, **values)
        return cls(Path(source), **values)

    @property
    def name(self) -> str:
        """Short name of the source, for the run folder."""
        if self.cohort is not None:
            return self.cohort.name
        path = self.source.resolve()
        return path.name.split(".")[0] if path.is_file() else path.name

    def scan_digest(self) -> str:
        """Hash of what the scan depends on: the wishes, and every file's name, size and time."""
        wishes = {k: str(v) for k, v in asdict_without_cohort(self).items() if k in _SCAN_FIELDS}
        return hashlib.sha256((json.dumps(wishes, sort_keys=True) + _listing(self)).encode()).hexdigest()


_SCAN_FIELDS = ("source", "task", "labels", "patient", "layout", "structures", "modality", "sequence", "box_size")


def asdict_without_cohort(request: Request) -> dict[str, Any]:
    """Fields of a request as plain values."""
    return {f.name: getattr(request, f.name) for f in fields(request) if f.name not in ("cohort", "start")}


def _listing(request: Request) -> str:
    if request.cohort is not None:
        return json.dumps([asdict(case) for case in request.cohort.cases], default=str)
    root = request.source
    paths = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    lines = []
    for path in paths:
        try:
            facts = path.stat()
        except OSError:
            continue
        lines.append(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}")
    return "\n".join(lines)


def _one_of(option: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value in allowed:
        return
    words = [str(a) for a in allowed if a is not None]
    near = get_close_matches(str(value), words, n=1)
    raise InputError(
        f"{option} {value!r} is unknown.",
        f"It is one of {', '.join(words)}.",
        f"Write {option} {near[0] if near else words[0]}.",
    )
