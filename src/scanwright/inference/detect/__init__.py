"""Detection: peaks on cells, boxes, one list for windows and mirror images, boxes on the source's own grid."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanwright.inference.detect.clustering import Views, cluster
    from scanwright.inference.detect.peaks import decode
    from scanwright.inference.detect.pictures import draw_boxes
    from scanwright.inference.detect.predictor import DetectPredictor, boxes_of, found_of
    from scanwright.inference.detect.views import found_in

_HOMES = {
    "DetectPredictor": "predictor",
    "Views": "clustering",
    "boxes_of": "predictor",
    "cluster": "clustering",
    "decode": "peaks",
    "draw_boxes": "pictures",
    "found_in": "views",
    "found_of": "predictor",
}

__all__ = ["DetectPredictor", "Views", "boxes_of", "cluster", "decode", "draw_boxes", "found_in", "found_of"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
