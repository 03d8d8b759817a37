"""What the masks of one case hold, read as training will read them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from scanwright.core import Case, Cohort, GeometryError, Grid, LabelMap, ScanwrightError
from scanwright.io import codes_of, read_label_map, read_truth
from scanwright.preprocessing.truth import on_grid, same_place

_STEP = 0.02
_IGNORED = 255


@dataclass(frozen=True, slots=True)
class Truth:
    """Masks of one case that can be learnt from.

    Args:
        voxels: Voxels of each structure, on the masks' own grid.
        n_voxels: Voxels of the image.
        n_objects: Numbered objects, for instances.
        digest: Hash of the label map.
        regridded: How the grid differs from the image's, in words; empty if it is the same.
    """

    voxels: tuple[int, ...]
    n_voxels: int
    n_objects: int
    digest: bytes
    regridded: str = ""


@dataclass(frozen=True, slots=True)
class BadMask:
    """Masks of one case that cannot be learnt from.

    Args:
        kind: ``"damaged-mask"``, ``"mask-value"`` or ``"mask-elsewhere"``.
        text: What is wrong, in one sentence.
    """

    kind: Literal["damaged-mask", "mask-value", "mask-elsewhere"]
    text: str


def look_at_truth(cohort: Cohort, case: Case, grid: Grid) -> Truth | BadMask:
    """Read the masks of a case.

    Args:
        cohort: Gives the root and the mask code.
        case: Its masks are read.
        grid: Grid of its image.

    Returns:
        What they hold, or what is wrong with them.
    """
    code = cohort.mask_code
    if code is None:
        return BadMask("damaged-mask", "The cohort has no mask code.")
    try:
        labels = read_truth(case.masks, code, like=grid, root=cohort.root, name=repr(case.id))
        on_image = labels if same_place(labels.grid, grid) or _on_lattice(labels.grid, grid) else None
        if on_image is None:
            on_grid(labels, grid, name=PurePosixPath(case.masks[0]).name)
    except GeometryError as error:
        return BadMask("mask-elsewhere", error.fact or str(error))
    except ScanwrightError as error:
        text = error.fact or str(error)
        readable = code.kind in ("labels", "colours") and all(_can_be_read(m, cohort) for m in case.masks)
        readable = readable or code.kind in ("onehot", "multihot")
        return BadMask("mask-value" if readable else "damaged-mask", text)
    array = labels.array
    counts = np.bincount(array.ravel().astype(np.intp), minlength=1)
    n_objects = 0
    if code.kind == "instances":
        n_objects = int((counts[1:] > 0).sum())
        voxels: tuple[int, ...] = (int(counts[1:].sum()),)
    else:
        held = [0] * len(cohort.classes)
        for number, classes in enumerate(codes_of(code), start=1):
            for k in classes if number < len(counts) and number != _IGNORED else ():
                held[k] += int(counts[number])
        voxels = tuple(held)
    return Truth(
        voxels, int(np.prod(grid.shape)), n_objects, _digest(labels), "" if on_image else _differs(labels, grid)
    )


def _digest(labels: LabelMap) -> bytes:
    key = hashlib.blake2b(repr(labels.grid.shape).encode(), digest_size=16)
    key.update(np.ascontiguousarray(labels.array, dtype="<i4").tobytes())
    return key.digest()


def _on_lattice(mask: Grid, image: Grid) -> bool:
    """Whether the voxels of a mask are voxels of the image: a box of its slices, perhaps in reverse order."""
    if not (mask.spacing_known and image.spacing_known):
        return False
    far = np.array(mask.shape) - 1
    corners = np.array([(i, j, k) for i in (0, far[0]) for j in (0, far[1]) for k in (0, far[2])])
    index = image.index(mask.world(corners))
    whole = np.abs(index - np.rint(index)).max() <= _STEP
    steps = np.abs(np.linalg.inv(image.affine[:3, :3]) @ mask.affine[:3, :3])
    inside = (index > -0.5).all() and (index < np.array(image.shape) - 0.5).all()
    return bool(whole and inside and np.abs(steps - np.eye(3)).max() <= _STEP)


def _differs(labels: LabelMap, grid: Grid) -> str:
    def say(one: Grid) -> str:
        size = " x ".join(map(str, one.shape))
        return f"{size} voxels of {' x '.join(f'{s:.3g}' for s in one.spacing)} mm"

    return f"{say(labels.grid)} where the image has {say(grid)}"


def _can_be_read(mask: str, cohort: Cohort) -> bool:
    try:
        read_label_map(mask, root=cohort.root)
    except ScanwrightError:
        return cohort.mask_code is not None and cohort.mask_code.kind == "colours"
    return True
