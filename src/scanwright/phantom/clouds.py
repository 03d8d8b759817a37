"""Small structures as clouds of little volumes: tubes, plates, lumps.

A cloud is points, each with the volume of tissue it stands for. Summed along y it is an
X-ray shadow (volume per pixel area is a path length), summed into voxels it is the share
of each voxel that the structure fills.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cloud:
    """Little volumes of one tissue.

    Args:
        points: ``(N, 3)`` RAS+ millimetres.
        volume_mm3: ``(N,)`` volume that each point stands for.
        hu: CT number of the tissue.
        label: Key of the structure in ``ct.LABELS``, such as ``"rib"``.
        base: Tissue that it replaces: ``"soft"`` or ``"lung"``.
    """

    points: Array
    volume_mm3: Array
    hu: float
    label: str
    base: str = "soft"


def join(clouds: list[Cloud]) -> Cloud:
    """One cloud from several of the same tissue.

    Args:
        clouds: At least one; tissue and label of the first are kept.

    Returns:
        All points.
    """
    first = clouds[0]
    points = np.concatenate([c.points for c in clouds])
    return Cloud(points, np.concatenate([c.volume_mm3 for c in clouds]), first.hu, first.label, first.base)


def resample_curve(curve: Array, step_mm: float) -> tuple[Array, Array]:
    """Even steps along a polyline.

    Args:
        curve: ``(N, 3)`` points in mm.
        step_mm: Wanted distance between points.

    Returns:
        ``(M, 3)`` points at the middle of equal pieces, and ``(M,)`` positions 0 .. 1 along it.
    """
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    n = max(int(np.ceil(lengths[-1] / step_mm)), 2)
    along = (np.arange(n) + 0.5) / n
    points = np.stack([np.interp(along * lengths[-1], lengths, curve[:, axis]) for axis in range(3)], axis=1)
    return points, along


def frame(points: Array, towards: Array) -> tuple[Array, Array, Array]:
    """Tangent, normal and binormal along a curve.

    Args:
        points: ``(N, 3)``, even steps.
        towards: ``(N, 3)`` or ``(3,)`` direction that the normal should point to.

    Returns:
        Three ``(N, 3)`` arrays of unit vectors.
    """
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    normal = np.broadcast_to(towards, points.shape) - tangent * (tangent * towards).sum(axis=1, keepdims=True)
    normal = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9)
    return tangent, normal, np.cross(tangent, normal)


def tube(curve: Array, radii: Array, *, towards: Array, step_mm: float) -> tuple[Array, Array, Array, Array]:
    """A tube of elliptic section: points of its skin and of its core.

    Args:
        curve: ``(N, 3)`` centre line in mm.
        radii: ``(2,)`` or ``(N, 2)`` half axes along the normal and the binormal, in mm.
        towards: Direction of the normal, ``(3,)``, or one for each of M places, ``(M, 3)``.
        step_mm: Distance between points.

    Returns:
        Skin points ``(A, 3)``, skin area of each in mm², core points ``(B, 3)``, core volume
        of each in mm³.
    """
    points, along = resample_curve(curve, step_mm)
    length = np.linalg.norm(np.diff(points, axis=0), axis=1).mean()
    sizes = np.broadcast_to(np.atleast_2d(radii), (len(curve), 2)) if np.ndim(radii) == 1 else np.asarray(radii)
    old = np.linspace(0, 1, len(sizes))
    a, b = np.interp(along, old, sizes[:, 0]), np.interp(along, old, sizes[:, 1])
    if np.ndim(towards) == 2:
        towards = np.stack([np.interp(along, np.linspace(0, 1, len(towards)), towards[:, n]) for n in range(3)], axis=1)
    _, normal, binormal = frame(points, towards)
    n_around = max(int(np.ceil(2 * np.pi * float(max(a.max(), b.max())) / (1.4 * step_mm))), 8)
    angle = (np.arange(n_around) + 0.5) / n_around * 2 * np.pi
    cos, sin = np.cos(angle)[None, :], np.sin(angle)[None, :]
    skin = (
        points[:, None]
        + normal[:, None] * (a[:, None] * cos)[..., None]
        + binormal[:, None] * (b[:, None] * sin)[..., None]
    )
    arc = np.sqrt((a[:, None] * sin) ** 2 + (b[:, None] * cos) ** 2) * 2 * np.pi / n_around
    rings = max(int(np.ceil(float(min(a.max(), b.max())) / (1.4 * step_mm))), 2)
    radius = np.sqrt((np.arange(rings) + 0.5) / rings)
    turn = angle[:: 2 if n_around > 16 else 1]
    far = np.repeat(radius, turn.size)[None, :]
    twist = np.random.default_rng(0).uniform(0, 6.28, (len(points), far.shape[1]))  # even strands would draw stripes
    phase = np.tile(turn, rings)[None, :] + twist
    u, v = a[:, None] * far * np.cos(phase), b[:, None] * far * np.sin(phase)
    core = points[:, None] + normal[:, None] * u[..., None] + binormal[:, None] * v[..., None]
    n_core = far.size
    share = np.repeat((np.pi * a * b * length / n_core)[:, None], n_core, axis=1)
    return skin.reshape(-1, 3), (arc * length).ravel(), core.reshape(-1, 3), share.ravel()


def splat(points: Array, weights: Array, origin: Array, step: Array, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Drop weights onto a lattice with linear shares.

    Args:
        points: ``(N, D)`` coordinates.
        weights: ``(N,)``.
        origin: ``(D,)`` coordinate of index 0.
        step: ``(D,)`` signed step of each axis.
        shape: D sizes.

    Returns:
        Sums of shape ``shape``; points outside are dropped.
    """
    place = (points - origin) / step
    dimensions = len(shape)
    limits = np.asarray(shape) - 1
    keep = np.ones(len(points), dtype=bool)
    for axis in range(dimensions):
        keep &= (place[:, axis] >= 0) & (place[:, axis] < limits[axis])
    place, weights = place[keep], weights[keep]
    base = place.astype(np.intp)
    part = place - base
    strides = np.cumprod((1, *shape[:0:-1]))[::-1]
    flat = base @ strides
    size = int(np.prod(shape))
    total = np.zeros(size)
    for corner in range(2**dimensions):
        bits = [(corner >> n) & 1 for n in range(dimensions)]
        share = weights
        for axis, bit in enumerate(bits):
            share = share * (part[:, axis] if bit else 1 - part[:, axis])
        total += np.bincount(flat + int(np.dot(bits, strides)), weights=share, minlength=size)
    return total.reshape(shape)
