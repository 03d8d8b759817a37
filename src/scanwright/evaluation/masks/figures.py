"""The figures of one structure in one case, and the visible table that explains them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError
from scanwright.evaluation.masks.lesions import match_lesions
from scanwright.evaluation.masks.surface import (
    Mask,
    average_distance,
    common_box,
    hausdorff,
    surface_dice,
    surface_distances,
)

_NAN = float("nan")


@dataclass(frozen=True)
class Figure:
    """One figure of a mask.

    Args:
        title: Name in a table.
        meaning: One plain sentence for a reader who is no statistician.
        better: Direction; None for an amount that is neither.
        bounds: Smallest and largest possible value.
        unit: ``"mm"``, ``"mL"`` or ``""``; a picture has mm2 for mL, and pixels without spacing.
        source: Definition, and the tool that it agrees with.
    """

    title: str
    meaning: str
    better: Literal["higher", "lower"] | None
    bounds: tuple[float, float]
    unit: str
    source: str


_UNIT, _ANY, _SIGNED = (0.0, 1.0), (0.0, np.inf), (-np.inf, np.inf)
_ITK = "SimpleITK LabelOverlapMeasuresImageFilter, equal to 1e-12"
_MONAI = "MONAI, equal to 1e-5 (its float32)"
_OWN = "checked by hand"

FIGURES: dict[str, Figure] = {
    "dice": Figure("Dice", "Overlap of answer and truth: 1 is the same voxels, 0 none in common.", "higher", _UNIT, "", f"Dice 1945; {_ITK}"),
    "iou": Figure("IoU (Jaccard)", "Voxels that both have over voxels that either has.", "higher", _UNIT, "", f"Jaccard 1912; {_ITK}"),
    "precision": Figure("Precision", "Of the answered voxels, the share that is right.", "higher", _UNIT, "", f"1 - false discovery rate; {_ITK}"),
    "recall": Figure("Sensitivity (recall)", "Of the true voxels, the share that is found.", "higher", _UNIT, "", f"1 - false negative error; {_ITK}"),
    "specificity": Figure("Specificity", "Of the voxels outside, the share that is left out; close to 1 in a large image whatever the answer.", "higher", _UNIT, "", _OWN),
    "hd95_mm": Figure("HD95", "95 % of the surface of each lies closer than this to the other.", "lower", _ANY, "mm", f"larger of the two directed 95th percentiles over border voxels; {_MONAI}"),
    "assd_mm": Figure("Average surface distance", "Mean distance from one surface to the other, both ways.", "lower", _ANY, "mm", f"over border voxels of both; {_MONAI}"),
    "nsd": Figure("NSD", "Share of both surfaces that lies within the tolerance of the other.", "higher", _UNIT, "", f"Nikolov et al. 2021, on border voxels; {_MONAI}"),
    "volume_error_ml": Figure("Volume error", "Mean size of the error of the volume.", "lower", _ANY, "mL", _OWN),
    "volume_bias_ml": Figure("Volume bias", "Mean of answer minus truth: above 0 the answers are too large.", None, _SIGNED, "mL", "Bland and Altman 1986"),
    "volume_truth_ml": Figure("True volume", "Mean volume of the truth.", None, _ANY, "mL", _OWN),
    "volume_answer_ml": Figure("Answered volume", "Mean volume of the answer.", None, _ANY, "mL", _OWN),
    "lesion_sensitivity": Figure("Lesion sensitivity", "Of the true lesions of a case, the share that the answer touches.", "higher", _UNIT, "", _OWN),
    "false_positives": Figure("False lesions", "Answered lesions a case that touch no true one.", "lower", _ANY, "", _OWN),
    "n_lesions": Figure("True lesions", "True lesions a case.", None, _ANY, "", _OWN),
    "n_missed": Figure("Missed", "Cases that have the structure and in which nothing was answered.", "lower", _ANY, "", _OWN),
    "n_invented": Figure("Invented", "Cases without the structure in which something was answered.", "lower", _ANY, "", _OWN),
    "brier": Figure("Brier score", "Mean squared gap between the probability of a voxel and the truth.", "lower", _UNIT, "", "Brier 1950"),
}  # fmt: skip
"""Every figure of a structure, in the order of tables. In one case ``volume_error_ml`` is signed."""

WHOLE_FIGURES: dict[str, Figure] = {
    "instance_ap": Figure("AP of objects", "Objects found over objects found, missed and false, at the overlap asked for.", "higher", _UNIT, "", "Data Science Bowl 2018; StarDist"),
    "instance_ap_mean": Figure("AP, IoU .5 to .95", "The same, averaged over ten overlaps.", "higher", _UNIT, "", "Data Science Bowl 2018"),
    "instance_precision": Figure("Precision of objects", "Of the answered objects, the share that is right.", "higher", _UNIT, "", _OWN),
    "instance_recall": Figure("Recall of objects", "Of the true objects, the share that is found.", "higher", _UNIT, "", _OWN),
    "instance_f1": Figure("F1 of objects", "Harmonic mean of the two.", "higher", _UNIT, "", _OWN),
    "instance_segmentation_quality": Figure("Overlap of found objects", "Mean IoU of the pairs.", "higher", _UNIT, "", "Kirillov et al. 2019"),
    "instance_panoptic_quality": Figure("Panoptic quality", "F1 of objects times the overlap of found objects.", "higher", _UNIT, "", "Kirillov et al. 2019"),
    "cpm": Figure("FROC score (CPM)", "Share of the lesions found, averaged over 1/8 to 8 false alarms a case.", "higher", _UNIT, "", "Setio et al. 2017; points of the curve equal to MONAI's compute_froc_score"),
    "ece": Figure("Calibration error (ECE)", "Mean gap between the probability of a voxel and what is there.", "lower", _UNIT, "", "Guo et al. 2017, 15 equal-width bins, voxels said to be below 1 % left out"),
}  # fmt: skip
"""Figures of the whole part: separated objects (means over cases), and what all cases give together."""


def case_figures(
    truth: Mask,
    answer: Mask,
    *,
    spacing_mm: Sequence[float] | None,
    ignored: Mask | None = None,
    tolerance_mm: float | None = None,
    chances: NDArray[np.floating] | None = None,
) -> dict[str, float]:
    """Figures of one structure in one case.

    Args:
        truth: ``(I, J, K)``; K is 1 for a picture.
        answer: Same shape.
        spacing_mm: Size of a voxel in mm; None if unknown: then mm are pixels, and amounts
            numbers of pixels (names stay).
        ignored: Voxels that belong to neither and count nowhere.
        tolerance_mm: Of the NSD; None for 1 mm or the largest spacing, whichever is larger.
        chances: Probability of this structure, same shape; adds ``brier``.

    Returns:
        ``dice, iou, precision, recall, specificity, hd95_mm, assd_mm, nsd, volume_error_ml``
        (answer minus truth)``, volume_truth_ml, volume_answer_ml`` (mm2 for a picture)``,
        lesion_sensitivity, false_positives, n_lesions, n_missed, n_invented``; see
        :data:`FIGURES`. Both masks empty: overlaps and distances are NaN. One empty: Dice, IoU,
        precision and NSD are 0, distances NaN, and ``n_missed`` (nothing answered) or
        ``n_invented`` (nothing there) is 1.

    Raises:
        InputError: Shapes or spacing do not fit.

    Example:
        >>> truth, answer = np.zeros((2, 4, 4, 4), bool)
        >>> truth[:2, :2, :2] = answer[:2, :2, :3] = True
        >>> case_figures(truth, answer, spacing_mm=(1, 1, 1))["dice"]
        0.8
    """
    _check(truth, answer, spacing_mm, ignored, chances)
    picture = truth.shape[2] == 1
    size, unit = _voxel(spacing_mm, picture)
    tolerance = max(1.0, *_steps(spacing_mm, picture)) if tolerance_mm is None else tolerance_mm
    n_voxels = truth.size
    extra = {} if chances is None else {"brier": _brier(truth, chances, ignored)}
    if ignored is not None:
        n_voxels -= int(np.count_nonzero(ignored))
        truth, answer = truth & ~ignored, answer & ~ignored
    steps = (1.0, 1.0, 1.0) if spacing_mm is None else tuple(spacing_mm)
    if truth.flags.f_contiguous and answer.flags.f_contiguous and not truth.flags.c_contiguous:
        truth, answer, steps = truth.T, answer.T, steps[::-1]  # walk memory in its order
    box = common_box(truth, answer)
    inside, said = (mask[box or (slice(0, 0),) * 3] for mask in (truth, answer))
    n_truth, n_answer = int(np.count_nonzero(inside)), int(np.count_nonzero(said))
    distances = surface_distances(truth, answer, steps, box=box)
    lesions = match_lesions(inside, said)
    return {
        **_overlaps(int(np.count_nonzero(inside & said)), n_truth, n_answer, n_voxels),
        "hd95_mm": hausdorff(distances),
        "assd_mm": average_distance(distances),
        "nsd": surface_dice(distances, tolerance),
        "volume_error_ml": (n_answer - n_truth) * size / unit,
        "volume_truth_ml": n_truth * size / unit,
        "volume_answer_ml": n_answer * size / unit,
        "lesion_sensitivity": lesions.sensitivity,
        "false_positives": float(lesions.false.sum()),
        "n_lesions": float(len(lesions.found)),
        "n_missed": float(n_truth > 0 and n_answer == 0),
        "n_invented": float(n_truth == 0 and n_answer > 0),
        **extra,
    }


def _overlaps(both: int, n_truth: int, n_answer: int, n_voxels: int) -> dict[str, float]:
    outside = n_voxels - n_truth
    union = n_truth + n_answer - both
    return {
        "dice": 2 * both / (n_truth + n_answer) if union else _NAN,
        "iou": both / union if union else _NAN,
        "precision": both / n_answer if n_answer else (0.0 if n_truth else _NAN),
        "recall": both / n_truth if n_truth else _NAN,
        "specificity": (outside - (n_answer - both)) / outside if outside else _NAN,
    }


def _voxel(spacing_mm: Sequence[float] | None, picture: bool) -> tuple[float, float]:
    """Size of a voxel, and how many of that make one unit: mm3 in a mL, mm2, or pixels."""
    if spacing_mm is None:
        return 1.0, 1.0
    return float(np.prod(_steps(spacing_mm, picture))), 1.0 if picture else 1000.0


def _steps(spacing_mm: Sequence[float] | None, picture: bool) -> tuple[float, ...]:
    steps = (1.0, 1.0, 1.0) if spacing_mm is None else tuple(float(s) for s in spacing_mm)
    return steps[:2] if picture else steps


def _brier(truth: Mask, chances: NDArray[np.floating], ignored: Mask | None) -> float:
    gap = np.asarray(chances, dtype=np.float32) - truth
    kept = gap.reshape(-1) if ignored is None else gap[~ignored]
    return float(np.einsum("i,i->", kept, kept, dtype=np.float64) / kept.size) if kept.size else _NAN


def _check(
    truth: Mask,
    answer: Mask,
    spacing_mm: Sequence[float] | None,
    ignored: Mask | None,
    chances: NDArray[np.floating] | None,
) -> None:
    others = [a.shape for a in (answer, ignored, chances) if a is not None]
    if truth.ndim != 3 or any(shape != truth.shape for shape in others):
        raise InputError(
            f"Truth has the shape {truth.shape}, the others {', '.join(map(str, others))}.",
            "All lie on one grid (I, J, K).",
            "Resample one onto the other, and give a picture a third axis of length 1.",
        )
    if truth.dtype != bool or answer.dtype != bool:
        raise InputError(
            f"The masks hold {truth.dtype} and {answer.dtype}.", "A mask is true or false.", "Compare with a label."
        )
    if spacing_mm is not None and (len(spacing_mm) != 3 or not all(0 < s < np.inf for s in spacing_mm)):
        raise InputError(
            f"The spacing is {tuple(spacing_mm)}.", "It is three numbers above 0, in mm.", "Give None if it is unknown."
        )
