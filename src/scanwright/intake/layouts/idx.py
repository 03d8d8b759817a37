"""The idx files of MNIST and its kin: ``train-images-idx3-ubyte.gz`` beside its labels."""

from __future__ import annotations

import re

from scanwright.core import FormatError, Part
from scanwright.intake.layouts.arrays import Pair, reading_of
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Wishes
from scanwright.intake.place import Place
from scanwright.intake.words import PART_WORDS, tokens
from scanwright.io import open_array
from scanwright.io.arrays import array_keys

_NAME = re.compile(r"(?i)(.*)(images|labels)[-_.]idx\d[-_.]ubyte(\.gz)?$")


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """An idx file of images lies there."""
    images = [f for f in _files(place) if "images" in f.lower()]
    return Fit(f"{images[0]} is an idx file of images") if images else None


def read(place: Place, wishes: Wishes) -> Reading:
    """Pair ``images`` with ``labels`` by the rest of their names."""
    files = _files(place)
    labels = {_key(f): f for f in files if "labels" in f.lower()}
    pairs = []
    for file in (f for f in files if "images" in f.lower()):
        beside = labels.get(_key(file))
        if beside is None:
            raise FormatError(
                f"{file} has no file of labels beside it.",
                "idx images need a file of the same name with 'labels' for 'images'.",
                "Add the file of labels.",
            )
        shape = array_keys(place.root / file)[""][0]
        pairs.append(Pair(_part(file), file, shape, open_array(beside, root=place.root)))
    order = {"train": 0, "val": 1, "test": 2, None: 3}
    reading = reading_of(place.path, place.root, sorted(pairs, key=lambda p: order[p.part]), "")
    reading.label_name = "class"
    return reading


def _files(place: Place) -> list[str]:
    if place.is_file:
        if not _NAME.match(place.path.name):
            return []
        return sorted(p.name for p in place.root.iterdir() if _NAME.match(p.name))
    return [f for f in place.files if _NAME.match(f) and f.count("/") <= 1]


def _key(file: str) -> str:
    match = _NAME.match(file)
    return match[1].lower() if match else file


def _part(file: str) -> Part | None:
    return next((PART_WORDS[t] for t in tokens(file) if t in PART_WORDS), None)


LAYOUT = Layout("idx files", fits, read)
