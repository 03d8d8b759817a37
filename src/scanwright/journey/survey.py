"""From a folder to a cohort that is checked, mended, split and locked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from scanwright.core import PARTS, Cohort, CohortError, Emit, Finding, Said, Stage
from scanwright.io import read_cohort, write_cohort, write_json
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.io.store import fresh_digest
from scanwright.journey.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable

_FINDINGS: TypeAdapter[list[Finding]] = TypeAdapter(list[Finding])
_CHEAP_REPAIR = 0.10
"""Largest share of the cases that a repair may leave out without being asked for."""


def scan(folder: RunFolder, request: Request, emit: Emit) -> Cohort:
    """Understand a folder of images, and write ``cohort.csv`` and ``cohort.json``.

    Args:
        folder: Where to write.
        request: The folder to look at, and what is known of it.
        emit: Receiver of events.

    Returns:
        The cohort as found.
    """
    from scanwright.intake import scan as look

    digest = request.scan_digest()
    scanned = folder.work / "scanned"
    if folder.is_done("scan", digest, "work/scanned/cohort.csv", "work/scanned/cohort.json", "cohort.csv"):
        return read_cohort(scanned)
    with stage_events("scan", emit):
        cohort = request.cohort or look(
            request.source,
            task=request.task,
            labels=request.labels,
            patient=request.patient,
            layout=request.layout,
            structures=request.structures,
            modality=request.modality,
            sequence=request.sequence,
            box_size=request.box_size,
            work=folder.work / "unpacked",
            emit=emit,
        )
        _say_cohort(cohort, emit)
        write_cohort(scanned, cohort)
        write_cohort(folder.path, cohort)
        folder.mark_done("scan", digest)
    return cohort


def check(folder: RunFolder, cohort: Cohort, request: Request, emit: Emit) -> tuple[Cohort, list[Finding]]:
    """Look for what would spoil a result, mend it, and lock the parts.

    Args:
        folder: Run folder; gets ``findings.json`` and the locked ``cohort.csv``.
        cohort: As scanned.
        request: Whether to mend, and the seed of the split.
        emit: Receiver of events.

    Returns:
        The cohort with a part for every case, and the findings, worst first.

    Raises:
        CohortError: A finding stops the run and was not mended.
    """
    from scanwright.intake import check as look
    from scanwright.intake import groups_of_duplicates, strata_of
    from scanwright.intake import survey as see
    from scanwright.plan import split

    digest = f"{request.scan_digest()} {request.seed} {request.repair}"
    if folder.is_done("check", digest, "findings.json"):
        return read_cohort(folder.path), _FINDINGS.validate_python(folder.json("findings.json"))
    with stage_events("check", emit):
        seen = see(cohort, emit=emit)
        findings = look(cohort, seen=seen, emit=emit)
        write_json(folder / "findings.json", [asdict(f) for f in findings])
        cohort = mend(cohort, findings, request, emit)
        cohort, notes = split(
            cohort, seed=request.seed, together=groups_of_duplicates(findings), strata=strata_of(cohort, seen)
        )
        for note in notes:
            emit(Said(stage="check", text=note))
        _refuse_empty_parts(cohort)
        write_cohort(folder.path, cohort)
        folder.mark_done("check", digest)
    return cohort, findings


def mend(cohort: Cohort, findings: Sequence[Finding], request: Request, emit: Emit) -> Cohort:
    """Leave out the cases that findings name, within what the person allowed.

    Cases of a test part that came with the data stay, unless they cannot be read: a
    figure on that part must stay comparable with other people's.

    Args:
        cohort: As scanned.
        findings: What was found.
        request: ``repair`` says how far to go.
        emit: Receiver of events.

    Returns:
        The cohort without those cases.

    Raises:
        CohortError: A finding that stops the run cannot be mended, or may not be.
    """
    from scanwright.intake import repair

    for finding in findings:
        if finding.severity == "stop" and (not finding.drop or request.repair == "never"):
            raise CohortError(
                finding.text,
                "A leak or fault like this makes every later figure wrong, so the run stops.",
                f"Type the command again with --repair always: {finding.repair}."
                if finding.drop
                else finding.repair or "Correct the data and type the command again.",
            )
    if request.repair == "never":
        return cohort
    locked = {c.id for c in cohort.cases if c.part == "test"} if cohort.parts_given else set()
    kept = [
        f if f.kind == "damaged-file" else replace(f, drop=tuple(i for i in f.drop if i not in locked))
        for f in findings
    ]
    losing = {i for f in kept if f.kind != "damaged-file" for i in f.drop}  # what cannot be read is no choice
    if request.repair == "auto" and len(losing) > max(_CHEAP_REPAIR * len(cohort), 2):
        worst = max(kept, key=lambda f: len(f.drop))
        raise CohortError(
            f"{worst.text} Mending this would leave out {len(losing)} of {len(cohort)} cases.",
            f"Without being asked, a run leaves out at most {_CHEAP_REPAIR:.0%} of the cases.",
            "Type the command again with --repair always, or correct the folder.",
        )
    cohort, said = repair(cohort, kept)
    for text in said:
        emit(Said(stage="check", text=text))
    return cohort


def _refuse_empty_parts(cohort: Cohort) -> None:
    for part in PARTS:
        labelled = [c for c in cohort.of(part) if c.is_labelled]
        if not labelled:
            raise CohortError(
                f"The {part} part of {cohort.name} has no labelled case.",
                "Training, choosing and testing each need cases of their own.",
                "Add cases, or leave the part column out so that parts are made.",
            )
    if cohort.task not in ("regress", "segment", "detect"):
        classes = {c.label for c in cohort.of("train") if c.label is not None}
        if len(classes) < 2:
            raise CohortError(
                f"All training cases of {cohort.name} have the same label.",
                "Telling things apart needs at least two classes in the train part.",
                "Add cases of another class, or name another label column with --labels.",
            )


def _say_cohort(cohort: Cohort, emit: Emit) -> None:
    stage: Stage = "scan"
    for part, row in cohort.counts().items():
        emit(Said(stage=stage, text=f"{part}: " + ", ".join(f"{name} {n}" for name, n in _first(row.items(), 12))))
    for guess in cohort.guesses:
        option = f" (change with {guess.option})" if guess.option else ""
        emit(Said(stage=stage, text=f"{guess.what}: {guess.value}, because {guess.why}{option}"))
    for skipped in cohort.skipped[:5]:
        emit(Said(stage=stage, level="warn", text=f"Left out {skipped.source}: {skipped.reason}"))
    if len(cohort.skipped) > 5:
        emit(Said(stage=stage, level="warn", text=f"… and {len(cohort.skipped) - 5} more; all are in cohort.json."))


def _first(items: Iterable[tuple[str, int]], n: int) -> list[tuple[str, int]]:
    return list(items)[:n]


def locked_digest(cohort: Cohort) -> str:
    """Hash of the locked cohort, by which later stages know whether to begin anew."""
    return fresh_digest(cohort)
