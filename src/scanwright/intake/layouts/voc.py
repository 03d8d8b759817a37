"""Pascal VOC: an xml file with boxes for each picture, and lists of the parts."""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree import ElementTree

from scanwright.core import Box, CohortError, FormatError, Guess, Part, Skipped
from scanwright.intake.boxes import box_of_corners
from scanwright.intake.layouts.class_folders import from_names
from scanwright.intake.layouts.finder import Finder
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes
from scanwright.intake.layouts.table_rows import from_headers
from scanwright.intake.place import Place, stem_of

_LISTS: tuple[tuple[str, Part], ...] = (("train", "train"), ("val", "val"), ("valid", "val"), ("test", "test"))
_LARGEST = 16 << 20
"""Bytes of the largest xml file that is read: a picture with a hundred thousand boxes."""
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """Boxes in xml files under ``Annotations``."""
    if wishes.task not in (None, "detect"):
        return None
    xml = _annotations(place)
    return Fit(f"{xml[0]} and {len(xml) - 1} more hold boxes") if xml and place.images else None


def read(place: Place, wishes: Wishes) -> Reading:
    """One case an xml file whose picture is there; pictures without one are unlabelled."""
    reading = Reading(place.root, [], "boxes")
    finder, hard = Finder(place), 0
    found: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for file in _annotations(place):
        name, things = _read_xml(place, file)
        image = finder.image(name) or finder.image(stem_of(file))
        if image is None:
            reading.skipped.append(Skipped(file, f"its picture {name!r} is not there"))
            continue
        hard += sum(difficult for _, _, difficult in things)
        found[image] = [(kind, edges) for kind, edges, _ in things]
    if not found:
        raise CohortError(
            f"None of the annotations in {place.path} names a picture that is there.",
            "Each xml file has the picture's name in <filename>, or is named as the picture is.",
            "Put the pictures beside the Annotations folder.",
        )
    classes = tuple(sorted({kind for marked in found.values() for kind, _ in marked}))
    if not classes:
        raise CohortError(
            f"The annotations in {place.path} hold no box at all.",
            "Detection is learnt from boxes.",
            "Check that these are the right files.",
        )
    parts, told = _parts(place)
    for image, marked in found.items():
        boxes = tuple(_box(classes.index(kind), image, edges) for kind, edges in marked)
        reading.rows.append(Row(image, part=parts.get(stem_of(image)), boxes=boxes))
    folders = {PurePosixPath(image).parent for image in found}
    alone = [m for m in place.images if m not in found and PurePosixPath(m).parent in folders]
    reading.skipped += [Skipped(m, "there is no annotation for it") for m in alone]
    reading.structures = classes
    n = sum(map(len, found.values()))
    reading.guesses.append(Guess("classes", ", ".join(classes), f"{n} boxes in {len(found)} files name them"))
    if told:
        reading.guesses.append(Guess("parts", told, "these lists lie in ImageSets/Main"))
    if hard:
        reading.guesses.append(Guess("difficult boxes", str(hard), "they count as all others do"))
    if place.dicom:
        from_headers(finder, reading)
    elif not any(r.patient for r in reading.rows):
        from_names(reading)
    return reading


def _annotations(place: Place) -> list[str]:
    return [f for f in place.named(".xml") if "annotations" in (p.lower() for p in PurePosixPath(f).parts[:-1])]


def _box(label: int, image: str, edges: tuple[float, ...]) -> Box:
    """Pixels counted from 1, the last one included: pixel 1 is index 0, which covers -0.5 .. 0.5."""
    x0, y0, x1, y1 = edges
    return box_of_corners(label, image, (x0 - 1.5, y0 - 1.5, -0.5), (x1 - 0.5, y1 - 0.5, 0.5))


def _read_xml(place: Place, file: str) -> tuple[str, list[tuple[str, tuple[float, ...], bool]]]:
    """Name of the picture, and kind, edges and difficulty of each box."""
    path = place.root / file
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is larger than 16 MB")
        text = path.read_text(encoding="utf-8", errors="replace")
        if "<!ENTITY" in text:
            raise ValueError("it defines entities")
        tree = ElementTree.fromstring(text)  # without entities there is nothing to expand
        things = []
        for thing in tree.iter("object"):
            kind = (thing.findtext("name") or "").strip()
            place_of = thing.find("bndbox")
            if not kind or place_of is None:
                raise ValueError("an object has no name or no bndbox")
            edges = tuple(float(place_of.findtext(name) or "nan") for name in _EDGES)
            if not all(abs(v) < 1e9 for v in edges):
                raise ValueError(f"a box of {kind} has no four numbers")
            things.append((kind, edges, (thing.findtext("difficult") or "0").strip() == "1"))
        return (tree.findtext("filename") or "").strip(), things
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise FormatError(
            f"The annotation {file} cannot be read ({str(error)[:120]}).",
            "An annotation is Pascal VOC xml: objects, each with a name and a bndbox of four numbers.",
            "Correct the file, or take it and its picture away.",
        ) from error


def _parts(place: Place) -> tuple[dict[str, Part], str]:
    """Picture name to part, and the lists that said so."""
    known: dict[str, Part] = {}
    told = []
    lists = {
        stem_of(f): f for f in place.named(".txt") if PurePosixPath(f).parent.as_posix().endswith("ImageSets/Main")
    }
    wanted = list(_LISTS) if "train" in lists else [("trainval", "train"), *_LISTS[1:]]
    for name, part in wanted:
        if name not in lists:
            continue
        lines = (place.root / lists[name]).read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.split()[0] for line in lines if line.split()]
        known.update(dict.fromkeys(names, part))  # type: ignore[arg-type]
        told.append(f"{name} {len(names)}")
    return known, ", ".join(told)


LAYOUT = Layout("a Pascal VOC folder", fits, read)
