"""Consecutive sections of one volume, saved as pictures: neighbours must not lie in two parts."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace

import numpy as np

from scanwright.core import Guess, ScanwrightError
from scanwright.intake.layouts.reading import Reading, Row
from scanwright.intake.place import stem_of

_FEWEST = 12
_BLOCKS = 6
_SIDE = 48
_FAR = 5
_CLOSER = 0.1
_LOOK_AT = 36


def blocks_of_sections(reading: Reading) -> None:
    """Give neighbouring sections one patient key, in about six blocks a volume.

    Args:
        reading: Rows without patients; filled in place when the stems count up without gaps
            and neighbours are much more alike than distant pictures.
    """
    volumes: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, row in enumerate(reading.rows):
        match = re.fullmatch(r"(.*?)(\d+)", row.id or stem_of(row.source))
        if match is None or "[" in row.source or "::" in row.source:
            return
        volumes[f"{row.source.rpartition('/')[0]}/{match[1]}"].append((int(match[2]), i))
    runs = {name: sorted(rows) for name, rows in volumes.items()}
    if not all(len(r) >= _FEWEST and r[-1][0] - r[0][0] == len(r) - 1 for r in runs.values()):
        return
    if not all(_are_sections(reading, [reading.rows[i] for _, i in run]) for run in list(runs.values())[:4]):
        return
    rows = list(reading.rows)
    for n, run in enumerate(runs.values(), start=1):
        for k, (_, i) in enumerate(run):
            block = k * _BLOCKS // len(run) + 1
            rows[i] = replace(rows[i], patient=f"block {block}" if len(runs) == 1 else f"volume {n} block {block}")
    reading.rows = rows
    n_blocks = len({r.patient for r in rows})
    why = "the pictures are numbered without gaps and neighbours look alike: sections of one volume stay together"
    reading.guesses.append(Guess("patient", f"{n_blocks} blocks of neighbouring sections", why, "--patient"))


def _are_sections(reading: Reading, rows: list[Row]) -> bool:
    """Whether neighbours correlate more than pictures that lie five and more apart."""
    from scanwright.intake.checks.survey import shrink, unit
    from scanwright.io import read_volume

    small = []
    for row in rows[:_LOOK_AT]:
        try:
            volume = read_volume(row.source, root=reading.root)
        except ScanwrightError:
            return False
        if volume.grid.shape[2] != 1:
            return False
        grey = volume.array[..., 0].mean(axis=0, dtype=np.float32)
        small.append(shrink(grey, (_SIDE, _SIDE)))
    block = unit(np.stack(small))
    alike = block @ block.T
    apart = np.abs(np.subtract.outer(np.arange(len(small)), np.arange(len(small))))
    near, far = alike[apart == 1], alike[apart >= _FAR]
    return bool(near.mean() > far.mean() + _CLOSER and np.median(near) > np.quantile(far, 0.9))
