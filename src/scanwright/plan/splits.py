"""Dividing a cohort: stratified by label, grouped by patient, the same on every machine.

Who goes where depends on the names of the groups, their labels and the seed; not on the
order of the rows. Parts that came with the data are kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scanwright.core import PARTS, Case, Cohort, CohortError, Part

_MOST = {"val": 5000, "test": 10000}
"""Cases beyond which a larger part tells little more."""
_BINS = 5
_FIRM = 10
"""Cases of a class in the test part below which its figures say little."""
_MASKED = "with a mask"


@dataclass(frozen=True, slots=True)
class _Group:
    """Cases that must stay together."""

    key: bytes
    cases: tuple[Case, ...]
    labels: Mapping[str, int]


def split(
    cohort: Cohort,
    *,
    seed: int = 0,
    together: Iterable[Sequence[str]] = (),
    strata: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Cohort, list[str]]:
    """Give every labelled case a part.

    Args:
        cohort: Any cohort; parts that it has are kept, unless not one of their cases is labelled.
        seed: Another seed gives another split.
        together: Groups of case ids that must lie on one side (duplicates, say).
        strata: For segmentation: what each case shows, such as the structures that occur in it and
            the tercile of their volume (`intake.checks.strata_of` gives it); parts then show
            alike shares of each. Without it every case with a mask counts alike.

    Returns:
        The cohort with the same rows in the same order, and sentences on what was done.
        Unlabelled cases stay without a part.

    Raises:
        CohortError: There are fewer groups than parts, or no case to train on.

    Source:
        Iterative stratification (Sechidis et al., ECML PKDD 2011), extended to groups.
    """
    notes: list[str] = []
    cohort = _without_unlabelled_parts(cohort, notes)
    groups = _groups(cohort, seed, together, strata)
    _note_straddling(groups, notes)
    given = {p for p in PARTS if cohort.of(p)}
    wanted = tuple(p for p in PARTS if p not in given)
    free = [g for g in groups if all(c.part is None for c in g.cases) and g.labels]
    parts: dict[str, Part] = {}
    if given and free:  # rows that the official parts do not mention
        joined: Part = "train"
        parts |= _join_given(groups, joined)
        notes.append(f"{sum(len(g.cases) for g in free)} cases without a part were added to the training part.")
    if "train" in given or (given and free):
        wanted = tuple(p for p in wanted if p != "train")
        free = [g for g in groups if g.labels and all((parts.get(c.id) or c.part) == "train" for c in g.cases)]
    elif given:
        raise CohortError(
            f"The cohort {cohort.name!r} has a {' and a '.join(sorted(given))} part but no case to train on.",
            "A run needs training cases.",
            "Add a training part, or remove the part column to split anew.",
        )
    if wanted:
        target_parts: tuple[Part, ...] = tuple(dict.fromkeys(("train", *wanted)))  # type: ignore[arg-type]
        _need_groups(cohort, len(free), len(target_parts))
        parts |= _divide(free, target_parts)
        notes.append(_say_division(free, parts, target_parts, bool(given)))
    else:
        notes.append("The parts that came with the data are kept.")
    result = cohort.with_cases(
        replace(c, part=parts[c.id]) if c.id in parts and c.is_labelled else c for c in cohort.cases
    )
    notes += _missing_and_scarce(result)
    return result, notes


def _without_unlabelled_parts(cohort: Cohort, notes: list[str]) -> Cohort:
    """A part of a challenge whose labels were never published cannot judge anything."""
    blind = [p for p in PARTS if cohort.of(p) and not any(c.is_labelled for c in cohort.of(p))]
    what = {"segment": "masks", "detect": "boxes"}.get(cohort.task, "labels")
    for part in blind:
        notes.append(f"The {part} part that came with the data has no {what} and is not used.")
    return cohort.with_cases(replace(c, part=None) if c.part in blind else c for c in cohort.cases) if blind else cohort


def _groups(
    cohort: Cohort, seed: int, together: Iterable[Sequence[str]], strata: Mapping[str, Sequence[str]] | None
) -> list[_Group]:
    """Cases joined by patient and by ``together``, in the order of a hash of their names."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    def join(one: str, other: str) -> None:
        low, high = sorted((find(one), find(other)))
        leader[high] = low

    known = {c.id for c in cohort.cases}
    for case in cohort.cases:
        join(f"c:{case.id}", f"p:{case.patient}" if case.patient is not None else f"c:{case.id}")
    for ids in together:
        present = [i for i in ids if i in known]
        for other in present[1:]:
            join(f"c:{present[0]}", f"c:{other}")
    members: dict[str, list[Case]] = defaultdict(list)
    for case in cohort.cases:
        members[find(f"c:{case.id}")].append(case)
    names = _label_names(cohort, strata)
    groups = []
    for cases in members.values():
        ordered = tuple(sorted(cases, key=lambda c: c.id))
        labels = Counter(name for c in ordered for name in names[c.id])
        key = hashlib.sha256(f"{seed}:{min(c.group for c in ordered)}:{ordered[0].id}".encode()).digest()
        groups.append(_Group(key, ordered, labels))
    return sorted(groups, key=lambda g: g.key)


def _label_names(cohort: Cohort, strata: Mapping[str, Sequence[str]] | None) -> dict[str, tuple[str, ...]]:
    """What each case counts as in the stratification; nothing if it is unlabelled."""
    if cohort.task in ("segment", "detect"):
        said = strata or {}
        return {c.id: tuple(said.get(c.id, ())) or (_MASKED,) if c.is_labelled else () for c in cohort.cases}
    if cohort.task == "regress":
        numbers = np.array(sorted(float(c.label) for c in cohort.cases if isinstance(c.label, int | float)))
        edges = np.quantile(numbers, np.linspace(0, 1, _BINS + 1)[1:-1]) if numbers.size else np.zeros(0)
        return {
            c.id: (f"bin {int(np.searchsorted(edges, float(c.label), side='right'))}",)
            if isinstance(c.label, int | float)
            else ()
            for c in cohort.cases
        }
    found: dict[str, tuple[str, ...]] = {}
    for case in cohort.cases:
        if case.label is None:
            found[case.id] = ()
        elif isinstance(case.label, tuple):
            positive = tuple(f"class {i}" for i, v in enumerate(case.label) if v == 1)
            found[case.id] = positive or (("none",) if any(v is not None for v in case.label) else ())
        else:
            found[case.id] = (f"class {int(case.label)}",)
    return found


def _divide(groups: Sequence[_Group], parts: Sequence[Part]) -> dict[str, Part]:
    """Assign groups to parts, the rarest label first, each to the part that lacks it most.

    Patients with several images must not all fall to one part, or the test part would be of
    another kind than the rest; so only groups that are large for a part are placed by size.
    """
    n_cases = sum(len(g.cases) for g in groups)
    shares = _shares(n_cases, len(groups), parts)
    labels = sorted({name for g in groups for name in g.labels})
    lacking = {name: _targets(groups, name, shares) for name in labels}
    room = {p: shares[p] * n_cases for p in parts}
    left = list(groups)
    found: dict[str, Part] = {}
    while left:
        holding = {name: sum(name in g.labels for g in left) for name in labels}
        rarest = min((n for n in labels if holding[n]), key=lambda n: (holding[n], n))
        large = max(
            0.1 * min(lacking[rarest].values()), 2.0
        )  # these come first; the others by lot, whatever their size
        chosen = sorted(
            (g for g in left if rarest in g.labels),
            key=lambda g: (-g.labels[rarest] if g.labels[rarest] > large else 0, g.key),
        )
        for group in chosen:
            part = max(parts, key=lambda p: (round(lacking[rarest][p], 9), round(room[p], 9), -PARTS.index(p)))
            room[part] -= len(group.cases)
            for name, count in group.labels.items():
                lacking[name][part] -= count
            found |= dict.fromkeys((c.id for c in group.cases), part)
        left = [g for g in left if rarest not in g.labels]
    _fill_empty(groups, found, parts)
    return found


def _fill_empty(groups: Sequence[_Group], found: dict[str, Part], parts: Sequence[Part]) -> None:
    """Give a part that got nothing the smallest group of the part that has most groups."""
    for empty in [p for p in parts if p not in found.values()]:
        holders = Counter(found[g.cases[0].id] for g in groups)
        richest = max(holders, key=lambda p: (holders[p], -PARTS.index(p)))
        smallest = min((g for g in groups if found[g.cases[0].id] == richest), key=lambda g: (len(g.cases), g.key))
        found |= dict.fromkeys((c.id for c in smallest.cases), empty)


def _targets(groups: Sequence[_Group], name: str, shares: Mapping[Part, float]) -> dict[Part, float]:
    """Cases of one label that each part should get; at least one each where the groups suffice."""
    holders = [g for g in groups if name in g.labels]
    total = sum(g.labels[name] for g in holders)
    least = min(1.0, total / max(len(holders), 1))
    targets = {p: shares[p] * total for p in shares}
    order: list[Part] = [p for p in ("train", "test", "val") if p in shares]  # who comes first when it is scarce
    if len(holders) < 2 * len(order):
        for place, part in enumerate(order):
            targets[part] = max(targets[part], least) if place < len(holders) else 0.0
            targets[part] += (len(order) - place) * 1e-6
        small = sum(v for p, v in targets.items() if p != "train")
        targets["train"] = max(total - small, least)
        return targets
    for part in order[1:]:
        targets[part] = max(targets[part], 1.0)
    targets["train"] = total - sum(v for p, v in targets.items() if p != "train")
    return targets


def _shares(n_cases: int, n_groups: int, parts: Sequence[Part]) -> dict[Part, float]:
    """Share of each part: a fifth for test; for validation less in large cohorts."""
    small: dict[Part, float] = {"val": 0.2 if n_groups < 100 else 0.15 if n_cases < 2000 else 0.1, "test": 0.2}
    shares: dict[Part, float] = {p: min(small[p], _MOST[p] / n_cases) for p in parts if p != "train"}
    shares["train"] = 1.0 - sum(shares.values())
    return shares


def _join_given(groups: Sequence[_Group], part: Part) -> dict[str, Part]:
    """Free labelled cases: to the part of their group if it has one, else to ``part``."""
    found: dict[str, Part] = {}
    for group in groups:
        given = sorted({c.part for c in group.cases if c.part is not None}, key=PARTS.index)
        for case in group.cases:
            if case.part is None and case.is_labelled:
                found[case.id] = given[0] if given else part
    return found


def _need_groups(cohort: Cohort, n_groups: int, n_parts: int) -> None:
    if n_groups < n_parts:
        what = "patients" if any(c.patient is not None for c in cohort.cases) else "cases"
        raise CohortError(
            f"The cohort {cohort.name!r} has {n_groups} labelled {what} to divide.",
            f"At least {n_parts} are needed, so that each of {n_parts} parts has its own.",
            "Add cases, or check the patient column with --patient.",
        )


def _note_straddling(groups: Sequence[_Group], notes: list[str]) -> None:
    n = sum(len({c.part for c in g.cases if c.part is not None}) > 1 for g in groups)
    if n:
        notes.append(
            f"{n} patient or duplicate group{'s' * (n > 1)} lie on more than one side of the parts that came with the data."
        )


def _say_division(groups: Sequence[_Group], parts: Mapping[str, Part], names: Sequence[Part], given: bool) -> str:
    counts = Counter(parts[c.id] for g in groups for c in g.cases if c.id in parts)
    numbers = ", ".join(f"{counts[p]} {p}" for p in names)
    how = "by patient" if any(c.patient is not None for g in groups for c in g.cases) else "by case"
    kinds = {name for g in groups for name in g.labels}
    by = (
        ""
        if kinds == {_MASKED}
        else ", stratified by label"
        if any(c.label is not None for g in groups for c in g.cases)
        else ", stratified by structure"
    )
    what = "The training part" if given else "The cohort"
    return f"{what} was divided {how}{by}: {numbers}."


def _missing_and_scarce(cohort: Cohort) -> list[str]:
    """What the parts cannot tell, in words."""
    if cohort.task == "regress":
        return []
    if cohort.task in ("segment", "detect"):
        return _few_people(cohort)
    counts = cohort.counts()
    notes = []
    for part in PARTS:
        absent = [name for name in cohort.classes if counts.get(part, {}).get(name, 0) == 0]
        if absent and cohort.of(part):
            notes.append(
                f"The {part} part has no case of {', '.join(absent)}: figures on that class are not possible there."
            )
    test = counts.get("test", {})
    scarce = [f"{test[name]} of {name}" for name in cohort.classes if 0 < test.get(name, 0) < _FIRM]
    if scarce:
        notes.append(f"The test part has few cases ({', '.join(scarce)}): the cohort is too small for firm figures.")
    return notes


def _few_people(cohort: Cohort) -> list[str]:
    """How many independent cases judge a segmentation or a detection."""
    people = len({c.group for c in cohort.of("test") if c.is_labelled})
    if 0 < people < _FIRM:
        what = "patient" if people == 1 else "patients"
        return [f"The test part has {people} {what}: the cohort is too small for firm figures."]
    return []
