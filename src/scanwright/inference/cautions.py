"""Sentences that a reader must see beside an answer. One function each, in :data:`CAUTIONS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scanwright.core import Fingerprint, Preprocessing, Volume

RESEARCH_USE = "Research use – not a medical device."


@dataclass(frozen=True)
class Looked:
    """What cautions are judged on.

    Args:
        volume: The source.
        spec: How it was prepared.
        seen: What the training cohort was like; None if the model does not say.
    """

    volume: Volume
    spec: Preprocessing
    seen: Fingerprint | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along the axes that the network knows: turned as the network turns them."""
        grid = self.volume.grid
        if self.spec.dimension == 2:
            return grid.shape[:2]
        if not self.spec.orientation or not grid.spacing_known:
            return grid.shape
        same = {"L": "R", "R": "R", "P": "A", "A": "A", "I": "S", "S": "S"}
        axes = [same[code] for code in grid.orientation]
        return tuple(grid.shape[axes.index(same[code])] for code in self.spec.orientation)


def modality(looked: Looked) -> str | None:
    """Another kind of image than the model learnt from."""
    here, there = looked.volume.modality, looked.seen.modality if looked.seen else None
    if here is None or there is None or here == there or {here, there} <= {"CR", "DX", "RG"}:
        return None
    return f"This is a {here} image; the model learnt from {there} images."


def unit(looked: Looked) -> str | None:
    """Values that mean something else than in training."""
    if looked.seen is None or looked.seen.unit == looked.volume.unit:
        return None
    names = {"1": "arbitrary units"}
    here, there = (names.get(u, u) for u in (looked.volume.unit, looked.seen.unit))
    return f"The image is in {here}; the model learnt from images in {there}."


def size(looked: Looked) -> str | None:
    """A much smaller or larger field than any training case."""
    if looked.seen is None:
        return None
    n = looked.spec.dimension
    here, low, high = looked.shape[:n], looked.seen.shape_min[:n], looked.seen.shape_max[:n]
    if all(s * 2 > a and s < b * 2 for s, a, b in zip(here, low, high, strict=True)):
        return None
    return f"The image has {_by(here)} voxels; the model learnt from images of {_by(low)} to {_by(high)}."


def resolution(looked: Looked) -> str | None:
    """Fewer voxels than the network looks at: detail is missing, not hidden."""
    n = looked.spec.dimension
    here, needed = looked.shape[:n], looked.spec.size
    if looked.spec.spacing_mm is not None or all(s >= 0.75 * t for s, t in zip(here, needed, strict=True)):
        return None
    if looked.seen is not None and all(s >= m for s, m in zip(here, looked.seen.shape_median, strict=False)):
        return None
    return f"The image has only {_by(here)} voxels; the network looks at {_by(needed)}, so fine detail is missing."


def colour(looked: Looked) -> str | None:
    """Colour given to a grey model, or grey given to a colour model."""
    volume = looked.volume
    coloured = volume.channel == "rgb" and volume.n_channels >= 3 and not _is_grey(volume)
    if coloured and looked.spec.channels == 1 and not (looked.seen and looked.seen.colour):
        return "The image is in colour; the model learnt from grey images, so the colour was taken out."
    if not coloured and looked.seen is not None and looked.seen.colour and looked.spec.channels == 3:
        return "The image is grey; the model learnt from colour images."
    return None


def blank(looked: Looked) -> str | None:
    """Nothing to be seen."""
    values = looked.volume.array
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    return "The image is blank: all its values are equal." if lowest == highest else None


def intensity(looked: Looked) -> str | None:
    """Values far from those of training, where the preparation takes them as they are."""
    seen = looked.seen
    if seen is None or looked.spec.intensity.method not in ("window", "range") or looked.volume.unit != seen.unit:
        return None
    low, high = (
        float(v)
        for v in np.nanpercentile(looked.volume.array[..., :: max(1, looked.volume.grid.shape[2] // 8)], (5, 95))
    )
    known = seen.intensity_percentiles
    bottom, top = known.get("0.5", seen.intensity_min), known.get("99.5", seen.intensity_max)
    if high >= bottom and low <= top and (high - low) <= 4 * max(top - bottom, 1e-6):
        return None
    return f"Its values run from {low:.4g} to {high:.4g}; the model learnt from {bottom:.4g} to {top:.4g}."


CAUTIONS: dict[str, Callable[[Looked], str | None]] = {
    "blank": blank,
    "modality": modality,
    "unit": unit,
    "intensity": intensity,
    "colour": colour,
    "size": size,
    "resolution": resolution,
}
"""Name to a function that gives a sentence, or None when there is nothing to say."""


def cautions(volume: Volume, spec: Preprocessing, seen: Fingerprint | None) -> tuple[str, ...]:
    """Everything a reader must know of how this image differs from those of training.

    Args:
        volume: The source.
        spec: How it was prepared.
        seen: What the training cohort was like, None if unknown.

    Returns:
        Sentences, gravest first.
    """
    looked = Looked(volume, spec, seen)
    return tuple(sentence for check in CAUTIONS.values() if (sentence := check(looked)) is not None)


def _is_grey(volume: Volume) -> bool:
    red, green, blue = (volume.array[c] for c in range(3))
    return bool(np.array_equal(red, green) and np.array_equal(green, blue))


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in shape)
