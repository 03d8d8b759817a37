"""Which mask belongs to which image: by folder, by stem, by the end of the name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from scanwright.core import Part
from scanwright.intake.layouts.series import NO_IMAGES, series_of
from scanwright.intake.masks.channels import channels_in
from scanwright.intake.place import Place, stem_of
from scanwright.intake.words import IMAGE_FOLDERS, MASK_FOLDERS, part_of, plain
from scanwright.io.clip import natural

MASK_WORDS = frozenset(
    [
        "mask",
        "masks",
        "seg",
        "segs",
        "segmentation",
        "segmentations",
        "label",
        "labels",
        "labelmap",
        "gt",
        "groundtruth",
        "truth",
        "annotation",
        "annotations",
        "anno",
        "manual",
        "contour",
        "contours",
        "roi",
        "rois",
        "delineation",
    ]
)
OBSERVER = re.compile(
    r"(?i)^(?:\d+(?:st|nd|rd|th)(?:ho|manual|observer|reader)?|manual\d+|observer\d+|reader\d+|rater\d+|ho\d+|[ar]nnotator\d+)$"
)
IMAGE_WORDS = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "im",
        "input",
        "inputs",
        "volume",
        "vol",
        "orig",
        "original",
        "raw",
        "scan",
        "scans",
        "picture",
        "pictures",
        "photo",
        "data",
        "jpegimages",
        "png",
        "jpg",
        "tif",
        "dicom",
        "dcm",
        "nifti",
    ]
)
_BARE = IMAGE_WORDS | {"ct", "mr", "mri", "pet", "t1", "t2", "flair"}


@dataclass(frozen=True)
class Picture:
    """An image, or a mask, and what its name says.

    Args:
        source: Locator.
        name: Stem, or the folder of a series.
        folders: Folders above it.
        id: Name of the case; empty to be made from the source.
        patient: From a DICOM header.
        files: Files of a series.
    """

    source: str
    name: str
    folders: tuple[str, ...]
    id: str = ""
    patient: str | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mask:
    """A mask and what tells it from the others of its image.

    Args:
        source: Locator.
        says: Words of its name and folders that its image has not: ``("1stho",)``, ``("liver",)``.
    """

    source: str
    says: tuple[str, ...] = ()


@dataclass
class Pairs:
    """Images with their masks.

    Args:
        found: Image and its masks, in natural order.
        alone: Images that have no mask.
        orphans: Masks that have no image.
        channels: Words of the channels where several files are one image, such as ``("t1", "flair")``.
        short: Images that lack channels, and which.
    """

    found: list[tuple[Picture, list[Mask]]] = field(default_factory=list)
    alone: list[Picture] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    channels: tuple[str, ...] = ()
    short: list[tuple[str, str]] = field(default_factory=list)


def pairs_of(place: Place) -> Pairs:
    """Images and masks of a place, paired by their names.

    Args:
        place: Where to look; DICOM series are images.

    Returns:
        What belongs together and what is left over. Nothing is opened except DICOM headers.
    """
    if place.is_file:
        return Pairs()
    shared = _shared_folders(place.images)
    plain_files = [f for f in place.images if f not in place.dicom]
    masks = [f for f in plain_files if _in_mask_folder(f, shared)]
    others = [f for f in plain_files if not _in_mask_folder(f, shared)]
    drawn = [key_of(stem_of(f)).replace(" ", "_") for f in (*masks, *(f for f in others if _mask_end(stem_of(f))))]
    several = channels_in(others, drawn)
    pictures = [_picture(f) for f in others if f not in several.files]
    pictures += [Picture(source, name, folders, name) for source, (name, folders) in several.cases.items()]
    found = _pairs(place, pictures, masks, shared)
    found.channels, found.short = several.words, several.short
    if several.short:  # the mask of an image that lacks channels is none itself
        found.orphans += [p.source for p in found.alone if _mask_end(p.name)]
        found.alone = [p for p in found.alone if not _mask_end(p.name)]
    return found


def _pairs(place: Place, pictures: list[Picture], masks: list[str], shared: Sequence[str]) -> Pairs:
    series = _series(place) if place.dicom and (masks or any(_mask_end(p.name) for p in pictures)) else []
    if masks:
        ends = {p.source for p in pictures if _mask_end(p.name)}
        return pair([p for p in pictures if p.source not in ends] + series, masks + sorted(ends, key=natural), shared)
    beside = _by_end(pictures, series)
    return (
        pair([p for p in pictures if p.source not in beside] + series, sorted(beside, key=natural), shared)
        if beside
        else Pairs()
    )


def pair(pictures: Sequence[Picture], masks: Sequence[str], shared: Sequence[str] = ()) -> Pairs:
    """Give every mask its image.

    Args:
        pictures: Images.
        masks: Paths of masks.
        shared: Folders above everything, which say nothing.

    Returns:
        The pairs. A mask goes to the image of the same folder and stem once words such as ``mask`` and
        ``image`` are taken off, else to the only image of that stem, else to the only image
        in whose folders its stem stands, else to the only image of its folder.
    """
    index = _Index(pictures, len(shared))
    result: dict[str, list[Mask]] = {}
    pairs = Pairs()
    for mask in masks:
        for picture in (homes := index.home(_picture(mask))):
            result.setdefault(picture.source, []).append(Mask(mask, _says(mask, picture)))
        if not homes:
            pairs.orphans.append(mask)
    for picture in sorted(pictures, key=lambda p: natural(p.source)):
        if picture.source in result:
            pairs.found.append((picture, result[picture.source]))
        else:
            pairs.alone.append(picture)
    return pairs


def part_in(folders: Sequence[str]) -> Part | None:
    """The part that the folders above an image name."""
    named: list[Part] = [p for f in folders if (p := part_of(f))]
    if named:
        return named[0]
    words = [p for f in folders for w in _words(f) if (p := part_of(w))]
    return words[0] if words else None


class _Index:
    """Images by folder and stem."""

    def __init__(self, pictures: Sequence[Picture], skip: int) -> None:
        self.skip = skip
        self.exact: dict[tuple[tuple[str, ...], str], list[Picture]] = defaultdict(list)
        self.keyed: dict[tuple[tuple[str, ...], str], list[Picture]] = defaultdict(list)
        self.stems: dict[str, list[Picture]] = defaultdict(list)
        self.keys: dict[str, list[Picture]] = defaultdict(list)
        self.inside: dict[str, list[Picture]] = defaultdict(list)
        self.near: dict[tuple[str, ...], list[Picture]] = defaultdict(list)
        for one in pictures:
            where = self._where(one.folders)
            key = key_of(one.name)
            self.exact[where, one.name.casefold()].append(one)
            self.keyed[where, key].append(one)
            self.stems[one.name.casefold()].append(one)
            self.keys[key].append(one)
            self.near[where].append(one)
            for folder in {f.casefold() for f in one.folders[skip:]}:
                self.inside[folder].append(one)

    def home(self, mask: Picture) -> list[Picture]:
        where, key = self._where(mask.folders), key_of(mask.name)
        for found in (
            self.exact.get((where, mask.name.casefold())),
            self.keyed.get((where, key)),
            self.stems.get(mask.name.casefold()),
            self.keys.get(key) if key else None,
        ):
            if found and len(found) == 1:
                return found
        for longer in _longer_keys(mask.name):
            found = self.keyed.get((where, longer)) or self.keys.get(longer)
            if found and len(found) == 1:
                return found
        by_folder = self.inside.get(mask.name.casefold()) or (self.inside.get(key) if key else None)
        if by_folder:
            return by_folder
        found = self.near.get(where) if where else None
        return found if found and len(found) == 1 else []

    def _where(self, folders: Sequence[str]) -> tuple[str, ...]:
        kept = []
        for folder in folders[self.skip :]:
            words = [w for w in _words(folder) if w not in MASK_WORDS and w not in _BARE and not OBSERVER.match(w)]
            if words and plain(folder) not in MASK_FOLDERS | IMAGE_FOLDERS:
                kept.append(" ".join(words))
        return tuple(kept)


def key_of(name: str) -> str:
    """A stem without the words that say image or mask.

    Example:
        >>> key_of("Image_01L_1stHO"), key_of("segmentation-12"), key_of("a_0001_mask"), key_of("mask")
        ('01l', '12', 'a 0001', '')
    """
    words = _words(name)
    while words and (words[-1] in MASK_WORDS or words[-1] in IMAGE_WORDS or OBSERVER.match(words[-1])):
        words.pop()
    while words and (words[0] in MASK_WORDS or words[0] in IMAGE_WORDS):
        words.pop(0)
    return " ".join(words)


def _longer_keys(name: str) -> list[str]:
    """Keys of the image of ``x_mask_1`` (a further piece) and ``x_mask_liver``."""
    words = _words(name)
    cut = next((n for n, w in enumerate(words) if n and (w in MASK_WORDS or OBSERVER.match(w))), None)
    return [key_of(" ".join(words[:cut]))] if cut else []


def _says(mask: str, picture: Picture) -> tuple[str, ...]:
    path = PurePosixPath(mask)
    have = {w for part in (*picture.folders, picture.name) for w in _words(part)}
    return tuple(w for part in (*path.parts[:-1], stem_of(path.name)) for w in _words(part) if w not in have)


def _picture(file: str) -> Picture:
    return Picture(file, stem_of(file), PurePosixPath(file).parts[:-1])


def _series(place: Place) -> list[Picture]:
    found = []
    for one in series_of(place)[0]:
        if one.modality in NO_IMAGES:
            continue
        folders = PurePosixPath(one.files[0]).parts[:-1]
        alone = len(one.files) == 1
        name = stem_of(one.files[0]) if alone else (folders[-1] if folders else place.root.name)
        found.append(Picture(one.locator, name, folders if alone else folders[:-1], one.id, one.patient, one.files))
    return found


def _by_end(pictures: Sequence[Picture], series: Sequence[Picture]) -> set[str]:
    """Files named as the mask of an image that is there."""
    names = {(p.folders, key_of(p.name)) for p in pictures if not _mask_end(p.name)}
    keys = {key for _, key in names}
    homes = {p.folders for p in series} | {(*p.folders, p.name) for p in series}
    found = set()
    for one in pictures:
        if not _mask_end(one.name):
            continue
        key = key_of(one.name)
        longer = _longer_keys(one.name)
        if (
            (one.folders, key) in names
            or any((one.folders, k) in names for k in longer)
            or (key and key in keys)
            or one.folders in homes
        ):
            found.add(one.source)
    return found


def _mask_end(name: str) -> bool:
    """Whether a name begins or ends with a word for masks, or has one before a number."""
    words = _words(name)
    if not words:
        return False
    ends = [words[0], words[-1]] + ([words[-2]] if len(words) > 2 and words[-1].isdigit() else [])
    return any(w in MASK_WORDS or (OBSERVER.match(w) is not None and n == 1) for n, w in enumerate(ends))


def _in_mask_folder(file: str, shared: Sequence[str]) -> bool:
    folders = PurePosixPath(file).parts[:-1][len(shared) :]
    return any(plain(f) in MASK_FOLDERS or set(_words(f)) & (MASK_WORDS - {"data"}) for f in folders)


def _shared_folders(files: Sequence[str]) -> tuple[str, ...]:
    """Folders above every file."""
    if not files:
        return ()
    shared = list(PurePosixPath(files[0]).parts[:-1])
    for file in files:
        folders = PurePosixPath(file).parts[:-1]
        n = 0
        while n < min(len(shared), len(folders)) and shared[n] == folders[n]:
            n += 1
        del shared[n:]
    return tuple(shared)


def _words(text: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    joined = re.sub(r"(?i)ground[-_ ]truth", "groundtruth", parted)
    joined = re.sub(r"(?i)(\d(?:st|nd|rd|th))[ _-](ho|manual|observer|reader)(?![a-z])", r"\1\2", joined)
    return [w for w in re.split(r"[^0-9a-z]+", joined.casefold()) if w]
