"""Images and masks: in folders of their own by stem, or beside one another by the end of the name."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from scanwright.core import CohortError, Guess, MaskCode, Part, Skipped
from scanwright.intake.layouts.class_folders import from_names
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes
from scanwright.intake.masks.beside import join_table
from scanwright.intake.masks.look import look_at
from scanwright.intake.masks.names import names_in_files, sides_of
from scanwright.intake.masks.pairing import OBSERVER, Mask, Pairs, Picture, key_of, pairs_of, part_in
from scanwright.intake.masks.wish import asked_of
from scanwright.intake.place import Place

_EYE = re.compile(r"^(?P<person>.*\d)[ _-]?(?P<side>l|r|od|os|left|right)$")


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """A folder of masks beside one of images, or masks beside images by the end of their names."""
    if (
        place.is_file
        or wishes.task not in (None, "segment", "detect")
        or (wishes.labels is not None and wishes.task is None)
    ):
        return None
    pairs = pairs_of(place)
    if not pairs.found:
        return None
    picture, masks = pairs.found[0]
    n = len(pairs.found)
    return Fit(
        f"{n} {'image has its' if n == 1 else 'images have their'} masks there, such as {masks[0].source} of {picture.source}"
    )


def read(place: Place, wishes: Wishes) -> Reading:
    """Pair images and masks, look at the masks, and let a table beside them add what it knows."""
    pairs = pairs_of(place)
    if not pairs.found:
        raise CohortError(
            f"No image in {place.path} has a mask.",
            "A mask lies in a folder such as masks and has its image's name, or ends in _mask beside it.",
            "Correct the names, or name a table with a column of masks.",
        )
    reading = Reading(place.root, [], "masks")
    reading.rows = _rows(pairs, reading)
    _left_out(pairs, reading)
    _channels(pairs, reading)
    _truth(reading, place, wishes)
    table = join_table(reading, place, wishes)
    settle_people(reading, place, table=table)
    return reading


def _rows(pairs: Pairs, reading: Reading) -> list[Row]:
    """One row an image; of several observers the first is the truth, other masks are structures or pieces."""
    structures = _structures(pairs)
    if structures:
        reading.structures = structures
        code = MaskCode(tuple((n + 1,) for n in range(len(structures))), kind="files", sides=sides_of(structures))
        reading.mask_code = code
        why = "each image has one mask file for each of them"
        reading.guesses.append(Guess("structures", ", ".join(structures), why))
    rows, set_aside, pieces = [], Counter[str](), 0
    for picture, masks in pairs.found:
        if structures:
            by_name = {_structure(m): m.source for m in masks}
            sources = tuple(by_name.get(s, "") for s in structures)
        else:
            kept, others = _first_observer(masks)
            set_aside.update(others)
            pieces += len(kept) > 1
            sources = tuple(m.source for m in kept)
        rows.append(Row(picture.source, None, _id(picture), picture.patient, part_in(picture.folders), {}, sources))
    if set_aside:
        what = ", ".join(f"{n} named {who}" for who, n in set_aside.items())
        first = next(o for _, masks in pairs.found if (o := _observer(masks[0])))
        why = f"of several observers the first is the truth; set aside: {what}"
        reading.guesses.append(Guess("observer", first, why))
    if pieces:
        reading.guesses.append(Guess("masks", f"{pieces} images have several", "they are pieces of one truth"))
    return rows


def _first_observer(masks: list[Mask]) -> tuple[list[Mask], list[str]]:
    observers = sorted({o for m in masks if (o := _observer(m))}, key=lambda o: (re.sub(r"\D", "", o) or "0", o))
    if len(observers) < 2:
        return masks, []
    return [m for m in masks if _observer(m) == observers[0]], [
        o for m in masks if (o := _observer(m)) in observers[1:]
    ]


def _observer(mask: Mask) -> str:
    return next((w for w in mask.says if OBSERVER.match(w)), "")


def _structures(pairs: Pairs) -> tuple[str, ...]:
    """Names of the structures when every structure has a file of its own, known by words that recur."""
    several = [masks for _, masks in pairs.found if len(masks) > 1]
    if len(several) < 0.5 * len(pairs.found) or any(len(_first_observer(m)[0]) < len(m) for m in several):
        return ()
    counts = Counter(_structure(m) for _, masks in pairs.found for m in masks)
    single = all(len({_structure(m) for m in masks}) == len(masks) for _, masks in pairs.found)
    recurring = [s for s, n in counts.items() if s and n >= max(2, 0.1 * len(pairs.found))]
    if len(pairs.found) == 1:
        recurring = [s for s in counts if s]
    words = all(not s.replace(" ", "").isdigit() for s in counts)
    return tuple(sorted(recurring)) if single and words and len(recurring) == len(counts) and len(counts) > 1 else ()


def _structure(mask: Mask) -> str:
    from scanwright.intake.masks.pairing import MASK_WORDS

    return " ".join(w for w in mask.says if w not in MASK_WORDS)


def _id(picture: Picture) -> str:
    if picture.id and key_of(picture.id):
        return picture.id
    if not key_of(picture.name) and picture.folders:
        return picture.folders[-1]  # patient7/image.nii.gz beside patient7/mask.nii.gz
    return ""


def _truth(reading: Reading, place: Place, wishes: Wishes) -> None:
    if reading.mask_code is not None:
        return
    masks = [m for r in reading.rows for m in r.masks]
    looked = look_at(masks, place.root, naming=names_in_files(place), asked=asked_of(wishes.structures))
    reading.structures, reading.mask_code = looked.structures, looked.code
    reading.guesses += looked.guesses


def _left_out(pairs: Pairs, reading: Reading) -> None:
    """Images without a mask, masks without an image; parts of which nothing is left are made anew."""
    reading.skipped += [Skipped(p.source, "there is no mask for it") for p in pairs.alone]
    reading.skipped += [Skipped(m, "there is no image for this mask") for m in pairs.orphans]
    if not pairs.alone:
        return
    lost = Counter(part_in(p.folders) or "" for p in pairs.alone)
    kept = {r.part for r in reading.rows}
    for part, n in lost.items():
        where = f"the {part} part" if part else "the folder"
        whole = part and part not in kept
        why = "they have no masks" + (f", so nothing is left of {where}" if whole else "")
        reading.guesses.append(Guess("images left out", f"{n} of {where}", why))
    given: set[Part] = {r.part for r in reading.rows if r.part}
    if len(given) == 1 and all(r.part for r in reading.rows) and len(lost.keys() - given) > 0:
        only = next(iter(given))
        reading.rows = [replace(r, part=None) for r in reading.rows]
        reading.guesses.append(Guess("parts", "made anew", f"only the {only} part has masks"))


def _channels(pairs: Pairs, reading: Reading) -> None:
    """Say which files are the channels of one case, and which cases lack one."""
    reading.skipped += [Skipped(source, why) for source, why in pairs.short]
    if not pairs.channels:
        return
    reading.facts["channels"] = ", ".join(pairs.channels)
    reading.guesses.append(Guess("channels", ", ".join(pairs.channels), "the files of a case end in these words"))
    reading.modality = "MR"
    reading.guesses.append(Guess("modality", "MR", "its channels are named as MR sequences", "--modality"))


def settle_people(reading: Reading, place: Place, *, table: bool) -> None:
    """Patients of images with masks: a table's, the names', the folders', or blocks of neighbouring sections.

    Args:
        reading: Filled in place.
        place: For folder names.
        table: Whether a table was joined.
    """
    if any(r.patient for r in reading.rows):
        return
    from_names(reading)
    if not any(r.patient for r in reading.rows):
        _eyes(reading)
    if not any(r.patient for r in reading.rows):
        from scanwright.intake.masks.sections import blocks_of_sections

        blocks_of_sections(reading)


def _eyes(reading: Reading) -> None:
    """``Image_01L`` and ``Image_01R`` are two sides of one person."""
    from scanwright.intake.place import stem_of

    found = [_EYE.match(key_of(stem_of(r.source))) for r in reading.rows]
    people: dict[str, set[str]] = {}
    for match in found:
        if match:
            people.setdefault(match["person"], set()).add(match["side"][0].replace("o", match["side"][-1]))
    both = sum(len(sides) > 1 for sides in people.values())
    if not all(found) or both < 0.5 * len(people):
        return
    rows = zip(reading.rows, found, strict=True)
    reading.rows = [replace(r, patient=m["person"]) if m else r for r, m in rows]
    why = "names end in L and R: two sides of one person"
    reading.guesses.append(Guess("patient", f"{len(people)} patients", why, "--patient"))


LAYOUT = Layout("images with masks", fits, read)
