"""Files that hold one channel each of a case: ``x_0000``, ``x_0001`` (nnU-Net), ``x_t1``, ``x_flair`` (BraTS)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

SEQUENCES = (
    "t1", "t1n", "t1w", "t1ce", "t1c", "t1gd", "t1post", "t2", "t2w", "flair", "t2f", "pd", "dwi", "adc", "swi",
)  # fmt: skip
"""Words for MR sequences at the end of a name, in the order of the channels."""

_NUMBER = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")
_WORD = re.compile(rf"(?i)^(?:(?P<case>.+)[_-])?(?P<channel>{'|'.join(SEQUENCES)})$")
_VOLUME = re.compile(r"(?i)(?P<suffix>\.nii(?:\.gz)?|\.nrrd|\.mh[ad])$")


def sequence_of(stem: str) -> tuple[str, str] | None:
    """Case and MR sequence that a name speaks of.

    Args:
        stem: File name without its suffix.

    Returns:
        The case (empty where the name is the sequence alone) and a word of :data:`SEQUENCES`; None without one.

    Example:
        >>> sequence_of("BraTS20_001_t1ce"), sequence_of("FLAIR"), sequence_of("part1")
        (('BraTS20_001', 't1ce'), ('', 'flair'), None)
    """
    found = _WORD.match(stem)
    return (found["case"] or "", found["channel"].casefold()) if found else None


def groups_of_channels(files: Iterable[PurePath], n: int) -> dict[PurePath, tuple[str, list[PurePath]]]:
    """Volumes in one folder that are the ``n`` channels of one case, by their names.

    Args:
        files: Files; pictures are passed over, as theirs may be numbers of frames.
        n: Channels of a case, at least 2.

    Returns:
        First file of each case to the name of the case, with its suffix, and its files in the order of
        the channels. A case with fewer or more files is left out.

    Example:
        >>> from pathlib import PurePosixPath as P
        >>> found = groups_of_channels([P("a_t2.nii.gz"), P("a_t1.nii.gz"), P("b_t1.nii.gz")], 2)
        >>> [(str(f), name, [p.name for p in of]) for f, (name, of) in found.items()]
        [('a_t1.nii.gz', 'a.nii.gz', ['a_t1.nii.gz', 'a_t2.nii.gz'])]
    """
    cases: dict[tuple[PurePath, str, str, str], dict[int, PurePath]] = {}
    for file in files:
        suffix = _VOLUME.search(file.name)
        if suffix is None:
            continue
        stem = file.name[: suffix.start()]
        numbered, worded = _NUMBER.match(stem), sequence_of(stem)
        if numbered:
            key = (file.parent, "number", numbered["case"], suffix["suffix"])
            cases.setdefault(key, {})[int(numbered["channel"])] = file
        elif worded:
            key = (file.parent, "word", worded[0], suffix["suffix"])
            cases.setdefault(key, {})[SEQUENCES.index(worded[1])] = file
    found = {}
    for (folder, how, case, suffix_), channels in cases.items():
        if len(channels) == n and (how == "word" or sorted(channels) == list(range(n))):
            ordered = [channels[k] for k in sorted(channels)]
            found[ordered[0]] = ((case or folder.name or "case") + suffix_, ordered)
    return found
