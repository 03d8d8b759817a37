"""Random changes of training images, in batches: drawn first, applied second.

Every row of :data:`AUGMENTATIONS` draws its numbers for a whole batch; geometry is then done
by one sampling of the images, intensities one after the other. The same code serves
pictures and volumes, on CPU and GPU.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from scanwright.core import Augmentation

Drawn = dict[str, Tensor]
"""Name of the change to its numbers, ``(B, ...)`` on the CPU, neutral where not chosen."""


@dataclass(frozen=True)
class Change:
    """One kind of change.

    Args:
        draw: ``(strength, n, dimension, generator)`` to the numbers of n cases.
        kind: ``"geometry"`` changes the sampling grid, ``"intensity"`` the values,
            ``"mixture"`` images and labels.
        apply: For intensities ``(images, numbers)`` to images; for geometry
            ``(affine, numbers)`` to affine; None where the batch function knows it.
        neutral: The number that changes nothing.
    """

    draw: Callable[[float, int, int, torch.Generator], Tensor]
    kind: Literal["geometry", "intensity", "mixture"]
    apply: Callable[[Tensor, Tensor], Tensor] | None
    neutral: float = 0.0


def draw(augmentation: Augmentation, n: int, *, dimension: int, generator: torch.Generator) -> Drawn:
    """Draw the changes of one batch.

    Args:
        augmentation: Largest values.
        n: Cases in the batch.
        dimension: 2 or 3.
        generator: Source of randomness (CPU).

    Returns:
        Numbers of every kind that is switched on.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> sorted(draw(Augmentation(gamma=0.3, shift=0.1), 4, dimension=2, generator=g))
        ['gamma', 'shift']
    """
    drawn: Drawn = {}
    for name, change in AUGMENTATIONS.items():
        strength = getattr(augmentation, name)
        if not strength:
            continue
        if name == "flip_axes":
            drawn[name] = _draw_flips(strength, n, dimension, generator)
            continue
        numbers = change.draw(float(strength), n, dimension, generator)
        if change.kind != "mixture":
            chosen = torch.rand(n, generator=generator) < augmentation.probability
            chosen = chosen.reshape(-1, *(1,) * (numbers.ndim - 1))
            numbers = torch.where(chosen, numbers, torch.full_like(numbers, change.neutral))
        drawn[name] = numbers
    return drawn


def apply(images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
    """Change a batch as drawn.

    Args:
        images: ``(B, C, *size)`` float32.
        drawn: Numbers from :func:`draw`, rows in the order of the batch.

    Returns:
        Images of the same shape. Labels change only by mixup: see :func:`mixed_labels`.
    """
    images = intensities(warp(images, drawn)[0], drawn)
    if "mixup" in drawn:
        share = _column(drawn["mixup"].to(images), images)
        images = images * share + images.flip(0) * (1 - share)
    return images


def mixed_labels(labels: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
    """Labels that belong to mixed images.

    Args:
        labels: ``(B, K)`` targets between 0 and 1.
        drawn: The numbers that the images were changed with.

    Returns:
        ``(B, K)``: each case mixed with its partner, the batch read backwards.
    """
    if "mixup" not in drawn:
        return labels
    share = drawn["mixup"].to(labels)[:, None]
    return labels * share + labels.flip(0) * (1 - share)


def part_of(drawn: Mapping[str, Tensor], rows: slice) -> Drawn:
    """The numbers of some cases of a batch."""
    return {name: numbers[rows] for name, numbers in drawn.items()}


def _uniform(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=generator) * 2 - 1) * strength


def _uniform_factor(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    return 1 + _uniform(strength, n, dimension, generator)


def _exponential(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    return _uniform(strength, n, dimension, generator).exp()


def _one_sided(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator) * strength


def _per_plane(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, len(_planes(dimension)), generator=generator) * 2 - 1) * strength


def _per_axis(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, dimension, generator=generator) * 2 - 1) * strength


def _draw_flips(axes: tuple[int, ...], n: int, dimension: int, generator: torch.Generator) -> Tensor:
    signs = torch.ones(n, dimension)
    for axis in axes:
        signs[:, axis] = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    return signs


def _quarter_turns(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    turns = torch.randint(0, 4, (n,), generator=generator).float()
    plane = torch.randint(0, len(_planes(dimension)), (n,), generator=generator)
    return turns[:, None] * functional.one_hot(plane, len(_planes(dimension)))


def _coarse_field(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, dimension, *(5,) * dimension, generator=generator) * strength


def _shade(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    """Logarithms of a smooth field at a few nodes, each case with a strength of its own."""
    own = torch.rand(n, *(1,) * (dimension + 1), generator=generator) * strength
    return torch.randn(n, 1, *(3,) * dimension, generator=generator) * own


def _factor_down(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    return torch.full((n,), 1 - float(torch.rand(1, generator=generator)) * (1 - strength))


def _noise(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    seeds = torch.randint(0, 2**31 - 1, (n,), generator=generator).double()
    return torch.stack([torch.rand(n, generator=generator).double() * strength, seeds], dim=1)


def _box(strength: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    centre = torch.rand(n, dimension, generator=generator)
    side = torch.rand(n, 1, generator=generator) * strength
    return torch.cat([centre, side], dim=1)


def _beta(alpha: float, n: int, dimension: int, generator: torch.Generator) -> Tensor:
    """Beta(alpha, alpha) of uniform draws, by Joehnk's method on a fixed number of trials."""
    u, v = (torch.rand(n, 64, generator=generator) ** (1 / alpha) for _ in range(2))
    first = ((u + v) <= 1).float().argmax(1, keepdim=True)
    x, y = u.gather(1, first)[:, 0], v.gather(1, first)[:, 0]
    share = x / (x + y).clamp_min(1e-12)
    return torch.maximum(share, 1 - share)


def _planes(dimension: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(dimension), 2))


def _column(numbers: Tensor, images: Tensor) -> Tensor:
    """``(B,)`` shaped to be broadcast over ``(B, C, *size)``."""
    return numbers.reshape(-1, *(1,) * (images.ndim - 1)).to(images.dtype)


def _rotate(affine: Tensor, degrees: Tensor) -> Tensor:
    """Turn by one angle per plane of axes."""
    dimension = affine.shape[1]
    for k, (a, b) in enumerate(_planes(dimension)):
        angle = degrees[:, k] * (math.pi / 180)
        turn = torch.eye(dimension).repeat(len(affine), 1, 1)
        turn[:, a, a] = turn[:, b, b] = angle.cos()
        turn[:, a, b], turn[:, b, a] = -angle.sin(), angle.sin()
        affine = torch.cat([affine[:, :, :-1] @ turn, affine[:, :, -1:]], dim=2)
    return affine


def _quarter(affine: Tensor, turns: Tensor) -> Tensor:
    return _rotate(affine, turns * 90.0)


def _scale(affine: Tensor, change: Tensor) -> Tensor:
    return torch.cat([affine[:, :, :-1] / (1 + change)[:, None, None], affine[:, :, -1:]], dim=2)


def _shear(affine: Tensor, change: Tensor) -> Tensor:
    dimension = affine.shape[1]
    skew = torch.eye(dimension).repeat(len(affine), 1, 1)
    for k, (a, b) in enumerate(_planes(dimension)):
        skew[:, a, b] = change[:, k]
    return torch.cat([affine[:, :, :-1] @ skew, affine[:, :, -1:]], dim=2)


def _shift(affine: Tensor, change: Tensor) -> Tensor:
    """Move the image by a fraction of its side (coordinates run from -1 to 1)."""
    return torch.cat([affine[:, :, :-1], affine[:, :, -1:] - 2 * change[:, :, None]], dim=2)


def _flip(affine: Tensor, signs: Tensor) -> Tensor:
    return torch.cat([affine[:, :, :-1] * signs[:, None, :], affine[:, :, -1:]], dim=2)


def warp(
    images: Tensor,
    drawn: Mapping[str, Tensor],
    *,
    size: tuple[int, ...] | None = None,
    labels: Tensor | None = None,
    spacing: tuple[float, ...] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """All geometry in one sampling: linear for images, nearest for labels; the border is repeated outwards.

    Args:
        images: ``(B, C, *in)`` float32.
        drawn: Numbers from :func:`draw`.
        size: Size of the result, cut from the middle: give larger images, and their corners are
            filled from what is there. The images' own if None.
        labels: ``(B, *in)`` codes of the same places.
        spacing: Distance between voxels along each axis: turns are in millimetres, not voxels.

    Returns:
        Images ``(B, C, *size)`` and labels ``(B, *size)`` of their own type.
    """
    dimension = images.ndim - 2
    size = size or tuple(images.shape[2:])
    names = [n for n, c in AUGMENTATIONS.items() if c.kind == "geometry" and n in drawn]
    if not names:
        middle = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(images.shape[2:], size, strict=True))
        inside: Any = (..., *middle)
        return images[inside], None if labels is None else labels[inside]
    affine, inner, outer = _sampling(drawn, len(images), size, tuple(images.shape[2:]), spacing)
    turned = affine.flip(1)  # axes i, j, k are y, x or z, y, x of grid_sample: last axis first
    turned = torch.cat([turned[:, :, :-1].flip(2), turned[:, :, -1:]], dim=2)
    shape = [len(images), images.shape[1], *size]
    grid = functional.affine_grid(turned.to(images), shape, align_corners=False)
    if "elastic" in drawn:
        mode = "bilinear" if dimension == 2 else "trilinear"
        field = functional.interpolate(drawn["elastic"].to(images), size, mode=mode, align_corners=True)
        field = field * (inner / outer).to(images).reshape(1, -1, *(1,) * dimension)
        grid = grid + 2 * field.movedim(1, -1).flip(-1)
    sampled = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if labels is None:
        return sampled, None
    codes = functional.grid_sample(
        labels[:, None].to(images), grid, mode="nearest", padding_mode="border", align_corners=False
    )
    return sampled, codes[:, 0].round().to(labels.dtype)


def _sampling(
    drawn: Mapping[str, Tensor],
    n: int,
    size: tuple[int, ...],
    whole: tuple[int, ...],
    spacing: tuple[float, ...] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """``(n, D, D + 1)`` from places in the result to places in the image, both -1 .. 1 along each axis, and their lengths."""
    dimension = len(size)
    affine = torch.cat([torch.eye(dimension), torch.zeros(dimension, 1)], dim=1).repeat(n, 1, 1)
    for name, change in AUGMENTATIONS.items():
        if change.kind == "geometry" and name in drawn and change.apply is not None:
            affine = change.apply(affine, drawn[name])
    steps = torch.tensor(spacing or (1.0,) * dimension)  # turn in real lengths, not in fractions of each side
    inner = torch.tensor([float(m) for m in size]) * steps
    outer = torch.tensor([float(m) for m in whole]) * steps
    shift = affine[:, :, -1:] * (inner / outer)[None, :, None]
    return torch.cat([affine[:, :, :-1] * inner[None, None, :] / outer[None, :, None], shift], dim=2), inner, outer


def warp_boxes(
    corners: Tensor,
    drawn: Mapping[str, Tensor],
    row: int,
    *,
    size: tuple[int, ...],
    whole: tuple[int, ...],
    spacing: tuple[float, ...] | None = None,
) -> Tensor:
    """Boxes of one image after :func:`warp`, by the same numbers; elastic changes are not followed.

    A box goes with the ellipsoid that it is drawn around: its middle moves, and the new box encloses the turned
    ellipsoid. For flips, quarter turns, shifts and zooms that is the turned box itself.

    Args:
        corners: ``(N, 2 * D)`` lower edges, then upper ones, in voxel indices of the image.
        drawn: Numbers of the batch.
        row: Which image of the batch.
        size: Size of the result.
        whole: Size of the image.
        spacing: As for :func:`warp`.

    Returns:
        ``(N, 2 * D)`` in voxel indices of the result; may lie outside it.
    """
    dimension = len(size)
    corners = corners.double()
    if not any(c.kind == "geometry" and n in drawn for n, c in AUGMENTATIONS.items()):
        start = torch.tensor([(n - m) // 2 for n, m in zip(whole, size, strict=True)]).double()
        return corners - start.repeat(2)
    affine = _sampling(drawn, len(next(iter(drawn.values()))), size, whole, spacing)[0][row].double()
    n_in, n_out = torch.tensor(whole).double(), torch.tensor(size).double()
    middle = (corners[:, :dimension] + corners[:, dimension:] + 1) / n_in - 1
    half = (corners[:, dimension:] - corners[:, :dimension]) / n_in
    back = torch.linalg.inv(affine[:, :-1])
    middle = ((middle - affine[:, -1]) @ back.T + 1) / 2 * n_out - 0.5
    half = ((half**2) @ (back**2).T).sqrt() / 2 * n_out
    return torch.cat([middle - half, middle + half], dim=1)


def intensities(images: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
    """The changes of values that were drawn; places stay.

    Args:
        images: ``(B, C, *size)`` float32.
        drawn: Numbers from :func:`draw`.

    Returns:
        Images of the same shape.
    """
    for name, change in AUGMENTATIONS.items():
        if name in drawn and change.kind == "intensity" and change.apply is not None:
            images = change.apply(images, drawn[name].to(images.device))
    return images


def _gamma(images: Tensor, exponent: Tensor) -> Tensor:
    flat = images.flatten(1)
    low, high = _column(flat.amin(1), images), _column(flat.amax(1), images)
    spread = (high - low).clamp_min(1e-6)
    return ((images - low) / spread).clamp(0, 1) ** _column(exponent, images) * spread + low


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    mean = _column(images.flatten(1).mean(1), images)
    return (images - mean) * _column(factor, images) + mean


def _shading(images: Tensor, logs: Tensor) -> Tensor:
    """A smooth field times the values above the lowest, as of a coil, a lamp or a heel effect."""
    mode = "bicubic" if images.ndim == 4 else "trilinear"
    field = functional.interpolate(logs.to(images), images.shape[2:], mode=mode, align_corners=True).exp()
    low = _column(images.flatten(1).amin(1), images)
    return (images - low) * field + low


def _brightness(images: Tensor, change: Tensor) -> Tensor:
    return images + _column(change.to(images) * images.flatten(1).std(1), images)


def _add_noise(images: Tensor, numbers: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(int(numbers[:, 1].sum().item()) % (2**31))
    noise = torch.randn(images.shape, generator=generator).to(images)
    return images + noise * _column(numbers[:, 0].to(images) * images.flatten(1).std(1), images)


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with a width of its own for each case, axis by axis."""
    batch, channels = images.shape[:2]
    half = max(1, math.ceil(2.5 * float(sigma.max())))
    offsets = torch.arange(-half, half + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma.to(images).clamp_min(1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    dimension = images.ndim - 2
    flat = images.reshape(1, batch * channels, *images.shape[2:])
    conv = functional.conv2d if dimension == 2 else functional.conv3d
    for axis in range(dimension):
        shape = [1] * dimension
        shape[axis] = len(offsets)
        margins = [0, 0] * dimension
        margins[2 * (dimension - 1 - axis)] = margins[2 * (dimension - 1 - axis) + 1] = half
        padded = functional.pad(flat, margins, mode="replicate")
        flat = conv(padded, kernel.reshape(batch * channels, 1, *shape), groups=batch * channels)
    return flat.reshape(images.shape)


def _low_resolution(images: Tensor, factor: Tensor) -> Tensor:
    """Down and up again; the cases of a batch that are chosen share one factor."""
    chosen = factor < 1
    if not bool(chosen.any()):
        return images
    size = tuple(max(2, round(n * float(factor[chosen][0]))) for n in images.shape[2:])
    mode = "bilinear" if images.ndim == 4 else "trilinear"
    small = functional.interpolate(images[chosen], size=size, mode="area")
    large = functional.interpolate(small, size=images.shape[2:], mode=mode, align_corners=False)
    changed = images.clone()
    changed[chosen] = large
    return changed


def _cutout(images: Tensor, box: Tensor) -> Tensor:
    """Put the case's mean into a box."""
    inside = torch.ones((len(images), 1, *images.shape[2:]), dtype=torch.bool, device=images.device)
    for axis, n in enumerate(images.shape[2:]):
        at = (torch.arange(n, device=images.device) + 0.5) / n
        near = (at[None] - box[:, axis : axis + 1].to(at)).abs() <= box[:, -1:].to(at) / 2
        inside &= near.reshape(len(images), 1, *[n if a == axis else 1 for a in range(images.ndim - 2)])
    inside &= (box[:, -1] > 0).reshape(-1, *(1,) * (images.ndim - 1))
    return torch.where(inside, _column(images.flatten(1).mean(1), images), images)


def _saturation(images: Tensor, change: Tensor) -> Tensor:
    if images.shape[1] != 3:
        return images
    grey = images.mean(1, keepdim=True)
    return grey + (images - grey) * (1 + _column(change, images))


def _hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn colours around the grey axis by a fraction of a full turn."""
    if images.shape[1] != 3:
        return images
    angle = turns.to(images) * (2 * math.pi)
    axis = torch.full((3,), 1 / math.sqrt(3), device=images.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=images.device) / math.sqrt(3)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    turn = cos * torch.eye(3, device=images.device) + sin * cross + (1 - cos) * torch.outer(axis, axis)
    return torch.einsum("bdc,bc...->bd...", turn.to(images), images)


AUGMENTATIONS: dict[str, Change] = {
    "flip_axes": Change(_uniform, "geometry", _flip, 1.0),
    "rotate90": Change(_quarter_turns, "geometry", _quarter),
    "rotate_deg": Change(_per_plane, "geometry", _rotate),
    "scale": Change(_uniform, "geometry", _scale),
    "shear": Change(_per_plane, "geometry", _shear),
    "shift": Change(_per_axis, "geometry", _shift),
    "elastic": Change(_coarse_field, "geometry", None),
    "blur": Change(_one_sided, "intensity", _blur),
    "low_resolution": Change(_factor_down, "intensity", _low_resolution, 1.0),
    "shading": Change(_shade, "intensity", _shading),
    "gamma": Change(_exponential, "intensity", _gamma, 1.0),
    "contrast": Change(_uniform_factor, "intensity", _contrast, 1.0),
    "brightness": Change(_uniform, "intensity", _brightness),
    "hue": Change(_uniform, "intensity", _hue),
    "saturation": Change(_uniform, "intensity", _saturation),
    "noise": Change(_noise, "intensity", _add_noise),
    "cutout": Change(_box, "intensity", _cutout),
    "mixup": Change(_beta, "mixture", None, 1.0),
}
"""Name (a field of ``Augmentation``) to change, in the order in which they act."""
