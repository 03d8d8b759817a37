"""Preprocessing, window and target of a segmentation by rule, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from scanwright.core import Augmentation, Cohort, Fingerprint, Intensity, Preprocessing, Segmentation
from scanwright.plan.choices import choose_intensity
from scanwright.plan.kinds import choose_augmentation
from scanwright.plan.segment.masks import MaskFacts

_FLAT = 3.0
"""Spacing along an axis over the finest one from which it is coarse: nnU-Net's threshold."""
_FEW_SLICES = 12
_WINDOW = {("cpu", 3): 96_000, ("gpu", 3): 128**3, ("cpu", 2): 256 * 256, ("gpu", 2): 512 * 512}
"""Voxels of a window that a step can afford, for a budget of half an hour."""
_BATCH_VOXELS = {("cpu", 3): 180_000, ("gpu", 3): 2 * 128**3, ("cpu", 2): 4 * 256 * 256, ("gpu", 2): 12 * 512 * 512}
"""Voxels of a step. On a processor, where time grows with them, volumes learn more from twice the steps than from
twice the windows; slices, which are normalised over the batch, do not always."""
_WHOLE = 40
"""Windows that should cover a case: of a finer spacing a network would never see enough."""
_SPREAD = 5.0
"""Standard deviations from the mean at which values of 8-bit images are cut."""
_DEEPEST = 4
"""Least voxels of a window's side on the deepest level."""


@dataclass
class SegmentChoices:
    """What was chosen before any step is timed.

    Args:
        spec: Preprocessing; its size is the window.
        segmentation: Target and windows.
        augmentation: Changes.
        levels: Resolutions of the networks.
        flat: Levels without pooling, by axis of the network.
        batch: Windows a step.
        lattice: Median lattice.
        reasons: By field.
    """

    spec: Preprocessing
    segmentation: Segmentation
    augmentation: Augmentation
    levels: int
    flat: tuple[int, ...]
    batch: int
    lattice: tuple[int, int, int]
    reasons: dict[str, str] = field(default_factory=dict)


def choose(
    cohort: Cohort,
    fingerprint: Fingerprint,
    masks: MaskFacts,
    codes: tuple[tuple[int, ...], ...],
    *,
    kind: str,
    seconds: float,
    gpu: bool,
) -> SegmentChoices:
    """All that can be chosen without timing a step.

    Args:
        cohort: Structures and their sides.
        fingerprint: Shapes, spacings and intensities.
        masks: How large the structures are.
        codes: Classes of each code.
        kind: A key of ``KINDS``.
        seconds: Time to train.
        gpu: Whether an accelerator is used.

    Returns:
        The choices.
    """
    device = "gpu" if gpu else "cpu"
    reasons: dict[str, str] = {}
    orientation, order = _orientation(fingerprint)
    shape = tuple(fingerprint.shape_median[a] for a in order)
    spacing = tuple(fingerprint.spacing_median[a] for a in order) if fingerprint.spacing_median else None
    dimension, slices = _dimension(fingerprint, shape, spacing, reasons)
    afford = int(_WINDOW[device, dimension] * min(max(seconds / 1500, 0.5), 4.0) ** 0.5)
    target_spacing = _spacing(fingerprint, shape, spacing, dimension, afford, reasons)
    lattice = _lattice(shape, spacing, target_spacing)
    flat = _flat_levels(dimension, target_spacing)
    size, levels = window(lattice[:dimension], afford, flat)
    reasons["preprocessing.size"] = (
        f"Cases of about {_by(lattice)} voxels are seen through windows of {_by(size)}, which a step can afford."
        if any(n < m for n, m in zip(size, lattice, strict=False))
        else f"A window of {_by(size)} holds a whole case of about {_by(lattice[:dimension])} voxels."
    )
    batch = int(min(max(_BATCH_VOXELS[device, dimension] // math.prod(size), 2), 32))
    channels, reasons["preprocessing.channels"] = _channels(fingerprint)
    intensity, reasons["preprocessing.intensity"] = _intensity(cohort, fingerprint, kind)
    spec = Preprocessing(
        dimension=dimension,
        size=size,
        channels=channels,
        orientation=orientation,
        fit="pad",
        spacing_mm=target_spacing,
        intensity=intensity,
    )
    if orientation:
        reasons["preprocessing.orientation"] = f"All volumes are turned the same way: {orientation}."
    augmentation, more = _augmentation(cohort, fingerprint, kind, dimension, orientation, flat)
    reasons |= more
    if augmentation.rotate90 and len(set(size)) > 1:
        augmentation = augmentation.model_copy(update={"rotate90": False})
        reasons["augmentation.rotate90"] = "No quarter turns: the window is not square."
    segmentation = _target(cohort, masks, codes, slices, augmentation, reasons)
    return SegmentChoices(spec, segmentation, augmentation, levels, flat, batch, lattice, reasons)


def window(lattice: Sequence[int], afford: int, flat: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """The window: as much of a case as a step can afford, divisible by the network's strides.

    Args:
        lattice: Voxels of a case along the network's axes.
        afford: Voxels of a window.
        flat: Levels without pooling, by axis.

    Returns:
        Its size, and the resolutions that a network may have.

    Example:
        >>> window((35, 50, 36), 96_000, (0, 0, 0))
        ((40, 48, 40), 4)
    """
    sides = [float(n) for n in lattice]
    while math.prod(sides) > afford:
        sides[int(np.argmax(sides))] *= 0.95
    most = 7 if len(sides) == 2 else 6
    levels = 2
    while levels < most and all(
        min(n, s) / 2 ** max(levels - f, 0) >= _DEEPEST for n, s, f in zip(lattice, sides, flat, strict=True)
    ):
        levels += 1
    steps = [2 ** max(levels - 1 - f, 0) for f in flat]
    size = [max(math.ceil(s / step - 0.25) * step, step) for s, step in zip(sides, steps, strict=True)]
    return tuple(size), levels


def _orientation(f: Fingerprint) -> tuple[str | None, tuple[int, int, int]]:
    """Axis codes with the coarsest axis last, and where each axis comes from."""
    if f.dimension == 2 or f.spacing_median is None:
        return None, (0, 1, 2)
    coarse = int(np.argmax(f.spacing_median))
    if f.spacing_median[coarse] < 1.5 * sorted(f.spacing_median)[1]:
        coarse = 2
    order = (*(a for a in range(3) if a != coarse), coarse)
    return "".join("RAS"[a] for a in order), (order[0], order[1], order[2])


def _dimension(
    f: Fingerprint, shape: tuple[int, ...], spacing: tuple[float, ...] | None, reasons: dict[str, str]
) -> tuple[Literal[2, 3], int]:
    if f.dimension == 2:
        reasons["preprocessing.dimension"] = "The images are pictures."
        return 2, 1
    flat = spacing is not None and spacing[2] / min(spacing[:2]) >= _FLAT
    if flat and shape[2] < _FEW_SLICES:
        reasons["preprocessing.dimension"] = (
            f"The volumes have {shape[2]} slices, far apart: a 2-D network goes slice by slice and sees the neighbours."
        )
        reasons["segmentation.slices"] = "The slice before and the one after are given as channels (2.5-D)."
        return 2, 3
    reasons["preprocessing.dimension"] = "The images are volumes."
    return 3, 1


def _spacing(
    f: Fingerprint,
    shape: tuple[int, ...],
    spacing: tuple[float, ...] | None,
    dimension: int,
    afford: int,
    reasons: dict[str, str],
) -> tuple[float, ...] | None:
    if f.dimension == 2 or spacing is None:
        reasons["preprocessing.spacing_mm"] = (
            "Pictures keep their pixels."
            if f.dimension == 2
            else "The volumes give no spacing, so they keep their voxels."
        )
        return None
    target = np.array(spacing, dtype=float)
    voxels = math.prod(shape)
    most = _WHOLE * afford if dimension == 3 else math.inf
    if voxels > most:
        factor = (voxels / most) ** (1 / 3)
        target = np.maximum(target, np.array(spacing).min() * factor)
        for _ in range(20):
            if math.prod(np.array(shape) * np.array(spacing) / target) <= most:
                break
            target = np.where(target <= target.min() * 1.2, target * 1.1, target)
        reasons["preprocessing.spacing_mm"] = (
            f"Resampled from {_by(spacing)} to {_by(target)} mm: at the full resolution a network would see too little "
            "of each case in this budget. A longer budget keeps more."
        )
    else:
        reasons["preprocessing.spacing_mm"] = "All volumes are brought to the cohort's median spacing."
    return tuple(round(float(t), 4) for t in target)


def _lattice(
    shape: tuple[int, ...], spacing: tuple[float, ...] | None, target: tuple[float, ...] | None
) -> tuple[int, int, int]:
    if spacing is None or target is None:
        return shape[0], shape[1], shape[2]
    i, j, k = (max(1, round(n * s / t)) for n, s, t in zip(shape, spacing, target, strict=True))
    return i, j, k


def _flat_levels(dimension: int, spacing: tuple[float, ...] | None) -> tuple[int, ...]:
    """Levels without pooling along coarse axes, until the others have caught up."""
    if spacing is None or dimension == 2:
        return (0,) * dimension
    finest = min(spacing)
    return tuple(max(0, min(3, round(math.log2(s / finest)))) for s in spacing)


def _channels(f: Fingerprint) -> tuple[int, str]:
    if f.colour:
        return 3, "The pictures are in colour."
    if f.n_channels > 1 and f.dimension == 3:
        return f.n_channels, f"Each case has {f.n_channels} channels, and all of them are used."
    return 1, "The images are grey."


def _intensity(cohort: Cohort, f: Fingerprint, kind: str) -> tuple[Intensity, str]:
    """As for any task, but 8-bit images are scaled one by one: a border is told by contrast, not by brightness."""
    if f.integer_8_bit and not f.two_valued:
        return (
            Intensity(method="zscore", low=0.0, high=_SPREAD, mean=(0.5,), std=(0.5 / _SPREAD,)),
            "8-bit images of one cohort differ in brightness, so each is scaled by its own mean and spread.",
        )
    return choose_intensity(cohort, f, kind)


def _augmentation(
    cohort: Cohort, f: Fingerprint, kind: str, dimension: int, orientation: str | None, flat: tuple[int, ...]
) -> tuple[Augmentation, dict[str, str]]:
    found, reasons = choose_augmentation(cohort, f, kind)
    sides = bool(cohort.mask_code and cohort.mask_code.sides)
    flips = found.flip_axes
    if orientation:  # the axis that runs from left to right
        side = orientation.index("R")
        flips = () if sides or not flips else (side,)
        flips = tuple(a for a in flips if a < dimension)
    if sides:
        reasons["augmentation.flip_axes"] = "No flip: the masks tell left from right."
    changes: dict[str, object] = {"flip_axes": flips, "cutout": 0.0, "mixup": 0.0}
    changes |= {
        "rotate_deg": 20.0 if dimension == 2 else 8.0 if any(flat) else 15.0,
        "scale": 0.3 if dimension == 2 else 0.2,
        "shading": 0.4 if dimension == 2 and not f.two_valued else 0.0,
        "shift": 0.0,
        "shear": 0.0,
        "elastic": 0.012,
    }
    objects = cohort.mask_code is not None and cohort.mask_code.kind == "instances"
    if kind in ("microscopy", "photo", "fundus") or (objects and dimension == 2 and f.dimension == 2):
        changes["rotate_deg"] = 30.0
        changes["rotate90"] = kind != "fundus"
        changes["flip_axes"] = (0, 1)
    if objects:
        reasons["augmentation.flip_axes"] = (
            "Numbered objects look the same in every direction: all flips and quarter turns."
        )
    if changes["shading"]:
        reasons["augmentation.shading"] = "Coils, probes and lamps light each picture unevenly, each in its own way."
    reasons["augmentation"] = "Places and values change a little, image and mask together; windows move anyway."
    return found.model_copy(update=changes), reasons


def _target(
    cohort: Cohort,
    masks: MaskFacts,
    codes: tuple[tuple[int, ...], ...],
    slices: int,
    augmentation: Augmentation,
    reasons: dict[str, str],
) -> Segmentation:
    code = cohort.mask_code
    instances = code is not None and code.kind == "instances"
    regions = code is not None and code.are_regions
    target = "instances" if instances else "regions" if regions else "labels"
    reasons["segmentation.target"] = {
        "instances": "Masks number their objects: inside and border are learnt, so that touching objects come apart.",
        "regions": "Structures overlap, so each is answered on its own.",
        "labels": "Every voxel is background or one structure.",
    }[target]
    tiny = masks.rarest < 2e-3
    reasons["segmentation.loss"] = (
        f"The smallest structure fills {masks.rarest:.3%} of a case, so the hardest voxels count most."
        if tiny
        else "Dice and cross-entropy together: overlap and calibrated voxels."
    )
    reasons["segmentation.foreground"] = "Half of the windows are centred on a structure, so that none is forgotten."
    reasons["segmentation.mirror_axes"] = (
        "Mirror images are averaged in if validation gains by them."
        if augmentation.flip_axes
        else "No mirror images: training has none."
    )
    values = {"target": target, "loss": "dice_topk" if tiny else "dice_ce"}
    return Segmentation(
        codes=codes,
        slices=slices,
        foreground=0.67 if tiny else 0.5,
        mirror_axes=augmentation.flip_axes,
        overlap=0.5,
        crop="body" if cohort.modality == "CT" else "none",
        sides=code.sides if code else (),
        **values,  # type: ignore[arg-type]
    )


def _by(values: Sequence[float]) -> str:
    return " x ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values)
