"""A table beside masks: it names parts, patients and covariates of cases whose truth is a mask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from scanwright.core import Guess, Skipped
from scanwright.intake.layouts.reading import Reading, Row, Wishes
from scanwright.intake.layouts.series import patient_key
from scanwright.intake.layouts.table_columns import column_named, looks_like_paths, part_column, value
from scanwright.intake.layouts.table_file import Sheet, read_sheet
from scanwright.intake.layouts.table_rows import identifying
from scanwright.intake.place import Place, stem_of
from scanwright.intake.words import PATIENT_COLUMNS, part_of

_ENOUGH = 0.5


def join_table(reading: Reading, place: Place, wishes: Wishes) -> bool:
    """Add what a table says of the cases.

    Args:
        reading: Rows with sources; parts, patients and covariates are filled in place.
        place: Its tables are tried, nearest first.
        wishes: May name a table and a patient column.

    Returns:
        Whether a table names at least half of the cases.

    Raises:
        InputError: The patient column that was asked for is in no table.
    """
    names = _names(reading)
    joined = False
    for sheet in _sheets(place, wishes):
        column, where = _key_column(sheet, names)
        if column is None or len(where) < _ENOUGH * len(reading.rows) / max(1, _similar(place, sheet)):
            continue
        _fill(reading, sheet, column, where, wishes, first=not joined)
        joined = True
    return joined


def _similar(place: Place, sheet: Sheet) -> int:
    """Tables of one name in several folders each speak of a share of the cases."""
    name = sheet.file.rsplit("/", 1)[-1]
    return sum(t.rsplit("/", 1)[-1] == name for t in place.tables)


def _sheets(place: Place, wishes: Wishes) -> list[Sheet]:
    if wishes.table is not None:
        return [read_sheet(wishes.table, wishes.table.name)]
    found = []
    for file in place.tables:
        try:
            found.append(read_sheet(place.root / file, file))
        except (ValueError, OSError):
            continue
    return found


def _names(reading: Reading) -> dict[str, list[int]]:
    """Everything that a cell may call a case."""
    found: dict[str, list[int]] = {}
    for i, row in enumerate(reading.rows):
        path = re.sub(r"::[0-9.]+$", "", row.source.split(" | ")[0])
        for name in {path, path.rsplit("/", 1)[-1], stem_of(path), row.id, *(stem_of(m) for m in row.masks)} - {""}:
            found.setdefault(name.casefold(), []).append(i)
    return found


def _key_column(sheet: Sheet, names: Mapping[str, list[int]]) -> tuple[str | None, dict[int, int]]:
    """The column whose cells name most cases, and the line of each case."""
    best: tuple[str | None, dict[int, int]] = (None, {})
    for column, cells in sheet.columns.items():
        where: dict[int, int] = {}
        for line, cell in enumerate(cells):
            text = cell.replace("\\", "/").removeprefix("./").casefold()
            hits = names.get(text) or names.get(text.rsplit("/", 1)[-1]) or []
            for i in hits if text else ():
                where.setdefault(i, line)
        if len(where) > len(best[1]) and len(set(cells)) > len(cells) / 2:
            best = (column, where)
    return best


def _fill(reading: Reading, sheet: Sheet, column: str, where: dict[int, int], wishes: Wishes, *, first: bool) -> None:
    part = part_column(sheet)
    patient = _patient(sheet, wishes, column)
    used = {column, part, patient, *identifying(sheet), *(c for c, v in sheet.columns.items() if looks_like_paths(v))}
    rows = list(reading.rows)
    for i, line in where.items():
        rows[i] = _joined(rows[i], sheet, line, part, patient, used)
    reading.rows = rows
    if part and "part" not in reading.facts:
        reading.guesses.append(Guess("part column", part, f"of {sheet.file}: its cells are train, val and test"))
    if patient:
        n = len({sheet.columns[patient][k] for k in where.values()} - {""})
        why = f"of its name in {sheet.file}; it holds {n} different patients"
        reading.guesses.append(Guess("patient column", patient, why, "--patient"))
    if first:
        why = f"its column {column!r} names {len(where)} of {len(rows)} cases"
        reading.guesses.append(Guess("table", sheet.file, why))
    unnamed = [c for k, c in enumerate(sheet.columns[column]) if c and k not in set(where.values())]
    if unnamed and len(unnamed) < len(sheet) / 2 and not where.keys() - set(range(len(rows))):
        reading.skipped += [Skipped(c, f"{sheet.file} names it and it has no image with a mask") for c in unnamed]


def _joined(row: Row, sheet: Sheet, line: int, part: str | None, patient: str | None, used: set[str | None]) -> Row:
    own = sheet.columns[patient][line] if patient else ""
    if own and row.patient and row.patient.startswith("patient-"):
        own = patient_key(own) or ""  # a hospital's PatientID: grouped by, never shown
    given = part_of(sheet.columns[part][line]) if part else None
    extra = {c: value(v[line]) for c, v in sheet.columns.items() if c not in used}
    return replace(row, patient=own or row.patient, part=given or row.part, covariates={**row.covariates, **extra})


def _patient(sheet: Sheet, wishes: Wishes, key: str) -> str | None:
    if wishes.patient:
        return column_named(sheet, wishes.patient, "--patient")
    found = sheet.find(PATIENT_COLUMNS)
    return found if found and found != key and any(sheet.columns[found]) else None
