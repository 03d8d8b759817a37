"""One folder per class, perhaps under train / val / test, perhaps one folder per patient inside or outside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from scanwright.core import CohortError, Guess, Part
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes
from scanwright.intake.layouts.series import series_of
from scanwright.intake.place import Place, stem_of
from scanwright.intake.words import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    modality_in_words,
    modality_kinds,
    part_of,
    plain,
    tokens,
)

_MOST_CLASSES = 100


@dataclass(frozen=True)
class Branch:
    """One picture and the folders above it, below the part's folder.

    Args:
        image: Path relative to the root.
        part: Part that its folder names.
        folders: Folders between the part (or the root) and the file.
    """

    image: str
    part: Part | None
    folders: tuple[str, ...]


def branches(place: Place) -> list[Branch]:
    """Every picture that lies in folders, with wrapping folders (``images``, ``data``) taken off.

    Args:
        place: Where to look.

    Returns:
        Pictures outside mask folders, with their part and folders.
    """
    found = []
    for image in place.images:
        folders = PurePosixPath(image).parts[:-1]
        if any(plain(f) in MASK_FOLDERS for f in folders) or _is_mask(image):
            continue
        part: Part | None = None
        kept = []
        for folder in folders:
            named = part_of(folder)
            if named and part is None:
                part = named
            elif plain(folder) not in IMAGE_FOLDERS:
                kept.append(folder)
        found.append(Branch(image, part, tuple(kept)))
    while found and all(len(b.folders) > 1 for b in found) and len({b.folders[0] for b in found}) == 1:
        found = [Branch(b.image, b.part, b.folders[1:]) for b in found]
    return found


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """Pictures lie in two or more folders whose names are no wrappers, or in one below a part."""
    if place.is_file:
        return None
    level = _class_level(branches(place))
    if level is None:
        return None
    names = sorted({b.folders[level] for b in branches(place) if len(b.folders) > level})
    if wishes.task is None and wishes.labels is None and _only_hold_masks(place, set(names)):
        return None
    shown = ", ".join(names[:4]) + (" ..." if len(names) > 4 else "")
    return Fit(f"the images lie in folders named {shown}")


def _only_hold_masks(place: Place, names: set[str]) -> bool:
    from scanwright.intake.masks.both import masks_below

    return masks_below(place, names)


def read(place: Place, wishes: Wishes) -> Reading:
    """The class is the folder; a folder inside it, one for each person, is the patient."""
    found = branches(place)
    level = _class_level(found)
    if level is None:
        raise CohortError(
            f"The images in {place.path} lie in no folders of classes.",
            "This layout needs one folder per class.",
            "Sort the images into folders, or name a table with --labels.",
        )
    reading = Reading(place.root, [], "folder")
    kept = [b for b in found if len(b.folders) > level]
    _say_loose(len(found) - len(kept), reading)
    patients = _patients(kept, level, reading)
    dicom = [b for b in kept if b.image in place.dicom]
    others = [b for b in kept if b.image not in place.dicom]
    reading.rows = [_row(b, level, patients) for b in others]
    if dicom:
        reading.rows += _dicom_rows(place, dicom, level, patients, reading)
    if not patients:
        from_names(reading)
    return reading


def from_names(reading: Reading) -> None:
    """Patients from file names such as ``patient001_02.png``, when nearly every name has one and they recur.

    Args:
        reading: Rows without patients; filled in place.
    """
    import re

    pattern = re.compile(
        r"(?i)(?:^|[^a-z])((?:patient|pat|subject|subj|sub|person|case|p|pt|id)[-_ ]?\d{1,8})(?=[^0-9]|$)"
    )
    keys = {}
    for row in reading.rows:
        name = stem_of(row.source.split("::")[0])
        match = pattern.search(name)
        if match and len(match[0]) < len(name):
            keys[row.source] = match[1].casefold()
    n = len(set(keys.values()))
    sure = sum(
        any(k.startswith(w) for w in ("patient", "pat", "subject", "subj", "sub", "person")) for k in keys.values()
    )
    if len(keys) < 0.95 * len(reading.rows) or n < 2 or n == len(keys) or sure < len(keys) / 2:
        return
    from dataclasses import replace

    reading.rows = [replace(r, patient=keys.get(r.source)) for r in reading.rows]
    example = next(iter(keys.values()))
    reading.guesses.append(Guess("patient", f"{n} patients", f"file names begin with such as {example!r}", "--patient"))


def _class_level(found: list[Branch]) -> int | None:
    """Depth at which the folders are classes: the first, unless it is one folder per patient with classes inside."""
    inside = [b for b in found if b.folders]
    if not inside or len(inside) < 0.5 * len(found):
        return None
    first = {b.folders[0] for b in inside}
    below = defaultdict(set)
    for b in inside:
        if len(b.folders) > 1:
            below[b.folders[0]].add(b.folders[1])
    second = Counter(name for names in below.values() for name in names)
    inner = {n for n, count in second.items() if count >= 0.3 * len(first)}
    many = len(first) > 10 and 2 <= len(second) <= 20 and len(below) >= 0.9 * len(first)
    if many and len(inner) >= 2 and len(inner) == len(second):
        return 1
    if len(first) > _MOST_CLASSES and len(inside) < 5 * len(first):
        return None
    if len(first) == 1 and all(b.part is None for b in inside):
        return 0 if len(inside) == len(found) and plain(next(iter(first))) not in IMAGE_FOLDERS else None
    return 0


def _patients(kept: list[Branch], level: int, reading: Reading) -> dict[str, str]:
    """Image to patient: the folder above or below the class, when it holds one person each."""
    if level == 1:
        n = len({b.folders[0] for b in kept})
        reading.guesses.append(
            Guess("patient", f"{n} patients", "the outer folders, each with classes inside", "--patient")
        )
        return {b.image: b.folders[0] for b in kept}
    deep = [b for b in kept if len(b.folders) > level + 1]
    people = {(b.folders[level], b.folders[level + 1]) for b in deep}
    if len(deep) < 0.95 * len(kept) or len(people) < 4:
        return {}
    names = {p for _, p in people}
    if len(names) <= 3 or all(tokens(n) and tokens(n)[0] in ("view", "side", "left", "right") for n in names):
        return {}
    reading.guesses.append(
        Guess("patient", f"{len(names)} patients", "the folders inside the class folders", "--patient")
    )
    return {b.image: b.folders[level + 1] for b in deep}


def _row(branch: Branch, level: int, patients: dict[str, str]) -> Row:
    return Row(branch.image, branch.folders[level], "", patients.get(branch.image), branch.part)


def _dicom_rows(place: Place, dicom: list[Branch], level: int, patients: dict[str, str], reading: Reading) -> list[Row]:
    """One row a series; its class is the folder that holds its files."""
    by_image = {b.image: b for b in dicom}
    all_series, skipped = series_of(place)
    reading.skipped += skipped
    rows = []
    for one in all_series:
        branch = next((by_image[f] for f in one.files if f in by_image), None)
        if branch is None:
            continue
        patient = patients.get(branch.image) or one.patient
        rows.append(Row(one.locator, branch.folders[level], one.id, patient, branch.part))
    say_modality(reading, [s.modality for s in all_series])
    if not patients and any(r.patient for r in rows):
        n = len({r.patient for r in rows})
        reading.guesses.append(Guess("patient", f"{n} patients", "the DICOM headers name them", "--patient"))
    return rows


def say_modality(reading: Reading, modalities: Sequence[str | None]) -> None:
    """The modality that DICOM headers name; the commonest, said aloud, when they name several.

    Args:
        reading: Filled in place.
        modalities: One a series.
    """
    counts = modality_kinds(modalities)
    if not counts:
        return
    reading.modality = counts.most_common(1)[0][0]
    why = "the DICOM headers say so"
    if len(counts) > 1:
        why = "it is the commonest; the headers mix " + ", ".join(f"{n} {m}" for m, n in counts.most_common())
    elif len(codes := Counter(m for m in modalities if m)) > 1:
        why += " (" + ", ".join(f"{n} {m}" for m, n in codes.most_common()) + ")"
    reading.guesses.append(Guess("modality", modality_in_words(reading.modality), why, "--modality"))


def _say_loose(n: int, reading: Reading) -> None:
    if n:
        reading.facts["images outside the class folders"] = str(n)


def _is_mask(image: str) -> bool:
    words = tokens(stem_of(image))
    return len(words) > 1 and any(
        w in ("mask", "seg", "segmentation", "groundtruth", "1stho", "2ndho") for w in words[1:]
    )


LAYOUT = Layout("one folder per class", fits, read)
