"""Colours over a slice: strength of a heat map, or structures with their outlines."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]

# matplotlib's "inferno" (CC0) at nine even steps, as on every heat map of a prediction.
_INFERNO = (
    (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51), (249, 140, 10),
    (249, 201, 50), (252, 255, 164),
)  # fmt: skip
_COLOUR_FROM, _STRONGEST, _FADE_FROM, _FADE_TO = 0.35, 0.6, 0.4, 0.9

# Paul Tol's "bright" and "light" schemes: told apart by the colour-blind, and on grey.
_TOL = (
    (238, 102, 119), (68, 187, 153), (238, 221, 136), (119, 170, 221), (170, 51, 119), (34, 136, 51), (238, 136, 102),
    (102, 204, 238), (187, 204, 51), (255, 170, 187),
)  # fmt: skip
_INSIDE = 0.4


def structure_colours(n: int) -> list[tuple[int, int, int]]:
    """A colour for each structure.

    Args:
        n: How many.

    Returns:
        Red, green and blue, 0 .. 255, of structure 1, 2, 3 ...

    Source:
        P. Tol, Colour Schemes, SRON/EPS/TN/09-002; beyond ten, hues by the golden ratio.
    """
    found = list(_TOL[:n])
    for k in range(len(_TOL), n):
        red, green, blue = colorsys.hsv_to_rgb(k * 0.618033988749895 % 1, 0.45 + 0.4 * (k % 2), 0.95)
        found.append((round(255 * red), round(255 * green), round(255 * blue)))
    return found


def heat_over(picture: Plane, strength: Plane) -> Plane:
    """Lay a heat map over a slice, as predictions show it.

    Args:
        picture: ``(rows, columns)`` or ``(rows, columns, 3)``.
        strength: ``(rows, columns)``, 255 for the strongest place.

    Returns:
        ``(rows, columns, 3)``.
    """
    heat = strength.astype(np.float32) / 255
    fade = np.clip((heat - _FADE_FROM) / (_FADE_TO - _FADE_FROM), 0, 1)[..., None]
    place = (_COLOUR_FROM + (1 - _COLOUR_FROM) * heat) * (len(_INFERNO) - 1)
    steps = np.arange(len(_INFERNO))
    colours = np.stack([np.interp(place, steps, [c[n] for c in _INFERNO]) for n in range(3)], axis=-1)
    return _mixed(picture, colours, _STRONGEST * fade * fade * (3 - 2 * fade))


def structures_over(picture: Plane, labels: Plane, colours: list[tuple[int, int, int]]) -> Plane:
    """Tint every structure of a slice and draw its outline.

    Args:
        picture: ``(rows, columns)`` or ``(rows, columns, 3)``.
        labels: ``(rows, columns)``: 0, or the structure's number.
        colours: Colour of structure 1, 2, 3 ...

    Returns:
        ``(rows, columns, 3)``.
    """
    table = np.zeros((256, 3), np.float32)
    table[1 : len(colours) + 1] = colours[:255]
    edge = np.zeros(labels.shape, bool)
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    inside = labels > 0
    return _mixed(picture, table[labels], np.where(edge & inside, 1.0, np.where(inside, _INSIDE, 0.0))[..., None])


def _mixed(picture: Plane, colours: NDArray[np.floating], alpha: NDArray[np.floating]) -> Plane:
    base = np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture
    mixed = base.astype(np.float32) * (1 - alpha) + colours * alpha
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
