"""Nodules and granulomas: lumps with smooth or spiculated margins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanwright.phantom.clouds import Cloud
from scanwright.phantom.patient import Nodule

Array = NDArray[np.float64]


def inside(nodule: Nodule, position: Array) -> Array:
    """How far points lie inside a nodule.

    Args:
        nodule: The nodule.
        position: ``(..., 3)`` RAS+ mm.

    Returns:
        ``(...)`` depth under the surface in mm, negative outside.
    """
    offset = np.asarray(position, dtype=float) - np.asarray(nodule.centre)
    distance = np.linalg.norm(offset, axis=-1)
    radius = nodule.diameter_mm / 2
    depth = np.asarray(radius - distance)
    near = (distance > 0.6 * radius) & (distance < 2.1 * radius)  # elsewhere the bumps change nothing
    direction = offset[near] / distance[near][..., None]
    depth[near] = _surface(nodule, direction) - distance[near]
    return depth


def _surface(nodule: Nodule, direction: Array) -> Array:
    """Distance of the surface from the centre along unit vectors ``(N, 3)``, in mm."""
    generator = np.random.default_rng((nodule.seed, 5))
    radius = nodule.diameter_mm / 2
    waves = generator.normal(size=(6, 3))
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    phase, size = generator.uniform(0, 6, 6), generator.uniform(0.2, 1, 6)
    bumps = np.cos(direction @ waves.T * generator.uniform(1.5, 3.5, 6) + phase) @ size
    if nodule.margin == "smooth":
        return np.asarray(radius * (1 + 0.035 * bumps))
    spikes = generator.normal(size=(22, 3))
    spikes /= np.linalg.norm(spikes, axis=1, keepdims=True)
    length = generator.uniform(0.25, 0.75, 22) * radius
    sharp = generator.uniform(60, 160, 22)
    return np.asarray(
        0.93 * radius * (1 + 0.075 * bumps) + (np.exp((direction @ spikes.T - 1) * sharp) * length).max(axis=-1)
    )


def lesion_cloud(nodule: Nodule, label: str, *, step_mm: float = 1.0) -> Cloud:
    """A nodule as a cloud.

    Args:
        nodule: The nodule.
        label: ``"nodule"`` or ``"granuloma"``.
        step_mm: Edge of the little cubes.

    Returns:
        Cloud in patient mm, replacing lung.
    """
    step = min(step_mm, nodule.diameter_mm / 8)
    reach = nodule.diameter_mm * (0.95 if nodule.margin == "spiculated" else 0.62) + 1
    n = int(np.ceil(reach / step))
    line = np.arange(-n, n + 1) * step
    box = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    box = box[np.linalg.norm(box, axis=1) < reach]
    box += (
        np.random.default_rng((nodule.seed, 6)).uniform(-0.5, 0.5, box.shape) * step
    )  # an even lattice would draw a pattern
    box += np.asarray(nodule.centre)
    share = np.clip(inside(nodule, box) / step + 0.5, 0, 1)
    keep = share > 0
    return Cloud(box[keep], share[keep] * step**3, nodule.hu, label, "lung")
