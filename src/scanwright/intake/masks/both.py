"""Where there are classes and masks: which of them is learnt unless a person says so."""

from __future__ import annotations

from scanwright.core import Guess, InputError
from scanwright.intake.layouts.reading import Wishes
from scanwright.intake.layouts.table_columns import label_columns, looks_like_paths, part_column
from scanwright.intake.layouts.table_file import Sheet, read_sheet
from scanwright.intake.masks.columns import mask_columns
from scanwright.intake.masks.pairing import pairs_of
from scanwright.intake.masks.references import objects_of
from scanwright.intake.place import Place
from scanwright.intake.words import PATIENT_COLUMNS, plain

_WEAK = frozenset(("group", "kind", "type", "status", "result", "score", "level", "y", "category"))
"""Columns that may be classes, and more often describe the picture."""
_NEARLY_ALL = 0.9
_TOO_MANY = 50_000


def masks_rather(place: Place, sheet: Sheet) -> bool:
    """Whether masks are the truth rather than a column that only may be classes.

    Args:
        place: Where the table lies.
        sheet: The table, with a column that could be the label.

    Returns:
        True when nearly every image has a mask and the column's name is no sure one, such as ``group``.
    """
    try:
        chosen = label_columns(sheet, Wishes(), {sheet.find(PATIENT_COLUMNS)}, [])
    except InputError:
        return False
    if len(chosen) == 1 and plain(chosen[0]) not in _WEAK:
        return False
    images, masks = n_masks(place)
    return masks > 0 and masks >= _NEARLY_ALL * (images + masks)


def masks_below(place: Place, folders: set[str]) -> bool:
    """Whether nearly every image has a mask, and images and masks lie side by side in each of these folders.

    Args:
        place: Where to look.
        folders: Folders that could be classes; ``part1/images`` and ``part1/labels`` say that ``part1`` is none.

    Returns:
        True when the folders are no classes.
    """
    if len(place.images) > _TOO_MANY:
        return False
    pairs = pairs_of(place)
    if len(pairs.found) < _NEARLY_ALL * (len(pairs.found) + len(pairs.alone)) or not pairs.found:
        return False
    above_masks = {f for _, masks in pairs.found for m in masks for f in m.source.split("/")[:-1]}
    above_images = {f for picture, _ in pairs.found for f in picture.source.split("/")[:-1]}
    if folders and folders <= above_masks - above_images:  # the masks' own folder
        return True
    split = 0
    for picture, masks in pairs.found:
        image, mask = picture.source.split("/"), masks[0].source.split("/")
        shared = next((n for n, (a, b) in enumerate(zip(image, mask, strict=False)) if a != b), 0)
        split += bool(folders & set(image[:shared]))
    return split >= _NEARLY_ALL * len(pairs.found)


def n_masks(place: Place) -> tuple[int, int]:
    """Images without and with masks, by their names alone."""
    if place.is_file or len(place.images) > _TOO_MANY:
        return 0, 0
    pairs = pairs_of(place)
    return len(pairs.alone), len(pairs.found)


def also_there(place: Place, wishes: Wishes, *, masked: bool) -> list[Guess]:
    """Say what is not learnt: masks beside classes, or classes beside masks.

    Args:
        place: Where to look.
        wishes: Label columns that were asked for.
        masked: Whether the masks are learnt.

    Returns:
        One guess, or none.
    """
    if masked:
        return _classes(place, wishes)
    n = max(n_masks(place)[1], _in_tables(place), 0 if place.is_file else len(objects_of(place)))
    if not n:
        return []
    return [Guess("masks", f"there are {n} masks", "classes are learnt; --task segment learns the masks", "--task")]


def _in_tables(place: Place) -> int:
    most = 0
    for file in place.tables if not place.is_file else ():
        try:
            sheet = read_sheet(place.root / file, file)
        except (ValueError, OSError):
            continue
        most = max([most, *(sum(map(bool, sheet.columns[c])) for c in mask_columns(sheet, place))])
    return most


def _classes(place: Place, wishes: Wishes) -> list[Guess]:
    for file in place.tables if not place.is_file else ():
        try:
            sheet = read_sheet(place.root / file, file)
            named = {c for c, v in sheet.columns.items() if looks_like_paths(v)}
            chosen = label_columns(sheet, Wishes(), {sheet.find(PATIENT_COLUMNS), part_column(sheet), *named}, [])
        except (ValueError, OSError, InputError):
            continue
        if len(chosen) == 1:
            why = f"the masks are learnt; --labels {chosen[0]} learns this column instead"
            return [Guess("classes", f"the column {chosen[0]!r} of {file}", why, "--labels")]
    return []
