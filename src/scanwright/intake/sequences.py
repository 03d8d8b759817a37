"""Pictures become sequences: which of them are frames of one case, and in what order."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath

from scanwright.core import CohortError, FramesBy, Guess, InputError, ScanwrightError, Skipped
from scanwright.intake.layouts import Reading, Row
from scanwright.intake.layouts.series import Series, series_of
from scanwright.intake.place import PICTURE_SUFFIXES, Place, nearest, stem_of, suffix_of
from scanwright.io.clip import natural, taken_at
from scanwright.io.locator import FRAMES

SEQUENCES = ("no", "slice", "time", "visit")
"""What --sequence takes besides the name of a column."""
_FEWEST_FOLDERS = 4
_LOOKED_AT = 2
_UNDATED = 0.1
"""Share of a cohort's pictures that may lack a date and are left out; beyond it the headers are no guide."""


def as_sequences(reading: Reading, place: Place, wish: str | None) -> FramesBy:
    """Put the frames of each case together.

    Args:
        reading: One row a picture, clip or stack; its rows are replaced.
        place: Where they lie.
        wish: ``"no"``; ``"slice"``: stacks are read slice by slice; ``"time"``: clips (multi-frame files) or
            folders of numbered pictures; ``"visit"``: the pictures of each patient by their dates; or a
            column of the table that orders the frames of a patient, with further columns that tell the
            sequences of one patient apart, such as ``"phase/slice"``. None: worked out from folders and headers.

    Returns:
        What the frames step through; empty if cases are no sequences.

    Raises:
        InputError: The column is not there, or no order can be found.
        CohortError: The frames of one case have different labels, or no case has two frames.
    """
    if wish == "no" or reading.mask_code is not None:
        if wish not in (None, "no"):
            raise InputError(
                f"--sequence {wish} was asked for, and the truth is masks.",
                "Sequences are classified or measured; masks are learnt picture by picture or as volumes.",
                "Leave --sequence out, or name classes with --labels.",
            )
        return ""
    if wish is None:
        return _guessed(reading)
    if wish == "slice":
        reading.guesses.append(Guess("sequence", "slices of each stack", "it was asked for", "--sequence no"))
        return "slice"
    if wish == "time":
        return _of_time(reading)
    if wish == "visit":
        return _of_visits(reading, place)
    return _of_column(reading, wish)


def _guessed(reading: Reading) -> FramesBy:
    folders = _numbered(reading.rows)
    if folders:
        n = sum(len(rows) for rows in folders.values())
        why = f"{n} pictures with running numbers lie in {len(folders)} folders, each of one class"
        _join(reading, list(folders.values()), [PurePosixPath(f) for f in folders], why)
        return "time"
    if _are_clips(reading):
        reading.guesses.append(
            Guess("sequence", "the frames of each file", "the files hold several frames in time", "--sequence no")
        )
        return "time"
    return ""


def _numbered(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Folders whose pictures have running numbers and one label; empty unless nearly all pictures lie in such."""
    if any(suffix_of(r.source) not in PICTURE_SUFFIXES or FRAMES in r.source for r in rows):
        return {}
    folders: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        folders[PurePosixPath(row.source).parent.as_posix()].append(row)
    if any(PurePosixPath(f).name == str(found[0].label) for f, found in folders.items()):
        return {}  # these are the classes' own folders: their pictures are cases
    good = {f: _in_order(found) for f, found in folders.items() if _is_run(found)}
    labels = {str(found[0].label) for found in good.values()}
    if len(good) < _FEWEST_FOLDERS or len(good) <= len(labels) or len(good) < 0.9 * len(folders):
        return {}
    alone = [f for f in folders if f not in good]
    return good if not alone or all(len(folders[f]) == 1 for f in alone) else {}


def _is_run(rows: Sequence[Row]) -> bool:
    numbers = [_number(r.source) for r in rows]
    known = sorted(n for n in numbers if n is not None)
    if len(rows) < 2 or len(known) < len(rows) or len(set(known)) < len(known) or len({str(r.label) for r in rows}) > 1:
        return False
    stems = {re.sub(r"\d+(?!.*\d)", "", stem_of(r.source)) for r in rows}
    gaps = {b - a for a, b in pairwise(known)}
    return len(stems) == 1 and max(gaps) <= 3 * min(gaps) and known[0] <= 1 + 3 * min(gaps)


def _number(source: str) -> int | None:
    """The last number in a file's name."""
    found = re.findall(r"\d+", stem_of(source))
    return int(found[-1]) if found else None


def _in_order(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda r: natural(r.source))


def _are_clips(reading: Reading) -> bool:
    """Whether the first files hold several pictures in time."""
    from scanwright.io import read_volume

    rows = [r for r in reading.rows if suffix_of(r.source) not in PICTURE_SUFFIXES and not r.source.endswith("]")]
    if len(rows) < len(reading.rows):
        return False
    seen = []
    for row in rows[:_LOOKED_AT]:
        try:
            volume = read_volume(row.source, root=reading.root)
        except ScanwrightError:
            continue
        in_time = volume.channel == "time" and volume.n_channels > 1 and volume.grid.is_picture
        seen.append(in_time or (len(volume.moments) > 1 and not volume.grid.is_picture and volume.channel != "time"))
    return bool(seen) and all(seen)


def _of_time(reading: Reading) -> FramesBy:
    """Clips as they are; otherwise the pictures of each folder."""
    folders: dict[str, list[Row]] = defaultdict(list)
    pictures = [r for r in reading.rows if suffix_of(r.source) in PICTURE_SUFFIXES]
    if len(pictures) < len(reading.rows):
        reading.guesses.append(Guess("sequence", "the frames of each file", "it was asked for", "--sequence no"))
        return "time"
    for row in reading.rows:
        folders[PurePosixPath(row.source).parent.as_posix()].append(row)
    missing = next((r for f in folders.values() if len(f) > 1 for r in f if _number(r.source) is None), None)
    if missing is not None:
        raise InputError(
            f"{missing.source} has no number in its name, so its place among the frames of its folder is unknown.",
            "The frames of a case lie in a folder of its own, numbered in their order.",
            "Number the pictures, or name a column of a table that orders them with --sequence.",
        )
    _join(reading, [_in_order(f) for f in folders.values()], [PurePosixPath(f) for f in folders], "it was asked for")
    return "time"


def _of_visits(reading: Reading, place: Place) -> FramesBy:
    """All pictures of a patient, by the dates of their headers."""
    if not any(r.patient for r in reading.rows):
        raise InputError(
            "No picture names its patient.",
            "Visits are put together patient by patient.",
            "Name the patient column with --patient.",
        )
    by_locator = {s.locator: s for s in series_of(place)[0]}
    groups: dict[str, list[tuple[datetime, Row]]] = defaultdict(list)
    undated: list[Row] = []
    for row in reading.rows:
        when = taken_at(_first_file(row, by_locator), reading.root)
        if when is None:
            undated.append(row)
        else:
            groups[row.patient or row.source].append((when, row))
    if len(undated) > _UNDATED * len(reading.rows):
        raise InputError(
            f"{undated[0].source} does not say when it was taken"
            + (f", nor do {len(undated) - 1} other pictures." if len(undated) > 1 else "."),
            "Visits are ordered by the dates of their DICOM headers.",
            "Name a column of a table that orders them, such as --sequence visit_date.",
        )
    reading.skipped += [Skipped(r.source, "its header does not say when it was taken") for r in undated]
    ordered, moments = [], []
    for found in groups.values():
        found.sort(key=lambda pair: (pair[0], natural(pair[1].source)))
        ordered.append([row for _, row in found])
        days = [(when - found[0][0]).total_seconds() / 86_400 for when, _ in found]
        moments.append(tuple(round(d, 3) for d in days))
    names = [PurePosixPath(_common([r.source for r in rows]) or key) for key, rows in zip(groups, ordered, strict=True)]
    _join(reading, ordered, names, "it was asked for: the pictures of each patient by date", moments, "days")
    return "visit"


def _first_file(row: Row, by_locator: dict[str, Series]) -> str:
    one = by_locator.get(row.source)
    return one.files[0] if one is not None else row.source


def _common(sources: Sequence[str]) -> str:
    """The folder that all sources lie in."""
    parts = [PurePosixPath(s.split("::")[0]).parent.parts for s in sources]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "/".join(shared)


def _of_column(reading: Reading, wish: str) -> FramesBy:
    """Rows of a table: ordered by a column, grouped by patient and by the other columns."""
    order, *apart = [c.strip() for c in wish.split("/") if c.strip()] or [""]
    known = list(dict.fromkeys(key for r in reading.rows for key in r.covariates))
    for column in (order, *apart):
        if column not in known:
            near = nearest(column, [*known, *SEQUENCES])
            raise InputError(
                f"There is no column {column!r} to order frames by.",
                f"--sequence takes {', '.join(SEQUENCES)} or a column of the table"
                + (f" ({', '.join(known[:8])})." if known else "; no table was read."),
                f"Did you mean --sequence {near}?" if near else "Name a column that stands in the table.",
            )
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in reading.rows:
        key = (row.patient or PurePosixPath(row.source).parent.as_posix(), *(str(row.covariates.get(c)) for c in apart))
        groups[key].append(row)
    ordered, moments, unit = [], [], "frame"
    for key, found in groups.items():
        places = [_place(row, order) for row in found]
        if len(set(places)) < len(places):
            twice = next(p for p, n in Counter(places).items() if n > 1)
            more = [c for c in known if c not in (order, *apart)]
            raise InputError(
                f"{key[0]} has several frames whose {order} is {twice:g}.",
                "The frames of one case lie at different places.",
                f"Name a column that tells its sequences apart, such as --sequence {wish}/{more[0] if more else 'slice'}.",
            )
        pairs = sorted(zip(places, found, strict=True), key=lambda pair: pair[0])
        ordered.append([row for _, row in pairs])
        moments.append(tuple(round(p - pairs[0][0], 6) for p, _ in pairs))
    unit = "days" if isinstance(reading.rows[0].covariates.get(order), str) else order
    names = [PurePosixPath("/".join(key)) for key in groups]
    why = f"the column {order!r} orders the frames of each patient" + (f" and {' and '.join(apart)}" if apart else "")
    _join(reading, ordered, names, why, moments, unit)
    return "visit" if unit == "days" else "time"


def _place(row: Row, column: str) -> float:
    """A number, or the day of a date."""
    value = row.covariates.get(column)
    if isinstance(value, int | float):
        return float(value)
    for form in ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S"):
        try:
            return datetime.strptime(str(value).strip(), form).timestamp() / 86_400
        except ValueError:
            continue
    raise InputError(
        f"{row.source} has {value!r} in the column {column!r}.",
        "Frames are ordered by a number or a date, such as 3 or 2024-05-31.",
        "Correct the cell, or name another column with --sequence.",
    )


def _join(
    reading: Reading,
    groups: Sequence[Sequence[Row]],
    names: Sequence[PurePosixPath],
    why: str,
    moments: Sequence[tuple[float, ...]] = (),
    unit: str = "frame",
) -> None:
    """One row a case; a case of a single frame is left out and named."""
    ids = _short(names)
    rows = []
    for n, (found, name) in enumerate(zip(groups, ids, strict=True)):
        if len(found) < 2:
            reading.skipped.append(Skipped(found[0].source, "a single frame; a sequence has two or more"))
            continue
        labels = list(dict.fromkeys(str(r.label) for r in found if r.label is not None))
        if len(labels) > 1:
            raise CohortError(
                f"The frames of {name} have the labels {' and '.join(labels[:3])}.",
                "A sequence has one label.",
                "Correct the labels, or learn from single pictures with --sequence no.",
            )
        same = {k: v for k, v in found[0].covariates.items() if all(r.covariates.get(k) == v for r in found)}
        rows.append(
            replace(
                found[0],
                source=FRAMES.join(r.source for r in found),
                label=next((r.label for r in found if r.label is not None), None),
                id=name,
                covariates=same,
                moments=moments[n] if moments else (),
                moment_unit=unit if moments else "frame",
            )
        )
    if not rows:
        raise CohortError(
            "No case has two frames.",
            "A sequence has two frames or more.",
            "Learn from single pictures with --sequence no, or name what the frames of a case share.",
        )
    counts = Counter(len(r.source.split(FRAMES)) for r in rows)
    few, many = min(counts), max(counts)
    frames = f"{few}" if few == many else f"{few} to {many}"
    reading.rows = rows
    reading.dimension = 2
    reading.guesses.append(Guess("sequence", f"{len(rows)} cases of {frames} frames", why, "--sequence no"))


def _short(names: Sequence[PurePosixPath]) -> list[str]:
    """The shortest ends of the paths that tell all of them apart."""
    for depth in range(1, max((len(n.parts) for n in names), default=1) + 1):
        short = ["/".join(n.parts[-depth:]) for n in names]
        if len(set(short)) == len(short):
            return short
    return [f"{n} #{k}" for k, n in enumerate(names)]
