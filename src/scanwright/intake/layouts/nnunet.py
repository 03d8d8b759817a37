"""nnU-Net and the Medical Segmentation Decathlon: ``imagesTr``, ``labelsTr`` and ``dataset.json``."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

from scanwright.core import FormatError, Guess, InputError, Part, ScanwrightError, Skipped
from scanwright.intake.layouts.class_folders import from_names
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes
from scanwright.intake.masks.beside import join_table
from scanwright.intake.masks.look import look_at
from scanwright.intake.masks.names import Naming, naming_of
from scanwright.intake.masks.wish import asked_of
from scanwright.intake.place import Place, stem_of

_CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")
_FOLDERS: tuple[tuple[str, str, Part | None], ...] = (("imagesTr", "labelsTr", None), ("imagesTs", "labelsTs", "test"))


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """``imagesTr`` and ``labelsTr`` lie beside one another, and no classes were asked for."""
    if place.is_file or wishes.task not in (None, "segment", "detect") or (wishes.columns and wishes.task is None):
        return None
    return Fit("it holds imagesTr and labelsTr") if _bases(place) else None


def read(place: Place, wishes: Wishes) -> Reading:
    """Every image of ``imagesTr`` with the label map of its name; ``imagesTs`` only where ``labelsTs`` is there."""
    base = _base(place)
    facts = _dataset_json(place, base)
    reading = Reading(place.root, [], "masks")
    for images, labels, part in _FOLDERS:
        _pair(place, base, (images, labels), part, reading)
    if not reading.rows:
        raise InputError(
            f"No image of {base or place.path.name}/imagesTr has a label map in labelsTr.",
            "An image and its label map have one name; channels end in _0000, _0001 ...",
            "Correct the names.",
        )
    _channels(facts, reading)
    _volumes_in_one_file(facts, reading)
    naming = naming_of(facts["labels"], "dataset.json") if isinstance(facts.get("labels"), dict) else Naming()
    masks = [r.masks[0] for r in reading.rows]
    asked = asked_of(wishes.structures)
    looked = look_at(masks[:1] if naming.values and not asked else masks, place.root, naming=naming, asked=asked)
    reading.structures, reading.mask_code = looked.structures, looked.code
    reading.guesses += looked.guesses
    join_table(reading, place, wishes)
    _first_fold(place, base, reading)
    if not any(r.patient for r in reading.rows):
        from_names(reading)
    for key in ("name", "licence", "license", "reference", "release"):
        if isinstance(facts.get(key), str) and facts[key]:
            reading.facts["licence" if key == "license" else key] = facts[key]
    return reading


def _bases(place: Place) -> list[str]:
    """Folders that hold both ``imagesTr`` and ``labelsTr``."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in place.files:
        parts = PurePosixPath(file).parts
        for n, part in enumerate(parts[:-1]):
            if part in ("imagesTr", "labelsTr"):
                found["/".join(parts[:n])].add(part)
    return sorted(b for b, names in found.items() if len(names) == 2)


def _base(place: Place) -> str:
    bases = _bases(place)
    if len(bases) == 1:
        return bases[0]
    if not bases:
        raise InputError(
            f"{place.path} holds no imagesTr beside labelsTr.",
            "nnU-Net and the Decathlon lay their images and label maps there.",
            "Name the dataset's folder, or leave --layout out.",
        )
    raise InputError(
        f"{place.path} holds {len(bases)} datasets, such as {bases[0]} and {bases[1]}.",
        "A cohort is one of them.",
        f"Name one, such as {place.path / bases[0]}.",
    )


def _dataset_json(place: Place, base: str) -> dict[str, Any]:
    file = f"{base}/dataset.json" if base else "dataset.json"
    if not place.has(file):
        return {}
    try:
        content = json.loads((place.root / file).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{file} cannot be read ({str(error).splitlines()[0][:100]}).",
            "It is a JSON file that names the labels and channels.",
            "Correct it, or take it away: label values are then looked up in the label maps.",
        ) from error
    return content if isinstance(content, dict) else {}


def _pair(place: Place, base: str, names: tuple[str, str], part: Part | None, reading: Reading) -> None:
    images = _cases(place, base, names[0])
    labels = {_cut(f): f for f in _below(place, base, names[1])}
    if not images:
        return
    if not labels and part == "test":
        n = len(images)
        reading.skipped += [Skipped(" | ".join(files), "imagesTs has no labels") for files in images.values()]
        reading.facts["images without a mask"] = str(n)
        reading.guesses.append(Guess("imagesTs", f"{n} images left out", "there are no labels for them"))
        return
    for case, files in images.items():
        mask = labels.pop(case, None)
        if mask is None:
            reading.skipped.append(Skipped(" | ".join(files), f"there is no mask for it in {names[1]}"))
        else:
            reading.rows.append(Row(" | ".join(files), None, case, None, part, {}, (mask,)))
    reading.skipped += [Skipped(m, f"there is no image for this mask in {names[0]}") for m in labels.values()]


def _cases(place: Place, base: str, folder: str) -> dict[str, list[str]]:
    """Files of each case, its channels in order; a number at the end is a channel where ``_0000`` is there."""
    files = _below(place, base, folder)
    stems = {_cut(f): f for f in files}
    firsts = {m["case"] for s in stems if (m := _CHANNEL.match(s)) and m["channel"] == "0000"}
    found: dict[str, list[str]] = {}
    for stem, file in sorted(stems.items(), key=lambda p: files.index(p[1])):
        match = _CHANNEL.match(stem)
        case = match["case"] if match and match["case"] in firsts else stem
        found.setdefault(case, []).append(file)
    return {case: sorted(group) for case, group in found.items()}


def _below(place: Place, base: str, folder: str) -> list[str]:
    prefix = f"{base}/{folder}/" if base else f"{folder}/"
    return [f for f in place.images if f.startswith(prefix)]


def _cut(file: str) -> str:
    return stem_of(file)


def _channels(facts: dict[str, Any], reading: Reading) -> None:
    """Names of the channels, the modality, and cases that lack a channel."""
    named = facts.get("channel_names") or facts.get("modality") or {}
    names = [str(v) for v in named.values()] if isinstance(named, dict) else []
    if names:
        reading.facts["channels"] = ", ".join(names)
        reading.modality = next((code for n in names if (code := _MODALITY.get(n.strip().upper()))), None)
    if reading.modality:
        reading.guesses.append(Guess("modality", reading.modality, "dataset.json says so", "--modality"))
    most = max(r.source.count(" | ") for r in reading.rows)
    short = [r for r in reading.rows if r.source.count(" | ") < most]
    if short:
        reading.skipped += [
            Skipped(r.source, f"it has {r.source.count(' | ') + 1} of {most + 1} channels") for r in short
        ]
        reading.rows = [r for r in reading.rows if r not in short]


_MODALITY = {"MRI": "MR", "MR": "MR", "CT": "CT", "PET": "PT", "US": "US", "ULTRASOUND": "US", "T1": "MR", "T1W": "MR",
             "T2": "MR", "T2W": "MR", "FLAIR": "MR", "T1GD": "MR", "T1CE": "MR", "ADC": "MR"}  # fmt: skip


def _volumes_in_one_file(facts: dict[str, Any], reading: Reading) -> None:
    """The Decathlon stores channels along a fourth axis, which elsewhere is time."""
    from dataclasses import replace

    from scanwright.io import probe

    rows, counts = [], set()
    for row in reading.rows:
        n = 1
        if " | " not in row.source and row.source.lower().endswith((".nii", ".nii.gz")):
            try:
                shape = probe(reading.root / row.source).shape
            except ScanwrightError:
                shape = ()
            n = shape[3] if len(shape) == 4 else 1
        counts.add(n)
        rows.append(replace(row, source=" | ".join(f"{row.source}[{c}]" for c in range(n))) if n > 1 else row)
    if counts != {1}:
        reading.rows = rows
        why = "the images have four axes, and in this layout the fourth is the channel"
        reading.guesses.append(Guess("channels", ", ".join(map(str, sorted(counts))), why))


def _first_fold(place: Place, base: str, reading: Reading) -> None:
    """Parts of the first fold of ``splits_final.json``, where no table gave any."""
    from dataclasses import replace

    file = f"{base}/splits_final.json" if base else "splits_final.json"
    if any(r.part in ("train", "val") for r in reading.rows) or not place.has(file):
        return
    try:
        fold = json.loads((place.root / file).read_text(encoding="utf-8"))[0]
        parts: dict[str, Part] = {str(i): p for p in ("train", "val") for i in fold[p]}  # type: ignore[misc]
    except (OSError, ValueError, LookupError, TypeError):
        reading.skipped.append(Skipped(file, "it is no list of folds with train and val"))
        return
    reading.rows = [replace(r, part=r.part or parts.get(r.id)) for r in reading.rows]
    reading.guesses.append(Guess("parts", "fold 0", f"of {file}"))


LAYOUT = Layout("an nnU-Net or Decathlon folder", fits, read)
