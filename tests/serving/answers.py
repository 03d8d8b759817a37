"""Models of volumes with answers that are known by hand: a heat map, and structures with lesions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from scanwright.core import LabelMap, Prediction, Volume
from scanwright.core.prediction import Lesion

SHAPE = (30, 20, 12)
AFFINE = np.array([[-0.8, 0, 0, 40], [0, -0.8, 0, 30], [0, 0, 2.5, -90], [0, 0, 0, 1]])
"""LPS axes: rows run sideways in the file, so a slice is turned to be hung."""


def a_volume(path: Path) -> Path:
    """A NIfTI volume: dark, with a bright mark whose place is its slice."""
    array = np.zeros(SHAPE, np.int16)
    for k in range(SHAPE[2]):
        array[2 + k, 4:8, k] = 1000
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), path)
    return path


def a_lesion(number: int, structure: str, k: int, **facts: Any) -> Lesion:
    numbers: dict[str, Any] = {
        "n_voxels": 24, "volume_ml": 0.0384, "area_mm2": None, "longest_mm": 4.8, "perpendicular_mm": 3.2, "mean": 41.5,
        "low": -3.0, "high": 88.0, "unit": "HU", "centroid": (10.0, 8.0, float(k)), "centroid_mm": (32.0, 23.6, -80.0),
        "side": "right", "probability": 0.875, "slice": k, "box": ((8, 11), (6, 9), (k, k)),
    }  # fmt: skip
    return Lesion(number, structure, **{**numbers, **facts})


class Seer:
    """Marks the corner of one slice: as heat map, or as structures."""

    version, sha256, card = "2.0.0", "cd" * 32, "# Seer"
    evaluation: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, plan: Any, *, segments: bool, lesions: tuple[Lesion, ...] = ()) -> None:
        self.name = "segments" if segments else "heats"
        names = ("liver", "tumour") if segments else ("normal", "pneumonia")
        self.plan = plan.model_copy(update={"classes": names, **({"task": "segment"} if segments else {})})
        self.segments, self.lesions = segments, lesions

    def predict(self, volume: Volume, *, case: str, heatmap: bool = True) -> Prediction:
        plain = Prediction(case, self.plan.task, self.plan.classes, (0.2, 0.8), (1.4,), "pneumonia", grid=volume.grid)
        at = min(7, volume.grid.shape[2] - 1)
        if not self.segments:
            heat = np.zeros(volume.grid.shape, np.float32)
            heat[20:, 10:, at] = 1
            return replace(plain, heatmap=heat, heatmap_class="pneumonia", faithful=True, picture=volume.picture(at))
        labels = np.zeros(volume.grid.shape, np.int32)
        labels[5:20, 3:12] = 1
        labels[8:12, 6:10, at] = 2
        return replace(
            plain,
            label="liver, tumour",
            probabilities=(),
            logits=(),
            label_map=LabelMap(labels, volume.grid, {1: "liver", 2: "tumour"}),
            lesions=self.lesions,
            amounts={"liver": 3.456, "tumour": 0.0384},
            picture=volume.picture(at),
        )
