"""Resolution, window and cells of a detection by rule, each with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from scanwright.core import Augmentation, Cohort, Detection, Fingerprint, Preprocessing
from scanwright.plan.detect.boxes import BoxFacts
from scanwright.plan.kinds import choose_augmentation
from scanwright.plan.segment.choices import _by, _channels, _flat_levels, _intensity, _lattice, _orientation, window

_SMALL_VOXELS = {2: 16.0, 3: 6.0}
"""Voxels along its shorter side that a small box keeps: finer images cost time and tell no more."""
_CELLS = 2.2
"""Cells along its shorter side that a small box should span, so that neighbours have middles of their own."""
_COARSEST = 3
_WINDOW = {("cpu", 3): 110_000, ("gpu", 3): 128**3, ("cpu", 2): 80_000, ("gpu", 2): 640 * 640}
"""Voxels of a window that a step can afford, for a budget of half an hour."""
_BATCH_VOXELS = {("cpu", 3): 330_000, ("gpu", 3): 4 * 128**3, ("cpu", 2): 400_000, ("gpu", 2): 16 * 640 * 640}
_MOST_LEVELS = 6


@dataclass
class DetectChoices:
    """What was chosen before any step is timed.

    Args:
        spec: Preprocessing; its size is the window.
        detection: Cells and windows.
        augmentation: Changes.
        levels: Resolutions of the networks.
        answer: Level whose cells answer.
        flat: First steps that pass an axis by.
        batch: Windows a step.
        lattice: Median lattice.
        reasons: By field.
    """

    spec: Preprocessing
    detection: Detection
    augmentation: Augmentation
    levels: int
    answer: int
    flat: tuple[int, ...]
    batch: int
    lattice: tuple[int, int, int]
    reasons: dict[str, str] = field(default_factory=dict)


def choose(
    cohort: Cohort, fingerprint: Fingerprint, boxes: BoxFacts, *, kind: str, seconds: float, gpu: bool
) -> DetectChoices:
    """All that can be chosen without timing a step.

    Args:
        cohort: Classes.
        fingerprint: Shapes, spacings and intensities.
        boxes: How large the boxes are.
        kind: A key of ``KINDS``.
        seconds: Time to train.
        gpu: Whether an accelerator is used.

    Returns:
        The choices.
    """
    device, d = "gpu" if gpu else "cpu", fingerprint.dimension
    reasons: dict[str, str] = {
        "preprocessing.dimension": "The images are pictures." if d == 2 else "The images are volumes.",
        "detection": f"{boxes.n_boxes} boxes, usually {_by(boxes.usual[:d])} voxels, at most {boxes.most} in a case; "
        f"{boxes.n_empty} training cases hold nothing.",
    }
    orientation, order = _orientation(fingerprint)
    shape = tuple(fingerprint.shape_median[a] for a in order)
    spacing = tuple(fingerprint.spacing_median[a] for a in order) if fingerprint.spacing_median else None
    usual, small = (tuple(size[a] for a in order) for size in (boxes.usual, boxes.small))
    shrink, target = 1, None
    if d == 2:
        shrink = max(1, min(64, int(min(small[:2]) / _SMALL_VOXELS[2])))
        reasons["detection.shrink"] = (
            f"Small boxes are {min(small[:2]):.0f} pixels wide: blocks of {shrink} x {shrink} pixels are averaged, which leaves them "
            f"{min(small[:2]) / shrink:.0f}."
            if shrink > 1
            else "Small boxes need every pixel."
        )
        lattice = (-(-shape[0] // shrink), -(-shape[1] // shrink), 1)
        steps = (float(shrink), float(shrink), 1.0)
    else:
        if spacing is not None:
            narrow = min(n * s for n, s in zip(small, spacing, strict=True)) / _SMALL_VOXELS[3]
            target = tuple(round(max(s, narrow), 4) for s in spacing)
            reasons["preprocessing.spacing_mm"] = (
                f"{_by(target)} mm: small boxes keep about {_SMALL_VOXELS[3]:g} voxels along their shortest side."
            )
        lattice = _lattice(shape, spacing, target)
        if target and spacing:
            i, j, k = (t / s for t, s in zip(target, spacing, strict=True))
            steps = (i, j, k)
        else:
            steps = (1.0, 1.0, 1.0)
    flat = _flat_levels(d, target)
    afford = int(_WINDOW[device, d] * min(max(seconds / 1500, 0.5), 4.0) ** 0.5)
    size, levels = window(lattice[:d], afford, flat)
    levels = max(1, min(levels - 1, _MOST_LEVELS))  # the network's first level is below the image
    reasons["preprocessing.size"] = (
        f"Cases of about {_by(lattice[:d])} voxels are seen through windows of {_by(size)}, which a step can afford."
        if any(n < m for n, m in zip(size, lattice, strict=False))
        else f"A window of {_by(size)} voxels holds a whole case of about {_by(lattice[:d])}."
    )
    narrowest = min(n / s for n, s in zip(small[:d], steps, strict=False))
    answer = max(0, min(int(math.log2(max(narrowest / _CELLS, 1.0))) - 1, levels - 1, _COARSEST))
    stride = tuple(2 ** max(answer + 1 - n, 0) for n in flat)
    typical = tuple(round(n / s / t, 4) for n, s, t in zip(usual, steps, stride, strict=False))
    reasons["detection.stride"] = (
        f"Cells of {_by(stride)} voxels: a small box spans {narrowest / max(stride):.1f} of them, a usual one {_by(typical)}."
    )
    batch = int(min(max(_BATCH_VOXELS[device, d] // math.prod(size), 2), 32))
    channels, reasons["preprocessing.channels"] = _channels(fingerprint)
    intensity, reasons["preprocessing.intensity"] = _intensity(cohort, fingerprint, kind)
    spec = Preprocessing(
        dimension=d,
        size=size,
        channels=channels,
        orientation=orientation,
        fit="pad",
        spacing_mm=target,
        intensity=intensity,
    )
    augmentation = _augmentation(cohort, fingerprint, kind, size, orientation, reasons)
    reasons["detection.mirror_axes"] = "Mirror images are joined in if validation gains by them."
    detection = Detection(
        shrink=shrink,
        stride=stride,
        typical=typical,
        mirror_axes=augmentation.flip_axes,
        most=int(min(max(100, 3 * boxes.most), 1000)),
    )
    reasons["detection.most"] = f"Up to {detection.most} boxes a case, three times as many as any training case holds."
    reasons["detection.threshold_rule"] = (
        "Boxes are shown from the score on that balances found and false ones best on validation."
    )
    return DetectChoices(spec, detection, augmentation, levels, answer, flat, batch, lattice, reasons)


def _augmentation(
    cohort: Cohort,
    f: Fingerprint,
    kind: str,
    size: tuple[int, ...],
    orientation: str | None,
    reasons: dict[str, str],
) -> Augmentation:
    found, more = choose_augmentation(cohort, f, kind)
    reasons |= more
    flips = found.flip_axes
    if orientation:  # the axis that runs from left to right
        side = orientation.index("R")
        flips = (side,) if flips and side < f.dimension else ()
    d = f.dimension
    changes: dict[str, object] = {"flip_axes": flips, "cutout": 0.0, "mixup": 0.0, "elastic": 0.0, "shear": 0.0}
    changes |= {"rotate_deg": 10.0, "scale": 0.25 if d == 2 else 0.15, "shift": 0.0, "rotate90": False}
    if kind in ("microscopy", "photo") and d == 2:
        changes["flip_axes"] = (0, 1)
        changes["rotate90"] = len(set(size)) == 1
    reasons["augmentation"] = (
        "Places and values change a little, image and boxes together; nothing is bent, since boxes cannot follow."
    )
    return found.model_copy(update=changes)
