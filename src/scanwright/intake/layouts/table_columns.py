"""What the columns of a table are for: which names the images, which are labels, patient, part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from scanwright.core import Guess, InputError
from scanwright.intake.labels import tidy
from scanwright.intake.layouts.finder import UID_COLUMNS, Finder
from scanwright.intake.layouts.reading import Wishes
from scanwright.intake.layouts.table_file import Sheet
from scanwright.intake.place import nearest, suffix_of
from scanwright.intake.words import (
    DEMOGRAPHIC_COLUMNS,
    LABEL_COLUMNS,
    PART_COLUMNS,
    PATH_COLUMNS,
    PATIENT_COLUMNS,
    part_of,
    plain,
    tokens,
)

_SAMPLE = 300


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are for.

    Args:
        image: Column that names the picture.
        how: ``"path"``, ``"folder"``, or a level of DICOM identifiers.
        found: Share of the sampled rows whose picture was found, 0 .. 1.
        labels: Label columns.
        patient: Patient column, or None.
        part: Part column, or None.
        guesses: How they were chosen.
    """

    image: str
    how: str
    found: float
    labels: tuple[str, ...]
    patient: str | None
    part: str | None
    guesses: tuple[Guess, ...]


_COARSER = {"folder": 0.01, "study": 0.02, "patient": 0.03}
"""What a way to name pictures loses against a finer one that finds as many."""


def image_column(sheet: Sheet, finder: Finder) -> tuple[str, str, float]:
    """The column whose cells name the pictures.

    Args:
        sheet: The table.
        finder: The pictures.

    Returns:
        Column (empty when none is likely), how it names them, and the share of rows found.
    """
    best: tuple[float, int, str, str] = (0.0, 0, "", "path")
    sample = range(0, len(sheet), max(1, len(sheet) // _SAMPLE))
    for column, cells in sheet.columns.items():
        hint = hint_of(column, PATH_COLUMNS)
        ways: list[tuple[str, Callable[[str], object]]] = [("path", finder.image), ("folder", finder.folder_images)]
        if finder.place.dicom:
            level = next((k for k, names in UID_COLUMNS.items() if plain(column) in names), None)
            if level:
                ways.append((level, lambda cell, level=level: finder.dicom(level, cell)))  # type: ignore[misc]
        distinct = len({cells[i] for i in sample}) / len(sample)
        for how, look in ways:
            found = sum(bool(look(cells[i])) for i in sample) / len(sample)
            if how == "folder" and distinct < 0.02:
                continue  # a class column may carry the names of class folders
            worth = found * distinct if how == "path" else found - _COARSER.get(how, 0.0)
            rank = (round(worth, 2), hint)  # a label such as 0 may by chance be the stem of a file
            if found and rank > best[:2]:
                best = (*rank, column, how)
    if best[2]:
        column, how = best[2], best[3]
        look = (
            finder.image
            if how == "path"
            else finder.folder_images
            if how == "folder"
            else lambda c: finder.dicom(how, c)
        )
        return column, how, sum(bool(look(sheet.columns[column][i])) for i in sample) / len(sample)
    likely = max(sheet.columns, key=lambda c: (looks_like_paths(sheet.columns[c]), hint_of(c, PATH_COLUMNS)))
    return likely, "path", 0.0


def find_roles(sheet: Sheet, finder: Finder, wishes: Wishes) -> Roles:
    """Decide what each column is for.

    Args:
        sheet: The table.
        finder: The pictures.
        wishes: Columns that were asked for.

    Returns:
        The roles.

    Raises:
        InputError: A column that was asked for is not there (the nearest name is given), or no
            label column can be recognised.
    """
    image, how, found = image_column(sheet, finder)
    names = {"path": "path or name", "folder": "folder", **{k: f"DICOM {k}" for k in UID_COLUMNS}}
    guesses = [Guess("image column", image, f"its cells name images by {names[how]} ({found:.0%} of them found)")]
    part = part_column(sheet)
    if part:
        guesses.append(Guess("part column", part, "its cells are train, val and test"))
    patient = patient_column(sheet, wishes, image, guesses)
    labels = label_columns(sheet, wishes, {image, part, patient}, guesses)
    return Roles(image, how, found, labels, patient, part, tuple(guesses))


def label_columns(sheet: Sheet, wishes: Wishes, taken: set[str | None], guesses: list[Guess]) -> tuple[str, ...]:
    if wishes.columns:
        return tuple(column_named(sheet, c, "--labels") for c in wishes.columns)
    free = {c: v for c, v in sheet.columns.items() if c not in taken}
    named = [c for c in free if hint_of(c, LABEL_COLUMNS) and could_be_label(free[c])]
    if named:
        chosen = max(named, key=lambda c: hint_of(c, LABEL_COLUMNS))
        others = [c for c in named if c != chosen]
        why = "of its name" + (f" (others: {', '.join(others)})" if others else "")
        guesses.append(Guess("label column", chosen, why, "--labels"))
        return (chosen,)
    plain_ones = {c: v for c, v in free.items() if not (set(tokens(plain(c))) | {plain(c)}) & set(DEMOGRAPHIC_COLUMNS)}
    flags = [c for c, v in plain_ones.items() if {tidy(x) for x in v} - {""} <= {"0", "1", "-1"} and len(set(v)) > 1]
    if len(flags) > 1:
        guesses.append(Guess("label columns", ", ".join(flags), "they hold 1, 0 or nothing", "--labels"))
        return tuple(flags)
    few = [c for c, v in plain_ones.items() if 2 <= len(set(v) - {""}) <= min(20, max(2, len(v) // 2))]
    if len(few) == 1:
        guesses.append(Guess("label column", few[0], "no other column has a few values that recur", "--labels"))
        return (few[0],)
    raise InputError(
        f"No column of {sheet.file} is plainly the label: it has {', '.join(sheet.columns)}.",
        "Learning needs one column of classes or numbers.",
        f"Name it, such as --labels {(few or list(free) or ['label'])[0]!r}.",
    )


def part_column(sheet: Sheet) -> str | None:
    """The column whose cells are train, val and test, if there is one."""
    return next((c for c in sheet.columns if plain(c) in PART_COLUMNS and is_part(sheet.columns[c])), None)


def patient_column(sheet: Sheet, wishes: Wishes, image: str, guesses: list[Guess]) -> str | None:
    """The patient column that was asked for, or is named as one; said in a guess."""
    if wishes.patient:
        return column_named(sheet, wishes.patient, "--patient")
    for name in PATIENT_COLUMNS:
        column = sheet.find((name,))
        if column and column not in wishes.columns and any(sheet.columns[column]):
            n = len(set(sheet.columns[column]) - {""})
            guesses.append(
                Guess("patient column", column, f"of its name; it holds {n} different patients", "--patient")
            )
            return column
    return None


def hint_of(column: str, names: tuple[str, ...]) -> int:
    """How strongly a column's name speaks for a role: 0 not at all."""
    name = plain(column)
    if name in names:
        return 1000 - names.index(name)
    if name.replace("_", "") in names:
        return 900 - names.index(name.replace("_", ""))
    words = tokens(name)
    inside = [names.index(w) for w in words if w in names and w not in ("id", "name", "y", "type", "status", "set")]
    return 500 - min(inside) if inside else 0


def has_label(sheet: Sheet) -> bool:
    try:
        label_columns(sheet, Wishes(), {sheet.find(PATIENT_COLUMNS), *path_like(sheet)}, [])
    except InputError:
        return False
    return True


def path_like(sheet: Sheet) -> list[str]:
    return [c for c, v in sheet.columns.items() if looks_like_paths(v) or is_part(v)]


def looks_like_paths(cells: list[str]) -> bool:
    """Whether most cells read as paths of images."""
    some = [c for c in cells[:_SAMPLE] if c]
    return (
        bool(some)
        and sum("/" in c or suffix_of(c) in (".png", ".jpg", ".jpeg", ".dcm", ".nii.gz", ".tif", ".nii") for c in some)
        > len(some) / 2
    )


def could_be_label(cells: list[str]) -> bool:
    values = Counter(c for c in cells if c)
    if len(values) < 1 or looks_like_paths(cells):
        return False
    return len(values) <= 50 or len(values) < len(cells) / 3 or all(is_number(v) for v in values)


def is_part(cells: list[str]) -> bool:
    values = {c for c in cells if c}
    return bool(values) and len(values) <= 6 and all(part_of(v) for v in values)


def has_column(sheet: Sheet, name: str) -> bool:
    """Whether a table has a column of this name, whatever its case and spaces."""
    return exact(sheet, name) is not None


def exact(sheet: Sheet, name: str) -> str | None:
    if name in sheet.columns:
        return name
    return next((c for c in sheet.columns if plain(c) == plain(name)), None)


def column_named(sheet: Sheet, name: str, option: str) -> str:
    found = exact(sheet, name)
    if found:
        return found
    near = nearest(name, list(sheet.columns))
    raise InputError(
        f"The table {sheet.file} has no column {name!r}.",
        f"Its columns are {', '.join(sheet.columns)}.",
        f"Did you mean {option} {near!r}?" if near else f"Name one of them with {option}.",
    )


def value(cell: str) -> str | float | None:
    if not cell:
        return None
    return float(cell) if is_number(cell) else cell


def is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) < float("inf")
    except ValueError:
        return False


def folder_of(file: str) -> str:
    """Folder of a file below the root; empty for the root itself."""
    parent = PurePosixPath(file).parent.as_posix()
    return "" if parent == "." else parent
