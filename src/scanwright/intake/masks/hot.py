"""What the channels of one-hot masks mean: structures, their background, regions that overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scanwright.core import CohortError, Guess, MaskCode
from scanwright.intake.masks.look import Looked
from scanwright.intake.masks.names import Naming, sides_of
from scanwright.intake.masks.wish import Asked
from scanwright.io import open_array
from scanwright.io.hot_masks import MOST_OVERLAPPING, switched

_MOST_CODES = 200
_NUMBERED = "channels are numbered from 1"


def look_at_channels(
    arrays: Sequence[tuple[str, int]], root: Path, *, naming: Naming | None = None, asked: Asked | None = None
) -> Looked:
    """Open masks with a channel for each structure, and say what the channels are.

    Args:
        arrays: Locator of each array of masks, rows first, and the channel axis of a row (0 or -1).
        root: Folder that they start from.
        naming: Names of label values, where a file tells them.
        asked: Structures that the person named, by the numbers of channels.

    Returns:
        Structures and mask code.

    Raises:
        CohortError: The parts have different numbers of channels, all channels are empty, or they overlap in
            more ways than regions can express.
        FormatError: A mask holds other numbers than 0 and 1.
        InputError: A structure that was asked for is unknown.
    """
    held: Counter[tuple[int, ...]] = Counter()
    widths = set()
    for source, axis in arrays:
        array = open_array(source, root=root)
        widths.add(array.shape[axis if axis < 0 else axis + 1])
        for n in range(len(array)):
            on = switched(np.asarray(array[n]), axis, f"{Path(source).name}[{n}]")
            packed = np.packbits(on.reshape(len(on), -1), axis=0, bitorder="little").T
            whole = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1])))[:, 0]
            kinds, counts = np.unique(whole, return_counts=True)
            bits = np.unpackbits(kinds.view(np.uint8).reshape(len(kinds), -1), axis=1, bitorder="little")
            for row, count in zip(bits, counts.tolist(), strict=True):
                held[tuple(np.flatnonzero(row).tolist())] += count
    if len(widths) > 1 or not any(held):
        raise CohortError(
            f"The masks have {' and '.join(map(str, sorted(widths)))} channels in different parts."
            if len(widths) > 1
            else f"No channel of {arrays[0][0]} is on anywhere.",
            "Masks with a channel for each structure have the same channels in every part, and hold structures.",
            "Save the masks again.",
        )
    n_channels = widths.pop()
    overlapping = max(map(len, held)) > 1
    numbers = [1 + c for c in range(n_channels)]
    background = () if overlapping else _background(held, n_channels)
    if overlapping and (n_channels > MOST_OVERLAPPING or len(held) > _MOST_CODES):
        raise CohortError(
            f"The masks have {n_channels} channels that overlap in {len(held)} ways.",
            f"Up to {MOST_OVERLAPPING} channels may overlap, in up to {_MOST_CODES} ways.",
            "Join channels, or save the masks as one label value a pixel.",
        )
    names, groups = _structures([n for n in numbers if n not in background], naming, asked)
    chosen = {c for group in groups for c in group}
    rest = tuple(n for n in numbers if n not in chosen)
    values, others = _patterns(held, groups) if overlapping else (groups, rest)
    code = MaskCode(values, kind="multihot" if overlapping else "onehot", sides=sides_of(names), background=others)
    return Looked(names, code, _guesses(names, groups, background, rest, overlapping))


def _background(held: Counter[tuple[int, ...]], n_channels: int) -> tuple[int, ...]:
    """The first channel, where every voxel has a channel and most have this one."""
    full = () not in held and n_channels > 1
    return (1,) if full and held[(0,)] == max(held.values()) else ()


def _structures(
    numbers: Sequence[int], naming: Naming | None, asked: Asked | None
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    if asked is not None and not asked.instances:
        groups = asked.values({})
        unknown = next((n for group in groups for n in group if n not in numbers), None)
        if unknown is not None:
            raise CohortError(
                f"--structures speaks of the channel {unknown}, and the structures are the channels "
                f"{', '.join(map(str, numbers))}.",
                f"The masks are one-hot: {_NUMBERED}.",
                "Name these numbers.",
            )
        return asked.names, groups
    known = list((naming or Naming()).values)
    names = known if len(known) == len(numbers) else [f"structure {k}" for k in range(1, len(numbers) + 1)]
    return tuple(names), tuple((n,) for n in numbers)


def _patterns(
    held: Counter[tuple[int, ...]], groups: Sequence[Sequence[int]]
) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Sums of 1, 2, 4 ... that each structure has, and those that none has."""
    sums = {sum(1 << c for c in on): {c + 1 for c in on} for on in held if on}
    values = tuple(tuple(sorted(v for v, on in sums.items() if on & set(group))) for group in groups)
    taken = {v for group in values for v in group}
    return values, tuple(sorted(set(sums) - taken))


def _guesses(
    names: Sequence[str],
    groups: Sequence[Sequence[int]],
    background: Sequence[int],
    rest: Sequence[int],
    overlapping: bool,
) -> tuple[Guess, ...]:
    shown = ", ".join(f"{n} = channel {'+'.join(map(str, g))}" for n, g in zip(names, groups, strict=True))
    guesses = [Guess("structures", shown, f"the masks are one-hot; {_NUMBERED}", "--structures")]
    if overlapping:
        guesses.append(Guess("regions", ", ".join(names), "channels overlap; each structure is answered on its own"))
    if background:
        why = "every pixel has one channel, and most have this one"
        guesses.append(Guess("background", "channel 1", why, "--structures"))
    left = [n for n in rest if n not in background]
    if left:
        why = "--structures does not name them"
        guesses.append(Guess("background", f"channels {', '.join(map(str, left))}", why, "--structures"))
    return tuple(guesses)
