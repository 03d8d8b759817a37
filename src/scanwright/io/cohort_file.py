"""A cohort on disk: ``cohort.csv`` (one row a case) and ``cohort.json`` (what was understood)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scanwright.core.boxes import Box
from scanwright.core.cohort import Case, Cohort, Guess, Label, MaskCode, Skipped, summary
from scanwright.core.errors import CohortError, InputError
from scanwright.io.atomic import atomic_write, write_json

_FIXED = ("case", "source", "patient", "part", "masks", "moments", "boxes")
_BOXES = "boxes.csv"
_EDGES = ("i_low", "j_low", "k_low", "i_high", "j_high", "k_high")
_JOIN = " | "


def write_cohort(folder: Path, cohort: Cohort) -> Path:
    """Write a cohort so that a person can read and edit it.

    Args:
        folder: Run folder.
        cohort: The cohort.

    Returns:
        Path of ``cohort.csv``. The label columns are ``label`` (class name or number); for
        multi-label cohorts ``label:<class>`` with 1, 0 or empty (missing); for segmentation
        ``masks``, locators joined by `` | ``. Sequences have ``moments``, such as ``days: 0 35 70``. For
        detection ``boxes``, their number (empty: nobody looked); they stand in ``boxes.csv``, one a row.
    """
    labels = _label_columns(cohort)
    extra = list(dict.fromkeys(key for case in cohort.cases for key in case.covariates))
    columns = {name: f"covariate:{name}" if name in (*_FIXED, *labels) else name for name in extra}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    timed = ["moments"] if cohort.frames else []
    writer.writerow([*_FIXED[:4], *labels, *timed, *columns.values()])
    for case in cohort.cases:
        cells = ["" if case.covariates.get(name) is None else case.covariates[name] for name in extra]
        if timed:
            cells = [_moments_cell(case), *cells]
        writer.writerow(
            [case.id, case.source, case.patient or "", case.part or "", *_label_cells(cohort, case), *cells]
        )
    if cohort.task == "detect":
        atomic_write(folder / _BOXES, _box_table(cohort))
    write_json(folder / "cohort.json", {"format": "scanwright-cohort/1", **summary(cohort), "covariates": columns})
    return atomic_write(folder / "cohort.csv", text.getvalue())


def read_cohort(folder: Path) -> Cohort:
    """Read what :func:`write_cohort` wrote, perhaps edited by a person since.

    Args:
        folder: Run folder.

    Returns:
        The cohort.

    Raises:
        InputError: There is no cohort in the folder.
        CohortError: A row cannot be understood.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / "cohort.json").read_text(encoding="utf-8"))
        rows = list(csv.DictReader(io.StringIO((folder / "cohort.csv").read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no cohort.csv and cohort.json.",
            "This step goes on from a scanned cohort.",
            "Run `scanwright scan FOLDER --out DIR` first.",
        ) from None
    columns = facts.get("covariates", {})
    boxes = _read_boxes(folder, facts["classes"]) if facts["task"] == "detect" else {}
    cases = tuple(_case(facts, row, columns, number, boxes) for number, row in enumerate(rows, start=2))
    if facts["task"] == "detect":
        _same_counts(rows, boxes)
    return Cohort(
        name=facts["name"],
        root=Path(facts["root"]),
        layout=facts["layout"],
        task=facts["task"],
        classes=tuple(facts["classes"]),
        cases=cases,
        modality=facts["modality"],
        dimension=facts["dimension"],
        parts_given=facts["parts_given"],
        guesses=tuple(Guess(**g) for g in facts["guesses"]),
        skipped=tuple(Skipped(**s) for s in facts["skipped"]),
        facts=facts["facts"],
        mask_code=_mask_code(facts["mask_code"]) if facts.get("mask_code") else None,
        frames=facts.get("frames", ""),
    )


def _moments_cell(case: Case) -> str:
    return f"{case.moment_unit}: " + " ".join(f"{m:g}" for m in case.moments) if case.moments else ""


def _label_columns(cohort: Cohort) -> list[str]:
    if cohort.task in ("segment", "detect"):
        return ["masks" if cohort.task == "segment" else "boxes"]
    return [f"label:{name}" for name in cohort.classes] if cohort.task == "multilabel" else ["label"]


def _label_cells(cohort: Cohort, case: Case) -> list[Any]:
    label = case.label
    if cohort.task == "segment":
        return [_JOIN.join(case.masks)]
    if cohort.task == "detect":
        return ["" if case.boxes is None else len(case.boxes)]
    if cohort.task == "multilabel":
        values = label if isinstance(label, tuple) else (None,) * len(cohort.classes)
        return ["" if v is None else v for v in values]
    if label is None:
        return [""]
    return [label] if cohort.task == "regress" or isinstance(label, tuple) else [cohort.classes[int(label)]]


def _case(
    facts: Mapping[str, Any],
    row: Mapping[str, str],
    columns: Mapping[str, str],
    number: int,
    boxes: Mapping[str, list[Box]],
) -> Case:
    try:
        masks = tuple(cell.strip() for cell in row.get("masks", "").split(_JOIN))
        masks = masks if any(masks) else ()  # an empty one among others: a structure that is not there
        label = None if facts["task"] in ("segment", "detect") else _label(facts["task"], facts["classes"], row)
        part = row["part"] or None
        if part not in (None, "train", "val", "test"):
            raise ValueError(f"the part {part!r}")
        covariates = {name: _value(row[column]) for name, column in columns.items()}
        unit, _, numbers = row.get("moments", "").rpartition(": ") if facts.get("frames") else ("", "", "")
        moments = tuple(float(cell) for cell in numbers.split())
        timed = {"moments": moments, "moment_unit": unit} if moments else {}
        mine = tuple(boxes.get(row["case"], ())) if row.get("boxes", "") else None
        person = row["patient"] or None
        found = Case(row["case"], row["source"], label, person, part, covariates, masks, **timed)  # type: ignore[arg-type]
        return replace(found, boxes=mine) if mine is not None else found
    except (KeyError, ValueError) as error:
        raise CohortError(
            f"Row {number} of cohort.csv cannot be read: {error}.",
            f"Labels are one of {', '.join(facts['classes'][:6])} and parts are train, val or test.",
            "Correct the row, or scan the folder again.",
        ) from None


def _box_table(cohort: Cohort) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "class", *_EDGES, "round"])
    for case in cohort.cases:
        for box in case.boxes or ():
            edges = [repr(float(v)) for v in (*box.low, *box.high)]
            writer.writerow([case.id, cohort.classes[box.label], *edges, int(box.round)])
    return text.getvalue()


def _read_boxes(folder: Path, classes: list[str]) -> dict[str, list[Box]]:
    found: dict[str, list[Box]] = {}
    try:
        rows = list(csv.DictReader(io.StringIO((folder / _BOXES).read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no {_BOXES}.",
            "A cohort for detection keeps its boxes in that file.",
            "Scan the folder again.",
        ) from None
    for number, row in enumerate(rows, start=2):
        try:
            values = [float(row[name]) for name in _EDGES]
            low, high = (values[0], values[1], values[2]), (values[3], values[4], values[5])
            box = Box(classes.index(row["class"]), low, high, round=row["round"] == "1")
        except (KeyError, TypeError, ValueError) as error:
            raise CohortError(
                f"Row {number} of {_BOXES} cannot be read: {error}.",
                f"A row has a case, one of the classes {', '.join(classes[:6])}, and six edges in voxels.",
                "Correct the row, or scan the folder again.",
            ) from None
        found.setdefault(row["case"], []).append(box)
    return found


def _same_counts(rows: list[dict[str, str]], boxes: Mapping[str, list[Box]]) -> None:
    said = {row["case"]: row.get("boxes", "") for row in rows}
    for case in [*said, *(c for c in boxes if c not in said)]:
        n, cell = len(boxes.get(case, ())), said.get(case)
        if cell != str(n) and (cell or n):
            told = "has no row" if cell is None else f"says {cell or 'nothing'} under boxes"
            raise CohortError(
                f"{_BOXES} holds {n} boxes of the case {case}, for which cohort.csv {told}.",
                "The column boxes counts the rows of the case, and is empty where nobody looked.",
                f"Correct {_BOXES} or the number in cohort.csv.",
            )


def _label(task: str, classes: list[str], row: Mapping[str, str]) -> Label:
    if task == "multilabel":
        cells = [row[f"label:{name}"] for name in classes]
        return None if not any(cells) else tuple(int(float(c)) if c else None for c in cells)
    cell = row["label"]
    if cell == "":
        return None
    if task == "regress":
        return float(cell)
    if cell not in classes:
        raise ValueError(f"the label {cell!r}")
    return classes.index(cell)


def _mask_code(facts: Mapping[str, Any]) -> MaskCode:
    return MaskCode(
        values=tuple(tuple(v) for v in facts["values"]),
        ignore=facts["ignore"],
        kind=facts["kind"],
        colours=tuple(tuple(c) for c in facts["colours"]),
        sides=tuple(tuple(s) for s in facts["sides"]),
        names=tuple(tuple(n) for n in facts.get("names", ())),
        background=tuple(facts.get("background", ())),
    )


def _value(cell: str) -> str | float | None:
    if cell == "":
        return None
    try:
        return float(cell)
    except ValueError:
        return cell
