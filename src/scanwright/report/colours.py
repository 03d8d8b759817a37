"""Colours of structures: fixed by index, apart from each other for every eye, visible on grey and on black."""

from __future__ import annotations

from collections.abc import Sequence

_COLOURS = (
    "56B4E9", "E69F00", "009E73", "F0E442", "CC79A7", "D55E00", "0072B2", "87FFF0", "A569FF", "A5D2A5",
    "A53C78", "8700F0", "C3F0A5", "96B487", "69D2FF", "C30F2D", "E1C35A", "C32DC3", "8796FF", "D296C3",
)  # fmt: skip
NUMBERED = 6
"""Above this many structures colours alone are hard to tell apart: pictures carry numbers as well."""


def structure_colours(n: int) -> list[tuple[int, int, int]]:
    """Colours of the first ``n`` structures.

    A structure keeps its colour however many there are. The first seven are those of Okabe and
    Ito; each later one was put as far as possible (in OKLab) from all before it, as seen by normal
    eyes and by people with protanopia, deuteranopia and tritanopia. After twenty they repeat.

    Args:
        n: How many.

    Returns:
        Red, green and blue, 0 .. 255, of each.

    Source:
        Okabe and Ito, Color Universal Design, 2008; Machado et al., IEEE TVCG 15(6), 2009.

    Example:
        >>> structure_colours(2)
        [(86, 180, 233), (230, 159, 0)]
    """
    texts = [_COLOURS[k % len(_COLOURS)] for k in range(n)]
    return [(int(t[:2], 16), int(t[2:4], 16), int(t[4:], 16)) for t in texts]


def structure_legend(names: Sequence[str]) -> list[dict[str, str]]:
    """Number, name and colour of each structure, for a legend of the page.

    Args:
        names: Structures, in order.

    Returns:
        ``number`` (1, 2, 3 ..., empty where pictures carry none), ``name`` and ``colour`` (``#rrggbb``).
    """
    numbered = len(names) > NUMBERED
    return [
        {"number": str(k + 1) if numbered else "", "name": str(name), "colour": f"#{_COLOURS[k % len(_COLOURS)]}"}
        for k, name in enumerate(names)
    ]
