"""Models as a web service: REST, a plain page, and the door that guards both.

Names are loaded when they are first asked for, so that importing the room costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanwright.serving.app import Service, create_app
    from scanwright.serving.limits import Limits
    from scanwright.serving.server import serve
    from scanwright.serving.shelf import Model

_HOME = {"Limits": "limits", "Model": "shelf", "Service": "app", "create_app": "app", "serve": "server"}

__all__ = ["Limits", "Model", "Service", "create_app", "serve"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
