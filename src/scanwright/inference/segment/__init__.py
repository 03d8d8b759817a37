"""Segmentation: windows over the whole case, structures on the source's own grid, objects, lesions."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanwright.inference.segment.prepared import lay_out_half
    from scanwright.inference.segment.sliding import Slab, slide, slide_slabs
    from scanwright.inference.segment.tiles import gaussian, windows
    from scanwright.inference.segment.upsample import Decision, OnSource, on_source, resampled

_HOMES = {
    "Decision": "upsample",
    "OnSource": "upsample",
    "Slab": "sliding",
    "gaussian": "tiles",
    "lay_out_half": "prepared",
    "on_source": "upsample",
    "resampled": "upsample",
    "slide": "sliding",
    "slide_slabs": "sliding",
    "windows": "tiles",
}

__all__ = [
    "Decision",
    "OnSource",
    "Slab",
    "gaussian",
    "lay_out_half",
    "on_source",
    "resampled",
    "slide",
    "slide_slabs",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
