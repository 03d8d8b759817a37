"""Boxes that cannot be right: without area, outside their image, twice in one place; and things too few to learn."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import sqrt

from scanwright.core import PARTS, Cohort, Finding, Part, inside
from scanwright.intake.checks.survey import Survey

_FEW_THINGS = 30
_FEW_TEST = 20


def faulty_boxes(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Boxes of zero area, and boxes that lie outside their image wholly or in part: all of them are named."""
    if cohort.task != "detect":
        return []
    flat, away, cut = [], [], []
    for case, shape in zip(cohort.cases, survey.shapes, strict=True):
        for number, box in enumerate(case.boxes or (), start=1):
            name = f"box {number} ({cohort.classes[box.label]}) of {case.id!r}"
            if box.is_empty:
                flat.append((case.id, name))
            elif shape is not None:
                left = box.within(shape[1:])
                if left is None:
                    away.append((case.id, name))
                elif left is not box:
                    cut.append((case.id, name))
    found = []
    for rows, kind, what, done in (
        (flat, "box-without-area", "no area", "They are left out of training and judging."),
        (away, "box-outside", "no part in the image", "They are left out; check that they belong to these images."),
        (cut, "box-over-edge", "a part outside the image", "They are cut at the edge."),
    ):
        if rows:
            names = ", ".join(name for _, name in rows[:6]) + (" ..." if len(rows) > 6 else "")
            text = f"{len(rows)} {'box has' if len(rows) == 1 else 'boxes have'} {what}: {names}. {done}"
            ids = tuple(dict.fromkeys(i for i, _ in rows))
            found.append(Finding(kind, "info" if kind == "box-over-edge" else "warn", text, ids))
    return found


def repeated_boxes(cohort: Cohort, survey: Survey) -> list[Finding]:
    """The same box twice in one image: under one class a slip, under two a contradiction."""
    if cohort.task != "detect":
        return []
    twice, unlike = [], []
    for case in cohort.cases:
        labels: dict[tuple[object, object], list[int]] = defaultdict(list)
        for box in case.boxes or ():
            if not box.is_empty:
                labels[box.low, box.high].append(box.label)
        several = [kinds for kinds in labels.values() if len(kinds) > 1]
        twice += [case.id] if any(len(set(kinds)) == 1 for kinds in several) else []
        unlike += [case.id] if any(len(set(kinds)) > 1 for kinds in several) else []
    found = []
    if unlike:
        text = f"In {len(unlike)} cases one box stands under two classes, such as in {unlike[0]!r}. One of them must be wrong."
        found.append(Finding("repeated-box", "warn", text, tuple(unlike)))
    if twice:
        text = f"In {len(twice)} cases a box stands twice, such as in {twice[0]!r}. Each counts as a thing of its own."
        found.append(Finding("repeated-box", "info", text, tuple(twice)))
    return found


def scarce_things(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Classes of which there are too few boxes, or none in a part."""
    if cohort.task != "detect":
        return []
    found = []
    given: list[Part | None] = [p for p in PARTS if any(c.part == p for c in cohort.cases)]
    for part in given or [None]:
        counts = Counter(
            cohort.classes[box.label]
            for case, shape in zip(cohort.cases, survey.shapes, strict=True)
            if part is None or case.part == part
            for box in inside(case.boxes or (), shape[1:] if shape else (10**6,) * 3)
        )
        where = f"The {part} part" if part else "The cohort"
        absent = [name for name in cohort.classes if not counts[name]]
        if absent:
            text = f"{where} has no box of {', '.join(absent)}. " + (
                "A model cannot learn a class that it never sees."
                if part in ("train", None)
                else "Nothing can be said of it there."
            )
            stop = part in ("train", None) and not counts
            found.append(Finding("class-missing", "stop" if stop else "warn", text))
        fewest = {"train": _FEW_THINGS, "val": 0, "test": _FEW_TEST}.get(part or "", 2 * _FEW_THINGS)
        few = [f"{counts[name]} of {name!r}" for name in cohort.classes if 0 < counts[name] < fewest]
        if few:
            kind = "small-test" if part == "test" else "too-few-cases"
            wide = 2 * 1.96 * 0.5 / sqrt(min(n for n in counts.values() if n))
            text = f"{where} has few boxes: {', '.join(few)}. " + (
                f"The share that is found will have a 95 % interval about {min(wide, 1.0):.2f} wide."
                if part == "test"
                else f"About {fewest} of each class are needed for a model that can be trusted."
            )
            found.append(Finding(kind, "warn", text))
    return found


def strata_of_boxes(cohort: Cohort) -> dict[str, tuple[str, ...]]:
    """What each case shows, for a division into alike parts.

    Args:
        cohort: A detection.

    Returns:
        Case id to the names of the classes in it; ``("nothing",)`` where there is nothing.
    """
    return {
        c.id: tuple(sorted({cohort.classes[box.label] for box in c.boxes})) or ("nothing",)
        for c in cohort.cases
        if c.boxes is not None
    }
