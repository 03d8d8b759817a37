"""The beating heart on a short-axis ultrasound clip: when it contracts is all that tells the classes apart.

The left ventricle is a dark disc in a bright wall, the right one a crescent beside it, in a
fan of speckle. Its radius falls from full to emptiest and rises again within the clip. In
``"early"`` hearts it is emptiest after a third of the beat, in ``"late"`` ones after two
thirds, the same beat run backwards: the pictures of both, taken singly, are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.core.grid import Grid
from scanwright.core.volume import Volume

FIELD_MM = 120.0
FRAMES = (12, 20)
"""Fewest and most frames of a clip."""
_EARLY = 1 / 3


@dataclass(frozen=True)
class Heart:
    """One beat of one heart.

    Args:
        seed: Of everything below, and of the speckle.
        frames: Pictures of the clip.
        radius_mm: Inner radius of the left ventricle at its fullest.
        emptied: Share of that radius that is lost at its emptiest.
        wall_mm: Thickness of its wall at its fullest.
        centre_mm: Where it lies beside the middle of the picture: down, right.
        turn_deg: Where the right ventricle lies around it.
        gain: Brightness of the clip.
        frame_ms: Time between two pictures.
        late: Whether it is emptiest after two thirds of the beat instead of after one.
    """

    seed: int
    frames: int
    radius_mm: float
    emptied: float
    wall_mm: float
    centre_mm: tuple[float, float]
    turn_deg: float
    gain: float
    frame_ms: float
    late: bool

    @property
    def label(self) -> str:
        """``"early"`` or ``"late"``."""
        return "late" if self.late else "early"


def heart(seed: int, *, late: bool) -> Heart:
    """Draw a heart; nothing but the order of its pictures depends on ``late``.

    Args:
        seed: Same seed, same heart.
        late: Its class.

    Returns:
        The heart.
    """
    g = np.random.default_rng((seed, 31))
    frames = int(g.integers(FRAMES[0], FRAMES[1] + 1))
    return Heart(
        seed=seed,
        frames=frames,
        radius_mm=round(float(g.uniform(20, 27)), 2),
        emptied=round(float(g.uniform(0.25, 0.5)), 3),
        wall_mm=round(float(g.uniform(8, 12)), 2),
        centre_mm=(round(float(g.normal(0, 5)), 2), round(float(g.normal(0, 5)), 2)),
        turn_deg=round(float(g.uniform(150, 240)), 1),
        gain=round(float(np.exp(g.normal(0, 0.15))), 3),
        frame_ms=round(float(g.uniform(0.7, 1.1)) * 1000 / frames, 2),
        late=late,
    )


def emptiness(one: Heart) -> NDArray[np.float64]:
    """How empty the left ventricle is on every picture, ``(frames,)`` from 0 to 1."""
    at = np.linspace(0, 1, one.frames)
    at = 1 - at if one.late else at
    down, up = at / _EARLY, (1 - at) / (1 - _EARLY)
    return np.asarray(np.sin(np.clip(np.minimum(down, up), 0, 1) * np.pi / 2) ** 2)


def render_heart(one: Heart, *, size: int = 96) -> Volume:
    """Draw the clip.

    Args:
        one: The heart.
        size: Rows and columns.

    Returns:
        ``(1, size, size, frames)`` uint8 in arbitrary units, with its moments in seconds.
    """
    step = FIELD_MM / size
    line = (np.arange(size) - (size - 1) / 2) * step
    down, right = np.meshgrid(line - one.centre_mm[0], line - one.centre_mm[1], indexing="ij")
    distance, angle = np.hypot(down, right), np.degrees(np.arctan2(down, right))
    fan = np.hypot(line[:, None] + 75, line[None]) < 135
    fan &= np.abs(np.degrees(np.arctan2(line[None], line[:, None] + 75))) < 42
    pictures = []
    order = range(one.frames - 1, -1, -1) if one.late else range(one.frames)
    for n, empty in zip(order, emptiness(one), strict=True):  # the speckle of a picture goes with the picture
        inner = one.radius_mm * (1 - one.emptied * empty)
        wall = one.wall_mm * (1 + 0.6 * one.emptied * empty)
        echo = np.full((size, size), 0.28)
        crescent = np.hypot(
            down - 1.25 * one.radius_mm * np.sin(np.radians(one.turn_deg)),
            right - 1.25 * one.radius_mm * np.cos(np.radians(one.turn_deg)),
        )
        echo[crescent < 0.95 * one.radius_mm] = 0.1
        soft = np.clip((inner + wall - distance) / step + 0.5, 0, 1)
        echo = echo * (1 - soft) + 0.72 * soft * (1 + 0.1 * np.cos(np.radians(2 * angle)))
        hollow = np.clip((inner - distance) / step + 0.5, 0, 1)
        echo = echo * (1 - hollow) + 0.07 * hollow
        g = np.random.default_rng((one.seed, 32, n))
        speckle = ndimage.gaussian_filter(g.rayleigh(1.0, (size, size)), 0.8)
        pictures.append(np.where(fan, np.clip(one.gain * echo * speckle / 1.25, 0, 1), 0.0))
    array = np.rint(np.stack(pictures, axis=-1) * 255).astype(np.uint8)
    flat = Grid.of_picture(size, size, (step, step))
    grid = Grid((size, size, one.frames), flat.affine, spacing_known=False)
    moments = tuple(round(k * one.frame_ms / 1000, 6) for k in range(one.frames))
    return Volume(array[None], grid, modality="US", moments=moments, moment_unit="s")
