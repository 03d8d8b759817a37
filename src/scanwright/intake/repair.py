"""Findings are repaired by leaving cases out, and every step is said."""

from __future__ import annotations

from collections.abc import Iterable

from scanwright.core import Cohort, CohortError, Finding, InputError
from scanwright.intake.checks import KINDS
from scanwright.intake.place import nearest

_FEWEST = 3
"""Patients with masks: one for each part."""


def repair(
    cohort: Cohort, findings: Iterable[Finding], *, kinds: Iterable[str] | None = None
) -> tuple[Cohort, list[str]]:
    """Leave out the cases that findings name.

    Args:
        cohort: The cohort that was checked.
        findings: What `check` found.
        kinds: Kinds of findings to repair; every finding that has a repair when None.

    Returns:
        The cohort without these cases, and one sentence for each repair.

    Raises:
        InputError: A kind is unknown.
        CohortError: Nothing would be left to learn from.
    """
    wanted = None if kinds is None else set(kinds)
    for kind in sorted(wanted or ()):
        if kind not in KINDS:
            near = nearest(kind, KINDS)
            raise InputError(
                f"There is no finding of the kind {kind!r}.",
                "Kinds are " + ", ".join(KINDS) + ".",
                f"Did you mean {near!r}?" if near else "Name one of them.",
            )
    gone: set[str] = set()
    here = {c.id for c in cohort.cases}
    done = []
    for finding in findings:
        if not finding.drop or (wanted is not None and finding.kind not in wanted):
            continue
        now = [i for i in finding.drop if i in here and i not in gone]
        gone |= set(now)
        if now:
            shown = ", ".join(repr(i) for i in now[:3]) + (" ..." if len(now) > 3 else "")
            done.append(
                f"{finding.kind}: {len(now)} {'case' if len(now) == 1 else 'cases'} left out ({shown}): {finding.repair}."
            )
    left = [c for c in cohort.cases if c.id not in gone]
    labels = {c.label for c in left if c.label is not None}
    masked = gone and cohort.task in ("segment", "detect") and len({c.group for c in left if c.is_labelled}) < _FEWEST
    if masked:
        raise CohortError(
            f"The repairs would leave {len(left)} of {len(cohort)} cases with {'masks' if cohort.task == 'segment' else 'boxes'}.",
            f"Learning needs at least {_FEWEST} patients, so that each part has its own.",
            "Repair fewer kinds of findings, or add cases.",
        )
    if not left or (cohort.task in ("binary", "multiclass", "ordinal") and len(labels) < 2):
        raise CohortError(
            f"The repairs would leave {len(left)} of {len(cohort)} cases with {len(labels)} classes.",
            "Learning needs at least two classes.",
            "Repair fewer kinds of findings, or add cases.",
        )
    return cohort.with_cases(left), done
