"""Images that never were: what is learnt of a cohort's images, and drawing new ones from it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanwright.generation.flow import SAMPLERS
    from scanwright.generation.generator import GUIDANCE, STEPS, Generator, seeds_of
    from scanwright.generation.learning import Learnt, Means, Pupils, learn
    from scanwright.generation.sizes import LARGEST, Design, design, multiple

__all__ = [
    "GUIDANCE",
    "LARGEST",
    "SAMPLERS",
    "STEPS",
    "Design",
    "Generator",
    "Learnt",
    "Means",
    "Pupils",
    "design",
    "learn",
    "multiple",
    "seeds_of",
]

_HOME = {
    "Design": "sizes",
    "GUIDANCE": "generator",
    "Generator": "generator",
    "LARGEST": "sizes",
    "Learnt": "learning",
    "Means": "learning",
    "Pupils": "learning",
    "SAMPLERS": "flow",
    "STEPS": "generator",
    "design": "sizes",
    "learn": "learning",
    "multiple": "sizes",
    "seeds_of": "generator",
}


def __getattr__(name: str) -> Any:  # torch is imported when a name is first used
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
