"""Patients: one person in two parts, or nobody known."""

from __future__ import annotations

from collections import defaultdict

from scanwright.core import Cohort, Finding
from scanwright.intake.checks.copies import KEEP_ORDER
from scanwright.intake.checks.survey import Survey


def patients_across_parts(cohort: Cohort, survey: Survey) -> list[Finding]:
    """One person in two parts: the model may know the person instead of the disease."""
    people: dict[str, list[int]] = defaultdict(list)
    for i, case in enumerate(cohort.cases):
        if case.patient is not None and case.part:
            people[case.patient].append(i)
    groups = [
        tuple(cohort.cases[i] for i in rows)
        for rows in people.values()
        if len({cohort.cases[i].part for i in rows}) > 1
    ]
    if not groups:
        return []
    drop = []
    for group in groups:
        kept = min((c.part for c in group), key=lambda p: KEEP_ORDER[p])
        drop += [c.id for c in group if c.part != kept]
    first = groups[0]
    other = next(c for c in first if c.part != first[0].part)
    text = (
        f"{len(groups)} {'patient has' if len(groups) == 1 else 'patients have'} images in two parts, such as {first[0].id!r} "
        f"({first[0].part}) and {other.id!r} ({other.part}). A model may recognise the person instead of the disease."
    )
    ids = tuple(tuple(c.id for c in g) for g in groups)
    repair = "leave out the train (or val) images of these patients, so that the part that is judged on stays whole"
    return [Finding("patient-across-parts", "stop", text, tuple(c for g in ids for c in g), repair, tuple(drop), ids)]


def no_patients(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Nobody knows which images are of one person."""
    if any(c.patient is not None for c in cohort.cases):
        unknown = tuple(c.id for c in cohort.cases if c.patient is None)
        if not unknown:
            return []
        text = f"{len(unknown)} of {len(cohort)} cases name no patient. Each of them counts as a patient of its own."
        return [Finding("no-patient", "info", text, unknown)]
    text = (
        "No column or header says which images are of one patient, so every image counts as a patient of its own. "
        "If some patients have several images, the figures come out too good; name the column with --patient."
    )
    return [Finding("no-patient", "info", text)]


def several_images(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Patients with several images: they are kept together when the parts are made."""
    people: dict[str, list[str]] = defaultdict(list)
    for case in cohort.cases:
        if case.patient is not None:
            people[case.patient].append(case.id)
    groups = tuple(tuple(ids) for ids in people.values() if len(ids) > 1)
    if not groups:
        return []
    counts = sorted({len(g) for g in groups})
    each = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    text = (
        f"{len(groups)} of {len(people)} patients have several images ({each} each), such as {groups[0][0]!r} and {groups[0][1]!r}. "
        "All images of a patient stay in one part, and a patient counts once in the intervals."
    )
    return [Finding("several-images", "info", text, tuple(i for g in groups for i in g), groups=groups)]
