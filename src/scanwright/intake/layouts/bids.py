"""BIDS: ``participants.tsv`` beside ``sub-01/anat/sub-01_T1w.nii.gz``."""

from __future__ import annotations

import re
from collections import Counter

from scanwright.core import Guess, InputError, Skipped
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes
from scanwright.intake.layouts.table_columns import label_columns, value
from scanwright.intake.layouts.table_file import Sheet, read_sheet
from scanwright.intake.place import Place, stem_of

_SUBJECT = re.compile(r"(?:^|/)(sub-[0-9A-Za-z]+)(?:/|_)")
_PREFERRED = ("T1w", "T2w", "FLAIR", "bold", "dwi", "pet", "ct")
_IDENTIFIER = "participant_id"


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """``participants.tsv`` lies beside folders named ``sub-*``."""
    if place.is_file or not place.has("participants.tsv") or wishes.table is not None:
        return None
    return Fit("participants.tsv lies beside sub-* folders") if any(_SUBJECT.search(f) for f in place.images) else None


def read(place: Place, wishes: Wishes) -> Reading:
    """One case per image of the commonest kind; labels and covariates by participant."""
    sheet = read_sheet(place.root / "participants.tsv", "participants.tsv")
    identifier = sheet.find((_IDENTIFIER,))
    if identifier is None:
        raise InputError(
            f"participants.tsv has the columns {', '.join(sheet.columns)}.",
            "BIDS needs a column participant_id.",
            "Rename the column that names the participants.",
        )
    guesses: list[Guess] = []
    labels = label_columns(sheet, wishes, {identifier}, guesses)
    reading = Reading(place.root, [], labels[0] if len(labels) == 1 else "labels", guesses=guesses)
    reading.label_names = labels if len(labels) > 1 else ()
    images = _images(place, reading)
    rows = {cell if cell.startswith("sub-") else f"sub-{cell}": i for i, cell in enumerate(sheet.columns[identifier])}
    for image in images:
        match = _SUBJECT.search(image)
        subject = match[1] if match else ""
        i = rows.get(subject)
        if i is None:
            reading.skipped.append(Skipped(image, "participants.tsv has no row for it"))
            continue
        reading.rows.append(_row(sheet, labels, identifier, image, subject, i))
    n = len({r.patient for r in reading.rows})
    reading.guesses.append(Guess("patient column", identifier, f"BIDS names {n} participants", "--patient"))
    return reading


def _row(sheet: Sheet, labels: tuple[str, ...], identifier: str, image: str, subject: str, i: int) -> Row:
    cells = tuple(sheet.columns[c][i] for c in labels)
    extra = {c: value(v[i]) for c, v in sheet.columns.items() if c not in (identifier, *labels)}
    return Row(image, cells if len(cells) > 1 else cells[0] or None, stem_of(image), subject, None, extra)


def _images(place: Place, reading: Reading) -> list[str]:
    """Images of one kind: T1w when there are any, else the commonest; derivatives and sourcedata are left out."""
    images = [
        f for f in place.images if _SUBJECT.search(f) and f.split("/")[0] not in ("derivatives", "sourcedata", "code")
    ]
    kinds = Counter(stem_of(f).rsplit("_", 1)[-1] for f in images)
    if len(kinds) <= 1:
        return images
    kind = next((k for k in _PREFERRED if k in kinds), kinds.most_common(1)[0][0])
    others = ", ".join(k for k in kinds if k != kind)
    reading.guesses.append(Guess("images", kind, f"one kind of image is taken; set aside: {others}"))
    return [f for f in images if stem_of(f).endswith("_" + kind)]


LAYOUT = Layout("a BIDS folder", fits, read)
