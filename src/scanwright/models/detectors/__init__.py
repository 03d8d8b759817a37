"""Networks that answer boxes: one architecture per file, one visible table."""

from scanwright.models.detectors.table import DETECTORS, build_detector, cell_of

__all__ = ["DETECTORS", "build_detector", "cell_of"]
