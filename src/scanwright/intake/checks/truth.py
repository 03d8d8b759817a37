"""Labels and numbers: missing, one-sided, or too few to conclude anything."""

from __future__ import annotations

from collections import Counter
from math import sqrt

from scanwright.core import PARTS, Case, Cohort, Finding, Part
from scanwright.intake.checks.survey import Survey

_ONE_SIDED = 10
_FEW_TRAIN = 20
_WIDE = 0.15
_EXPECTED_AUROC = 0.85


def missing_labels(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Cases without a label."""
    ids = tuple(c.id for c in cohort.cases if not c.is_labelled)
    if not ids:
        return []
    what = {"segment": "mask", "detect": "boxes"}.get(cohort.task, "label")
    text = f"{len(ids)} of {len(cohort)} cases have no {what}, such as {ids[0]!r}. They are never guessed and cannot be learnt from or judged."
    severity = "warn" if len(ids) > 0.05 * len(cohort) else "info"
    return [Finding("missing-label", severity, text, ids, "leave them out", ids)]  # type: ignore[arg-type]


def one_class(cohort: Cohort, survey: Survey) -> list[Finding]:
    """A part in which a class (or every label) is missing."""
    found = []
    if cohort.task in ("regress", "segment", "detect"):
        return []
    given: list[Part | None] = [p for p in PARTS if any(c.part == p for c in cohort.cases)]
    for part in given or [None]:
        counts = class_counts(cohort, [c for c in cohort.cases if part is None or c.part == part])
        absent = [n for n, k in counts.items() if k == 0]
        if not absent:
            continue
        where = f"The {part} part" if part else "The cohort"
        text = f"{where} has no case of {_list(absent)}. " + (
            "A model cannot learn a class that it never sees."
            if part in ("train", None)
            else "Nothing can be said of it there."
        )
        stop = part in ("train", None) and len(counts) - len(absent) < 2 and cohort.task != "multilabel"
        found.append(Finding("class-missing", "stop" if stop else "warn", text))
    return found


def class_imbalance(cohort: Cohort, survey: Survey) -> list[Finding]:
    """One class outnumbers another more than ten times."""
    if cohort.task in ("regress", "segment", "detect"):
        return []
    cases = [c for c in cohort.cases if c.part in ("train", None)] or list(cohort.cases)
    counts = {n: k for n, k in class_counts(cohort, cases).items() if k}
    if cohort.task == "multilabel":
        n = sum(c.label is not None for c in cases)
        rare = {name: k for name, k in counts.items() if k * _ONE_SIDED < n}
        if not rare:
            return []
        shown = _list([f"{name} ({k} of {n})" for name, k in sorted(rare.items(), key=lambda p: p[1])[:5]])
        return [
            Finding(
                "class-imbalance",
                "info",
                f"Some findings are rare: {shown}. Accuracy misleads here; look at balanced accuracy and AUROC.",
            )
        ]
    if len(counts) < 2 or max(counts.values()) < _ONE_SIDED * min(counts.values()):
        return []
    most, least = max(counts, key=lambda c: counts[c]), min(counts, key=lambda c: counts[c])
    text = (
        f"{most!r} has {counts[most]} cases and {least!r} has {counts[least]}. Accuracy misleads here: always saying {most!r} would be right in "
        f"{counts[most] / sum(counts.values()):.0%}. Look at balanced accuracy and AUROC."
    )
    return [Finding("class-imbalance", "info", text)]


def too_few(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Too few cases to learn, or to know how good the model is."""
    if cohort.task in ("segment", "detect"):
        return []
    found = []
    train = [c for c in cohort.cases if c.part in ("train", None) and c.label is not None]
    if cohort.task != "regress":
        few = {n: k for n, k in class_counts(cohort, train).items() if 0 < k < _FEW_TRAIN}
        if few:
            shown = _list([f"{k} of {n!r}" for n, k in few.items()])
            found.append(
                Finding(
                    "too-few-cases",
                    "warn",
                    f"There are only {shown} to learn from. At least {_FEW_TRAIN} of each class are needed for a model that can be trusted.",
                )
            )
    test = [c for c in cohort.cases if c.part == "test" and c.label is not None]
    given = bool(test)
    share = 1.0 if given else 0.2
    judged = test or [c for c in cohort.cases if c.label is not None]
    width, smallest, n = _expected_width(cohort, judged, share)
    if width > _WIDE:
        where = "The test part" if given else "A test part of one fifth"
        text = (
            f"{where} has about {n:.0f} independent cases{smallest}. Figures such as AUROC will have a 95 % interval about {width:.2f} wide: "
            "the cohort is too small for firm conclusions."
        )
        found.append(Finding("small-test", "warn", text))
    return found


def class_counts(cohort: Cohort, cases: list[Case]) -> dict[str, int]:
    """Labelled cases of each class (for multi-label: of each finding that is present).

    Args:
        cohort: Gives the classes.
        cases: Cases to count.

    Returns:
        Every class, 0 where there are none.
    """
    counts: Counter[str] = Counter()
    for case in cases:
        if isinstance(case.label, tuple):
            counts.update(n for n, v in zip(cohort.classes, case.label, strict=True) if v == 1)
        elif case.label is not None and cohort.task != "regress":
            counts[cohort.classes[int(case.label)]] += 1
    return {name: counts[name] for name in cohort.classes}


def auroc_width(n_positive: float, n_negative: float, auroc: float = _EXPECTED_AUROC) -> float:
    """Width of the 95 % interval to expect of an AUROC.

    Args:
        n_positive: Cases with the finding.
        n_negative: Cases without.
        auroc: The value to expect.

    Returns:
        2 x 1.96 standard errors, at most 1.

    Source:
        Hanley and McNeil, Radiology 143:29 (1982), equation 2 with the exponential approximation.
    """
    if min(n_positive, n_negative) < 1:
        return 1.0
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = auroc * (1 - auroc) + (n_positive - 1) * (q1 - auroc**2) + (n_negative - 1) * (q2 - auroc**2)
    return min(1.0, 2 * 1.96 * sqrt(variance / (n_positive * n_negative)))


def _expected_width(cohort: Cohort, cases: list[Case], share: float) -> tuple[float, str, float]:
    """Width of the widest class, the smallest class in words, and the independent cases (patients)."""
    groups: dict[str, Case] = {}
    for case in cases:
        groups.setdefault(case.group, case)
    n = len(groups) * share
    if cohort.task == "regress":
        return min(1.0, 2 * 1.96 / sqrt(max(n, 1))), "", n
    # one patient counts once; a patient whose images differ counts for each class once
    seen = {(c.group, c.label): c for c in cases}
    counts = {k: v * share for k, v in class_counts(cohort, list(seen.values())).items() if v}
    if len(counts) < 2 and cohort.task != "multilabel":
        return 1.0, "", n
    least = min(counts, key=lambda c: counts[c]) if counts else ""
    fewest = counts.get(least, 0.0)
    return auroc_width(fewest, max(n - fewest, 0.0)), f" ({fewest:.0f} of {least!r})", n


def _list(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]
