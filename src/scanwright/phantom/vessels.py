"""The branching vessels and airways of the lungs.

Terminal points are spread through each lung and joined to the hilum by halving: at each
level every group of terminals is split across its longest side, and a branch runs from
the parent towards the middle of each half. Radii follow Murray's law.

Source:
    Murray 1926, "The physiological principle of minimum work" (r³ adds up at a fork).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scanwright.phantom.anatomy import Anatomy
from scanwright.phantom.clouds import Cloud, join, tube

Array = NDArray[np.float64]

_LEVELS = 8


def vessel_tree(
    anatomy: Anatomy, generator: np.random.Generator, *, root_mm: float = 5.6, step_mm: float = 1.2
) -> Cloud:
    """Arteries and veins of both lungs.

    Args:
        anatomy: The patient.
        generator: Source of randomness.
        root_mm: Radius at the hilum.
        step_mm: Distance between points.

    Returns:
        Cloud in patient mm, label ``"vessel"``, replacing lung.
    """
    points, radii, length = [], [], []
    terminals = anatomy.lung_points(generator, 6 * 2**_LEVELS, 3.0)
    hila = {1: ((34, -6, 14), (30, 2, 2)), -1: ((-32, -4, 22), (-30, 0, 4))}
    for side, roots in hila.items():
        mine = terminals[np.sign(terminals[:, 0]) == side]
        for n, root in enumerate(roots):
            chosen = mine[n::2]
            chosen = chosen[generator.permutation(len(chosen))[: 2**_LEVELS]]
            if len(chosen) < 2**_LEVELS:
                continue
            p, r, d = _grow(np.array(root, dtype=float), chosen, generator, root_mm * (1.0, 0.85)[n], step_mm)
            points.append(p)
            radii.append(r)
            length.append(d)
    centre, radius, piece = np.concatenate(points), np.concatenate(radii), np.concatenate(length)
    centre[:, 0] += centre[:, 1] * anatomy.turn
    keep = anatomy.in_lung(centre)
    return _thicken(centre[keep], radius[keep], piece[keep], generator, (anatomy, step_mm))


def _grow(
    root: Array, terminals: Array, generator: np.random.Generator, root_mm: float, step_mm: float
) -> tuple[Array, Array, Array]:
    """Centre-line points, radii and piece lengths of one tree."""
    groups = terminals[None]  # G, N, 3
    nodes, headings = root[None], np.zeros((1, 3))
    starts, ends, controls, radii = [], [], [], []
    for level in range(_LEVELS + 1):
        if level:
            groups = _halve(groups)
            nodes, headings = np.repeat(nodes, 2, axis=0), np.repeat(headings, 2, axis=0)
        middle = groups.mean(axis=1)
        reach = 0.24 if level == 0 else 0.46 if level < _LEVELS else 1.0
        new = nodes + (middle - nodes) * reach
        new += generator.normal(0, 0.06, new.shape) * np.linalg.norm(new - nodes, axis=1, keepdims=True)
        starts.append(nodes)
        ends.append(new)
        controls.append((nodes + new) / 2 + headings * 0.22 * np.linalg.norm(new - nodes, axis=1, keepdims=True))
        radii.append(np.full(len(new), root_mm * 2 ** (-level / 3)) * generator.uniform(0.82, 1.15, len(new)))
        headings = (new - nodes) / (np.linalg.norm(new - nodes, axis=1, keepdims=True) + 1e-6)
        nodes = new
    a, b, c, r = (np.concatenate(v) for v in (starts, ends, controls, radii))
    size = np.linalg.norm(b - a, axis=1)
    count = np.maximum(np.ceil(size / step_mm).astype(int), 1)
    which = np.repeat(np.arange(len(a)), count)
    t = ((np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + 0.5) / count[which])[:, None]
    curve = a[which] * (1 - t) ** 2 + 2 * c[which] * t * (1 - t) + b[which] * t**2
    taper = 1 - 0.18 * t[:, 0]
    return curve, r[which] * taper, (size / count)[which]


def _halve(groups: Array) -> Array:
    """Split every group across its longest side."""
    axis = np.argmax(np.ptp(groups, axis=1), axis=1)
    key = np.take_along_axis(groups, axis[:, None, None], axis=2)[..., 0]
    order = np.argsort(key, axis=1)
    ordered = np.take_along_axis(groups, order[..., None], axis=1)
    return ordered.reshape(groups.shape[0] * 2, -1, 3)


def _thicken(
    centre: Array, radius: Array, piece: Array, generator: np.random.Generator, place: tuple[Anatomy, float]
) -> Cloud:
    """Points through the section of each piece, more of them where it is thick."""
    anatomy, step_mm = place
    strands = np.clip(np.ceil(3 * (radius / step_mm) ** 2).astype(int), 2, 400)
    which = np.repeat(np.arange(len(centre)), strands)
    direction = generator.normal(size=(len(which), 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    away = radius[which] * generator.uniform(0, 1, len(which)) ** (1 / 3)
    points = centre[which] + direction * away[:, None]
    volume = (np.pi * radius**2 * piece / strands)[which]
    scale = np.asarray(anatomy.scale)
    return Cloud(points * scale, volume * float(np.prod(scale)), 40.0, "vessel", "lung")


def airways(anatomy: Anatomy, *, step_mm: float = 1.2) -> Cloud:
    """Trachea and main bronchi.

    Args:
        anatomy: The patient.
        step_mm: Distance between points.

    Returns:
        Cloud of air in patient mm, label ``"airway"``, replacing soft tissue.
    """
    template = _airway_template(round(step_mm, 3))
    scale = np.asarray(anatomy.scale)
    points = template.points * scale
    points[:, 0] += anatomy.turn * template.points[:, 1] * scale[0]
    return replace(template, points=points, volume_mm3=template.volume_mm3 * float(np.prod(scale)))


@lru_cache(maxsize=4)
def _airway_template(step_mm: float) -> Cloud:
    paths = (
        ([[0, 6, 230], [0, -2, 170], [1, -16, 120], [4, -24, 75], [3, -28, 45]], 9.6),
        ([[3, -28, 48], [14, -27, 35], [30, -24, 20], [38, -22, 10]], 6.6),
        ([[3, -28, 48], [-10, -27, 36], [-28, -24, 22], [-42, -22, 10]], 5.8),
    )
    found = []
    for knots, radius in paths:
        curve = np.array(knots, dtype=float)
        _, _, core, share = tube(
            curve, np.array([radius, radius]), towards=np.array([0.0, 1, 0]), step_mm=0.55 * step_mm
        )
        found.append(Cloud(core, share, -1000.0, "airway"))
    return join(found)
