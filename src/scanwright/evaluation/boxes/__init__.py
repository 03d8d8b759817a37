"""Boxes against truth: overlaps, matches, average precision, free-response curves."""

from scanwright.evaluation.boxes.judge import (
    COCO_IOUS,
    IOUS,
    alone,
    box_rows,
    evaluate_boxes,
    mean_precision,
    sure_and_alone,
)
from scanwright.evaluation.boxes.matching import Found, match
from scanwright.evaluation.boxes.overlap import iou
from scanwright.evaluation.boxes.precision import average_precision, best_threshold, precision_recall

__all__ = [
    "COCO_IOUS",
    "IOUS",
    "Found",
    "alone",
    "average_precision",
    "best_threshold",
    "box_rows",
    "evaluate_boxes",
    "iou",
    "match",
    "mean_precision",
    "precision_recall",
    "sure_and_alone",
]
