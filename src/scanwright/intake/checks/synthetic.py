"""Images that say of themselves that they are synthetic, and lie where patients are needed."""

from __future__ import annotations

import re
from pathlib import Path

from scanwright.core import Cohort, Finding
from scanwright.intake.checks.survey import Survey
from scanwright.io import is_synthetic

_UID = re.compile(r"[0-9.]+")


def synthetic_images(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Synthetic images in a part that is judged on, or on their way there."""
    marked = [c for c in cohort.cases if c.id not in survey.damaged and _says_so(cohort, c.source)]
    if not marked:
        return []
    ids = tuple(c.id for c in marked)
    judged = [c for c in marked if c.part in ("val", "test")]
    if len(marked) == len(cohort):
        text = (
            f"All {len(cohort)} images say that they are synthetic. Figures on them tell nothing of patients; "
            "judge a model on real images with `scanwright evaluate`."
        )
        return [Finding("synthetic-image", "warn", text, ids)]
    if judged:
        text = (
            f"{len(judged)} synthetic images lie in the part that is judged on, such as {judged[0].id!r} ({judged[0].part}). "
            "A figure on images that no patient gave says nothing of patients."
        )
        left_out = tuple(c.id for c in judged)
        return [Finding("synthetic-image", "warn", text, left_out, "leave them out of validation and test", left_out)]
    if all(c.part == "train" for c in marked):
        text = f"{len(marked)} of {len(cohort)} images are synthetic, all of them in the train part, where they may be."
        return [Finding("synthetic-image", "info", text, ids)]
    text = (
        f"{len(marked)} of {len(cohort)} images say that they are synthetic, such as {marked[0].id!r}, and no part is given: "
        "some would be judged on. Name the parts in a table, with the synthetic images in train."
    )
    return [Finding("synthetic-image", "warn", text, ids)]


def _says_so(cohort: Cohort, source: str) -> bool:
    """Whether the file of a case (the first one of several) carries the mark."""
    first = source.split(" | ")[0].split(" > ")[0]
    path, _, member = first.partition("::")
    if path.endswith("]") and not (cohort.root / path).exists():
        return False  # rows of an array file
    place = cohort.root / path
    if place.is_dir():
        if member and not _UID.fullmatch(member):
            return False
        files = sorted(p for p in place.iterdir() if p.is_file())
        return (len(files) <= 1 and any(is_synthetic(p) for p in files)) or (bool(member) and _series(files, member))
    return is_synthetic(place)


def _series(files: list[Path], uid: str) -> bool:
    """Whether the file that holds a series says so."""
    needle = uid.encode()
    for path in files:
        try:
            with path.open("rb") as file:
                found = needle in file.read(1 << 14)
        except OSError:
            continue
        if found:
            return is_synthetic(path)
    return False
