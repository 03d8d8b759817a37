"""The large organs of the chest as y-intervals over the coronal plane.

Every large organ is one or more pairs of surfaces, back and front, over the coronal
plane ``(x, z)``. A frontal X-ray then needs no voxels (the path through an organ is
front minus back), and a CT asks of each voxel whether its y lies between the two.
Both pictures come from the same numbers, so their truth is the same truth.

Coordinates here are template millimetres in RAS+: x to the patient's right, y forward,
z up; z = 45 is the carina, y = 0 the middle of the chest. :class:`Anatomy` scales them
to a patient.

Source:
    Proportions after Gray's Anatomy and usual radiographic measures (cardiothoracic
    ratio 0.42 to 0.56, carina at T5, right hemidiaphragm at the tenth rib, 1 to 2 cm
    above the left).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Interval = tuple[Array, Array]
"""Back and front surface in mm; empty where front <= back."""

_Z_LOW, _Z_HIGH = -300, 300

# fmt: off
_TABLES: dict[str, tuple[tuple[float, float], ...]] = {  # height z and value, template mm
    "wall": (  # outer wall of the lungs, half width
        (-300, 128), (-200, 132), (-160, 136), (-100, 139), (-60, 138), (-20, 136), (20, 131), (50, 124),
        (80, 113), (100, 102), (113, 92), (122, 82), (128, 73), (132, 64), (134, 56), (135, 46), (200, 45),
        (300, 45),
    ),
    "medial": (  # medial limit of the lungs; they close at the apex
        (-300, 4), (-60, 4), (0, 5), (50, 7), (90, 11), (108, 15), (120, 20), (127, 25), (131, 30), (134, 38),
        (135, 44), (200, 44), (300, 44),
    ),
    "front": (  # front of the lungs
        (-300, 66), (-165, 72), (-110, 79), (-60, 80), (0, 75), (40, 64), (80, 43), (105, 18), (120, -2),
        (130, -18), (135, -30), (200, -30), (300, -30),
    ),
    "back": (  # back of the lungs
        (-300, -70), (-165, -78), (-130, -86), (-90, -93), (-60, -94), (0, -93), (40, -90), (80, -82),
        (105, -71), (120, -61), (130, -49), (135, -34), (200, -34), (300, -34),
    ),
    "mediastinum": (  # half width of the column between the lungs
        (-300, 38), (-165, 38), (-100, 38), (-60, 40), (-20, 43), (10, 42), (35, 37), (60, 33), (90, 33),
        (115, 38), (135, 44), (200, 46), (300, 46),
    ),
    "body": (  # skin without its fat, half width
        (-300, 148), (-200, 152), (-140, 156), (-80, 158), (-30, 160), (5, 165), (30, 180), (50, 203),
        (70, 218), (95, 224), (130, 226), (300, 226),
    ),
    "body_front": (  # its front
        (-300, 84), (-165, 90), (-100, 96), (-40, 99), (10, 98), (60, 92), (95, 78), (125, 58), (150, 44),
        (300, 44),
    ),
    "body_back": (  # its back
        (-300, -104), (-165, -112), (-60, -122), (20, -126), (80, -122), (120, -106), (150, -84), (180, -66),
        (300, -62),
    ),
    "spine": (  # centres of the vertebral bodies
        (-300, -46), (-160, -50), (-80, -58), (0, -64), (60, -62), (110, -50), (150, -40), (200, -34),
        (300, -30),
    ),
}
_SHOULDER = (  # |x| and height of the skin above it
    (0, 500), (40, 300), (52, 205), (62, 178), (80, 164), (110, 151), (145, 141), (180, 129), (205, 112),
    (222, 84), (260, 30),
)
# fmt: on


@cache
def _dense(name: str) -> Array:
    from scipy.interpolate import PchipInterpolator

    knots = np.array(_TABLES[name], dtype=float)
    return np.asarray(PchipInterpolator(knots[:, 0], knots[:, 1])(np.arange(_Z_LOW, _Z_HIGH + 1)), dtype=float)


@cache
def _shoulder() -> Array:
    from scipy.interpolate import PchipInterpolator

    knots = np.array(_SHOULDER, dtype=float)
    return np.asarray(PchipInterpolator(knots[:, 0], knots[:, 1])(np.arange(0, 261)), dtype=float)


def profile(name: str, z: Array) -> Array:
    """A template profile at some heights.

    Args:
        name: ``"wall"``, ``"medial"``, ``"front"``, ``"back"``, ``"mediastinum"``, ``"body"``,
            ``"body_front"``, ``"body_back"`` or ``"spine"``.
        z: Heights in template mm, any shape.

    Returns:
        Template mm, the shape of ``z``.
    """
    table = _dense(name)
    place = np.clip(np.asarray(z, dtype=float) - _Z_LOW, 0, table.size - 1.001)
    below = place.astype(np.intp)
    part = place - below
    return np.asarray(table[below] * (1 - part) + table[below + 1] * part)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid, tilted in the coronal plane.

    Args:
        centre: x, y, z in template mm.
        radii: Along the tilted x, y and the tilted z, in template mm.
        tilt_deg: Rotation in the coronal plane; positive lowers the right end.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    tilt_deg: float = 0.0

    def interval(self, x: Array, z: Array) -> Interval:
        """Back and front surface over the coronal plane."""
        turn = np.deg2rad(self.tilt_deg)
        dx, dz = x - self.centre[0], z - self.centre[2]
        p = (dx * np.cos(turn) - dz * np.sin(turn)) / self.radii[0]
        q = (dx * np.sin(turn) + dz * np.cos(turn)) / self.radii[2]
        half = self.radii[1] * np.sqrt(np.maximum(1 - p * p - q * q, 0))
        return self.centre[1] - half, self.centre[1] + half


def union_length(intervals: Sequence[Interval], within: Interval) -> Array:
    """Length of the union of intervals, inside another interval.

    Args:
        intervals: Pairs of back and front surfaces of one shape.
        within: Pair that the others are clipped to.

    Returns:
        Length in mm, the shape of the surfaces.
    """
    ceiling = np.maximum(within[0], within[1])
    low = np.clip(np.stack([a for a, _ in intervals], dtype=np.float32), within[0], ceiling, dtype=np.float32)
    high = np.clip(np.stack([b for _, b in intervals], dtype=np.float32), low, ceiling, dtype=np.float32)
    order = np.argsort(low, axis=0)
    low, high = np.take_along_axis(low, order, axis=0), np.take_along_axis(high, order, axis=0)
    reach = high[0].copy()
    total = reach - low[0]
    for n in range(1, low.shape[0]):
        total += np.maximum(high[n] - np.maximum(low[n], reach), 0)
        np.maximum(reach, high[n], out=reach)
    return np.asarray(total, dtype=np.float64)


def _arm(x: Array, z: Array, radius: float) -> Array:
    """Half thickness of the upper arms, held a little away from the chest."""
    start, along = np.array([188.0, 76.0]), np.array([58.0, -128.0])
    dx, dz = np.abs(x) - start[0], z - start[1]
    t = np.clip((dx * along[0] + dz * along[1]) / float(along @ along), 0, 2)
    distance = (dx - t * along[0]) ** 2 + (dz - t * along[1]) ** 2
    return np.asarray(np.sqrt(np.maximum(radius**2 - distance, 0)))


@dataclass(frozen=True)
class Anatomy:
    """The organs of one patient, in template mm.

    Args:
        scale: Millimetres per template millimetre along x, y, z.
        fat_mm: Thickness of the fat under the skin.
        heart: Size of the heart, 1 is usual.
        aorta: Size of the aorta, 1 is usual; grows with age.
        dome_mm: How much higher than in full inspiration the diaphragm stands.
        turn: Tangent of the rotation about the body's axis. Rotation moves each organ
            sideways in proportion to its depth, as a film shows it.
        breast: Radius of the breasts, 0 for none.
        stomach: Size of the gas bubble under the left dome, 0 for none.
    """

    scale: tuple[float, float, float]
    fat_mm: float
    heart: float
    aorta: float
    dome_mm: float
    turn: float
    breast: float
    stomach: float

    def template(self, position: Array) -> Array:
        """Millimetres ``(..., 3)`` of the patient to template millimetres."""
        return np.asarray(position, dtype=float) / np.asarray(self.scale)

    def body(self, x: Array, z: Array, *, fat: bool, arms: bool = True) -> Interval:
        """Trunk, shoulders, neck and arms: the skin (``fat``) or what lies under its fat."""
        grow = self.fat_mm if fat else 0.0
        width = profile("body", z) + grow * 1.1
        across = np.minimum(np.abs(x) / width, 1.0)
        bulge = (1 - across**2.7) ** (1 / 2.3)
        table = _shoulder()
        top = np.interp(np.abs(x), np.arange(table.size), table) + grow * 0.5
        near = np.clip((top - z) / 60.0, 0, 1)
        bulge = bulge * np.sqrt(near * (2 - near))
        middle = (profile("body_front", z) + profile("body_back", z)) / 2
        half = (profile("body_front", z) - profile("body_back", z)) / 2
        side = np.clip((across - 0.62) / 0.38, 0, 1) * np.clip((z - 20) / 60, 0, 1)
        half = half * (1 - 0.25 * side) + grow * (1.15 if fat else 0)
        half = half * bulge
        if arms:
            half = np.maximum(half, _arm(x, z, 36 + 0.8 * grow))
        return middle - half, middle + half

    def breasts(self, x: Array, z: Array) -> Array:
        """Thickness that the breasts add in front, in template mm."""
        if self.breast <= 0:
            return np.zeros(np.broadcast(x, z).shape)
        total = np.zeros(np.broadcast(x, z).shape)
        for side in (1, -1):
            dx = (x - side * (72 + self.fat_mm * 0.4)) / (self.breast * 1.12)
            drop = z - (-50 - self.breast * 0.25)
            dz = drop / np.where(drop > 0, self.breast * 1.65, self.breast * 0.82)
            total = total + 0.62 * self.breast * np.maximum(1 - dx * dx - dz * dz, 0) ** 0.5
        return np.asarray(total)

    def cavity(self, x: Array, z: Array) -> Interval:
        """Both pleural cavities, the mediastinum and the domes not yet taken out."""
        outer, inner = profile("wall", z), profile("medial", z)
        across = np.clip((np.abs(x) - inner) / np.maximum(outer - inner, 1e-3), 0, 1)
        medial = np.clip(across / 0.2, 0, 1)
        bulge = (1 - across**2.4) ** (1 / 2.0) * (0.55 + 0.45 * np.sqrt(medial * (2 - medial)))
        bulge = np.where((np.abs(x) <= inner) | (z > 135) | (z < -178), 0, bulge)
        front, back = profile("front", z), profile("back", z)
        middle, half = (front + back) / 2, (front - back) / 2
        return middle - half * bulge, middle + half * bulge

    def mediastinum(self, x: Array, z: Array) -> Interval:
        """The fatty column between the lungs, from spine to sternum."""
        edge = profile("mediastinum", z)
        bulge = np.maximum(1 - np.abs(x / edge) ** 2.6, 0) ** 0.8
        back, front = -88.0, profile("front", z) - 4
        middle, half = (front + back) / 2, (front - back) / 2
        return middle - half * bulge, middle + half * bulge

    def organs(self, x: Array, z: Array) -> dict[str, list[Interval]]:
        """Soft organs that push the lungs aside.

        Args:
            x: Template mm to the right.
            z: Template mm upwards, broadcastable with ``x``.

        Returns:
            Name (``"heart"``, ``"aorta"``, ``"vessel"``, ``"spine"``, ``"liver"``, ``"abdomen"``) to intervals.
        """
        found: dict[str, list[Interval]] = {}
        for name, ellipsoids in self.ellipsoids().items():
            found[name] = [e.interval(x, z) for e in ellipsoids]
        found["aorta"].append(self._descending(x, z))
        found["vessel"].append(self._cava(x, z))
        found["spine"] = [self._paraspinal(x, z)]
        return found

    def ellipsoids(self) -> dict[str, list[Ellipsoid]]:
        """The organs that are ellipsoids, placed for this patient."""
        h, a, d = self.heart, self.aorta, self.dome_mm
        lift = 0.55 * d
        wide = h * (1 + 0.0022 * d)

        def at(x: float, y: float, z: float) -> tuple[float, float, float]:
            return (x + y * self.turn, y, z)

        return {
            "heart": [
                Ellipsoid(at(-26 * h, 22, -70 + lift), (61 * wide, 45 * h, 43 * h), -36),
                Ellipsoid(at(15, 14, -62 + lift), (29 * wide, 38 * h, 43 * h)),
                Ellipsoid(at(-8, 16, -32 + lift), (34 * h, 36 * h, 34 * h)),
                Ellipsoid(at(-18, 12, -8 + lift), (27 * h, 30, 40)),
            ],
            "aorta": [
                Ellipsoid(at(-22 - 6 * (a - 1), -14, 51), (16.5 * a, 30, 15 * a)),
                Ellipsoid(at(11, 22, 6), (19 * a, 18 * a, 52)),
            ],
            "vessel": [
                Ellipsoid(at(-20, 6, 16), (22, 24, 26)),
                Ellipsoid(at(33, -8, 2), (13, 12, 26), -14),
                Ellipsoid(at(-36, -8, 10), (11, 12, 20), 12),
            ],
            "liver": [
                Ellipsoid((66, -4, -176 + d), (87, 97, 92)),
                Ellipsoid((0, 2, -186 + d), (90, 92, 84)),
            ],
            "abdomen": [Ellipsoid((-70, -4, -186 + d), (83, 97, 88))],
        }

    def gas(self, x: Array, z: Array, *, supine: bool = False) -> Interval:
        """The gas of the stomach under the left dome, above its fluid: up, or to the front when lying."""
        size = self.stomach
        if size <= 0:
            empty = np.zeros(np.broadcast(x, z).shape)
            return empty, empty
        bubble = Ellipsoid((-60, 18, -106 - 20 * size + self.dome_mm), (32 * size, 30 * size, 20 * size))
        low, high = bubble.interval(x, z)
        if supine:
            return np.maximum(low, bubble.centre[1] - 4), high
        level = bubble.centre[2] - 7 * size
        return low, np.where(z > level, high, low)

    def _descending(self, x: Array, z: Array) -> Interval:
        radius = 12.5 * self.aorta
        centre = -21 + np.clip((20 - z) / 200, 0, 1) * 14 - 6 * (self.aorta - 1)
        depth = np.interp(z, (-160, 0, 50), (-34, -40, -30)) if np.ndim(z) else -38.0
        half = np.where(z < 52, radius, 0) * np.sqrt(
            np.maximum(1 - ((x - centre - depth * self.turn) / radius) ** 2, 0)
        )
        return depth - half, depth + half

    def _cava(self, x: Array, z: Array) -> Interval:
        centre, depth = 20.0 + 6 * self.turn, 6.0
        radius = np.interp(z, (-40, 0, 60, 100, 135), (10, 11, 10, 12, 14))
        half = np.where((z > -45) & (z < 140), radius, 0) * np.sqrt(np.maximum(1 - ((x - centre) / radius) ** 2, 0))
        return depth - half, depth + half

    def _paraspinal(self, x: Array, z: Array) -> Interval:
        depth = profile("spine", z) - 12
        half = 34 * np.maximum(1 - np.abs((x - depth * self.turn) / 32) ** 2.2, 0) ** 0.8
        return depth - half, depth + half

    def in_lung(self, position: Array, *, margin_mm: float = 0.0) -> NDArray[np.bool_]:
        """Whether points lie in aerated lung.

        Args:
            position: ``(N, 3)`` template mm.
            margin_mm: Distance to keep from every surface (tested at six neighbours).

        Returns:
            ``(N,)`` truth values.
        """
        if margin_mm > 0:
            found = self.in_lung(position)
            steps = np.concatenate([np.eye(3), -np.eye(3)]) * margin_mm / np.asarray(self.scale)
            spread = (position[found][None] + steps[:, None]).reshape(-1, 3)
            found[found] = self.in_lung(spread).reshape(len(steps), -1).all(axis=0)
            return found
        x, y, z = position.T
        low, high = self.cavity(x, z)
        inside = (y > low) & (y < high)
        others = [i for group in self.organs(x, z).values() for i in group] + [self.mediastinum(x, z)]
        for back, front in others:
            inside &= ~((y > back) & (y < front))
        return np.asarray(inside)

    def lung_points(self, generator: np.random.Generator, n: int, margin_mm: float) -> Array:
        """Up to ``n`` random points of the lungs, uniform in volume.

        Args:
            generator: Source of randomness.
            n: Points wanted.
            margin_mm: Distance to keep from the pleura.

        Returns:
            ``(m, 3)`` template mm, m <= n.
        """
        draws = generator.uniform((-138, -94, -150), (138, 80, 134), (max(n * 6, 400), 3))
        return np.asarray(draws[self.in_lung(draws, margin_mm=margin_mm)][:n])
