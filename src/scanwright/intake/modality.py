"""What kind of images a cohort holds: modality and dimension, from headers, pixels and names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scanwright.core import Case, Guess, ScanwrightError
from scanwright.intake.layouts import Reading
from scanwright.intake.place import PICTURE_SUFFIXES, Place, suffix_of
from scanwright.intake.words import MODALITY_WORDS, modality_in_words, modality_kinds, tokens
from scanwright.io import frames_of, parse_locator

_LOOK_AT = 8


@dataclass(frozen=True, slots=True)
class Found:
    """What was understood.

    Args:
        modality: DICOM code, or None.
        dimension: 2 or 3.
        guess: How the modality was inferred, or None.
    """

    modality: str | None
    dimension: int
    guess: Guess | None


def guess_modality(reading: Reading, place: Place, cases: Sequence[Case]) -> Found:
    """Modality and dimension of a cohort.

    Args:
        reading: May know both.
        place: Its folder and file names are read for words such as ``xray``.
        cases: A few are opened.

    Returns:
        What was found; a modality from names or colour is a guess and says so.
    """
    seen_modality, seen_dimension, colour = (None, reading.dimension, False)
    if reading.dimension is None or reading.modality is None:
        seen_modality, seen_dimension, colour = _look(reading, cases)
    dimension = reading.dimension or seen_dimension or 2
    if reading.modality:
        told = any(g.what == "modality" for g in reading.guesses)
        name = modality_in_words(reading.modality)
        why = (
            "the header says so"
            if not reading.facts.get("public cohort")
            else f"{reading.facts['public cohort']} holds such images"
        )
        return Found(reading.modality, dimension, None if told else Guess("modality", name, why, "--modality"))
    if seen_modality:
        return Found(
            seen_modality,
            dimension,
            Guess("modality", modality_in_words(seen_modality), "the DICOM headers say so", "--modality"),
        )
    word = _word(place, cases)
    if word:
        code = MODALITY_WORDS[word]
        return Found(
            code,
            dimension,
            Guess(
                "modality", modality_in_words(code), f"the word {word!r} stands in a name; not certain", "--modality"
            ),
        )
    if colour and dimension == 2:
        why = "the pictures are in colour; not certain"
        return Found("XC", dimension, Guess("modality", modality_in_words("XC"), why, "--modality"))
    return Found(None, dimension, Guess("modality", "unknown", "neither a header nor a name tells", "--modality"))


def _look(reading: Reading, cases: Sequence[Case]) -> tuple[str | None, int | None, bool]:
    """Open a few cases; damaged ones are left to `check`."""
    from scanwright.io import read_volume

    codes: list[str | None] = []
    dimensions: Counter[int] = Counter()
    colours = []
    step = max(1, len(cases) // _LOOK_AT)
    for case in cases[::step][:_LOOK_AT]:
        if suffix_of(parse_locator(frames_of(case.source)[0]).path.name) in PICTURE_SUFFIXES:
            dimensions[2] += 1
        try:
            volume = read_volume(case.source, root=reading.root)
        except ScanwrightError:
            continue
        dimensions[2 if volume.grid.shape[2] == 1 else 3] += 1
        codes.append(volume.modality)
        colours.append(_colourful(volume.array))
    dimension = dimensions.most_common(1)[0][0] if dimensions else None
    kinds = modality_kinds(codes)
    modality = kinds.most_common(1)[0][0] if kinds else None
    return modality, dimension, bool(colours) and sum(colours) > len(colours) / 2


def _colourful(array: np.ndarray) -> bool:
    """Whether three channels differ by more than a mark or two."""
    if array.shape[0] != 3:
        return False
    some = array[:, ::4, ::4].astype(np.float32)
    spread = some.max(axis=0) - some.min(axis=0)
    return float(spread.mean()) > 0.02 * max(float(some.max()), 1.0)


def _word(place: Place, cases: Sequence[Case]) -> str | None:
    """A word for a modality in the path's last folders, the first folders inside, or most file names."""
    near = [*place.path.parts[-2:], *{c.source.split("/")[0] for c in cases[:2000] if "/" in c.source}]
    for name in reversed(near[:2]):
        for token in tokens(name):
            if token in MODALITY_WORDS:
                return token
    counts: Counter[str] = Counter()
    some = cases[:: max(1, len(cases) // 200)]
    for case in some:
        counts.update({t for t in tokens(case.source) if t in MODALITY_WORDS})
    if counts:
        word, n = counts.most_common(1)[0]
        if n > 0.8 * len(some):
            return word
    return None
