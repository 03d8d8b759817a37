"""Copies: one image twice, in two parts, or with two labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from scanwright.core import Case, Cohort, Finding
from scanwright.intake.checks.near import near_groups, near_pairs
from scanwright.intake.checks.survey import Survey

KEEP_ORDER = {"test": 0, "val": 1, "train": 2, None: 3}
"""Where copies lie in several parts, the copy in the first of these is kept."""

Group = tuple[Case, ...]


def exact_groups(survey: Survey) -> list[Group]:
    """Cases whose decoded pixels are the same, in the order of the cohort."""
    found: dict[bytes, list[Case]] = defaultdict(list)
    for case, key in zip(survey.cases, survey.digests, strict=True):
        if key is not None:
            found[key].append(case)
    return [tuple(g) for g in found.values() if len(g) > 1]


def contradicting_labels(cohort: Cohort, survey: Survey) -> list[Finding]:
    """One image under two labels: nobody can tell which is right, so all its copies go."""
    groups = [g for g in exact_groups(survey) if len(_answers(g, survey)) > 1]
    if not groups:
        return []
    first = groups[0]
    masked = cohort.task in ("segment", "detect")
    what = {"segment": "mask", "detect": "set of boxes"}.get(cohort.task, "label")
    labels = ", ".join(f"{c.id!r}" if masked else f"{c.id!r} as {_label(cohort, c)}" for c in first[:3])
    text = (
        f"{_count(len(groups), 'image is', 'images are')} in the cohort more than once under different {what}s: "
        f"{labels}{' ...' if len(groups) > 1 else ''}. One of the {what}s must be wrong."
    )
    return [_finding("contradicting-labels", "warn", text, groups, "leave out every copy of them", _ids(groups))]


def duplicates_across_parts(cohort: Cohort, survey: Survey) -> list[Finding]:
    """One image in two parts: the test would ask what training has shown."""
    groups = [g for g in exact_groups(survey) if len({c.part for c in g if c.part}) > 1]
    return _across(groups, "duplicate-across-parts", "exactly the same image", "images")


def exact_duplicates(cohort: Cohort, survey: Survey) -> list[Finding]:
    """One image twice in one part; the test part stays as it is."""
    groups: list[Group] = []
    for group in exact_groups(survey):
        by_part: dict[str | None, list[Case]] = defaultdict(list)
        if len(_answers(group, survey)) > 1:
            continue  # told, and repaired, as contradicting
        for case in group:
            by_part[case.part].append(case)
        groups += [tuple(g) for g in by_part.values() if len(g) > 1]
    if not groups:
        return []
    extra = sum(len(g) - 1 for g in groups)
    drop = tuple(c.id for g in groups for c in g[1:] if c.part != "test")
    where: dict[str, int] = defaultdict(int)
    for g in groups:
        where[g[0].part or "the cohort"] += len(g) - 1
    places = ", ".join(f"{n} in {p}" for p, n in where.items())
    text = (
        f"{_count(extra, 'repeat', 'repeats')} of an image that is already there ({places}), such as {_pair(groups[0])}. "
        f"Repeats count double in training; all copies of an image stay in one part."
    )
    repair = "keep the first copy of each" + (
        " (the test part stays as it is)" if any(g[0].part == "test" for g in groups) else ""
    )
    return [_finding("exact-duplicate", "info", text, groups, repair if drop else "", drop)]


def near_duplicates(cohort: Cohort, survey: Survey) -> list[Finding]:
    """Images that are nearly the same, within and across parts."""
    groups = [tuple(cohort.cases[i] for i in g) for g in near_groups(near_pairs(cohort, survey))]
    across = [g for g in groups if len({c.part for c in g if c.part}) > 1]
    found = _across(across, "near-duplicate-across-parts", "nearly the same image", "images")
    within = [g for g in groups if len({c.part for c in g if c.part}) <= 1]
    if within:
        differ = 0 if cohort.task in ("segment", "detect") else sum(len(_answers(g, survey)) > 1 for g in within)
        text = (
            f"{_count(len(within), 'group', 'groups')} of nearly the same images ({sum(map(len, within))} images), such as {_pair(within[0])}: "
            "re-encoded copies, or pictures of one patient a moment apart. Each group stays in one part."
        )
        if differ:
            text += f" In {_count(differ, 'group', 'groups')} the labels differ."
        found.append(_finding("near-duplicate", "warn" if differ else "info", text, within, "", ()))
    return found


def groups_of_duplicates(findings: Iterable[Finding]) -> list[tuple[str, ...]]:
    """Cases that must lie in one part because they are copies of one another.

    Args:
        findings: What `check` found.

    Returns:
        Disjoint groups of case ids, each of two or more.
    """
    kinds = (
        "exact-duplicate",
        "duplicate-across-parts",
        "near-duplicate",
        "near-duplicate-across-parts",
        "contradicting-labels",
    )
    links: list[tuple[str, str]] = []
    for finding in findings:
        if finding.kind in kinds:
            links += [(g[0], other) for g in finding.groups for other in g[1:]]
    return [tuple(g) for g in _joined(links)]


def _across(groups: Sequence[Group], kind: str, same: str, what: str) -> list[Finding]:
    if not groups:
        return []
    drop = []
    between: dict[str, int] = defaultdict(int)
    for group in groups:
        parts = sorted({c.part for c in group if c.part}, key=lambda p: KEEP_ORDER[p])
        drop += [c.id for c in group if c.part and c.part != parts[0]]
        between[" and ".join(reversed(parts))] += 1
    places = ", ".join(f"{n} between {p}" for p, n in between.items())
    text = (
        f"{_count(len(groups), 'case of', 'cases of')} {same} in two parts ({places}), such as {_pair(groups[0])}. "
        "A model is tested on what it has seen, so its figures come out too good."
    )
    repair = "leave out the copies in train (or val), so that the part that is judged on stays whole"
    return [_finding(kind, "stop", text, groups, repair, tuple(drop))]


def _finding(
    kind: str, severity: str, text: str, groups: Sequence[Group], repair: str, drop: tuple[str, ...]
) -> Finding:
    ids = tuple(tuple(c.id for c in g) for g in groups)
    return Finding(kind, severity, text, _ids(groups), repair, drop, ids)  # type: ignore[arg-type]


def _ids(groups: Iterable[Group]) -> tuple[str, ...]:
    return tuple(c.id for g in groups for c in g)


def _pair(group: Group) -> str:
    def say(case: Case) -> str:
        return f"{case.id!r}" + (f" ({case.part})" if case.part else "")

    return f"{say(group[0])} and {say(next((c for c in group if c.part != group[0].part), group[1]))}"


def _answers(group: Group, survey: Survey) -> set[object]:
    """Different labels, or masks, of the cases of a group."""
    return {a for c in group if (a := survey.answer(c)) is not None}


def _label(cohort: Cohort, case: Case) -> str:
    if isinstance(case.label, int) and cohort.task not in ("regress", "multilabel"):
        return repr(cohort.classes[case.label])
    return repr(case.label)


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _joined(pairs: Iterable[tuple[object, object]]) -> list[list]:  # type: ignore[type-arg]
    """Connected groups of pairs, in the order of first appearance."""
    parent: dict[object, object] = {}

    def root(x: object) -> object:
        parent.setdefault(x, x)
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for a, b in pairs:
        ra, rb = root(a), root(b)
        if ra != rb:
            parent[rb] = ra
    groups: dict[object, list[object]] = defaultdict(list)
    for x in list(parent):
        groups[root(x)].append(x)
    return list(groups.values())
