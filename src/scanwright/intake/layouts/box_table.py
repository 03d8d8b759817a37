"""A table of boxes, circles or points: one row a thing, a column that names its image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from scanwright.core import Box, CohortError, Guess, InputError, Skipped
from scanwright.intake.boxes import BoxSize, Measure, along_axes, box_around, box_of_corners, refuse_shares
from scanwright.intake.labels import is_negative, tidy
from scanwright.intake.layouts.class_folders import from_names
from scanwright.intake.layouts.finder import Finder
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes
from scanwright.intake.layouts.table_columns import (
    Roles,
    column_named,
    folder_of,
    hint_of,
    image_column,
    is_number,
    part_column,
    patient_column,
)
from scanwright.intake.layouts.table_file import Sheet, read_sheet
from scanwright.intake.layouts.table_rows import from_headers, rows_of_line
from scanwright.intake.place import PICTURE_SUFFIXES, TABLE_SUFFIXES, Place, suffix_of
from scanwright.intake.words import LABEL_COLUMNS, NEGATIVE_WORDS, plain

_NAMES: dict[str, tuple[str, ...]] = {
    "x0": ("xmin", "x_min", "x0", "x1", "left", "bbox_x1"),
    "y0": ("ymin", "y_min", "y0", "y1", "top", "bbox_y1"),
    "z0": ("zmin", "z_min", "z0", "z1"),
    "x1": ("xmax", "x_max", "x2", "x1", "right", "bbox_x2"),
    "y1": ("ymax", "y_max", "y2", "y1", "bottom", "bbox_y2"),
    "z1": ("zmax", "z_max", "z2", "z1"),
    "x": ("x", "bbox_x", "x_px"),
    "y": ("y", "y_from_top", "bbox_y", "y_px"),
    "cx": ("x_centre", "x_center", "cx", "centre_x", "center_x"),
    "cy": ("y_centre", "y_center", "cy", "centre_y", "center_y"),
    "up": ("y_from_bottom",),
    "z": ("z", "z_centre", "z_center", "cz", "slice"),
    "width": ("width", "w", "bbox_width"),
    "height": ("height", "h", "bbox_height"),
    "radius": ("radius", "r", "radius_px"),
    "diameter": ("diameter", "diameter_px", "d"),
    "world_x": ("coordx", "coord_x", "x_mm"),
    "world_y": ("coordy", "coord_y", "y_mm"),
    "world_z": ("coordz", "coord_z", "z_mm"),
    "diameter_mm": ("diameter_mm",),
}
"""What a column says of a place, and names that it may have."""
_THING = "object"


@dataclass(frozen=True)
class _Line:
    """One row of the table: its numbers by what they say; NaN is never among them."""

    source: str
    numbers: dict[str, float]
    measure: Measure
    size: BoxSize | None


def _corners(label: int, line: _Line) -> Box:
    """Edges from the upper left corner of the picture, which lies at -0.5."""
    n = line.numbers
    z = (n["z0"] - 0.5, n["z1"] - 0.5) if {"z0", "z1"} <= set(n) else _slice(line)
    one, other = (n["x0"] - 0.5, n["y0"] - 0.5, z[0]), (n["x1"] - 0.5, n["y1"] - 0.5, z[1])
    return box_of_corners(label, line.source, one, other)


def _sides(label: int, line: _Line) -> Box:
    n = line.numbers
    z = _slice(line)
    one = (n["x"] - 0.5, n["y"] - 0.5, z[0])
    return box_of_corners(label, line.source, one, (one[0] + n["width"], one[1] + n["height"], z[1]))


def _middle(label: int, line: _Line) -> Box:
    """A middle counted from the upper left corner of the picture, as the corners are."""
    n = line.numbers
    left, top = n["cx"] - n["width"] / 2, n["cy"] - n["height"] / 2
    return _sides(label, replace(line, numbers={**n, "x": left, "y": top}))


def _slice(line: _Line) -> tuple[float, float]:
    """Edges along z: of the slice that the row names, or of the only one there is."""
    if "z" in line.numbers:
        return line.numbers["z"] - 0.5, line.numbers["z"] + 0.5
    if suffix_of(line.source) not in PICTURE_SUFFIXES and line.measure.shape(line.source)[2] > 1:
        raise InputError(
            f"{line.source} is a volume, and its boxes name no slice.",
            "A box in a volume needs zmin and zmax, or the number of its slice.",
            "Add a column z or slice to the table.",
        )
    return -0.5, 0.5


def _circle(label: int, line: _Line) -> Box:
    n = line.numbers
    wide = 2 * n["radius"] if "radius" in n else n["diameter"]
    return _around(label, line, (wide, wide, wide), round=True)


def _point(label: int, line: _Line) -> Box:
    if line.size is None:
        raise InputError(
            f"{line.source} has points, and a point has no size.",
            "Boxes are learnt, so every point needs the size of the box around it.",
            "Say it with --box-size, such as --box-size 24px or --box-size 8mm.",
        )
    return _around(label, line, line.measure.voxels(line.source, line.size))


def _ball(label: int, line: _Line) -> Box:
    """A place in LPS millimetres and a diameter, as LUNA16 has them."""
    import numpy as np

    from scanwright.io import read_volume

    n = line.numbers
    grid = read_volume(line.source, root=line.measure.root).grid
    i, j, k = grid.index(np.array([-n["world_x"], -n["world_y"], n["world_z"]])).tolist()
    a, b, c = (n["diameter_mm"] / s for s in grid.spacing)
    return box_around(label, (i, j, k), (a, b, c), round=True)


def _around(label: int, line: _Line, size: tuple[float, float, float], *, round: bool = False) -> Box:
    n = line.numbers
    x, down = n.get("cx", n.get("x", 0.0)), n.get("cy", n.get("y"))
    y = down if down is not None else line.measure.shape(line.source)[0] - 1 - n["up"]
    flat = "z" not in n
    low, high = _slice(line)
    centre = along_axes(line.source, x, y, (low + high) / 2)
    return box_around(label, centre, (size[0], size[1], 1.0) if flat else size, round=round)


FORMS: dict[str, tuple[tuple[frozenset[str], ...], Callable[[int, _Line], Box], str]] = {
    "corners": ((frozenset(("x0", "y0", "x1", "y1")),), _corners, "boxes with two corners"),
    "middle": ((frozenset(("cx", "cy", "width", "height")),), _middle, "boxes with a middle, width and height"),
    "sides": ((frozenset(("x", "y", "width", "height")),), _sides, "boxes with a corner, width and height"),
    "ball": ((frozenset(("world_x", "world_y", "world_z", "diameter_mm")),), _ball, "balls in millimetres"),
    "circle": (
        tuple(frozenset((x, y, r)) for x in ("x", "cx") for y in ("y", "cy", "up") for r in ("radius", "diameter")),
        _circle,
        "circles with centre and radius",
    ),
    "point": (tuple(frozenset((x, y)) for x in ("x", "cx") for y in ("y", "cy", "up")), _point, "points"),
}
"""Form to the sets of columns that make it, how a row becomes a box, and words; the first that fits wins."""


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """A table has columns of places and one that names images; without ``--task detect`` only two corners count."""
    if wishes.task not in (None, "detect"):
        return None
    for sheet, finder in _sheets(place, wishes):
        form = _form(_columns(sheet))
        if form is None or (wishes.task is None and form != "corners"):
            continue
        column, _, share = image_column(sheet, finder)
        if share >= 0.5:
            return Fit(f"{sheet.file} has {FORMS[form][2]}, and names images in its column {column!r}")
    return None


def read(place: Place, wishes: Wishes) -> Reading:
    """One case an image that the table names; a row without a place says that nothing is there."""
    wide = Place.of(place.root) if place.is_file else place
    sheet, finder, columns, form = _chosen(place, wide, wishes)
    image, how, share = image_column(sheet, finder)
    reading = Reading(wide.root, [], "boxes")
    kind = _class_column(sheet, wishes, {image, *columns.values()})
    patient = patient_column(sheet, wishes, image, reading.guesses)
    roles = Roles(image, how, share, (kind,) if kind else (), patient, part_column(sheet), ())
    reading.guesses += [
        Guess("image column", image, f"its cells name images ({share:.0%} of them found)"),
        Guess("form", FORMS[form][2], f"of the columns {', '.join(columns.values())}"),
    ]
    if kind:
        reading.guesses.append(Guess("class column", kind, "it says what each of them is", "--labels"))
    rows: dict[str, Row] = {}
    things: dict[str, list[tuple[str, dict[str, float]]]] = {}
    unknown: set[str] = set()
    for n in range(len(sheet)):
        found = rows_of_line(sheet, roles, finder, n, "")
        if not found:
            reading.skipped.append(
                Skipped(sheet.columns[image][n] or "empty cell", "the table names it and it is not there")
            )
        for row in found:
            rows.setdefault(row.source, row)
            said = tidy(str(row.label or "")) if kind else _THING
            numbers = {
                what: float(sheet.columns[c][n]) for what, c in columns.items() if is_number(sheet.columns[c][n])
            }
            whole = any(need <= set(numbers) for need in FORMS[form][0])
            if whole and not (kind and _is_none(said) and not _is_class_zero(said, form, numbers)):
                things.setdefault(row.source, []).append((said or _THING, numbers))
            elif said and said != _THING and not _is_none(said):
                unknown.add(row.source)
    classes = tuple(sorted({name for found in things.values() for name, _ in found}, key=_order))
    if not classes:
        raise CohortError(
            f"No row of {sheet.file} gives a place in an image that is there.",
            "Detection is learnt from boxes, circles or points.",
            "Correct the paths, or name the table with --labels TABLE.csv.",
        )
    if form in ("corners", "middle", "sides"):
        flat = ("x0", "y0", "x1", "y1", "x", "y", "cx", "cy", "width", "height")
        numbers_of = [numbers for found in things.values() for _, numbers in found]
        refuse_shares(sheet.file, [n[name] for n in numbers_of for name in flat if name in n])
    measure, size = Measure(wide.root), BoxSize.of(wishes.box_size)
    make = FORMS[form][1]
    for source, row in rows.items():
        mine = [
            make(classes.index(name), _Line(source, numbers, measure, size)) for name, numbers in things.get(source, [])
        ]
        boxes = None if source in unknown and not mine else tuple(mine)
        reading.rows.append(Row(source, None, row.id, row.patient, row.part, row.covariates, boxes=boxes))
    _names(reading, classes)
    if unknown:
        why = "their rows name a class and no place: something is there and nobody says where"
        reading.guesses.append(Guess("images without a place", str(len(unknown)), why))
    listed = set(rows)
    reading.skipped += [
        Skipped(m, f"no row of {sheet.file} names it") for m in wide.images if m not in listed and not wide.dicom
    ]
    if finder.place.dicom:
        from_headers(finder, reading)
    elif not any(r.patient for r in reading.rows):
        from_names(reading)
    return reading


def _names(reading: Reading, classes: tuple[str, ...]) -> None:
    letters = {"b": "benign", "m": "malignant"}
    spelled = all(c.casefold() in letters for c in classes) and len(classes) == 2
    reading.structures = tuple(letters[c.casefold()] for c in classes) if spelled else classes
    n = sum(len(r.boxes or ()) for r in reading.rows)
    empty = sum(r.boxes == () for r in reading.rows)
    reading.guesses.append(
        Guess("classes", ", ".join(reading.structures), f"{n} rows have a place; {empty} images hold nothing")
    )


def _is_none(said: str) -> bool:
    return said.casefold() in NEGATIVE_WORDS | {"norm", "0"} or is_negative(said)


def _is_class_zero(said: str, form: str, numbers: dict[str, float]) -> bool:
    """Whether 0 is the number of a class: its box has an extent, which placeholders such as 0, 0, 0, 0 have not."""
    if not is_number(said) or float(said) != 0:
        return False
    if form == "corners":
        return numbers["x0"] != numbers["x1"] and numbers["y0"] != numbers["y1"]
    sizes = [numbers[name] for name in ("width", "height", "radius", "diameter", "diameter_mm") if name in numbers]
    return form != "point" and bool(sizes) and min(sizes) > 0


def _order(name: str) -> tuple[int, float, str]:
    return (0, float(name), name) if is_number(name) else (1, 0.0, name)


def _columns(sheet: Sheet) -> dict[str, str]:
    """What each column of places says, to its name."""
    by_name = {plain(c): c for c in reversed(sheet.columns)}
    by_name |= {p.replace("_", ""): c for p, c in list(by_name.items()) if p.replace("_", "") not in by_name}
    found: dict[str, str] = {}
    for what, names in _NAMES.items():
        column = next((by_name[n] for n in names if n in by_name), None)
        if column is not None and column not in found.values() and _numeric(sheet.columns[column]):
            found[what] = column
    return found


def _numeric(cells: list[str]) -> bool:
    known = [c for c in cells if c]
    return bool(known) and all(is_number(c) for c in known)


def _form(columns: dict[str, str]) -> str | None:
    return next((name for name, (needs, _, _) in FORMS.items() if any(need <= set(columns) for need in needs)), None)


def _class_column(sheet: Sheet, wishes: Wishes, taken: set[str]) -> str | None:
    if wishes.columns:
        return column_named(sheet, wishes.columns[0], "--labels")
    named = [
        c for c in sheet.columns if c not in taken and hint_of(c, LABEL_COLUMNS) and len(set(sheet.columns[c])) <= 50
    ]
    return max(named, key=lambda c: hint_of(c, LABEL_COLUMNS), default=None)


def _chosen(place: Place, wide: Place, wishes: Wishes) -> tuple[Sheet, Finder, dict[str, str], str]:
    for sheet, finder in _sheets(place, wishes):
        columns = _columns(sheet)
        form = _form(columns)
        if form is not None and image_column(sheet, finder)[2] > 0:
            return sheet, finder, columns, form
    raise CohortError(
        f"No table in {wide.path} has columns of places and names the images.",
        "A place is xmin, ymin, xmax, ymax; or x, y, width, height; or x, y, radius; or x, y.",
        "Name the table with --labels TABLE.csv, or rename its columns.",
    )


def _sheets(place: Place, wishes: Wishes) -> list[tuple[Sheet, Finder]]:
    wide = Place.of(place.root) if place.is_file else place
    if wishes.table is not None:
        return [(read_sheet(wishes.table, wishes.table.name), Finder(wide))]
    if place.is_file:
        if suffix_of(place.path.name) not in TABLE_SUFFIXES:
            return []
        return [(read_sheet(place.path, place.path.name), Finder(wide))]
    found = []
    for file in place.tables if place.images else ():
        try:
            found.append((read_sheet(place.root / file, file), Finder(place, folder_of(file))))
        except (ValueError, OSError):
            continue
    return found


LAYOUT = Layout("a table of boxes beside images", fits, read)
