"""Plan and prepared arrays to weights: the race, the training loop, the exported network."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanwright.training.augment import AUGMENTATIONS
    from scanwright.training.detect.export import export_detector
    from scanwright.training.detect.train import train_detector
    from scanwright.training.export import export_network
    from scanwright.training.race import train
    from scanwright.training.score import SHIFTS
    from scanwright.training.segment.export import export_segmenter
    from scanwright.training.segment.quantise import quantised
    from scanwright.training.segment.train import train_segmenter
    from scanwright.training.trained import Trained, load_trained, network

__all__ = [
    "AUGMENTATIONS",
    "SHIFTS",
    "Trained",
    "export_detector",
    "export_network",
    "export_segmenter",
    "load_trained",
    "network",
    "quantised",
    "train",
    "train_detector",
    "train_segmenter",
]

_HOME = {
    "AUGMENTATIONS": "augment",
    "SHIFTS": "score",
    "Trained": "trained",
    "export_detector": "detect.export",
    "export_network": "export",
    "export_segmenter": "segment.export",
    "load_trained": "trained",
    "network": "trained",
    "quantised": "segment.quantise",
    "train": "race",
    "train_detector": "detect.train",
    "train_segmenter": "segment.train",
}


def __getattr__(name: str) -> Any:  # torch is imported when a name is first used
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
