"""Images that say of themselves that they are synthetic, and lie where patients are needed."""

from __future__ import annotations

from pathlib import Path

from scanwright.core import Cohort, Finding
from scanwright.intake.checks.survey import Survey
from scanwright.io.synthetic import is_synthetic, synthetic_series


def synthetic_images(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Synthetic images in a part that is judged on, or on their way there."""
    known: dict[Path, bool | set[str]] = {}
    marked = [c for c in cohort.cases if c.id not in survey.damaged and _says_so(cohort, c.source, known)]
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


def _says_so(cohort: Cohort, source: str, known: dict[Path, bool | set[str]]) -> bool:
    """Whether the file of a case (the first one of several) carries the mark; every file is looked at once."""
    path, _, member = source.split(" | ")[0].split(" > ")[0].partition("::")
    place = cohort.root / path
    if path.endswith("]") and not place.exists():
        return False  # rows of an array file
    if place not in known:
        known[place] = synthetic_series(place) if place.is_dir() else is_synthetic(place)
    said = known[place]
    return said if isinstance(said, bool) else bool(said) and (not member or member in said)
