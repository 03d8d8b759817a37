"""Names of label values: from ``dataset.json``, a ``labels`` file beside the masks, or the phantom's manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scanwright.core import FormatError
from scanwright.intake.layouts.table_file import read_sheet
from scanwright.intake.place import Place, stem_of, suffix_of
from scanwright.intake.words import plain

_STEMS = frozenset(
    ("labels", "label", "classes", "structures", "labelmap", "label_map", "label_names", "class_names", "label_dict")
)
_VALUE_COLUMNS = ("value", "id", "label", "label_id", "label_value", "index", "class_id", "pixel_value", "pixel")
_NAME_COLUMNS = ("name", "structure", "label_name", "class_name", "organ", "class", "label")
_BACKGROUND = frozenset(("background", "bg", "void", "clear_label", "unlabelled", "unlabeled"))
_PHANTOM = {"chest-ct": {15: "nodule"}}
"""What a phantom's label maps are asked for; their other values are anatomy (tests/intake holds it against the phantom)."""


@dataclass(frozen=True, slots=True)
class Naming:
    """What a file says of label values.

    Args:
        values: Structure name to its label values, in order; without background.
        ignore: Value of voxels that are neither trained on nor judged.
        source: Name of the file.
        rest: Whether values that are not named are background.
    """

    values: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None
    source: str = ""
    rest: bool = False

    @property
    def by_value(self) -> dict[int, str]:
        """Names of the values that are a structure of their own."""
        return {values[0]: name for name, values in self.values.items() if len(values) == 1}


def naming_of(labels: Mapping[Any, Any], source: str) -> Naming:
    """Names as ``dataset.json`` writes them, in either direction.

    Args:
        labels: ``{"0": "background", "1": "liver"}`` (Decathlon) or
            ``{"background": 0, "whole": [1, 2], "ignore": 3}`` (nnU-Net).
        source: Name of the file.

    Returns:
        The names.

    Raises:
        FormatError: A value is no whole number.
    """
    values: dict[str, tuple[int, ...]] = {}
    ignore = None
    for key, entry in labels.items():
        value_first = str(key).strip().isdigit() and isinstance(entry, str) and not entry.strip().isdigit()
        name, numbers = (str(entry), key) if value_first else (str(key), entry)
        found = tuple(_whole(n, source) for n in (numbers if isinstance(numbers, list | tuple) else [numbers]))
        if plain(name) == "ignore" and len(found) == 1:
            ignore = found[0]
        elif plain(name) not in _BACKGROUND and found != (0,):
            values[name.strip()] = found
    return Naming(values, ignore, source)


def names_in_files(place: Place) -> Naming:
    """Look for a file that names the label values.

    Args:
        place: Where the masks lie; ``dataset.json``, ``labels.json``, ``labels.txt``, ``classes.csv`` and the like
            in the folder or one below are read.

    Returns:
        What the first such file says; empty when there is none.
    """
    phantom = _phantom(place)
    if phantom.values:
        return phantom
    for file in sorted(place.files, key=lambda f: (f.count("/"), stem_of(f) != "dataset", f)):
        stem, suffix = plain(stem_of(file)), suffix_of(file)
        if file.count("/") > 1 or not (stem in _STEMS or (stem == "dataset" and suffix == ".json")):
            continue
        try:
            found = _READ.get(suffix, _nothing)(place.root / file, file)
        except (OSError, ValueError, FormatError):
            continue
        if found.values:
            return found
    return Naming()


def sides_of(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of structures that are left and right of each other.

    Args:
        names: Structure names.

    Returns:
        Pairs of indices, left first.

    Example:
        >>> sides_of(["lung left", "heart", "lung right"])
        ((0, 2),)
    """
    found: dict[str, dict[str, int]] = {}
    for i, name in enumerate(names):
        words = [w for w in re.split(r"[^0-9a-z]+", name.casefold()) if w]
        side = next((s for w in words if (s := _SIDES.get(w))), None)
        if side:
            rest = " ".join(w for w in words if w not in _SIDES)
            found.setdefault(rest, {}).setdefault(side, i)
    return tuple((two["left"], two["right"]) for two in found.values() if len(two) == 2)


_SIDES = {"left": "left", "l": "left", "lt": "left", "right": "right", "r": "right", "rt": "right"}


def _json(path: Path, file: str) -> Naming:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    labels = content.get("labels", content) if isinstance(content, dict) else None
    return naming_of(labels, file) if isinstance(labels, dict) else Naming()


def _text(path: Path, file: str) -> Naming:
    """Lines such as ``1 liver``, ``1: liver`` or, from the value 1 on, ``liver``."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    numbered = [re.fullmatch(r"(\d+)[\s,;:=\t]+(.+)", line) for line in lines]
    if all(numbered):
        return naming_of({m[1]: m[2].strip() for m in numbered if m}, file)
    if any(numbered) or any(len(line) > 40 for line in lines):
        return Naming()
    first = 0 if lines and plain(lines[0]) in _BACKGROUND else 1
    return naming_of({str(n): line for n, line in enumerate(lines, start=first)}, file)


def _table(path: Path, file: str) -> Naming:
    sheet = read_sheet(path, file)
    value = next(
        (c for n in _VALUE_COLUMNS for c in sheet.columns if plain(c) == n and _all_whole(sheet.columns[c])), None
    )
    name = next((c for n in _NAME_COLUMNS for c in sheet.columns if plain(c) == n and c != value), None)
    if value is None or name is None or len(set(sheet.columns[value])) < len(sheet):
        return Naming()
    return naming_of(dict(zip(sheet.columns[value], sheet.columns[name], strict=True)), file)


def _nothing(path: Path, file: str) -> Naming:
    return Naming()


_READ = {".json": _json, ".txt": _text, ".csv": _table, ".tsv": _table}


def _phantom(place: Place) -> Naming:
    if not place.has("phantom.json"):
        return Naming()
    try:
        content = json.loads((place.root / "phantom.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Naming()
    known = _PHANTOM.get(str(content.get("kind")) if isinstance(content, dict) else "", {})
    return Naming({name: (value,) for value, name in known.items()}, None, "phantom.json", rest=True)


def _all_whole(cells: Sequence[str]) -> bool:
    return all(c.isdigit() for c in cells)


def _whole(value: Any, source: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0 or number > 65535 or (isinstance(value, float) and value != number):
        raise FormatError(
            f"{source} gives the label value {value!r}.",
            "A label value is a whole number from 0 to 65535, or a list of such.",
            'Correct the "labels" of the file.',
        )
    return number
