"""The images themselves: damaged, blank, of odd size, of several kinds."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from scanwright.core import Cohort, Finding
from scanwright.intake.checks.survey import Survey
from scanwright.intake.words import MODALITY_NAMES, modality_kinds


def damaged_files(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Files that cannot be decoded."""
    if not survey.damaged:
        return []
    ids = tuple(i for i in survey.damaged if i not in survey.crooked)
    found = []
    if survey.crooked:
        crooked = tuple(i for i in survey.damaged if i in survey.crooked)
        text = (
            f"The slices of {len(crooked)} of {len(cohort)} cases make no volume, first {crooked[0]!r}: "
            f"{survey.damaged[crooked[0]]}"
        )
        found.append(Finding("crooked-volume", "warn", text, crooked, "leave them out", crooked))
    if not ids:
        return found
    text = f"{len(ids)} of {len(cohort)} images cannot be read, first {ids[0]!r}: {survey.damaged[ids[0]]}"
    return [Finding("damaged-file", "warn", text, ids, "leave them out", ids), *found]


def blank_images(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Images of one single value."""
    blank = [
        c.id
        for c, d, lo, hi in zip(cohort.cases, survey.digests, survey.low, survey.high, strict=True)
        if d and lo == hi
    ]
    if not blank:
        return []
    text = f"{len(blank)} of {len(cohort)} images are blank (every pixel has the same value), such as {blank[0]!r}. They show nothing that could be learnt."
    return [Finding("blank-image", "warn", text, tuple(blank), "leave them out", tuple(blank))]


def mixed_modalities(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Headers that name several modalities."""
    found: dict[str, list[str]] = defaultdict(list)
    kinds = modality_kinds(survey.modalities)
    for case, modality in zip(cohort.cases, survey.modalities, strict=True):
        if modality:
            found[modality if modality in kinds else "DX"].append(case.id)
    if len(found) < 2:
        return []
    ordered = sorted(found, key=lambda m: -len(found[m]))
    shown = ", ".join(f"{len(found[m])} {m} ({MODALITY_NAMES.get(m, 'other')})" for m in ordered)
    few = tuple(i for m in ordered[1:] for i in found[m])
    text = f"The cohort mixes modalities: {shown}. A model then learns the machine, not the disease, where classes come from different machines."
    repair = f"keep the {ordered[0]} images" if len(few) < len(cohort) / 2 else ""
    return [Finding("mixed-modality", "warn", text, few, repair, few if repair else ())]


def mixed_shapes(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Pictures among volumes, or colour among grey."""
    flat: list[str] = []
    deep: list[str] = []
    colour: list[str] = []
    grey: list[str] = []
    for case, shape in zip(cohort.cases, survey.shapes, strict=True):
        if shape is not None:
            (flat if shape[3] == 1 else deep).append(case.id)
            (colour if shape[0] == 3 else grey).append(case.id)
    found = []
    if flat and deep:
        few = tuple(flat if len(flat) < len(deep) else deep)
        what = "single pictures" if few[0] in set(flat) else "volumes of several slices"
        text = f"The cohort mixes {len(flat)} single pictures and {len(deep)} volumes of several slices. It is read as {cohort.dimension}-D."
        found.append(Finding("mixed-dimension", "warn", text, few, f"leave out the {len(few)} {what}", few))
    if colour and grey:
        few = tuple(colour if len(colour) < len(grey) else grey)
        text = f"{len(colour)} images are stored in colour and {len(grey)} in grey, such as {few[0]!r}. Coloured marks or another source can give the class away."
        found.append(Finding("mixed-colour", "info", text, few))
    return found


def odd_sizes(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Images much larger, smaller or of another shape than the rest."""
    known = [(c.id, s[1:]) for c, s in zip(cohort.cases, survey.shapes, strict=True) if s is not None]
    if len(known) < 10:
        return []
    sizes = np.array([s for _, s in known], dtype=float)
    axes = slice(0, 2) if cohort.dimension == 2 else slice(0, 3)
    logs = np.log(sizes[:, axes])
    aspect = logs[:, 0] - logs[:, 1]
    odd = np.zeros(len(known), dtype=bool)
    for values, least in ((logs.mean(axis=1), np.log(2.0)), (aspect, np.log(1.6))):
        centre = np.median(values)
        scale = 1.4826 * np.median(np.abs(values - centre))
        odd |= np.abs(values - centre) > max(5 * scale, least)
    ids = tuple(i for (i, _), o in zip(known, odd, strict=True) if o)
    if not ids or len(ids) > len(known) / 4:
        return []
    usual = Counter(s for _, s in known).most_common(1)[0][0]
    example = next(s for (i, s), o in zip(known, odd, strict=True) if o)
    n = 2 if cohort.dimension == 2 else 3
    text = (
        f"{len(ids)} of {len(known)} images have an unusual size, such as {ids[0]!r} with {_size(example[:n])} "
        f"where {_size(usual[:n])} is common. Look whether they are cropped, turned or of another kind."
    )
    return [Finding("odd-size", "info", text, ids)]


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
