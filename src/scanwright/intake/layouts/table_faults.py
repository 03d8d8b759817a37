"""Why no table of a folder could be used: its images are not there, or the column asked for is not."""

from __future__ import annotations

from scanwright.core import InputError
from scanwright.intake.layouts.finder import Finder
from scanwright.intake.layouts.reading import Wishes
from scanwright.intake.layouts.table_columns import folder_of, has_column, image_column, looks_like_paths
from scanwright.intake.layouts.table_file import Sheet, read_sheet
from scanwright.intake.place import Place, nearest


def table_fault(place: Place, wishes: Wishes) -> InputError | None:
    """What is wrong with the tables of a folder that no layout fits.

    Args:
        place: The folder.
        wishes: May ask for label columns.

    Returns:
        An error that names the table and how to mend it; None when no table is meant to name images.
    """
    finder = Finder(place)
    unfound: InputError | None = None
    for file in place.tables:
        try:
            sheet = read_sheet(place.root / file, file)
        except (ValueError, OSError):
            continue
        finder.folder = folder_of(file)
        column, how, found = image_column(sheet, finder)
        if found >= 0.5:
            absent = [c for c in wishes.columns if not has_column(sheet, c)]
            if absent:
                return _no_column(sheet, absent[0])
        elif unfound is None and how == "path" and looks_like_paths(sheet.columns[column]):
            unfound = _not_there(sheet, column, finder, place)
    return unfound


def _no_column(sheet: Sheet, name: str) -> InputError:
    near = nearest(name, list(sheet.columns))
    return InputError(
        f"The table {sheet.file} names the images and has no column {name!r}.",
        f"Its columns are {', '.join(sheet.columns)}.",
        f"Did you mean {near!r}?" if near else "Name one of them with --labels.",
    )


def _not_there(sheet: Sheet, column: str, finder: Finder, place: Place) -> InputError:
    missing = [cell for cell in sheet.columns[column] if not finder.image(cell)]
    first = next((cell for cell in missing if cell), "(an empty cell)")
    where = "none is" if not place.images else f"{len(place.images)} other images are"
    return InputError(
        f"{len(missing)} of the {len(sheet)} images that {sheet.file} names in its column {column!r} are not there, "
        f"first {first!r}.",
        f"Each path must lead to an image in {place.path}, from that folder or from the table's own ({where} there).",
        f"Copy the images there, correct the paths, or run on the folder that holds them with --labels {sheet.file}.",
    )
