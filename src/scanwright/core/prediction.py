"""What a model says of one case, and how good a model is on many."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scanwright.core.boxes import Box, world_extent
from scanwright.core.cohort import Task
from scanwright.core.grid import Grid
from scanwright.core.volume import LabelMap, png_bytes


@dataclass(frozen=True, slots=True)
class Lesion:
    """One connected piece of a structure.

    Args:
        number: 1, 2, 3 ... in its case, largest first.
        structure: Name of the structure.
        n_voxels: Voxels of the source's grid.
        volume_ml: Millilitres; None in a picture, or where spacing is unknown.
        area_mm2: Square millimetres of a picture; None in a volume, or where spacing is unknown.
        longest_mm: Longest diameter in a slice of the grid's last axis (pixels if spacing is unknown).
        perpendicular_mm: Longest diameter across it, in the same slice.
        mean: Mean intensity in ``unit``, first channel.
        low: Lowest intensity.
        high: Highest intensity.
        unit: ``"HU"``, ``"SUVbw"``, ``"1"`` ...
        centroid: ``(i, j, k)`` on the source's grid.
        centroid_mm: ``(x, y, z)`` RAS+; None where the place in the body is unknown.
        side: ``"left"`` or ``"right"`` of the image's middle, ``""`` where that means nothing.
        probability: Mean probability of its voxels.
        slice: Slice (k) to look at: the one where it is largest.
        box: First and last index along each axis.
    """

    number: int
    structure: str
    n_voxels: int
    volume_ml: float | None
    area_mm2: float | None
    longest_mm: float
    perpendicular_mm: float
    mean: float
    low: float
    high: float
    unit: str
    centroid: tuple[float, float, float]
    centroid_mm: tuple[float, float, float] | None
    side: str
    probability: float
    slice: int
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


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
        label_map: For ``segment``: structure 1, 2, 3 ... of each voxel, on the source's own
            grid; of overlapping regions the later one is painted over the earlier.
        regions: ``(K, I, J, K)`` bool for overlapping regions, else None.
        chances: ``(I, J, K)`` probability that a voxel is in any structure, float32, or None.
        lesions: Connected pieces of the structures; may be empty.
        amounts: Structure to its volume in mL (area in mm2 of a picture, pixels where the
            spacing is unknown).
        frame_weights: For a model of sequences that gives them: how much each frame of the source
            counts in the answer, 0 for frames that were passed over; they sum to 1.
        boxes: For ``detect``: what was found, on the source's own grid, surest first.
        threshold: For ``detect``: score from which boxes are shown.
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
    label_map: LabelMap | None = None
    regions: NDArray[np.bool_] | None = None
    chances: NDArray[np.float32] | None = None
    lesions: tuple[Lesion, ...] = ()
    amounts: dict[str, float] = field(default_factory=dict)
    frame_weights: tuple[float, ...] = ()
    boxes: tuple[Box, ...] = ()
    threshold: float = 0.0

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
            **({"frame_weights": list(self.frame_weights)} if self.frame_weights else {}),
            **(
                {"amounts": self.amounts, "lesions": [asdict(one) for one in self.lesions]}
                if self.task == "segment"
                else {}
            ),
            **({"threshold": self.threshold, "boxes": self.box_rows()} if self.task == "detect" else {}),
        }

    def box_rows(self) -> list[dict[str, Any]]:
        """Boxes as plain values: class, score, edges in voxel indices, and in mm where the place is known.

        ``low_mm`` and ``high_mm`` are the lowest and highest ``(x, y, z)`` in LPS, as DICOM counts.
        """
        rows = []
        for number, box in enumerate(self.boxes, start=1):
            row: dict[str, Any] = {
                "number": number,
                "class": self.classes[box.label],
                "score": box.score,
                "low": list(box.low),
                "high": list(box.high),
            }
            if self.grid is not None and self.grid.spacing_known:
                (x0, y0, z0), (x1, y1, z1) = world_extent(box, self.grid)
                row |= {
                    "low_mm": [round(v, 4) for v in (-x1, -y1, z0)],
                    "high_mm": [round(v, 4) for v in (-x0, -y0, z1)],
                    "size_mm": [round(n * s, 4) for n, s in zip(box.size, self.grid.spacing, strict=True)],
                }
            rows.append(row)
        return rows

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
        curves: ``"roc"``, ``"pr"``, ``"reliability"``, ``"froc"``, ``"bland_altman"``: class name
            to lists of x and y.
        warnings: Sentences, such as that accuracy is no better than the floor.
        cases: For ``segment`` and ``detect`` one row a case: ``case``, ``patient`` and its figures by class.
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
    cases: tuple[dict[str, Any], ...] = ()
    who: str = "model"
