"""COCO: a json file of images, categories and annotations, one for each part or one for all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from scanwright.core import Box, CohortError, FormatError, Guess, Part, Skipped
from scanwright.intake.boxes import box_of_corners, refuse_shares
from scanwright.intake.layouts.class_folders import from_names
from scanwright.intake.layouts.finder import Finder
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes
from scanwright.intake.layouts.table_columns import folder_of
from scanwright.intake.layouts.table_rows import from_headers
from scanwright.intake.place import Place
from scanwright.intake.words import part_of, tokens

_HEAD = 1 << 22


@dataclass
class _Found:
    """What the files say of one picture."""

    part: Part | None
    boxes: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """A json file of ``images`` and ``annotations``."""
    if wishes.task not in (None, "detect"):
        return None
    files = _files(place, first_only=True)
    return Fit(f"{files[0]} holds images and annotations as COCO has them") if files else None


def read(place: Place, wishes: Wishes) -> Reading:
    """One case an entry of ``images`` whose picture is there; entries without annotation hold nothing."""
    reading = Reading(place.root, [], "boxes")
    files = _files(place)
    found: dict[str, _Found] = {}
    order: dict[str, Any] = {}
    crowds = bare = twice = 0
    for file in files:
        content = _load(place, file)
        finder = Finder(place, folder_of(file))
        names = {row["id"]: str(row.get("name", row["id"])) for row in content.get("categories", ())}
        order |= {name: n for n, name in names.items() if name not in order}
        own: dict[Any, str] = {}
        for row in content["images"]:
            image = finder.image(str(row["file_name"]))
            if image is None:
                reading.skipped.append(Skipped(str(row["file_name"]), f"{file} names it and it is not there"))
                continue
            own[row["id"]] = image
            found.setdefault(image, _Found(_part(file) if len(files) > 1 else _part(image)))
        before = {image: set(found[image].boxes) for image in own.values()}
        told: list[float] = []
        for row in content["annotations"]:
            image = own.get(row["image_id"])
            edges = row.get("bbox")
            crowds += bool(row.get("iscrowd"))
            bare += not edges
            if image is None or not edges or row.get("iscrowd"):
                continue
            kind = names.get(row["category_id"], str(row["category_id"]))
            order.setdefault(kind, row["category_id"])
            box = (kind, _edges(file, row, edges))
            told += box[1]
            if box in before[image]:
                twice += 1
                continue
            found[image].boxes.append(box)
        refuse_shares(file, told)
    used = {kind for one in found.values() for kind, _ in one.boxes}
    if not used:
        raise CohortError(
            f"{files[0] if files else place.path} holds no box of a picture that is there.",
            "Detection is learnt from boxes (bbox) of pictures under the same folder.",
            "Put the pictures beside the json file, under the names that it gives.",
        )
    classes = tuple(sorted(used, key=lambda kind: (str(order[kind]).zfill(9), kind)))
    for image, one in found.items():
        boxes = tuple(_box(classes.index(kind), image, edges) for kind, edges in one.boxes)
        reading.rows.append(Row(image, part=one.part, boxes=boxes))
    reading.structures = classes
    n = sum(len(one.boxes) for one in found.values())
    reading.guesses.append(Guess("classes", ", ".join(classes), f"{n} boxes in {', '.join(files[:4])} name them"))
    idle = sorted(set(order) - used)
    if idle:
        reading.guesses.append(Guess("categories left out", ", ".join(idle), "no box is of them"))
    if twice:
        reading.guesses.append(Guess("boxes left out", str(twice), "an earlier file gave them for the same image"))
    if crowds or bare:
        text = ", ".join([f"{crowds} crowds"] * bool(crowds) + [f"{bare} without a bbox"] * bool(bare))
        reading.guesses.append(Guess("annotations left out", text, "they are no boxes of single objects"))
    if place.dicom:
        from_headers(Finder(place), reading)
    elif not any(r.patient for r in reading.rows):
        from_names(reading)
    return reading


def _files(place: Place, *, first_only: bool = False) -> list[str]:
    found = []
    for file in place.named(".json"):
        try:
            with (place.root / file).open("rb") as stream:
                head = stream.read(_HEAD)
            keys = set(json.loads(head)) if len(head) < _HEAD else _keys(place, file)
        except (OSError, ValueError, TypeError):
            continue
        if {"images", "annotations"} <= keys:
            found.append(file)
            if first_only:
                break
    return found


def _keys(place: Place, file: str) -> set[str]:
    """Which of the two keys a large file holds anywhere: a long list of images may come before the annotations."""
    wanted, rest = ("images", "annotations"), b""
    found: set[str] = set()
    with (place.root / file).open("rb") as stream:
        while len(found) < len(wanted) and (block := stream.read(_HEAD)):
            found |= {k for k in wanted if f'"{k}"'.encode() in rest + block}
            rest = block[-32:]
    return found


def _load(place: Place, file: str) -> dict[str, Any]:
    try:
        content = json.loads((place.root / file).read_text(encoding="utf-8"))
        for key, needed in (("images", ("id", "file_name")), ("annotations", ("image_id", "category_id"))):
            lacking = next((name for row in content[key] for name in needed if name not in row), None)
            if lacking is not None:
                raise ValueError(f"an entry of {key} has no {lacking}")
        return dict(content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(
            f"{file} cannot be read as COCO ({str(error)[:120]}).",
            "images have id and file_name, annotations image_id, category_id and bbox.",
            "Export it again, or take it away.",
        ) from error


def _edges(file: str, row: dict[str, Any], edges: Any) -> tuple[float, ...]:
    try:
        numbers = tuple(float(v) for v in edges)
        if len(numbers) != 4 or not all(abs(v) < 1e9 for v in numbers):
            raise ValueError
        return numbers
    except (TypeError, ValueError):
        raise FormatError(
            f"The annotation {row.get('id', '?')} of {file} has the bbox {str(edges)[:60]}.",
            "A bbox is four numbers: left, top, width and height in pixels.",
            "Correct it, or take the annotation away.",
        ) from None


def _box(label: int, image: str, edges: tuple[float, ...]) -> Box:
    """Left, top, width and height from the picture's upper left corner, which lies at -0.5."""
    x, y, width, height = edges
    return box_of_corners(label, image, (x - 0.5, y - 0.5, -0.5), (x - 0.5 + width, y - 0.5 + height, 0.5))


def _part(file: str) -> Part | None:
    """The part that a path speaks of: ``train/_annotations.coco.json``, ``instances_val2017.json``."""
    for piece in reversed(PurePosixPath(file).parts):
        for word in (piece, *tokens(piece)):
            part = part_of(word.rstrip("0123456789"))
            if part is not None:
                return part
    return None


LAYOUT = Layout("a COCO folder", fits, read)
