"""What the values of masks mean: structures, objects, colours, or the soft edge of one structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.core import CohortError, Guess, MaskCode, ScanwrightError, Volume
from scanwright.intake.masks.names import Naming, sides_of
from scanwright.intake.masks.wish import Asked
from scanwright.io import read_volume

_MOST = {2: 400, 3: 60}
"""Masks that are looked at: pictures, volumes."""
_MOST_COMPONENTS = 16
_MANY_VALUES = 6
_WHITE, _NEAR, _PURE = 255, 32, 0.98
_LEAST_OBJECTS = 4
_MOST_COLOURS, _COLOUR_SHARE = 24, 2e-4


@dataclass(frozen=True)
class Looked:
    """What was understood of the masks.

    Args:
        structures: Names.
        code: How to read the masks.
        guesses: What was inferred.
    """

    structures: tuple[str, ...]
    code: MaskCode
    guesses: tuple[Guess, ...]


@dataclass
class _Seen:
    """Masks of a sample, as far as they could be read."""

    values: list[NDArray[np.int64]]
    arrays: list[NDArray[Any]]
    shares: Counter[int]
    colours: Counter[tuple[int, int, int]]
    n_colour: int = 0
    fraction: str = ""


def look_at(
    masks: Sequence[str], root: Path, *, naming: Naming | None = None, asked: Asked | None = None, n_cases: int = 0
) -> Looked:
    """Open masks of a cohort and say what they hold.

    Args:
        masks: Locators.
        root: Folder that they start from.
        naming: Names of the values, where a file tells them.
        asked: Structures that the person named.
        n_cases: Number of masks in the cohort, for words; that of ``masks`` when 0.

    Returns:
        Structures and mask code. With many masks a sample is opened; ``check`` opens all of them.

    Raises:
        CohortError: No mask can be read, all are empty, they hold shades or photographs.
        InputError: A structure that was asked for is unknown.
    """
    naming = naming or Naming()
    if asked is not None and asked.instances:
        return Looked(asked.names, MaskCode(((1,),), kind="instances"), ())
    seen = _look(masks, root)
    if seen.n_colour:
        return _colours(seen, masks[0], asked)
    values = sorted({int(v) for found in seen.values for v in found} - {0})
    if asked is not None:
        return _asked(asked, naming, values)
    if naming.values:
        return named(naming, values)
    if seen.fraction:
        raise _shades(seen.fraction, "fractions")
    if not values:
        raise CohortError(
            f"All {len(seen.values)} masks that were opened are empty, such as {PurePosixPath(masks[0]).name}.",
            "A segmentation is learnt from masks with a structure in some of them.",
            "Check that the right folder holds the masks.",
        )
    if _are_objects(seen):
        most = max(int(v.max(initial=0)) for v in seen.values)
        why = f"values run from 1 to at most {most}, other numbers in each mask, and each is one piece; not taken for classes"
        guess = Guess("masks", "instances: one object a value", why, "--structures")
        return Looked(("object",), MaskCode(((1,),), kind="instances"), (guess,))
    if len(values) > _MANY_VALUES and values[-1] == _WHITE:
        return _soft(seen, masks[0])
    return _labels(seen, values)


def named(naming: Naming, seen: Sequence[int] = ()) -> Looked:
    """Structures as a file names them.

    Args:
        naming: Names and values.
        seen: Values that the masks hold; those without a name are background where the naming says so.

    Returns:
        Structures and mask code.
    """
    names = tuple(naming.values)
    values = tuple(naming.values.values())
    known = {v for group in values for v in group} | {naming.ignore}
    rest = tuple(v for v in seen if v not in known) if naming.rest else ()
    regions = [n for n, group in zip(names, values, strict=True) if len(group) > 1]
    guesses = [Guess("structures", ", ".join(names), f"{naming.source} names them", "--structures")]
    if regions:
        guesses.append(Guess("regions", ", ".join(regions), "they are made of several label values"))
    if naming.ignore is not None:
        guesses.append(Guess("ignored voxels", f"value {naming.ignore}", f"{naming.source} says so"))
    code = MaskCode(values, naming.ignore, sides=sides_of(names), background=rest)
    return Looked(names, code, (*guesses, *_say_sides(code, names)))


def _asked(asked: Asked, naming: Naming, seen: Sequence[int]) -> Looked:
    values = asked.values(naming.by_value)
    taken = {v for group in values for v in group} | {naming.ignore, 0}
    rest = tuple(v for v in sorted({*seen, *naming.by_value}) if v not in taken)
    guesses = []
    if rest:
        why = "--structures does not name them"
        guesses.append(Guess("background", f"label values {', '.join(map(str, rest))}", why, "--structures"))
    code = MaskCode(values, naming.ignore, sides=sides_of(asked.names), background=rest)
    return Looked(asked.names, code, (*guesses, *_say_sides(code, asked.names)))


def _look(masks: Sequence[str], root: Path) -> _Seen:
    """Open a sample, spread evenly; damaged masks are left to `check`."""
    seen = _Seen([], [], Counter(), Counter())
    first: ScanwrightError | None = None
    most = _MOST[2]
    where = np.unique(np.linspace(0, len(masks) - 1, min(len(masks), most)).round().astype(int))
    for n, i in enumerate(where.tolist()):
        try:
            volume = read_volume(masks[i], root=root)
        except ScanwrightError as error:
            first = first or error
            continue
        if volume.grid.shape[2] > 1 and n >= _MOST[3] and i % max(1, len(where) // _MOST[3]):
            continue
        _add(volume, masks[i], seen)
    if not seen.values and not seen.n_colour and not seen.fraction:
        raise first or CohortError("There are no masks.", "A segmentation needs them.", "Name their folder.")
    return seen


def _add(volume: Volume, name: str, seen: _Seen) -> None:
    array = volume.array
    if volume.n_channels >= 3 and any(not np.array_equal(array[0], array[c]) for c in (1, 2)):
        seen.n_colour += 1
        flat = array[:3].reshape(3, -1).T
        packed = flat.astype(np.int64) @ np.array([65536, 256, 1])
        for value, count in zip(*np.unique(packed, return_counts=True), strict=True):
            v = int(value)
            seen.colours[(v >> 16, v >> 8 & 255, v & 255)] += int(count)
        return
    plane = array[0]
    if plane.dtype.kind == "f":
        whole = np.rint(plane)
        if not np.array_equal(whole, plane):
            seen.fraction = seen.fraction or name
            return
        plane = whole.astype(np.int64)
    if plane.dtype.kind == "u" and plane.dtype.itemsize <= 2:
        every = np.bincount(plane.ravel())  # much faster than a sort
        values = np.flatnonzero(every)
        counts = every[values]
    else:
        values, counts = np.unique(plane, return_counts=True)
    seen.values.append(values.astype(np.int64))
    seen.shares.update({int(v): int(c) for v, c in zip(values, counts, strict=True)})
    if len(seen.arrays) < _MOST_COMPONENTS:
        seen.arrays.append(plane)


def _are_objects(seen: _Seen) -> bool:
    """Whether values number objects: 1 to n without gaps, another n in each mask, every value one piece."""
    some = [v[v > 0] for v in seen.values if (v > 0).any()]
    tops = [int(v[-1]) for v in some]
    if len(some) < 3 or float(np.median(tops)) < _LEAST_OBJECTS or max(tops) <= 2 * _LEAST_OBJECTS:
        return False
    running = sum(len(v) >= 0.9 * v[-1] for v in some) / len(some)
    commonest = Counter(tops).most_common(1)[0][1] / len(tops)
    if running < 0.8 or commonest > 0.6:
        return False
    pieces = objects = 0
    for array in seen.arrays:
        for value, box in enumerate(ndimage.find_objects(array.astype(np.int32)), start=1):
            if box is not None:
                pieces += int(ndimage.label(array[box] == value, np.ones((3,) * array.ndim))[1] == 1)
                objects += 1
    return objects > 0 and pieces >= 0.9 * objects


def _soft(seen: _Seen, name: str) -> Looked:
    """Many shades: a mask saved with loss when nearly all are black or white, else no mask."""
    total = sum(seen.shares.values())
    pure = sum(n for v, n in seen.shares.items() if v <= _NEAR or v >= _WHITE - _NEAR)
    if max(seen.shares) > _WHITE or pure < _PURE * total:
        raise _shades(name, f"{len(seen.shares)} different values")
    why = f"{1 - pure / total:.1%} of the pixels are shades between black and white, as JPEG leaves them"
    code = MaskCode((tuple(range(128, 256)),), background=tuple(range(1, 128)))
    return Looked(("structure 1",), code, (Guess("mask threshold", "128 and more are inside", why, "--structures"),))


def _labels(seen: _Seen, values: list[int]) -> Looked:
    groups: list[tuple[int, ...]] = [(v,) for v in values]
    if values == [1, _WHITE] and not any({1, _WHITE} <= set(v.tolist()) for v in seen.values):
        groups = [(1, _WHITE)]  # some masks were saved as 0 and 1, others as 0 and 255
    names = tuple(f"structure {n}" for n in range(1, len(groups) + 1))
    shown = ", ".join(f"{n} = {'/'.join(map(str, g))}" for n, g in zip(names, groups, strict=True))
    why = f"these values stand in {len(seen.values)} masks that were opened; no file names them"
    return Looked(names, MaskCode(tuple(groups)), (Guess("structures", shown, why, "--structures"),))


def _colours(seen: _Seen, name: str, asked: Asked | None) -> Looked:
    total = sum(seen.colours.values())
    kept = [c for c, n in seen.colours.items() if n >= _COLOUR_SHARE * total and max(c) > 48]
    apart: list[tuple[int, int, int]] = []
    for colour in sorted(kept, key=lambda c: -seen.colours[c]):
        if all(max(abs(a - b) for a, b in zip(colour, other, strict=True)) > 48 for other in apart):
            apart.append(colour)
    covered = sum(
        n
        for c, n in seen.colours.items()
        if any(max(abs(a - b) for a, b in zip(c, o, strict=True)) <= 48 for o in ((0, 0, 0), *apart))
    )
    if not apart or len(apart) > _MOST_COLOURS or covered < 0.995 * total:
        raise _shades(name, f"{len(seen.colours)} different colours")
    apart.sort(reverse=True)
    if asked is not None:
        values = asked.values({})
        names: tuple[str, ...] = asked.names
        unknown = next((v for group in values for v in group if not 1 <= v <= len(apart)), None)
        if unknown is not None:
            raise CohortError(
                f"--structures speaks of the value {unknown}, and the masks have {len(apart)} colours.",
                "Colours are numbered from 1: " + ", ".join(f"{n} = {c}" for n, c in enumerate(apart, start=1)) + ".",
                "Name these numbers.",
            )
        taken = {v for group in values for v in group}
        rest = tuple(n for n in range(1, len(apart) + 1) if n not in taken)
    else:
        names = tuple(f"structure {n}" for n in range(1, len(apart) + 1))
        values, rest = tuple((n,) for n in range(1, len(apart) + 1)), ()
    shown = ", ".join(f"{n} = {c}" for n, c in enumerate(apart, start=1))
    guess = Guess(
        "structures", f"colours {shown}", f"{seen.n_colour} masks are in these colours on black", "--structures"
    )
    return Looked(names, MaskCode(values, None, "colours", tuple(apart), sides_of(names), background=rest), (guess,))


def _say_sides(code: MaskCode, names: Sequence[str]) -> list[Guess]:
    if not code.sides:
        return []
    shown = ", ".join(f"{names[a]} and {names[b]}" for a, b in code.sides)
    return [Guess("left and right", shown, "their names say so; images are then not mirrored from side to side")]


def _shades(name: str, what: str) -> CohortError:
    return CohortError(
        f"{PurePosixPath(name).name} is no mask: the files there hold {what}.",
        "A mask holds one whole number, or one plain colour, for each structure.",
        "Save the masks as PNG or NIfTI with one value for each structure, or name another folder.",
    )
