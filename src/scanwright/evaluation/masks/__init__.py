"""Masks against truth: overlaps, distances, lesions, objects, probability maps."""

from scanwright.evaluation.masks.chances import Reliability
from scanwright.evaluation.masks.figures import FIGURES, WHOLE_FIGURES, Figure, case_figures
from scanwright.evaluation.masks.froc import RATES, Froc, froc
from scanwright.evaluation.masks.instances import instance_figures
from scanwright.evaluation.masks.judge import evaluate_masks, mask_rows
from scanwright.evaluation.masks.lesions import components, match_lesions
from scanwright.evaluation.masks.surface import surface_distances

__all__ = [
    "FIGURES",
    "RATES",
    "WHOLE_FIGURES",
    "Figure",
    "Froc",
    "Reliability",
    "case_figures",
    "components",
    "evaluate_masks",
    "froc",
    "instance_figures",
    "mask_rows",
    "match_lesions",
    "surface_distances",
]
