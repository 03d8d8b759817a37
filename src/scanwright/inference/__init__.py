"""Volume and model file to prediction, on the volume's own grid, without torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanwright.inference.cautions import CAUTIONS, RESEARCH_USE
    from scanwright.inference.detect.predictor import DetectPredictor
    from scanwright.inference.engines import ENGINES, Engine, open_engine
    from scanwright.inference.heatmap import blend, draw
    from scanwright.inference.many import predict_arrays, predict_many
    from scanwright.inference.opening import open_predictor
    from scanwright.inference.predictor import Predictor
    from scanwright.inference.segment.predictor import SegmentPredictor
    from scanwright.inference.write import write_prediction

_HOMES = {
    "CAUTIONS": "cautions",
    "DetectPredictor": "detect.predictor",
    "ENGINES": "engines",
    "Engine": "engines",
    "Predictor": "predictor",
    "RESEARCH_USE": "cautions",
    "SegmentPredictor": "segment.predictor",
    "blend": "heatmap",
    "draw": "heatmap",
    "open_engine": "engines",
    "open_predictor": "opening",
    "predict_arrays": "many",
    "predict_many": "many",
    "write_prediction": "write",
}

__all__ = [
    "CAUTIONS",
    "ENGINES",
    "RESEARCH_USE",
    "DetectPredictor",
    "Engine",
    "Predictor",
    "SegmentPredictor",
    "blend",
    "draw",
    "open_engine",
    "open_predictor",
    "predict_arrays",
    "predict_many",
    "write_prediction",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
