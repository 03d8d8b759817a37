"""What may be wrong with a cohort: one function each, one line each in the table."""

from __future__ import annotations

from collections.abc import Callable

from scanwright.core import Cohort, Emit, Finding, Said, silent
from scanwright.intake.checks.boxes import faulty_boxes, repeated_boxes, scarce_things
from scanwright.intake.checks.copies import (
    contradicting_labels,
    duplicates_across_parts,
    exact_duplicates,
    groups_of_duplicates,
    near_duplicates,
)
from scanwright.intake.checks.people import no_patients, patients_across_parts, several_images
from scanwright.intake.checks.pictures import blank_images, damaged_files, mixed_modalities, mixed_shapes, odd_sizes
from scanwright.intake.checks.structures import (
    few_people,
    few_slices_thick,
    masks_of_others,
    rare_structures,
    regridded_masks,
    repeated_masks,
    strata_of,
    tiny_structures,
    unlike_masks,
    unpaired,
)
from scanwright.intake.checks.survey import Survey, survey
from scanwright.intake.checks.synthetic import synthetic_images
from scanwright.intake.checks.truth import class_imbalance, missing_labels, one_class, too_few

CHECKS: dict[str, Callable[[Cohort, Survey], list[Finding]]] = {
    "duplicate-across-parts": duplicates_across_parts,
    "patient-across-parts": patients_across_parts,
    "near-duplicate": near_duplicates,
    "mask-elsewhere": masks_of_others,
    "mask-value": unlike_masks,
    "class-missing": one_class,
    "rare-structure": rare_structures,
    "box-without-area": faulty_boxes,
    "repeated-box": repeated_boxes,
    "scarce-class": scarce_things,
    "contradicting-labels": contradicting_labels,
    "damaged-file": damaged_files,
    "blank-image": blank_images,
    "synthetic-image": synthetic_images,
    "unpaired-mask": unpaired,
    "repeated-mask": repeated_masks,
    "tiny-structure": tiny_structures,
    "mixed-modality": mixed_modalities,
    "mixed-shape": mixed_shapes,
    "missing-label": missing_labels,
    "too-few-cases": too_few,
    "few-patients": few_people,
    "mask-regridded": regridded_masks,
    "anisotropy": few_slices_thick,
    "class-imbalance": class_imbalance,
    "exact-duplicate": exact_duplicates,
    "odd-size": odd_sizes,
    "several-images": several_images,
    "no-patient": no_patients,
}
"""Name to check. A check may give findings of its own kind and of close kin, such as
``near-duplicate-across-parts`` of ``near-duplicate``."""

KINDS: tuple[str, ...] = (
    "duplicate-across-parts",
    "patient-across-parts",
    "near-duplicate-across-parts",
    "mask-elsewhere",
    "mask-value",
    "class-missing",
    "contradicting-labels",
    "damaged-file",
    "damaged-mask",
    "crooked-volume",
    "mask-without-image",
    "image-without-mask",
    "image-without-channel",
    "repeated-mask",
    "box-without-area",
    "box-outside",
    "repeated-box",
    "tiny-structure",
    "rare-structure",
    "blank-image",
    "synthetic-image",
    "mixed-modality",
    "mixed-dimension",
    "missing-label",
    "too-few-cases",
    "small-test",
    "near-duplicate",
    "class-imbalance",
    "exact-duplicate",
    "mask-regridded",
    "empty-mask",
    "box-over-edge",
    "anisotropy",
    "mixed-colour",
    "odd-size",
    "several-images",
    "no-patient",
)
"""Every kind of finding, worst first."""

_SEVERITIES = ("stop", "warn", "info")


def check(cohort: Cohort, *, seen: Survey | None = None, emit: Emit = silent) -> list[Finding]:
    """Look for everything that would make a model of this cohort wrong or its figures too good.

    Every image, and every mask, is decoded once.

    Args:
        cohort: Any cohort.
        seen: What `survey` has told of it already; it is asked when None.
        emit: Receiver of events.

    Returns:
        Findings, worst first: ``stop`` before ``warn`` before ``info``.
    """
    seen = survey(cohort, emit=emit) if seen is None else seen
    found = [finding for look in CHECKS.values() for finding in look(cohort, seen)]
    found.sort(key=lambda f: (_SEVERITIES.index(f.severity), KINDS.index(f.kind), -len(f.cases)))
    for finding in found:
        emit(Said(stage="check", text=finding.text, level="info" if finding.severity == "info" else "warn"))
    return found


__all__ = ["CHECKS", "KINDS", "Survey", "check", "groups_of_duplicates", "strata_of", "survey"]
