"""Scanwright: one folder of medical images in; a tested, explained model and a running service out.

    >>> import scanwright as sw
    >>> sw.Budget.parse("10m").seconds
    600.0

The verbs are those of the command line: ``sw.scan``, ``sw.check``, ``sw.run``, ``sw.evaluate``,
``sw.predict``, ``sw.generate``, ``sw.phantom``, ``sw.fetch``, ``sw.doctor``. Importing costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_FROM = {
    "core": ("Budget", "Case", "Cohort", "Grid", "LabelMap", "Plan", "Prediction", "ScanwrightError", "Volume"),
    "io": ("read_volume",),
    "journey.result": ("Run",),
    "workflow": (
        "check",
        "doctor",
        "evaluate",
        "fetch",
        "generate",
        "open_model",
        "phantom",
        "predict",
        "public_cohorts",
        "run",
        "scan",
    ),
}
_HOME = {name: room for room, names in _FROM.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"scanwright.{_HOME[name]}"), name)
    raise AttributeError(f"module 'scanwright' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
