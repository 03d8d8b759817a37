"""What a model says of one case, and how good a model is on many."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scanwright.core.cohort import Task
from scanwright.core.grid import Grid
from scanwright.core.volume import png_bytes


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one case.

    Args:
        case: Case id, or the file's name.
        task: Task of the model.
        classes: Names of the classes, in order.
        probabilities: One per class (two for ``binary``), calibrated; for ``regress`` empty.
        logits: Raw network outputs, before calibration.
        label: Name of the answer (by the operating point); for ``multilabel`` the positive
            names joined by ``", "``; for ``regress`` the number as text.
        value: The number, for ``regress``.
        heatmap: ``(I, J, K)`` on the source's own grid, 0 .. 1, or None.
        heatmap_class: Class that the heat map speaks for.
        faithful: Whether the model's heat maps passed their examination; None if not examined.
        grid: Grid of the source.
        picture: ``(rows, columns)`` or ``(rows, columns, 3)`` uint8, what was looked at.
        overlay: ``(rows, columns, 3)`` uint8 with the heat map drawn over the picture.
        model: Name, version and hash of the model.
        warnings: Sentences that a reader must see beside the answer.
        seconds: Time spent.
    """

    case: str
    task: Task
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    logits: tuple[float, ...]
    label: str
    value: float | None = None
    heatmap: NDArray[np.float32] | None = None
    heatmap_class: str | None = None
    faithful: bool | None = None
    grid: Grid | None = None
    picture: NDArray[np.uint8] | None = None
    overlay: NDArray[np.uint8] | None = None
    model: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the pictures."""
        return {
            "case": self.case,
            "task": self.task,
            "label": self.label,
            "value": self.value,
            "probabilities": dict(zip(self.classes, self.probabilities, strict=False)),
            "logits": list(self.logits),
            "heatmap_class": self.heatmap_class,
            "heatmap_faithful": self.faithful,
            "model": self.model,
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 4),
        }

    def _repr_html_(self) -> str:
        shown = self.overlay if self.overlay is not None else self.picture
        image = (
            ""
            if shown is None
            else f"<img style='max-width:320px' src='data:image/png;base64,{base64.b64encode(png_bytes(shown)).decode()}'>"
        )
        rows = "".join(
            f"<tr><td>{escape(n)}</td><td>{p:.1%}</td></tr>"
            for n, p in zip(self.classes, self.probabilities, strict=False)
        )
        return f"<p><b>{escape(self.case)}</b>: {escape(self.label)}</p>{image}<table>{rows}</table>"


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that could not be answered.

    Args:
        case: Case id, or the file's name.
        reason: The error's sentences.
    """

    case: str
    reason: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval.

    Args:
        value: Point estimate.
        low: 2.5th percentile of the patient bootstrap.
        high: 97.5th percentile.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


@dataclass(frozen=True)
class Evaluation:
    """How good answers are on one part of a cohort.

    Args:
        part: ``"train"``, ``"val"``, ``"test"``, or ``"external"``.
        task: Task.
        classes: Names.
        n_cases: Cases with a label.
        n_patients: Groups that the bootstrap drew.
        metrics: Name of the figure to its interval (averaged over classes).
        per_class: Class name to the same figures for that class.
        confusion: ``(K, K)`` counts, rows truth, columns answer; empty for regression
            and multi-label.
        curves: ``"roc"``, ``"pr"``, ``"reliability"``: class name to lists of x and y.
        warnings: Sentences, such as that accuracy is no better than the floor.
        who: ``"model"``, ``"majority"``, ``"linear"``.
    """

    part: Literal["train", "val", "test", "external"]
    task: Task
    classes: tuple[str, ...]
    n_cases: int
    n_patients: int
    metrics: dict[str, Interval]
    per_class: dict[str, dict[str, Interval]] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    curves: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    who: str = "model"
