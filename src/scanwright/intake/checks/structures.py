"""Masks of a segmentation: unpaired, of another place or patient, empty, tiny, rare."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import sqrt

import numpy as np

from scanwright.core import PARTS, Cohort, Finding, Part
from scanwright.intake.checks.boxes import strata_of_boxes
from scanwright.intake.checks.survey import Survey

_FEW_PEOPLE = 20
_RARE = 10
_SPREAD_OF_DICE = 0.15
_WIDE = 0.15
_TINY_SHARE = 1e-4
_ANISOTROPY = 10.0


def unpaired(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Images without a mask and masks without an image, as the scan left them out."""
    found = []
    if cohort.task != "segment":
        return []
    kinds = (
        ("mask-without-image", "no image for this mask", "masks have no image"),
        ("mask-without-image", "it speaks of", "segmentations speak of other images"),
        ("image-without-mask", "no mask for it", "images have no mask"),
        ("image-without-channel", " channels", "images lack a channel"),
    )
    for kind, words, what in kinds:
        left = [s for s in cohort.skipped if words in s.reason]
        if left:
            severity = "warn" if len(left) < len(cohort) else "info"
            text = f"{len(left)} {what} and are left out, first {left[0].source!r} ({left[0].reason})."
            found.append(Finding(kind, severity, text))  # type: ignore[arg-type]
    return found


def masks_of_others(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Masks that do not lie on their image: another patient's, or a wrong header."""
    return _bad(cohort, survey, "mask-elsewhere", "stop", "lie elsewhere than their images")


def unlike_masks(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Masks with values that have no name, and masks that cannot be read."""
    return [
        *_bad(cohort, survey, "mask-value", "stop", "hold a value that no structure has"),
        *_bad(cohort, survey, "damaged-mask", "warn", "cannot be read"),
    ]


def _bad(cohort: Cohort, survey: Survey, kind: str, severity: str, what: str) -> list[Finding]:
    ids = tuple(i for i, bad in survey.bad_masks.items() if bad.kind == kind)
    if not ids:
        return []
    text = f"The masks of {len(ids)} of {len(cohort)} cases {what}, first {ids[0]!r}: {survey.bad_masks[ids[0]].text}"
    return [Finding(kind, severity, text, ids, "leave them out", ids)]  # type: ignore[arg-type]


def regridded_masks(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Masks on another grid than their image, which overlap with it."""
    ids = tuple(i for i, t in survey.truths.items() if t.regridded)
    if not ids:
        return []
    text = (
        f"The masks of {len(ids)} of {len(cohort)} cases lie on another grid than their images, such as {ids[0]!r}: "
        f"{survey.truths[ids[0]].regridded}. They are brought onto the image by their place in millimetres."
    )
    return [Finding("mask-regridded", "info", text, ids)]


def repeated_masks(cohort: Cohort, survey: Survey) -> list[Finding]:
    """One mask under two different images: one of them is another case's."""
    same: dict[bytes, list[int]] = defaultdict(list)
    for i, case in enumerate(cohort.cases):
        truth = survey.truths.get(case.id)
        if truth is not None and any(truth.voxels):
            same[truth.digest].append(i)
    groups = [
        tuple(cohort.cases[i].id for i in rows)
        for rows in same.values()
        if len({survey.digests[i] for i in rows}) > 1 and max(survey.truths[cohort.cases[rows[0]].id].voxels) > 1
    ]
    if not groups:
        return []
    text = (
        f"{len(groups)} {'mask stands' if len(groups) == 1 else 'masks stand'} beside two different images, such as "
        f"{groups[0][0]!r} and {groups[0][1]!r}. One of them is probably another patient's."
    )
    return [Finding("repeated-mask", "warn", text, tuple(i for g in groups for i in g), groups=tuple(groups))]


def tiny_structures(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Empty masks, and structures of a voxel or less than a ten-thousandth of the image."""
    if cohort.task != "segment":
        return []
    found = []
    empty = tuple(i for i, t in survey.truths.items() if not any(t.voxels))
    if empty and len(empty) == len(survey.truths):
        text = f"All {len(empty)} masks are empty, first {empty[0]!r}. There is nothing to learn; check that the right files are the masks."
        found.append(Finding("empty-mask", "stop", text, empty))
    elif empty:
        text = f"{len(empty)} of {len(cohort)} masks are empty, such as {empty[0]!r}. Their images count as images without the structure."
        found.append(Finding("empty-mask", "info", text, empty))
    single = [(i, k) for i, t in survey.truths.items() for k, n in enumerate(t.voxels) if n == 1]
    if single:
        ids = tuple(dict.fromkeys(i for i, _ in single))
        text = (
            f"{cohort.classes[single[0][1]]!r} is a single voxel in {len(ids)} {'case' if len(ids) == 1 else 'cases'}, first {ids[0]!r}. "
            "That is a slip of the pen more often than a structure."
        )
        found.append(Finding("tiny-structure", "warn", text, ids))
    singles = {i for i, _ in single}
    small = tuple(
        i
        for i, t in survey.truths.items()
        if i not in singles and any(t.voxels) and sum(t.voxels) < _TINY_SHARE * t.n_voxels
    )
    if small:
        share = sum(survey.truths[small[0]].voxels) / survey.truths[small[0]].n_voxels
        text = f"In {len(small)} of {len(cohort)} cases less than 0.01 % of the image is labelled, such as {share:.4%} of {small[0]!r}."
        found.append(Finding("tiny-structure", "info", text, small))
    return found


def rare_structures(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Structures that no case of a part shows, or few cases do."""
    if cohort.task != "segment" or not survey.truths:
        return []
    found = []
    given: list[Part | None] = [p for p in PARTS if any(c.part == p for c in cohort.cases)]
    for part in given or [None]:
        shown = shown_in(cohort, survey, part)
        where = f"The {part} part" if part else "The cohort"
        absent = [name for name, n in shown.items() if n == 0]
        total = sum(c.id in survey.truths for c in cohort.cases if part is None or c.part == part)
        if absent and total and len(absent) < len(shown):
            then = "A model cannot learn it." if part in ("train", None) else "Nothing can be said of it there."
            found.append(Finding("class-missing", "warn", f"{where} has no mask of {_list(absent)}. {then}"))
        few = {name: n for name, n in shown.items() if 0 < n < min(_RARE, total / 2)}
        if few and part in ("train", None):
            words = _list([f"{name} ({n} of {total})" for name, n in few.items()])
            text = f"Few cases show {words}. About {_RARE} are needed before a structure can be learnt and judged."
            found.append(Finding("rare-structure", "warn", text))
    return found


def few_people(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Too few patients to learn a segmentation, or to know how good it is."""
    if cohort.task != "segment":
        return []
    found = []
    given = any(c.part == "test" for c in cohort.cases)
    train = {c.group for c in cohort.cases if c.part in ("train", None) and c.is_labelled}
    people = "patients" if any(c.patient for c in cohort.cases) else "cases"
    n_train = len(train) if given or any(c.part for c in cohort.cases) else round(0.6 * len(train))
    if n_train < _FEW_PEOPLE:
        text = f"There are only about {n_train} {people} with masks to learn from. At least {_FEW_PEOPLE} are needed for a model that can be trusted."
        found.append(Finding("too-few-cases", "warn", text))
    judged = len({c.group for c in cohort.cases if c.part == "test" and c.is_labelled}) if given else 0.2 * len(train)
    width = 2 * 1.96 * _SPREAD_OF_DICE / sqrt(max(judged, 1.0))
    if width > _WIDE:
        where = "The test part" if given else "A test part of one fifth"
        text = (
            f"{where} has about {max(judged, 1):.0f} independent {people}. A mean Dice will have a 95 % interval about {min(width, 1.0):.2f} wide "
            f"(where cases vary by {_SPREAD_OF_DICE:g}): too small for firm conclusions."
        )
        found.append(Finding("small-test", "warn", text))
    return found


def few_slices_thick(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Volumes whose voxels are more than ten times as long as wide."""
    ratios = {i: max(s) / max(min(s), 1e-6) for i, s in survey.spacings.items()} if cohort.dimension == 3 else {}
    long = tuple(i for i, r in ratios.items() if r > _ANISOTROPY)
    if not long:
        return []
    worst = max(long, key=lambda i: ratios[i])
    text = (
        f"The voxels of {len(long)} of {len(cohort)} cases are more than ten times as long as wide, such as {worst!r} with "
        f"{' x '.join(f'{s:.3g}' for s in survey.spacings[worst])} mm (median of the cohort 1:{np.median(list(ratios.values())):.0f}). "
        "Slices then say little of one another."
    )
    return [Finding("anisotropy", "info", text, long)]


def shown_in(cohort: Cohort, survey: Survey, part: Part | None) -> dict[str, int]:
    """Cases of a part in which each structure occurs.

    Args:
        cohort: Gives the structures.
        survey: What the masks hold.
        part: None for the whole cohort.

    Returns:
        Every structure, 0 where no case shows it.
    """
    counts: Counter[str] = Counter()
    for case in cohort.cases:
        truth = survey.truths.get(case.id)
        if truth is not None and (part is None or case.part == part):
            counts.update(n for n, v in zip(cohort.classes, truth.voxels, strict=True) if v)
    return {name: counts[name] for name in cohort.classes}


def strata_of(cohort: Cohort, survey: Survey) -> dict[str, tuple[str, ...]]:
    """What each case of a segmentation or detection shows, for a division into alike parts.

    Args:
        cohort: A segmentation, or a detection, whose classes count alone.
        survey: What its masks hold.

    Returns:
        Case id to words such as ``("liver", "tumour", "large")``: structures that occur in some cases
        and not in others, and the tercile of the labelled share.
    """
    if cohort.task == "detect":
        return strata_of_boxes(cohort)
    n = len(survey.truths)
    shown = shown_in(cohort, survey, None)
    telling = {name for name, k in shown.items() if 0 < k < n}
    shares = {i: sum(t.voxels) / t.n_voxels for i, t in survey.truths.items() if any(t.voxels)}
    cuts = np.quantile(list(shares.values()), [1 / 3, 2 / 3]) if len(shares) >= 9 else None
    found: dict[str, tuple[str, ...]] = {}
    for i, truth in survey.truths.items():
        words = [s for s, v in zip(cohort.classes, truth.voxels, strict=True) if v and s in telling]
        if not any(truth.voxels):
            words.append("nothing")
        elif cuts is not None:
            words.append(("small", "middle", "large")[int(np.searchsorted(cuts, shares[i]))])
        found[i] = tuple(words)
    return found


def _list(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]
