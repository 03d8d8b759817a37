"""Predictions and truth in, figures with 95 % intervals out. No torch: anyone can re-check."""

from scanwright.evaluation.evaluate import evaluate, majority_baseline, paired_difference
from scanwright.evaluation.metrics import METRICS, Metric, metrics_of
from scanwright.evaluation.tables import metrics_json, prediction_rows

__all__ = [
    "METRICS",
    "Metric",
    "evaluate",
    "majority_baseline",
    "metrics_json",
    "metrics_of",
    "paired_difference",
    "prediction_rows",
]
