"""Columns of a table that name masks."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import PurePosixPath

from scanwright.intake.layouts.table_columns import folder_of, looks_like_paths
from scanwright.intake.layouts.table_file import Sheet
from scanwright.intake.place import Place
from scanwright.intake.words import plain

_WORDS = frozenset(
    [
        "mask",
        "masks",
        "seg",
        "segmentation",
        "segmentations",
        "annotation",
        "gt",
        "groundtruth",
        "truth",
        "contour",
        "contours",
        "rtstruct",
        "label",
        "labels",
    ]
)
_REST = frozenset(["path", "paths", "file", "files", "filename", "name", "image", "img", "url"])


class MaskFinder:
    """Looks up the masks that cells name.

    Args:
        place: Where they lie.
        folder: Folder of the table; paths may start from there.
    """

    def __init__(self, place: Place, folder: str) -> None:
        self.place, self.folder = place, folder
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for file in place.images:
            self._by_name[PurePosixPath(file).name.casefold()].append(file)

    def mask(self, cell: str) -> str | None:
        """The one file that a cell names, or None."""
        text = re.sub(r"/+", "/", cell.strip().replace("\\", "/")).removeprefix("./")
        if not text:
            return None
        for candidate in (f"{self.folder}/{text}" if self.folder else text, text):
            if self.place.has(candidate):
                return candidate
        found = self._by_name.get(PurePosixPath(text).name.casefold(), [])
        ending = [f for f in found if f.casefold().endswith("/" + text.casefold())]
        return ending[0] if len(ending) == 1 else found[0] if len(found) == 1 else None


def mask_columns(sheet: Sheet, place: Place) -> list[str]:
    """Columns that are called as masks are and whose cells lead to files.

    Args:
        sheet: The table.
        place: Where the files lie.

    Returns:
        The columns, in order.
    """
    finder = MaskFinder(place, folder_of(sheet.file))
    found = []
    for column, cells in sheet.columns.items():
        filled = [c for c in cells if c]
        named = set(plain(column).split("_")) & _WORDS
        if (
            named
            and filled
            and looks_like_paths(filled)
            and sum(bool(finder.mask(c)) for c in filled) >= 0.5 * len(filled)
        ):
            found.append(column)
    return found


def structure_in(column: str) -> str:
    """What a column's name says besides that it names masks.

    Example:
        >>> structure_in("liver_mask_path"), structure_in("mask")
        ('liver', '')
    """
    return " ".join(w for w in plain(column).split("_") if w not in _WORDS | _REST)
