"""Spine, ribs, clavicles, scapulae, sternum and upper arms as clouds of bone.

Each bone is a dense skin (cortex) round a lighter core (marrow and trabeculae).

Source:
    Courses after Gray's Anatomy: ribs leave the vertebrae backwards, turn at the angle and
    run forward and down; the anterior ends lie two to four vertebrae lower.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scanwright.phantom.anatomy import Anatomy, profile
from scanwright.phantom.clouds import Cloud, join, tube

Array = NDArray[np.float64]

CORTEX_HU = 1350.0
MARROW_HU = 280.0

_RIB_DROP = (46, 78, 104, 124, 140, 150, 155, 152, 140, 122, 96, 70)
_RIB_END = (0.84, 0.82, 0.81, 0.80, 0.79, 0.78, 0.77, 0.73, 0.67, 0.60, 0.42, 0.30)
_RIB_HEIGHT = (5.2, 5.0, 5.4, 5.8, 6.0, 6.2, 6.3, 6.3, 6.1, 5.8, 5.2, 4.6)


def vertebra_heights() -> Array:
    """Heights of the centres of C6 .. L3, in template mm."""
    gaps = np.array([18.0, 18.5, 19, 19.5, 20, 20.5, 21, 21.5, 22, 22.5, 23, 24, 25, 26, 28, 30, 31])
    return np.asarray(178.0 - np.concatenate([[0.0], np.cumsum(gaps)]))


def skeleton(anatomy: Anatomy, *, mineral: float = 1.0, step_mm: float = 1.2) -> list[Cloud]:
    """All bones of a patient.

    Args:
        anatomy: The patient.
        mineral: Mineral content, 1 is that of a young adult.
        step_mm: Distance between points: about the pixel or voxel size.

    Returns:
        Clouds in patient mm with labels ``"rib"``, ``"spine"``, ``"clavicle"``, ``"scapula"``,
        ``"sternum"`` and ``"humerus"``; cores and cortices apart.
    """
    scale = np.asarray(anatomy.scale)
    placed: list[Cloud] = []
    for cloud in _template(round(step_mm, 3)):
        points = cloud.points * scale
        points[:, 0] += anatomy.turn * cloud.points[:, 1] * scale[0]
        placed.append(
            replace(cloud, points=points, volume_mm3=cloud.volume_mm3 * float(np.prod(scale)), hu=cloud.hu * mineral)
        )
    return placed


@lru_cache(maxsize=4)
def _template(step_mm: float) -> tuple[Cloud, ...]:
    """Bones in template mm; they differ between patients by size, turn and mineral only."""
    builder = _Builder(step_mm)
    _spine(builder)
    for side in (1, -1):
        _ribs(builder, side)
        _clavicle(builder, side)
        _scapula(builder, side)
        _arm(builder, side)
    _sternum(builder)
    kinds = dict.fromkeys((c.label, c.hu, c.base) for c in builder.clouds)
    return tuple(join([c for c in builder.clouds if (c.label, c.hu, c.base) == kind]) for kind in kinds)


class _Builder:
    """Collects bones in template mm."""

    def __init__(self, step_mm: float) -> None:
        self.step = step_mm
        self.clouds: list[Cloud] = []

    def add(self, points: Array, volume: Array, hu: float, label: str, base: str = "soft") -> None:
        self.clouds.append(Cloud(points, volume, hu, label, base))

    def bone(
        self, curve: Array, radii: Array, towards: Array, label: str, cortex_mm: float | tuple[float, float] = 1.1
    ) -> None:
        skin, area, core, share = tube(curve, radii, towards=towards, step_mm=self.step)
        start, end = (cortex_mm, cortex_mm) if isinstance(cortex_mm, int | float) else cortex_mm
        self.add(skin, area * np.linspace(start, end, len(area)), CORTEX_HU, label)
        self.add(core, share, MARROW_HU, label)


def _spine(builder: _Builder) -> None:
    for n, z in enumerate(vertebra_heights()):
        wide, deep = 12.5 + 0.55 * n, 9.5 + 0.5 * n
        tall = 0.76 * (18 + 0.75 * n)
        y = float(profile("spine", np.array(z)))
        builder.add(*_disc((0, y, z), (wide, deep), (z - tall / 2, z + tall / 2), builder.step), MARROW_HU, "spine")
        for end in (z - tall / 2, z + tall / 2):
            points, volume = _disc((0, y, end), (wide, deep), (end - 0.6, end + 0.6), builder.step)
            builder.add(points, volume, 900.0, "spine")
        around = np.linspace(0, 2 * np.pi, 60)
        levels = np.arange(z - tall / 2, z + tall / 2, builder.step)
        waist = 1 - 0.07 * np.cos((levels - z) / tall * np.pi)
        ring = np.stack(
            [
                (wide * waist[:, None] * np.cos(around)).ravel(),
                (y + deep * waist[:, None] * np.sin(around)).ravel(),
                np.repeat(levels, around.size),
            ],
            axis=1,
        )
        share = np.pi * (wide + deep) * tall * 0.9 / len(ring)
        builder.add(ring, np.full(len(ring), share), CORTEX_HU, "spine")
        _arch(builder, (y, z, wide, deep), n)


def _arch(builder: _Builder, body: tuple[float, float, float, float], n: int) -> None:
    y, z, wide, deep = body
    up = np.array([0.0, 0, 1])
    for side in (1, -1):
        pedicle = np.array(
            [[side * wide * 0.62, y - deep * 0.8, z + 3.5], [side * wide * 0.66, y - deep - 12, z + 3.5]]
        )
        builder.bone(pedicle, np.array([4.6, 3.0]), up, "spine", 1.0)
        lamina = np.array([[side * wide * 0.66, y - deep - 12, z + 2], [side * 3.0, y - deep - 22, z - 3]])
        builder.bone(lamina, np.array([6.0, 2.6]), up, "spine", 0.8)
        reach = wide + (17 if 1 < n < 12 else 13)
        process = np.array([[side * wide * 0.7, y - deep - 13, z + 2], [side * reach, y - deep - 20, z + 5]])
        builder.bone(process, np.array([4.2, 3.4]), up, "spine", 0.8)
    slope = 16 if 4 < n < 12 else 8
    spinous = np.array([[0, y - deep - 22, z - 3], [0, y - deep - 44, z - 3 - slope]])
    builder.bone(spinous, np.array([6.0, 2.6]), up, "spine", 0.8)


def _disc(
    centre: tuple[float, float, float], radii: tuple[float, float], heights: tuple[float, float], step: float
) -> tuple[Array, Array]:
    x, y = np.meshgrid(np.arange(-radii[0], radii[0], step), np.arange(-radii[1], radii[1], step * 1.5))
    keep = (x / radii[0]) ** 2 + (y / radii[1]) ** 2 < 1
    z = np.arange(heights[0], heights[1], step) + step / 2
    z = z if z.size else np.array([sum(heights) / 2])
    flat = np.stack([x[keep] + centre[0], y[keep] + centre[1]], axis=1)
    points = np.concatenate([np.repeat(flat, z.size, axis=0), np.tile(z, len(flat))[:, None]], axis=1)
    volume = np.pi * radii[0] * radii[1] * (heights[1] - heights[0]) / max(len(points), 1)
    return points, np.full(len(points), volume)


def rib_curve(number: int, side: int) -> tuple[Array, Array]:
    """Centre line of a rib.

    Args:
        number: 1 .. 12.
        side: 1 right, -1 left.

    Returns:
        ``(160, 3)`` template mm from the head to the cartilage, and ``(160, 3)`` directions
        away from the chest's middle.
    """
    z0 = float(vertebra_heights()[number + 1]) + 7
    drop, end = _RIB_DROP[number - 1], _RIB_END[number - 1]
    f = np.linspace(0, end, 160)
    z = z0 + 5 * np.exp(-(((f - 0.12) / 0.1) ** 2)) - drop * f**1.6
    angle = -np.pi / 2 + np.pi * f
    wall = profile("wall", np.minimum(z, 128.0)) + 5.0
    front, back = profile("front", np.minimum(z, 124.0)) + 6, profile("back", np.minimum(z, 124.0)) - 6
    middle, half = (front + back) / 2, (front - back) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    x = wall * np.maximum(cos, 0) ** (2 / 2.4)
    y = middle + half * np.sign(sin) * np.abs(sin) ** (2 / 2.0)
    start = float(profile("spine", np.array(z0))) - 12
    blend = np.clip(f / 0.10, 0, 1) ** 1.5
    head = 19 + 60 * f
    x = np.where(f < 0.10, head * (1 - blend) + np.maximum(x, head) * blend, np.maximum(x, 19))
    y = start * (1 - blend) + y * blend
    away = np.stack([side * x / wall, (y - middle) / half, np.zeros_like(z)], axis=1)
    return np.stack([side * x, y, z], axis=1), away


def _ribs(builder: _Builder, side: int) -> None:
    for number in range(1, 13):
        curve, away = rib_curve(number, side)
        height = _RIB_HEIGHT[number - 1]
        f = np.linspace(0, 1, len(curve))
        tall = height * (0.72 + 0.28 * np.clip(f / 0.25, 0, 1)) * (1 + 0.25 * np.clip((f - 0.85) / 0.15, 0, 1))
        radii = np.stack([np.full_like(f, 3.1), tall], axis=1)
        builder.bone(curve, radii, away, "rib", (1.7, 1.0))


def _clavicle(builder: _Builder, side: int) -> None:
    knots = np.array(
        [[17, 62, 93], [38, 66, 101], [70, 58, 111], [105, 32, 122], [135, 8, 129], [158, -8, 128]], dtype=float
    )
    curve = _smooth(knots) * (side, 1, 1)
    f = np.linspace(0, 1, len(curve))
    radius = 5.2 + 4.2 * np.exp(-((f / 0.12) ** 2)) + 1.6 * np.exp(-(((1 - f) / 0.15) ** 2))
    builder.bone(curve, np.stack([radius, radius], axis=1), np.array([0.0, 0, 1]), "clavicle", 2.0)


def _scapula(builder: _Builder, side: int) -> None:
    mirror = np.array([side, 1, 1])
    medial_top, angle = np.array([98, -92, 112.0]), np.array([118, -96, -22.0])
    glenoid = np.array([156, -42, 88.0])
    n = int(120 / builder.step)
    a, b = np.meshgrid((np.arange(n) + 0.5) / n, (np.arange(n) + 0.5) / n)
    keep = a + b < 1
    a, b = a[keep], b[keep]
    plate = medial_top + a[:, None] * (angle - medial_top) + b[:, None] * (glenoid - medial_top)
    plate[:, 1] -= 10 * np.sin(np.pi * np.clip(b, 0, 1))
    area = 0.5 * float(np.linalg.norm(np.cross(angle - medial_top, glenoid - medial_top)))
    builder.add(plate * mirror, np.full(len(plate), area * 3.2 / len(plate)), 800.0, "scapula")
    up = np.array([0.0, 0, 1])
    borders = (
        (np.array([medial_top, [99, -96, 60], angle]), 2.2),
        (np.array([angle, [136, -78, 36], [150, -50, 72]]), 4.2),
        (np.array([medial_top, [120, -78, 118], [140, -56, 110]]), 2.0),
        (np.array([[100, -100, 84], [128, -96, 110], [158, -62, 134], [172, -32, 134]]), 4.6),
        (np.array([[140, -46, 108], [140, -24, 116], [136, -6, 104]]), 4.4),
    )
    for knots, radius in borders:
        builder.bone(_smooth(knots) * mirror, np.array([radius, radius]), up, "scapula", 1.8)
    socket = np.array([[154, -42, 106], [159, -39, 88], [154, -42, 68]])
    builder.bone(_smooth(socket) * mirror, np.array([10.0, 5.0]), np.array([0.0, 1, 0]), "scapula", 1.8)


def _arm(builder: _Builder, side: int) -> None:
    knots = np.array([[170, -30, 115], [176, -28, 97], [185, -26, 72], [212, -25, 20], [244, -24, -50]], dtype=float)
    curve = _smooth(knots) * (side, 1, 1)
    f = np.linspace(0, 1, len(curve))
    radius = 11.5 + 10.5 * np.sqrt(np.clip(1 - ((f - 0.1) / 0.13) ** 2, 0, 1)) * np.clip(f / 0.03, 0.3, 1)
    forward = np.array([0.0, 1, 0])
    builder.bone(curve, np.stack([radius, radius], axis=1), forward, "humerus", 1.5)


def _sternum(builder: _Builder) -> None:
    front = np.array([0.0, 1, 0])
    for knots, radii in (
        (np.array([[0, 60, 92], [0, 72, 68], [0, 78, 48]]), (4.5, 24.0)),
        (np.array([[0, 79, 44], [0, 87, 0], [0, 88, -48]]), (4.2, 15.0)),
    ):
        builder.bone(_smooth(knots), np.array(radii), front, "sternum", 0.9)


def _smooth(knots: Array) -> Array:
    from scipy.interpolate import PchipInterpolator

    knots = np.asarray(knots, dtype=float)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    return np.asarray(PchipInterpolator(along, knots)(np.linspace(0, along[-1], 80)))
