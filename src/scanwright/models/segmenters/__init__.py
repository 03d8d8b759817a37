"""Networks that give every voxel its logits: one architecture per file, one visible table."""

from scanwright.models.segmenters.table import SEGMENTERS, build_segmenter

__all__ = ["SEGMENTERS", "build_segmenter"]
