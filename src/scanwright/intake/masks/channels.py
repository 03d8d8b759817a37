"""Several volumes of one case, known by the MR sequence at the end of their names: ``x_t1``, ``x_flair``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from scanwright.intake.place import VOLUME_SUFFIXES, stem_of, suffix_of
from scanwright.io.channel_names import SEQUENCES, sequence_of
from scanwright.io.locator import CHANNELS


@dataclass
class Channels:
    """Files that are channels of one case.

    Args:
        words: Sequences that a case has, in the order of the channels; empty where files are no channels.
        cases: Locator of all channels to the name of the case (empty where the folder is its name) and its folders.
        files: All files that are taken, or set aside.
        short: Files that are set aside, and why.
    """

    words: tuple[str, ...] = ()
    cases: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    short: list[tuple[str, str]] = field(default_factory=list)


def channels_in(files: Sequence[str], masks: Sequence[str]) -> Channels:
    """Find files that are channels of one case.

    Args:
        files: Paths of images.
        masks: Names of masks without their words for masks. Where one of them names a sequence, every
            sequence is an image of its own.

    Returns:
        The cases. Those that lack a sequence which most have are set aside.
    """
    if any((said := sequence_of(name)) and said[0] for name in masks):
        return Channels()
    groups: dict[tuple[tuple[str, ...], str], dict[str, str]] = {}
    for file in files:
        said = sequence_of(stem_of(file)) if suffix_of(file) in VOLUME_SUFFIXES else None
        if said:
            groups.setdefault((PurePosixPath(file).parts[:-1], said[0]), {})[said[1]] = file
    counts = Counter(tuple(w for w in SEQUENCES if w in held) for held in groups.values())
    several = {words: n for words, n in counts.items() if len(words) > 1}
    if not several or sum(several.values()) < 0.5 * len(groups):
        return Channels()
    found = Channels(max(several, key=lambda words: (several[words], len(words))))
    for (folders, case), held in groups.items():
        found.files.update(held.values())
        missing = [w for w in found.words if w not in held]
        if missing:
            why = f"it has {len(found.words) - len(missing)} of {len(found.words)} channels; {', '.join(missing)} is not there"
            found.short.append((CHANNELS.join(held[w] for w in SEQUENCES if w in held), why))
            continue
        found.cases[CHANNELS.join(held[w] for w in found.words)] = (case, folders)
        found.short += [(f, "the other cases have no such channel") for w, f in held.items() if w not in found.words]
    return found
