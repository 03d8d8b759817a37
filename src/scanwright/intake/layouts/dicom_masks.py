"""DICOM series with segmentations or contours that refer to them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import PurePosixPath

from scanwright.core import CohortError, Guess, InputError, MaskCode, Skipped
from scanwright.intake.layouts.class_folders import say_modality
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes
from scanwright.intake.layouts.series import Series, series_of
from scanwright.intake.masks.beside import join_table
from scanwright.intake.masks.names import sides_of
from scanwright.intake.masks.overlaps import overlapping
from scanwright.intake.masks.pairing import part_in
from scanwright.intake.masks.references import Object, objects_of, series_meant
from scanwright.intake.masks.wish import Asked, asked_of
from scanwright.intake.place import Place, nearest


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """A segmentation or structure set refers to a series that is there, and no classes were asked for."""
    if (
        place.is_file
        or wishes.task not in (None, "segment", "detect")
        or (wishes.labels is not None and wishes.task is None)
    ):
        return None
    for one in objects_of(place):
        series, _ = series_meant(place, one)
        if series is not None and one.names:
            what = "is a segmentation" if one.kind == "segmentation" else "holds contours"
            return Fit(f"{one.file} {what} of the series {series.id}")
    return None


def read(place: Place, wishes: Wishes) -> Reading:
    """One case a series with its objects; structures are found by their names, whatever their numbers."""
    reading = Reading(place.root, [], "masks")
    outlined = _by_series(place, reading)
    if not outlined:
        raise CohortError(
            f"No segmentation in {place.path} speaks of a series that is there.",
            "A DICOM segmentation or structure set names the series that it was drawn on.",
            "Put the images beside it.",
        )
    kept = {series: _first_of_each(objects, reading) for series, objects in outlined.items()}
    _structures([o for objects in kept.values() for o in objects], asked_of(wishes.structures), reading)
    for series, objects in kept.items():
        folders = PurePosixPath(series.files[0]).parts[:-1]
        masks = tuple(o.file for o in objects)
        reading.rows.append(Row(series.locator, None, series.id, series.patient, part_in(folders), {}, masks))
    _regions(reading)
    others, unread = series_of(place)
    reading.skipped += [Skipped(s.locator, "there is no mask for it") for s in others if s not in kept]
    own = {o.file for o in objects_of(place)}
    reading.skipped += [s for s in unread if s.source not in own]
    say_modality(reading, [s.modality for s in kept])
    people = {r.patient for r in reading.rows if r.patient}
    if people:
        reading.guesses.append(Guess("patient", f"{len(people)} patients", "the DICOM headers name them", "--patient"))
    join_table(reading, place, wishes)
    return reading


def _by_series(place: Place, reading: Reading) -> dict[Series, list[Object]]:
    found: dict[Series, list[Object]] = {}
    for one in objects_of(place):
        series, why = series_meant(place, one)
        if series is not None and one.fractions:
            why = "it holds fractions, not labels; export it as BINARY"
        elif series is not None and not one.names:
            why = "it outlines no structure"
        if why or series is None:
            reading.skipped.append(Skipped(one.file, why))
        else:
            found.setdefault(series, []).append(one)
    order = {s: n for n, s in enumerate(series_of(place)[0])}
    return dict(sorted(found.items(), key=lambda p: order[p[0]]))


def _first_of_each(objects: list[Object], reading: Reading) -> list[Object]:
    """Objects that add a structure; another drawing of the same structures is set aside."""
    kept: list[Object] = []
    names: set[str] = set()
    for one in objects:
        fresh = {n.casefold() for n in one.names} - names
        if fresh:
            kept.append(one)
            names |= fresh
        else:
            first = kept[0].file
            reading.skipped.append(Skipped(one.file, f"it outlines the structures of {first} once more"))
    return kept


def _structures(objects: list[Object], asked: Asked | None, reading: Reading) -> None:
    spelled: dict[str, Counter[str]] = {}
    for one in objects:
        for name in one.names:
            spelled.setdefault(name.casefold(), Counter())[name] += 1
    known = {key: counts.most_common(1)[0][0] for key, counts in spelled.items()}
    if asked is None:
        names = tuple(known[k] for k in sorted(known))
        groups: tuple[tuple[str, ...], ...] = tuple((n,) for n in names)
        why = "the segments and contours are named so, in all cases together"
        reading.guesses.append(Guess("structures", ", ".join(names), why, "--structures"))
    else:
        names, groups = asked.names, tuple(tuple(_known(k, known) for k in keys) for keys in asked.keys)
        if asked.instances:
            names, groups = asked.names, (tuple(known.values()),)
        rest = [n for k, n in known.items() if k not in {g.casefold() for group in groups for g in group}]
        if rest:
            reading.guesses.append(
                Guess("background", ", ".join(rest), "--structures does not name them", "--structures")
            )
    values = tuple((n,) for n in range(1, len(names) + 1))
    reading.structures = names
    reading.mask_code = replace(MaskCode(values, kind="segments", names=groups), sides=sides_of(names))


def _regions(reading: Reading) -> None:
    """Let structures that overlap by design share voxels."""
    code = reading.mask_code
    if code is not None:
        values, guesses = overlapping(reading.rows, code.names, reading.structures, reading.root)
        reading.mask_code = replace(code, values=values)
        reading.guesses += guesses


def _known(key: str, known: dict[str, str]) -> str:
    if key.casefold() in known:
        return known[key.casefold()]
    near = nearest(key, list(known.values()))
    raise InputError(
        f"--structures speaks of {key!r}, which no segment is called.",
        f"The segments are called {', '.join(known.values())}.",
        f"Did you mean {near!r}?" if near else "Write one of these names, such as Liver=liver.",
    )


LAYOUT = Layout("DICOM series with segmentations or contours", fits, read)
