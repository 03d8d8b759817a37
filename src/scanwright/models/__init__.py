"""Tensor to logits: one architecture per file, one visible table.

Every model ends in a mean over places and a linear layer (or an equivalent), so that the
contribution of each place to each logit is exact and needs no gradients.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanwright.models.classifier import Classifier, Explainable, Explained
    from scanwright.models.ensemble import Averaged, Flipped
    from scanwright.models.fixed import Fitted, FixedFeatures
    from scanwright.models.light import Boosted, Light, Nearest
    from scanwright.models.table import MODELS, Model, arguments_of, build, count_parameters
    from scanwright.models.transfer import Frozen, Tuned

__all__ = [
    "MODELS",
    "Averaged",
    "Boosted",
    "Classifier",
    "Explainable",
    "Explained",
    "Fitted",
    "FixedFeatures",
    "Flipped",
    "Frozen",
    "Light",
    "Model",
    "Nearest",
    "Tuned",
    "arguments_of",
    "build",
    "count_parameters",
]

_HOME = {
    "Classifier": "classifier",
    "Explainable": "classifier",
    "Explained": "classifier",
    "Averaged": "ensemble",
    "Flipped": "ensemble",
    "Fitted": "fixed",
    "FixedFeatures": "fixed",
    "Boosted": "light",
    "Frozen": "transfer",
    "Light": "light",
    "Nearest": "light",
    "Tuned": "transfer",
}


def __getattr__(name: str) -> Any:  # torch is imported when a name is first used
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME.get(name, 'table')}"), name)
