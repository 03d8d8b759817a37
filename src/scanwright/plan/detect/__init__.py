"""Cohort, fingerprint and boxes to the plan of a detection."""

from scanwright.plan.detect.boxes import BoxFacts, measure_boxes
from scanwright.plan.detect.planner import DETECT_RECIPES, make_detect_plan

__all__ = ["DETECT_RECIPES", "BoxFacts", "make_detect_plan", "measure_boxes"]
