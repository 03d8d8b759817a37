"""A table that names an image and its mask in each row."""

from __future__ import annotations

from scanwright.core import CohortError, Guess, MaskCode, Skipped
from scanwright.intake.layouts.finder import Finder
from scanwright.intake.layouts.mask_folders import settle_people
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes
from scanwright.intake.layouts.table_columns import Roles, folder_of, image_column, part_column, patient_column
from scanwright.intake.layouts.table_file import Sheet, read_sheet
from scanwright.intake.layouts.table_rows import rows_of_line
from scanwright.intake.masks.columns import MaskFinder, mask_columns, structure_in
from scanwright.intake.masks.look import look_at
from scanwright.intake.masks.names import names_in_files, sides_of
from scanwright.intake.masks.wish import asked_of
from scanwright.intake.place import TABLE_SUFFIXES, Place, suffix_of


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """A table has a column that names images and one that names masks, and no classes were asked for."""
    if wishes.task not in (None, "segment", "detect") or (wishes.columns and wishes.task is None):
        return None
    found = _find(place, wishes)
    return Fit(f"{found[0].file} names masks in its column {found[1][0]!r}") if found else None


def read(place: Place, wishes: Wishes) -> Reading:
    """One case a row that names a mask; every other column is carried along."""
    wide = Place.of(place.root) if place.is_file else place
    found = _find(place, wishes)
    if found is None:
        raise CohortError(
            f"No table in {place.path} names images and masks.",
            "A column such as mask holds the path of each image's mask.",
            "Name the table with --labels TABLE.csv, or correct the paths.",
        )
    sheet, columns, (image, how, share) = found
    finder = Finder(wide, folder_of(sheet.file))
    reading = Reading(wide.root, [], "masks")
    patient = patient_column(sheet, wishes, image, reading.guesses)
    roles = Roles(image, how, share, tuple(columns), patient, part_column(sheet), ())
    reading.guesses += [
        Guess("image column", image, f"its cells name images ({share:.0%} of them found)"),
        Guess("mask column", ", ".join(columns), "its cells name masks"),
    ]
    masks = MaskFinder(wide, folder_of(sheet.file))
    for i in range(len(sheet)):
        _add(sheet, roles, finder, masks, i, reading)
    if not reading.rows:
        raise CohortError(
            f"No row of {sheet.file} names an image and a mask that are there.",
            "Both paths must lead to files.",
            "Correct the paths, or put the table beside the files.",
        )
    _truth(columns, reading, wide, wishes)
    settle_people(reading, wide, table=True)
    return reading


def _find(place: Place, wishes: Wishes) -> tuple[Sheet, list[str], tuple[str, str, float]] | None:
    wide = Place.of(place.root) if place.is_file and suffix_of(place.path.name) in TABLE_SUFFIXES else place
    for sheet in _sheets(place, wishes):
        columns = mask_columns(sheet, wide)
        if not columns:
            continue
        rest = Sheet(sheet.file, {c: v for c, v in sheet.columns.items() if c not in columns})
        if rest.columns:
            image = image_column(rest, Finder(wide, folder_of(sheet.file)))
            if image[2] >= 0.5:
                return sheet, columns, image
    return None


def _sheets(place: Place, wishes: Wishes) -> list[Sheet]:
    if wishes.table is not None:
        return [read_sheet(wishes.table, wishes.table.name)]
    if place.is_file:
        named = suffix_of(place.path.name) in TABLE_SUFFIXES
        return [read_sheet(place.path, place.path.name)] if named else []
    found = []
    for file in place.tables if place.images else ():
        try:
            found.append(read_sheet(place.root / file, file))
        except (ValueError, OSError):
            continue
    return found


def _add(sheet: Sheet, roles: Roles, finder: Finder, masks: MaskFinder, i: int, reading: Reading) -> None:
    cells = [sheet.columns[c][i] for c in roles.labels]
    paths = tuple(masks.mask(cell) or "" for cell in cells)
    lost = next((cell for cell, path in zip(cells, paths, strict=True) if cell and not path), None)
    found = rows_of_line(sheet, roles, finder, i, "")
    name = sheet.columns[roles.image][i]
    if lost is not None:
        reading.skipped.append(Skipped(lost, "the table names this mask and it is not there"))
    elif not any(paths):
        reading.skipped += [Skipped(r.source, f"there is no mask for it in {sheet.file}") for r in found]
    elif not found:
        reading.skipped += [Skipped(p, "there is no image for this mask") for p in paths if p]
    for row in found if lost is None and any(paths) else ():
        reading.rows.append(Row(row.source, None, row.id, row.patient, row.part, row.covariates, paths))
    if not found and not any(paths):
        reading.skipped.append(Skipped(name or f"{sheet.file}: empty cell", "the table names it and it is not there"))


def _truth(columns: list[str], reading: Reading, place: Place, wishes: Wishes) -> None:
    if len(columns) > 1:
        names = tuple(structure_in(c) or c for c in columns)
        values = tuple((n,) for n in range(1, len(names) + 1))
        reading.structures, reading.mask_code = names, MaskCode(values, kind="files", sides=sides_of(names))
        reading.guesses.append(Guess("structures", ", ".join(names), "each has a column of masks"))
        return
    masks = [m for r in reading.rows for m in r.masks]
    looked = look_at(masks, place.root, naming=names_in_files(place), asked=asked_of(wishes.structures))
    reading.structures, reading.mask_code = looked.structures, looked.code
    reading.guesses += looked.guesses


LAYOUT = Layout("a table of images and masks", fits, read)
