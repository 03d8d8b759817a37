"""Layouts whose truth is a mask or a box: recognised, and refused in plain words until they are supported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NoReturn

from scanwright.core import InputError
from scanwright.intake.layouts.arrays import masks_not_yet
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Wishes
from scanwright.intake.place import Place, stem_of
from scanwright.intake.words import MASK_FOLDERS, plain, tokens

_MASK_ENDS = frozenset(
    ("mask", "masks", "seg", "label", "labels", "segmentation", "gt", "1stho", "2ndho", "groundtruth", "manual1")
)


def nnunet_fits(place: Place, wishes: Wishes) -> Fit | None:
    """``imagesTr`` and ``labelsTr``, as nnU-Net and the Decathlon have them."""
    tops = {part for f in place.files for part in PurePosixPath(f).parts[:2]}
    return Fit("it holds imagesTr and labelsTr") if {"imagesTr", "labelsTr"} <= tops else None


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


def masks_fit(place: Place, wishes: Wishes) -> Fit | None:
    """A folder of masks beside one of images, or masks beside images by a suffix of their names."""
    if place.is_file:
        return None
    stems = {stem_of(f) for f in place.images}
    for image in place.images:
        folders = PurePosixPath(image).parts[:-1]
        folder = next((f for f in folders if plain(f) in MASK_FOLDERS), None)
        if folder:
            return Fit(f"the folder {folder} holds masks")
        stem = stem_of(image)
        words = tokens(stem)
        if len(words) > 1 and words[-1] in _MASK_ENDS and any(stem[: -len(words[-1]) - 1] == s for s in stems):
            return Fit(f"{PurePosixPath(image).name} is the mask of an image beside it")
    return None


def _masks(name: str) -> Callable[[Place, Wishes], Reading]:
    def read(place: Place, wishes: Wishes) -> NoReturn:
        raise masks_not_yet(f"{place.path} is {name}: its truth is masks")

    return read


def _boxes(name: str) -> Callable[[Place, Wishes], Reading]:
    def read(place: Place, wishes: Wishes) -> NoReturn:
        raise InputError(
            f"{place.path} is {name}: its truth is boxes.",
            "Detection is not supported yet; Scanwright learns classes and numbers for now.",
            "Give each image a class: one folder per class, or a table named with --labels.",
        )

    return read


NNUNET = Layout("nnU-Net or Decathlon folder (not supported yet)", nnunet_fits, _masks("an nnU-Net folder"))
VOC = Layout("Pascal VOC folder (not supported yet)", voc_fits, _boxes("a Pascal VOC folder"))
COCO = Layout("COCO folder (not supported yet)", coco_fits, _boxes("a COCO folder"))
MASKS = Layout("images beside masks (not supported yet)", masks_fit, _masks("a folder of images and masks"))
