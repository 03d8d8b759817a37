"""One ``.npz`` with images and labels: MedMNIST, Keras, or plain ``images`` + ``labels``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scanwright.core import FormatError, Guess, Part
from scanwright.intake.layouts.arrays import Pair, reading_of, role
from scanwright.intake.layouts.mask_arrays import MaskPair, are_masks, masked_reading
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Wishes
from scanwright.intake.place import Place, stem_of, suffix_of
from scanwright.io import open_array
from scanwright.io.arrays import array_keys


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """A single npz, or a folder whose only images are npz files with images and labels."""
    files = _candidates(place)
    if not files or place.images:
        return None
    if place.is_file:
        return Fit(f"{place.path.name} is an npz archive of arrays")
    for file in files:
        names = [role(n) for n in array_keys(place.root / file)]
        if any(n and n[0] == "images" for n in names):
            return Fit(f"the folder holds {file} with arrays of images")
    return None


def read(place: Place, wishes: Wishes) -> Reading:
    """Pair the arrays by their names."""
    file, guess = _choose(place)
    path = place.root / file
    shapes = array_keys(path)
    masked = _masked(place.root, file, shapes, wishes)
    if masked:
        found = masked_reading(path, place, masked, wishes)
        found.guesses += [guess] if guess else []
        return found
    pairs = _pairs(place.root, file, shapes)
    if not pairs:
        raise FormatError(
            f"{path.name} holds the arrays {', '.join(shapes) or '(none)'}.",
            "Images and labels are named train_images and train_labels, x_train and y_train, or images and labels.",
            "Save the arrays under such names.",
        )
    reading = reading_of(path, place.root, pairs, stem_of(file))
    if guess:
        reading.guesses.insert(0, guess)
    return reading


def _candidates(place: Place) -> list[str]:
    return [f for f in place.files if suffix_of(f) == ".npz" and f.count("/") <= 1]


def _choose(place: Place) -> tuple[str, Guess | None]:
    """The one file, or the one that is named as the folder, or the one with the shortest name."""
    files = _candidates(place)
    if len(files) == 1:
        return files[0], None
    usable = [f for f in files if any((role(n) or ("",))[0] == "images" for n in array_keys(place.root / f))] or files
    chosen = min(usable, key=lambda f: (stem_of(f) != place.root.name, len(f), f))
    others = ", ".join(f for f in files if f != chosen)
    return chosen, Guess("file", chosen, f"it has the plainest name; name another file to take it instead of {others}")


def _roles(shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[Part | None, dict[str, str]]:
    found: dict[Part | None, dict[str, str]] = {}
    for name in shapes:
        said = role(name)
        if said:
            found.setdefault(said[1], {}).setdefault(said[0], name)
    return found


def _masked(root: Path, file: str, shapes: Mapping[str, tuple[tuple[int, ...], str]], wishes: Wishes) -> list[MaskPair]:
    """Pairs whose labels are masks; masks beside classes only where the task segment was asked for."""
    pairs = []
    found = _roles(shapes)
    for part in ("train", "val", "test", None):
        names = found.get(part, {})
        masks = names.get("masks") if wishes.task in ("segment", "detect") or "labels" not in names else None
        masks = masks or names.get("labels")
        if "images" in names and masks and are_masks(shapes[names["images"]][0], shapes[masks][0]):
            people = open_array(f"{file}::{names['patients']}", root=root) if "patients" in names else None
            images = names["images"]
            pairs.append(
                MaskPair(part, f"{file}::{images}", shapes[images][0], f"{file}::{masks}", shapes[masks][0], people)
            )
    return pairs


def _pairs(root: Path, file: str, shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> list[Pair]:
    found = _roles(shapes)

    def array(names: dict[str, str], what: str) -> NDArray[Any] | None:
        return open_array(f"{file}::{names[what]}", root=root) if what in names else None

    return [
        Pair(
            part,
            f"{file}::{names['images']}",
            shapes[names["images"]][0],
            array(names, "labels"),
            array(names, "patients"),
        )
        for part in ("train", "val", "test", None)
        if (names := found.get(part)) and "images" in names
    ]


LAYOUT = Layout("an npz file of arrays", fits, read)
