"""Networks that give every voxel its logits: one architecture per file, one visible table."""

from scanwright.models.segmenters.table import SEGMENTERS, build_segmenter
from scanwright.models.segmenters.together import Together

__all__ = ["SEGMENTERS", "Together", "build_segmenter"]
