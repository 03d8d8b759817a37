"""Whether segments and contours overlap by design, so that the structures are regions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from scanwright.core import CohortError, Guess, ScanwrightError
from scanwright.intake.layouts.reading import Row
from scanwright.io import read_volume
from scanwright.io.named_masks import BY_DESIGN, class_masks, flat_file, shared

_LOOK_AT = 16
_MOST_CODES = 200


def overlapping(
    rows: Sequence[Row], names: Sequence[Sequence[str]], structures: Sequence[str], root: Path
) -> tuple[tuple[tuple[int, ...], ...], list[Guess]]:
    """Label values of structures, more than one where they share voxels.

    Args:
        rows: Cases with masks; a few are opened, spread evenly, and ``check`` opens the rest.
        names: Of each structure in the files.
        structures: Names of the structures.
        root: Folder that locators start from.

    Returns:
        For each structure its values, and what was inferred. Value n is structure n alone; further values
        are several structures together.

    Raises:
        CohortError: There are more ways of overlapping than label values.
    """
    n = len(structures)
    alone = tuple((k,) for k in range(1, n + 1))
    if n < 2:
        return alone, []
    most: dict[tuple[int, int], tuple[float, str]] = {}
    held: set[tuple[int, ...]] = set()
    for i in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _LOOK_AT)).round().astype(int)).tolist():
        try:
            if len(rows[i].masks) == 1 and flat_file(rows[i].masks[0], root) is not None:
                continue
            like = read_volume(rows[i].source, root=root).grid
            found, _ = class_masks(rows[i].masks, names, like=like, root=root, case=rows[i].id)
        except ScanwrightError:
            continue
        shares = shared(found, {k: int(np.count_nonzero(m)) for k, m in found.items()})
        for pair, share in shares.items():
            most[pair] = max(most.get(pair, (0.0, "")), (share, rows[i].id))
        involved = sorted({k for pair in shares for k in pair})
        if involved:
            stack = np.stack([found[k].ravel() for k in involved])
            several = np.unique(stack[:, np.count_nonzero(stack, axis=0) > 1], axis=1).T
            held |= {tuple(involved[c] for c in np.flatnonzero(row)) for row in several}
    designed = {pair for pair, (share, _) in most.items() if share >= BY_DESIGN}
    codes = {part for classes in held for part in _cliques(classes, designed)}
    if not codes:
        return alone, _touching(most, structures)
    if n + len(codes) > _MOST_CODES:
        raise CohortError(
            f"{n} structures overlap in {len(codes)} ways.",
            f"Up to {_MOST_CODES} label values are possible.",
            'Name fewer structures with --structures, such as "Liver=liver".',
        )
    values: list[tuple[int, ...]] = list(alone)
    for value, classes in enumerate(sorted(codes, key=lambda c: (len(c), c)), start=n + 1):
        for k in classes:
            values[k] = (*values[k], value)
    worst = max(designed, key=lambda pair: most[pair][0])
    share, case = most[worst]
    why = (
        f"{structures[worst[0]]!r} and {structures[worst[1]]!r} share {share:.0%} of the smaller one in {case}; "
        "each structure is answered on its own"
    )
    named = ", ".join(structures[k] for k in sorted({k for pair in designed for k in pair}))
    return tuple(values), [Guess("regions", named, why, "--structures")]


def _cliques(classes: tuple[int, ...], designed: set[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The classes of a voxel, or those of them that overlap by design, and every part of these."""
    found = []
    for size in range(2, min(len(classes), 6) + 1):
        found += [part for part in combinations(classes, size) if all(p in designed for p in combinations(part, 2))]
    return found


def _touching(most: dict[tuple[int, int], tuple[float, str]], structures: Sequence[str]) -> list[Guess]:
    if not most:
        return []
    pair = max(most, key=lambda p: most[p][0])
    share, case = most[pair]
    why = f"{structures[pair[0]]!r} and {structures[pair[1]]!r} share {share:.1%} of the smaller one in {case}, too little to be meant"
    return [Guess("voxels of two structures", "the smaller one takes them", why)]
