"""Layouts whose truth is a box: recognised, and refused in plain words until they are supported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NoReturn

from scanwright.core import InputError
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Wishes
from scanwright.intake.place import Place


def voc_fits(place: Place, wishes: Wishes) -> Fit | None:
    """Boxes in xml files under ``Annotations``."""
    xml = [f for f in place.named(".xml") if "annotations" in (p.lower() for p in PurePosixPath(f).parts[:-1])]
    return Fit(f"{xml[0]} and {len(xml) - 1} more hold boxes") if xml and place.images else None


def coco_fits(place: Place, wishes: Wishes) -> Fit | None:
    """A json file of ``images`` and ``annotations``."""
    for file in place.named(".json"):
        try:
            with (place.root / file).open("rb") as stream:
                head = stream.read(1 << 22)
            keys = (
                set(json.loads(head))
                if len(head) < 1 << 22
                else {k for k in ("images", "annotations") if f'"{k}"'.encode() in head}
            )
        except (OSError, ValueError, TypeError):
            continue
        if {"images", "annotations"} <= keys:
            return Fit(f"{file} holds images and annotations as COCO has them")
    return None


def _boxes(name: str) -> Callable[[Place, Wishes], Reading]:
    def read(place: Place, wishes: Wishes) -> NoReturn:
        raise InputError(
            f"{place.path} is {name}: its truth is boxes.",
            "Detection is not supported yet; Scanwright learns classes, numbers and masks.",
            "Give each image a class: one folder per class, or a table named with --labels.",
        )

    return read


VOC = Layout("a Pascal VOC folder (not supported yet)", voc_fits, _boxes("a Pascal VOC folder"))
COCO = Layout("a COCO folder (not supported yet)", coco_fits, _boxes("a COCO folder"))
