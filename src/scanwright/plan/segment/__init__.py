"""Plans of segmentations: dimension, spacing, window, networks and their steps, each with its reason."""

from scanwright.plan.segment.masks import MaskFacts, measure_masks
from scanwright.plan.segment.planner import make_segment_plan

__all__ = ["MaskFacts", "make_segment_plan", "measure_masks"]
