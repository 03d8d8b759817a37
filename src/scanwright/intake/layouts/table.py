"""A table beside images: one column names the picture, one the label, others the patient, the part and more."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from scanwright.core import CohortError, Guess, InputError, Said, Skipped
from scanwright.intake.labels import is_negative, tidy
from scanwright.intake.layouts.class_folders import from_names, say_modality
from scanwright.intake.layouts.finder import UID_COLUMNS, Finder
from scanwright.intake.layouts.reading import Fit, Layout, RawLabel, Reading, Row, Wishes
from scanwright.intake.layouts.series import Series, patient_key
from scanwright.intake.layouts.table_file import Sheet, read_sheet
from scanwright.intake.place import TABLE_SUFFIXES, Place, nearest, suffix_of
from scanwright.intake.words import (
    DEMOGRAPHIC_COLUMNS,
    LABEL_COLUMNS,
    NEGATIVE_WORDS,
    PART_COLUMNS,
    PATH_COLUMNS,
    PATIENT_COLUMNS,
    WORSENING,
    part_of,
    plain,
    tokens,
)

_SAMPLE = 300
_LETTERS = {"b": "benign", "m": "malignant", "n": "normal"}


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


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """A table was named, or lies beside images and has a column of labels and one that names images."""
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
        if any(_exact(sheet, c) for c in wishes.columns) or (not wishes.columns and _has_label(sheet)):
            column, _, found = image_column(sheet, finder)
            if found >= 0.5:
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
    blank = _blank_means(sheet, roles, reading)
    groups: dict[str, list[tuple[Row, int]]] = defaultdict(list)
    missing: list[str] = []
    for i in range(len(sheet)):
        rows = _rows(sheet, roles, finder, i, blank)
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
    reading.rows = _one_each(groups, reading)
    _letters(reading)
    _unlisted(finder, reading, sheet)
    if finder.place.dicom:
        _from_headers(finder, reading)
    elif not any(r.patient for r in reading.rows):
        from_names(reading)
    return reading


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
        hint = _hint(column, PATH_COLUMNS)
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
    likely = max(sheet.columns, key=lambda c: (looks_like_paths(sheet.columns[c]), _hint(c, PATH_COLUMNS)))
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
    part = next((c for c in sheet.columns if plain(c) in PART_COLUMNS and _is_part(sheet.columns[c])), None)
    if part:
        guesses.append(Guess("part column", part, "its cells are train, val and test"))
    patient = _patient(sheet, wishes, image, guesses)
    labels = label_columns(sheet, wishes, {image, part, patient}, guesses)
    return Roles(image, how, found, labels, patient, part, tuple(guesses))


def label_columns(sheet: Sheet, wishes: Wishes, taken: set[str | None], guesses: list[Guess]) -> tuple[str, ...]:
    if wishes.columns:
        return tuple(_column(sheet, c, "--labels") for c in wishes.columns)
    free = {c: v for c, v in sheet.columns.items() if c not in taken}
    named = [c for c in free if _hint(c, LABEL_COLUMNS) and _could_be_label(free[c])]
    if named:
        chosen = max(named, key=lambda c: _hint(c, LABEL_COLUMNS))
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


def _patient(sheet: Sheet, wishes: Wishes, image: str, guesses: list[Guess]) -> str | None:
    if wishes.patient:
        return _column(sheet, wishes.patient, "--patient")
    for name in PATIENT_COLUMNS:
        column = sheet.find((name,))
        if column and column not in wishes.columns and any(sheet.columns[column]):
            n = len(set(sheet.columns[column]) - {""})
            guesses.append(
                Guess("patient column", column, f"of its name; it holds {n} different patients", "--patient")
            )
            return column
    return None


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
        labelled = any(_exact(sheet, c) for c in wishes.columns) if wishes.columns else _has_label(sheet)
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
    if all(parts) and not any(_is_part(v) and plain(c) in PART_COLUMNS for c, v in columns.items()):
        columns["part"] = parts
    names = ", ".join(s.file for s in sheets)
    return Sheet(names, columns), [Guess("table", names, "the tables have the same columns, so they are joined")]


def _rows(sheet: Sheet, roles: Roles, finder: Finder, i: int, blank: str) -> list[Row]:
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
    label: RawLabel = cells if len(cells) > 1 else (cells[0] or blank or None)
    part = part_of(sheet.columns[roles.part][i]) if roles.part else None
    own = sheet.columns[roles.patient][i] if roles.patient else ""
    if own and any(person for _, _, person in sources):
        own = patient_key(own) or ""  # a hospital's PatientID: grouped by, never shown
    used = {roles.image, *roles.labels, roles.part, roles.patient, *_identifying(sheet)}
    extra = {c: value(v[i]) for c, v in sheet.columns.items() if c not in used}
    return [Row(s, label, name, own or person, part, extra) for s, name, person in sources]


def _one_each(groups: dict[str, list[tuple[Row, int]]], reading: Reading) -> list[Row]:
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


def _blank_means(sheet: Sheet, roles: Roles, reading: Reading) -> str:
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


def _letters(reading: Reading) -> None:
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


def _from_headers(finder: Finder, reading: Reading) -> None:
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


def _identifying(sheet: Sheet) -> list[str]:
    """Columns that name a person or an object of the archive: they are not carried along."""
    words = {"patient_name", "patientname", "name", "birth_date", "birthdate", "dob", "mrn", "accession_number"}
    return [c for c in sheet.columns if plain(c) in words or plain(c).endswith("_uid")]


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


def _hint(column: str, names: tuple[str, ...]) -> int:
    """How strongly a column's name speaks for a role: 0 not at all."""
    name = plain(column)
    if name in names:
        return 1000 - names.index(name)
    if name.replace("_", "") in names:
        return 900 - names.index(name.replace("_", ""))
    words = tokens(name)
    inside = [names.index(w) for w in words if w in names and w not in ("id", "name", "y", "type", "status", "set")]
    return 500 - min(inside) if inside else 0


def _has_label(sheet: Sheet) -> bool:
    try:
        label_columns(sheet, Wishes(), {sheet.find(PATIENT_COLUMNS), *_path_like(sheet)}, [])
    except InputError:
        return False
    return True


def _path_like(sheet: Sheet) -> list[str]:
    return [c for c, v in sheet.columns.items() if looks_like_paths(v) or _is_part(v)]


def looks_like_paths(cells: list[str]) -> bool:
    """Whether most cells read as paths of images."""
    some = [c for c in cells[:_SAMPLE] if c]
    return (
        bool(some)
        and sum("/" in c or suffix_of(c) in (".png", ".jpg", ".jpeg", ".dcm", ".nii.gz", ".tif", ".nii") for c in some)
        > len(some) / 2
    )


def _could_be_label(cells: list[str]) -> bool:
    values = Counter(c for c in cells if c)
    if len(values) < 1 or looks_like_paths(cells):
        return False
    return len(values) <= 50 or len(values) < len(cells) / 3 or all(_is_number(v) for v in values)


def _is_part(cells: list[str]) -> bool:
    values = {c for c in cells if c}
    return bool(values) and len(values) <= 6 and all(part_of(v) for v in values)


def has_column(sheet: Sheet, name: str) -> bool:
    """Whether a table has a column of this name, whatever its case and spaces."""
    return _exact(sheet, name) is not None


def _exact(sheet: Sheet, name: str) -> str | None:
    if name in sheet.columns:
        return name
    return next((c for c in sheet.columns if plain(c) == plain(name)), None)


def _column(sheet: Sheet, name: str, option: str) -> str:
    found = _exact(sheet, name)
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
    return float(cell) if _is_number(cell) else cell


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) < float("inf")
    except ValueError:
        return False


def folder_of(file: str) -> str:
    """Folder of a file below the root; empty for the root itself."""
    parent = PurePosixPath(file).parent.as_posix()
    return "" if parent == "." else parent


LAYOUT = Layout("table beside images", fits, read)
