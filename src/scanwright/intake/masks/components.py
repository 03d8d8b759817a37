"""Masks as boxes: every connected piece of a structure, or every numbered object, is one thing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.core import Box, Guess, MaskCode, Progress, ScanwrightError, Skipped
from scanwright.intake.layouts.reading import Reading, Row, Wishes
from scanwright.io import codes_of, read_truth, read_volume
from scanwright.io.truth import IGNORED
from scanwright.preprocessing import on_grid

_FEWEST = 3
"""Voxels of the smallest piece that counts as a thing: less is a slip of the pen."""


def boxes_for_masks(reading: Reading, wishes: Wishes) -> None:
    """Put boxes in the place of a reading's masks.

    Args:
        reading: Rows with masks and a mask code; filled in place, the masks taken away.
        wishes: Receiver of events.
    """
    code, rows = reading.mask_code, reading.rows
    if code is None:
        return
    small = 0
    done: list[Row] = []
    with ThreadPoolExecutor(2) as pool:
        for n, (row, found) in enumerate(
            zip(rows, pool.map(lambda r: _one(r, reading, code), rows), strict=True), start=1
        ):
            if isinstance(found, str):
                reading.skipped.append(Skipped(row.source, found))
                continue
            boxes, few = found
            small += few
            done.append(
                Row(row.source, None, row.id, row.patient, row.part, row.covariates, boxes=boxes if row.masks else None)
            )
            wishes.emit(Progress(stage="scan", step="Boxes around the pieces of masks", done=n, total=len(rows)))
    total = sum(len(r.boxes or ()) for r in done)
    reading.guesses.append(Guess("boxes", str(total), "each goes around one connected piece of a mask", "--task"))
    if small:
        why = f"they have fewer than {_FEWEST} voxels, a slip of the pen more often than a thing"
        reading.guesses.append(Guess("pieces left out", str(small), why))
    reading.rows, reading.mask_code = done, None


def _one(row: Row, reading: Reading, code: MaskCode) -> tuple[tuple[Box, ...], int] | str:
    if not row.masks:
        return (), 0
    try:
        grid = read_volume(row.source, root=reading.root).grid
        truth = on_grid(
            read_truth(row.masks, code, like=grid, root=reading.root, name=row.source), grid, name=row.source
        )
    except ScanwrightError as error:
        return error.fact or str(error)
    return pieces_of(truth.array, code)


def pieces_of(labels: NDArray[np.integer], code: MaskCode) -> tuple[tuple[Box, ...], int]:
    """Boxes around the pieces of a label map.

    Args:
        labels: ``(I, J, K)`` codes as :func:`scanwright.io.read_truth` gives them; for instances the
            objects' own numbers.
        code: How the masks are read.

    Returns:
        Boxes, structure by structure, and how many pieces were too small to count.
    """
    found: list[Box] = []
    small = 0
    if code.kind == "instances":
        sizes = np.bincount(labels.reshape(-1))
        for number, where in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
            if where is not None:
                small += bool(sizes[number] < _FEWEST)
                found += [_box(0, where)] if sizes[number] >= _FEWEST else []
        return tuple(found), small
    for k in range(len(code.values)):
        mine = [n for n, classes in enumerate(codes_of(code), start=1) if k in classes and n != IGNORED]
        pieces, _ = ndimage.label(np.isin(labels, mine), structure=np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.reshape(-1))
        for number, where in enumerate(ndimage.find_objects(pieces), start=1):
            small += bool(sizes[number] < _FEWEST)
            found += [_box(k, where)] if sizes[number] >= _FEWEST else []
    return tuple(found), small


def _box(label: int, where: tuple[slice, ...]) -> Box:
    i, j, k = where
    return Box(label, (i.start - 0.5, j.start - 0.5, k.start - 0.5), (i.stop - 0.5, j.stop - 0.5, k.stop - 0.5))
