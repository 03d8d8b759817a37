"""Segmentation: windows over the whole case, structures on the source's own grid, objects, lesions."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanwright.inference.segment.instances import InstanceRule, objects
    from scanwright.inference.segment.pieces import amounts, lesions_of, pieces_of
    from scanwright.inference.segment.postprocess import PostRule, StructureRule, SweepCase, sweep
    from scanwright.inference.segment.precision import fewer_windows, gate
    from scanwright.inference.segment.predictor import SegmentPredictor
    from scanwright.inference.segment.prepared import lay_out_half
    from scanwright.inference.segment.sliding import Slab, slide, slide_slabs
    from scanwright.inference.segment.tiles import gaussian, windows
    from scanwright.inference.segment.upsample import Decision, OnSource, on_source, resampled

_HOMES = {
    "Decision": "upsample",
    "InstanceRule": "instances",
    "OnSource": "upsample",
    "PostRule": "postprocess",
    "SegmentPredictor": "predictor",
    "Slab": "sliding",
    "StructureRule": "postprocess",
    "SweepCase": "postprocess",
    "amounts": "pieces",
    "fewer_windows": "precision",
    "gate": "precision",
    "gaussian": "tiles",
    "lay_out_half": "prepared",
    "lesions_of": "pieces",
    "objects": "instances",
    "on_source": "upsample",
    "pieces_of": "pieces",
    "resampled": "upsample",
    "slide": "sliding",
    "slide_slabs": "sliding",
    "sweep": "postprocess",
    "windows": "tiles",
}

__all__ = [
    "Decision",
    "InstanceRule",
    "OnSource",
    "PostRule",
    "SegmentPredictor",
    "Slab",
    "StructureRule",
    "SweepCase",
    "amounts",
    "fewer_windows",
    "gate",
    "gaussian",
    "lay_out_half",
    "lesions_of",
    "objects",
    "on_source",
    "pieces_of",
    "resampled",
    "slide",
    "slide_slabs",
    "sweep",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
