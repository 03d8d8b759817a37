"""Rows of a table as cases: one a picture, with what its columns say of it."""

from __future__ import annotations

from dataclasses import replace

from scanwright.core import Guess
from scanwright.intake.labels import is_negative
from scanwright.intake.layouts.class_folders import say_modality
from scanwright.intake.layouts.finder import Finder
from scanwright.intake.layouts.reading import RawLabel, Reading, Row
from scanwright.intake.layouts.series import Series, patient_key
from scanwright.intake.layouts.table_columns import Roles, value
from scanwright.intake.layouts.table_file import Sheet
from scanwright.intake.words import NEGATIVE_WORDS, WORSENING, part_of, plain

_LETTERS = {"b": "benign", "m": "malignant", "n": "normal"}


def rows_of_line(sheet: Sheet, roles: Roles, finder: Finder, i: int, blank: str) -> list[Row]:
    cell = sheet.columns[roles.image][i]
    sources: list[tuple[str, str, str | None]]
    if roles.how == "path":
        image = finder.image(cell)
        sources = [(image, "", None)] if image else []
    elif roles.how == "folder":
        images = finder.folder_images(cell)
        inside = [s for s in finder.series if set(s.files) & set(images)] if set(images) & finder.place.dicom else []
        sources = [(s.locator, s.id, s.patient) for s in inside] or [(m, "", cell) for m in images]
    else:
        found: list[Series] = finder.dicom(roles.how, cell)
        sources = [(s.locator, s.id, s.patient) for s in found]
    cells = tuple(sheet.columns[c][i] for c in roles.labels)
    label: RawLabel = cells if len(cells) > 1 else ((cells[0] if cells else "") or blank or None)
    part = part_of(sheet.columns[roles.part][i]) if roles.part else None
    own = sheet.columns[roles.patient][i] if roles.patient else ""
    if own and any(person for _, _, person in sources):
        own = patient_key(own) or ""  # a hospital's PatientID: grouped by, never shown
    used = {roles.image, *roles.labels, roles.part, roles.patient, *identifying(sheet)}
    extra = {c: value(v[i]) for c, v in sheet.columns.items() if c not in used}
    return [Row(s, label, name, own or person, part, extra) for s, name, person in sources]


def one_each(groups: dict[str, list[tuple[Row, int]]], reading: Reading) -> list[Row]:
    """One row a picture: the worst severity wins; without a known severity a contradiction is left unlabelled."""
    rows, worst, unclear, repeated = [], 0, 0, 0
    for found in groups.values():
        first = found[0][0]
        labels = list(dict.fromkeys(r.label for r, _ in found if r.label))
        repeated += len(found) > 1
        if len(labels) <= 1:
            keep = next((r for r, _ in found if r.label), first)
        else:
            ranks = [WORSENING.get(str(x).casefold()) for x in labels]
            if None in ranks:
                keep, unclear = replace(first, label=None), unclear + 1
            else:
                top = labels[ranks.index(max(r for r in ranks if r is not None))]
                keep, worst = next(r for r, _ in found if r.label == top), worst + 1
        rows.append(keep)
    if repeated:
        total = sum(len(f) for f in groups.values())
        text = f"{total} rows speak of {len(rows)} images"
        why = "rows of one image are one case"
        if worst:
            why += f"; where they differ ({worst} images) the worst finding counts"
        if unclear:
            why += f"; {unclear} images with contradicting labels are left unlabelled"
        reading.guesses.append(Guess("rows of one image", text, why))
    return rows


def blank_means(sheet: Sheet, roles: Roles, reading: Reading) -> str:
    """What an empty label means: ``normal``, when another column says so in exactly these rows; else nothing."""
    if len(roles.labels) != 1:
        return ""
    cells = sheet.columns[roles.labels[0]]
    blanks = [i for i, c in enumerate(cells) if not c]
    if len(blanks) < max(3, len(cells) // 20):
        return ""
    for column, values in sheet.columns.items():
        here = {values[i].casefold() for i in blanks}
        words = {w for w in here if w in NEGATIVE_WORDS | {"norm"} or is_negative(w)}
        if len(here) == 1 and words and here.isdisjoint(v.casefold() for i, v in enumerate(values) if cells[i]):
            value = values[blanks[0]]
            why = f"the column {column!r} says {value!r} in exactly the {len(blanks)} rows where {roles.labels[0]!r} is empty"
            reading.guesses.append(Guess("empty label", "normal", why))
            return "normal"
    return ""


def letters(reading: Reading) -> None:
    """``B`` and ``M`` become ``benign`` and ``malignant``."""
    distinct = {r.label.casefold() for r in reading.rows if isinstance(r.label, str)}
    if not {"b", "m"} <= distinct or not distinct <= {"b", "m", "n", "normal", "benign", "malignant"}:
        return
    spelled = {
        r.label: _LETTERS[r.label.casefold()]
        for r in reading.rows
        if isinstance(r.label, str) and r.label.casefold() in _LETTERS
    }
    reading.rows = [
        replace(r, label=spelled.get(r.label, r.label)) if isinstance(r.label, str) else r for r in reading.rows
    ]
    text = ", ".join(f"{k} = {v}" for k, v in sorted(spelled.items()))
    reading.guesses.append(Guess("class names", text, "these letters are usual for benign and malignant"))


def from_headers(finder: Finder, reading: Reading) -> None:
    """Modality, and patients where the table names none, from the DICOM headers."""
    by_source = {s.locator: s for s in finder.series} | {f: s for s in finder.series for f in s.files}
    found = {r.source: by_source[r.source] for r in reading.rows if r.source in by_source}
    say_modality(reading, [s.modality for s in found.values()])
    if not any(r.patient for r in reading.rows) and any(s.patient for s in found.values()):
        reading.rows = [replace(r, patient=found[r.source].patient) if r.source in found else r for r in reading.rows]
    if any(g.what == "patient column" for g in reading.guesses) or not any(r.patient for r in reading.rows):
        return
    n = len({r.patient for r in reading.rows if r.patient})
    reading.guesses.append(Guess("patient", f"{n} patients", "the DICOM headers name them", "--patient"))


def identifying(sheet: Sheet) -> list[str]:
    """Columns that name a person or an object of the archive: they are not carried along."""
    words = {"patient_name", "patientname", "name", "birth_date", "birthdate", "dob", "mrn", "accession_number"}
    return [c for c in sheet.columns if plain(c) in words or plain(c).endswith("_uid")]
