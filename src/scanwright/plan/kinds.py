"""What sort of images a cohort holds, and how each sort may be varied in training."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from scanwright.core import Augmentation, Cohort, Fingerprint

_CODES = {
    **dict.fromkeys(("CR", "DX", "DR", "RG", "RF", "XA", "PX", "IO"), "radiograph"),
    "MG": "mammogram",
    "US": "ultrasound",
    "IVUS": "ultrasound",
    "CT": "ct",
    "MR": "mr",
    "PT": "nuclear",
    "NM": "nuclear",
    "SM": "microscopy",
    "GM": "microscopy",
    "OP": "fundus",
    "OPT": "oct",
    "ES": "photo",
    "DMS": "photo",
}
_WORDS: dict[str, str] = {
    "radiograph": r"pneumonia|chest|x-?ray|cxr|thorax|radiograph|tuberculosis",
    "mammogram": r"mammo|mias\b|mias_|ddsm|inbreast",
    "ultrasound": r"ultraso|sono|busi\b",
    "microscopy": r"histo|pathmnist|blood|tissue|microscop|nuclei|cyto|smear|stain",
    "fundus": r"fundus|retina",
    "oct": r"\boct|octmnist",
    "photo": r"derma|skin|melanoma|naevus|nevus|endoscop|colonoscop",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of images.

    Args:
        words: What it is called in reasons.
        augmentation: Changes that leave the label true; flips are weighed again for each cohort.
        why: The reason, in one sentence.
    """

    words: str
    augmentation: Augmentation
    why: str


def _changes(**values: Any) -> Augmentation:
    """An augmentation from the fields that are not zero."""
    return Augmentation(**values)


_GREY = _changes(
    flip_axes=(1,),
    rotate_deg=12,
    scale=0.12,
    shift=0.08,
    shear=0.05,
    gamma=0.3,
    contrast=0.25,
    brightness=0.2,
    noise=0.1,
    blur=0.7,
    low_resolution=0.6,
    cutout=0.15,
)
_COLOUR = _changes(
    flip_axes=(0, 1),
    rotate_deg=20,
    scale=0.15,
    shift=0.08,
    shear=0.05,
    rotate90=True,
    gamma=0.2,
    contrast=0.2,
    brightness=0.15,
    noise=0.05,
    blur=0.7,
    low_resolution=0.6,
    cutout=0.2,
    hue=0.03,
    saturation=0.2,
)
_VOLUME = _changes(
    flip_axes=(0,),
    rotate_deg=12,
    scale=0.12,
    shift=0.08,
    elastic=0.02,
    gamma=0.2,
    contrast=0.2,
    brightness=0.15,
    noise=0.08,
    blur=0.5,
    low_resolution=0.6,
)
_ULTRASOUND = _changes(
    flip_axes=(1,),
    rotate_deg=15,
    scale=0.2,
    shift=0.1,
    shear=0.08,
    elastic=0.02,
    gamma=0.3,
    contrast=0.3,
    brightness=0.25,
    noise=0.1,
    blur=1.0,
    low_resolution=0.5,
    cutout=0.25,
)
_SHAPE = _changes(rotate_deg=15, scale=0.15, shift=0.08, shear=0.05, elastic=0.015)
_CHARACTER = _changes(
    rotate_deg=12,
    scale=0.12,
    shift=0.08,
    shear=0.15,
    elastic=0.015,
    gamma=0.2,
    contrast=0.2,
    brightness=0.1,
    noise=0.05,
    blur=0.5,
    low_resolution=0.7,
)

KINDS: dict[str, Kind] = {
    "radiograph": Kind(
        "radiographs",
        _GREY,
        "Gravity and anatomy fix up and down, so there is no vertical flip; a mirrored chest keeps its findings.",
    ),
    "mammogram": Kind(
        "mammograms", _GREY, "A mirrored breast looks like the other side's; up and down stay as they are."
    ),
    "ultrasound": Kind(
        "ultrasound pictures",
        _ULTRASOUND,
        "The transducer is at the top: left and right may change places, depth may not.",
    ),
    "ct": Kind("CT", _VOLUME, "A mirrored body keeps its findings; other flips make bodies that do not exist."),
    "mr": Kind("MR", _VOLUME, "A mirrored body keeps its findings; other flips make bodies that do not exist."),
    "nuclear": Kind(
        "nuclear medicine", _VOLUME, "A mirrored body keeps its findings; other flips make bodies that do not exist."
    ),
    "microscopy": Kind("microscopy", _COLOUR, "A slide has no up or left: all flips and quarter turns are allowed."),
    "fundus": Kind(
        "fundus photographs",
        _COLOUR.model_copy(update={"rotate90": False}),
        "A mirrored right eye looks like a left one, and cameras are tilted.",
    ),
    "oct": Kind(
        "optical coherence tomography",
        _GREY,
        "The layers have a fixed order from top to bottom, so there is no vertical flip.",
    ),
    "photo": Kind("photographs", _COLOUR, "A lesion has no fixed direction: all flips and quarter turns are allowed."),
    "character": Kind(
        "characters", _CHARACTER, "A mirrored or upturned character is another character, so there is no flip."
    ),
    "shape": Kind("shapes (two-valued volumes)", _SHAPE, "Only the shape speaks: places may change, values may not."),
    "grey": Kind("grey pictures of unknown modality", _GREY, "Up and down are kept, since they may mean something."),
    "colour": Kind(
        "colour pictures of unknown modality",
        _COLOUR.model_copy(update={"rotate90": False, "flip_axes": (1,)}),
        "Up and down are kept, since they may mean something.",
    ),
    "volume": Kind(
        "volumes of unknown modality",
        _VOLUME,
        "A mirrored body keeps its findings; other flips make bodies that do not exist.",
    ),
}
"""Name of a sort of images to its row."""


def kind_of(cohort: Cohort, fingerprint: Fingerprint) -> tuple[str, str]:
    """Which row of :data:`KINDS` a cohort belongs to.

    Args:
        cohort: Modality, names of the cohort and of its classes.
        fingerprint: Measured facts.

    Returns:
        A key of :data:`KINDS`, and the evidence in words.
    """
    if fingerprint.two_valued and fingerprint.dimension == 3:
        return "shape", "the volumes hold two values only"
    if _characters(cohort, fingerprint):
        return "character", f"{len(cohort.classes)} classes are named by one character each and the pictures are small"
    modality = fingerprint.modality or ""
    if modality in _CODES:
        return _CODES[modality], f"the modality is {modality}"
    text = " ".join([cohort.name, *cohort.classes, *(str(v) for v in cohort.facts.values())]).lower()
    if fingerprint.dimension == 2:
        for kind, pattern in _WORDS.items():
            found = re.search(pattern, text)
            if found and (kind not in ("radiograph", "mammogram", "ultrasound", "oct") or not fingerprint.colour):
                return kind, f"the names speak of {found.group(0).strip('_')!r}"
    if fingerprint.dimension == 3:
        return "volume", "the modality is unknown"
    return ("colour" if fingerprint.colour else "grey"), "the modality is unknown"


def choose_augmentation(cohort: Cohort, fingerprint: Fingerprint, kind: str) -> tuple[Augmentation, dict[str, str]]:
    """Changes of training cases for one cohort.

    Args:
        cohort: Its class names decide on the left-right flip.
        fingerprint: Colour and geometry.
        kind: A key of :data:`KINDS`.

    Returns:
        The augmentation, and reasons by field.
    """
    row = KINDS[kind]
    found = row.augmentation
    reasons = {
        "augmentation": f"Mild changes for {row.words}: they keep the label and imitate other scanners and positions."
    }
    flips = tuple(a for a in found.flip_axes if a < fingerprint.dimension)
    if fingerprint.dimension == 2 and found is _VOLUME:  # columns of a slice, as it is hung
        flips = (1,)
    reasons["augmentation.flip_axes"] = row.why
    paired = paired_names(cohort.classes)
    if paired:
        side = 1 if fingerprint.dimension == 2 else 0
        known = fingerprint.dimension == 2 or fingerprint.spacing_median is not None
        flips = tuple(a for a in flips if known and a != side)
        reasons["augmentation.flip_axes"] = f"No left-right flip: the label {paired!r} depends on the side."
    elif fingerprint.dimension == 3 and fingerprint.spacing_median is None and kind != "shape":
        flips = ()
        reasons["augmentation.flip_axes"] = "No flip: the volumes do not say which axis is left-right."
    changes: dict[str, object] = {"flip_axes": flips}
    if paired or kind == "character":
        changes["rotate90"] = False
    if found.rotate90 and len(set(fingerprint.shape_median[:2])) > 1:
        changes["rotate90"] = False
        reasons["augmentation.rotate90"] = "No quarter turns: the pictures are not square."
    if not fingerprint.colour:
        changes |= {"hue": 0.0, "saturation": 0.0}
        reasons["augmentation.hue"] = "No hue or saturation on grey images."
    elif found.hue:
        reasons["augmentation.hue"] = "Stains, lamps and cameras differ a little in colour."
    if fingerprint.two_valued and kind != "shape":
        changes |= {"gamma": 0.0, "contrast": 0.0, "brightness": 0.0, "noise": 0.0}
        reasons["augmentation.gamma"] = "Two-valued images have no intensities to vary."
    return found.model_copy(update=changes), reasons


def paired_names(classes: tuple[str, ...]) -> str:
    """A class name that depends on the side of the body, or an empty text.

    Args:
        classes: Class names.

    Returns:
        The first name that says left or right, laterality, situs or dextrocardia; single
        letters count only as a pair (``L`` and ``R``, ``OD`` and ``OS``).

    Example:
        >>> paired_names(("left lung", "none")), paired_names(("L", "R")), paired_names(("K", "L"))
        ('left lung', 'L', '')
    """
    words = {name: set(re.split(r"[^a-z0-9]+", name.lower())) for name in classes}
    every = set().union(*words.values()) if words else set()
    pairs = [pair for pair in ({"l", "r"}, {"od", "os"}, {"lt", "rt"}, {"lao", "rao"}) if pair <= every]
    sided = {"left", "right", "laterality", "situs", "dextrocardia", "levocardia", "sinister", "dexter"}.union(*pairs)
    return next((name for name in classes if words[name] & sided), "")


def _characters(cohort: Cohort, fingerprint: Fingerprint) -> bool:
    single = all(len(name.strip()) == 1 and name.strip().isalnum() for name in cohort.classes)
    numbered = [name.strip() for name in cohort.classes] == [str(i) for i in range(len(cohort.classes))]
    enough = len(cohort.classes) >= 10 if numbered else len(cohort.classes) >= 5
    small = max(fingerprint.shape_max[:2]) <= 64
    known = fingerprint.modality in _CODES
    return bool(single and enough and small and fingerprint.dimension == 2 and not fingerprint.colour and not known)
