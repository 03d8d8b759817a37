"""A table beside images: one column names the picture, one the label, others the patient, the part and more."""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath

from scanwright.core import CohortError, Guess, InputError, Said, Skipped
from scanwright.intake.layouts.class_folders import from_names
from scanwright.intake.layouts.finder import Finder
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes
from scanwright.intake.layouts.table_columns import (
    Roles,
    exact,
    find_roles,
    folder_of,
    has_label,
    image_column,
    is_part,
)
from scanwright.intake.layouts.table_file import Sheet, read_sheet
from scanwright.intake.layouts.table_rows import blank_means, from_headers, letters, one_each, rows_of_line
from scanwright.intake.masks.both import masks_rather
from scanwright.intake.place import TABLE_SUFFIXES, Place, suffix_of
from scanwright.intake.words import PART_COLUMNS, part_of, plain, tokens


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """A table was named, or lies beside images and has a column of labels and one that names images."""
    if wishes.task in ("segment", "detect"):
        return None
    if wishes.table is not None:
        return Fit(f"the table {wishes.table.name} was named")
    if place.is_file:
        return Fit(f"{place.path.name} is a table") if suffix_of(place.path.name) in TABLE_SUFFIXES else None
    if not place.images:
        return None
    finder = Finder(place)
    for file in place.tables:
        try:
            sheet = read_sheet(place.root / file, file)
        except (ValueError, OSError):
            continue
        finder.folder = folder_of(file)
        if any(exact(sheet, c) for c in wishes.columns) or (not wishes.columns and has_label(sheet)):
            column, _, found = image_column(sheet, finder)
            if found >= 0.5:
                if wishes.task is None and not wishes.columns and masks_rather(place, sheet):
                    return None
                return Fit(f"{file} names the images in its column {column!r}")
    return None


def read(place: Place, wishes: Wishes) -> Reading:
    """Join the rows with the images."""
    wide = Place.of(place.root) if place.is_file else place
    finder = Finder(wide)
    sheet, joined = _sheet(wide, place, wishes, finder)
    roles = find_roles(sheet, finder, wishes)
    reading = Reading(wide.root, [], roles.labels[0] if len(roles.labels) == 1 else "labels")
    reading.label_names = roles.labels if len(roles.labels) > 1 else ()
    reading.guesses += [*joined, *roles.guesses]
    blank = blank_means(sheet, roles, reading)
    groups: dict[str, list[tuple[Row, int]]] = defaultdict(list)
    missing: list[str] = []
    for i in range(len(sheet)):
        rows = rows_of_line(sheet, roles, finder, i, blank)
        if not rows:
            missing.append(sheet.columns[roles.image][i])
        for row in rows:
            groups[row.source].append((row, i))
    if not groups:
        raise _none_found(sheet, roles, missing, wide)
    if missing:
        first = missing[0] or "(an empty cell)"
        text = f"{len(missing)} of {len(sheet)} rows of {sheet.file} name images that are not there; the first is {first!r}."
        wishes.emit(Said(stage="scan", text=text, level="warn"))
        reading.skipped += [
            Skipped(m or f"{sheet.file}: empty cell", "the table names it and it is not there") for m in missing
        ]
        reading.facts["rows without an image"] = str(len(missing))
    reading.rows = one_each(groups, reading)
    letters(reading)
    _unlisted(finder, reading, sheet)
    if finder.place.dicom:
        from_headers(finder, reading)
    elif not any(r.patient for r in reading.rows):
        from_names(reading)
    return reading


def _sheet(wide: Place, place: Place, wishes: Wishes, finder: Finder) -> tuple[Sheet, list[Guess]]:
    """The table to read; tables with the same columns (train.csv, test.csv) are joined."""
    if wishes.table is not None:
        finder.folder = ""
        return read_sheet(wishes.table, wishes.table.name), []
    if place.is_file:
        return read_sheet(place.path, place.path.name), []
    sheets = []
    for file in place.tables:
        try:
            sheet = read_sheet(place.root / file, file)
        except (ValueError, OSError):
            continue
        finder.folder = folder_of(file)
        labelled = any(exact(sheet, c) for c in wishes.columns) if wishes.columns else has_label(sheet)
        if labelled and image_column(sheet, finder)[2] > 0:
            sheets.append(sheet)
    if not sheets:
        raise InputError(
            f"No table in {place.path} names images and labels.",
            "A table needs a column that names each image and a column of labels.",
            "Name the table itself, and its label column with --labels.",
        )
    alike = [s for s in sheets if list(s.columns) == list(sheets[0].columns)]
    finder.folder = folder_of(alike[0].file)
    if len(alike) == 1:
        others = [f for f in place.tables if f != sheets[0].file]
        why = "it names images and labels" + (f"; set aside: {', '.join(others)}" if others else "")
        return sheets[0], [Guess("table", sheets[0].file, why)] if others else []
    return _join(alike, finder)


def _join(sheets: list[Sheet], finder: Finder) -> tuple[Sheet, list[Guess]]:
    columns: dict[str, list[str]] = {c: [] for c in sheets[0].columns}
    parts: list[str] = []
    for sheet in sheets:
        folder = folder_of(sheet.file)
        where = [p for t in tokens(sheet.file) if (p := part_of(t))]
        parts += [where[-1] if where else ""] * len(sheet)
        finder.folder = folder
        image = image_column(sheet, finder)[0]
        for column, cells in sheet.columns.items():
            columns[column] += [finder.image(c) or c for c in cells] if column == image else cells
    finder.folder = ""
    if all(parts) and not any(is_part(v) and plain(c) in PART_COLUMNS for c, v in columns.items()):
        columns["part"] = parts
    names = ", ".join(s.file for s in sheets)
    return Sheet(names, columns), [Guess("table", names, "the tables have the same columns, so they are joined")]


def _unlisted(finder: Finder, reading: Reading, sheet: Sheet) -> None:
    used = {r.source for r in reading.rows}
    if any("::" in u for u in used) or finder.place.dicom:
        return
    parts = {PurePosixPath(u).parent.as_posix() for u in used}
    extra = [m for m in finder.place.images if m not in used and PurePosixPath(m).parent.as_posix() in parts]
    reading.skipped += [Skipped(m, f"no row of {sheet.file} names it") for m in extra]


def _none_found(sheet: Sheet, roles: Roles, missing: list[str], place: Place) -> CohortError | InputError:
    first = next((m for m in missing if m), "(empty)")
    fact = f"None of the {len(sheet)} images that {sheet.file} names in its column {roles.image!r} was found; the first is {first!r}."
    rule = f"The names must lead to images in {place.root} ({len(place.images)} are there)."
    return InputError(
        fact, rule, "Put the table beside the images, or name the image folder, and the table with --labels."
    )


LAYOUT = Layout("a table beside images", fits, read)
