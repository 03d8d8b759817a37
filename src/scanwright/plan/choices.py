"""Preprocessing by rule: size, fit, orientation, channels and intensities, each with its reason."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np

from scanwright.core import Cohort, Fingerprint, Frames, Intensity, Preprocessing

_SIDES = {2: (32, 48, 64, 80, 96, 128, 160, 192, 224), 3: (16, 24, 32, 40, 48, 56, 64)}
_KEPT = {2: 64, 3: 32}
"""Longest side up to which images keep the size they have."""
_LEAST = {2: 64, 3: 24}
_NS_PER_VOXEL = {(2, "cpu"): 350.0, (3, "cpu"): 60.0, (2, "gpu"): 6.0, (3, "gpu"): 3.0}
"""Training time of the usual networks per voxel and case: nanoseconds, two cores or one GPU."""
_FRAMES = {"cpu": 16, "long": 24, "gpu": 64}
"""Most frames of a sequence that are seen, by device and time."""
_LONG_S = 1500.0
"""Training time below which a processor gets pictures of at most 128 pixels: more epochs help more."""
_WINDOWS: dict[str, tuple[str, float, float]] = {
    "lungs": (r"lung|chest|nodul|thora|covid|pneumo|emphysema", -1000.0, 400.0),
    "brain": (r"brain|stroke|h[ae]*morrh|intracran", -20.0, 100.0),
    "bone": (r"fractur|\bbone|spine|vertebra", -200.0, 1200.0),
    "soft tissue": (r"liver|abdom|kidney|renal|pancrea|spleen|adrenal|prostat", -160.0, 240.0),
}
_CURVE = (0.0, 0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5, 100.0)


def choose_preprocessing(
    cohort: Cohort, fingerprint: Fingerprint, *, kind: str, seconds: float, cores: int, gpu: bool
) -> tuple[Preprocessing, dict[str, str]]:
    """What the network takes.

    Args:
        cohort: Names that tell the body part.
        fingerprint: Measured facts.
        kind: A key of ``KINDS``.
        seconds: Time to train.
        cores: Processor cores.
        gpu: Whether an accelerator is used.

    Returns:
        The preprocessing, and reasons by field.
    """
    reasons: dict[str, str] = {}
    dimension = fingerprint.dimension
    reasons["preprocessing.dimension"] = "The images are volumes." if dimension == 3 else "The images are pictures."
    n_train = fingerprint.n_cases.get("train") or sum(fingerprint.n_cases.values())
    frames = _frames(fingerprint, seconds=seconds, gpu=gpu, reasons=reasons)
    size, reasons["preprocessing.size"] = _size(
        fingerprint,
        affordable(dimension, n_train, seconds, cores=cores, gpu=gpu, frames=frames.most if frames else 1),
    )
    fit, spacing, reasons["preprocessing.fit"] = _fit(fingerprint, size)
    if spacing is not None:
        reasons["preprocessing.spacing_mm"] = reasons["preprocessing.fit"]
    channels: Literal[1, 3] = 3 if fingerprint.colour else 1
    reasons["preprocessing.channels"] = (
        "The pictures are in colour." if fingerprint.colour else "The images are grey, or all but a few of them."
    )
    orientation = "RAS" if dimension == 3 and fingerprint.spacing_median is not None else None
    if frames is not None and frames.by == "slice" and fingerprint.spacing_median is not None:
        orientation = "PLS"
        reasons["preprocessing.orientation"] = "All stacks are turned so that slices go from the feet to the head."
    elif orientation:
        reasons["preprocessing.orientation"] = "All volumes are turned the same way: right, anterior, superior."
    intensity, reasons["preprocessing.intensity"] = choose_intensity(cohort, fingerprint, kind)
    reasons["preprocessing.intensity.mean"] = (
        "Values get a mean near 0 and a standard deviation near 1, from the training part's measured values."
    )
    reasons["preprocessing.intensity.clahe"] = (
        "Off: it did not help in general and hides how dense things are. Set it to true for pictures whose contrast differs from place to place."
    )
    reasons["preprocessing.intensity.contrast"] = (
        "Left as they are (1 and 0): training varies contrast and brightness instead."
    )
    spec = Preprocessing(
        dimension=dimension,
        size=size,
        channels=channels,
        orientation=orientation,
        fit=fit,
        spacing_mm=spacing,
        intensity=intensity,
        frames=frames,
    )
    return spec, reasons


def _frames(fingerprint: Fingerprint, *, seconds: float, gpu: bool, reasons: dict[str, str]) -> Frames | None:
    """How many frames of a sequence the network sees."""
    found = fingerprint.frames
    if found is None:
        return None
    most = min(found.most, _FRAMES["gpu" if gpu else "long" if seconds >= _LONG_S else "cpu"])
    every = "all of them are seen" if most == found.most else f"{most} of them are seen, evenly spread"
    reasons["preprocessing.frames"] = f"A case has up to {found.most} frames; {every}." + (
        f" Two frames lie {found.step:g} {found.unit} apart, usually." if found.unit != "frame" else ""
    )
    return found.model_copy(update={"most": most})


def affordable(dimension: int, n_train: int, seconds: float, *, cores: int, gpu: bool, frames: int = 1) -> float:
    """Voxels of one image that the budget allows to be seen often enough.

    Args:
        dimension: 2 or 3.
        n_train: Training cases.
        seconds: Time to train.
        cores: Processor cores.
        gpu: Whether an accelerator is used.
        frames: Pictures of one case.

    Returns:
        Voxels of a picture or volume, so that the winner sees 25 thousand of them, or thirty epochs if
        those are more.
    """
    seen = max(30 * n_train * frames, 25_000)
    per_voxel = _NS_PER_VOXEL[dimension, "gpu" if gpu else "cpu"] * 1e-9
    voxels = 0.6 * seconds / seen / per_voxel * (1.0 if gpu else max(cores, 1) / 2)
    modest = dimension == 2 and not gpu and seconds < _LONG_S
    return min(voxels, 128.0**2) if modest else voxels


def _size(fingerprint: Fingerprint, voxels: float) -> tuple[tuple[int, ...], str]:
    dimension = fingerprint.dimension
    shape = np.array(fingerprint.shape_median[:dimension], dtype=float)
    extent = (
        shape * np.array(fingerprint.spacing_median[:dimension])
        if fingerprint.spacing_median and dimension == 3
        else shape
    )
    longest = shape.max()
    native = " x ".join(str(int(n)) for n in shape)
    if longest <= _KEPT[dimension] and (longest <= 40 or voxels >= shape.prod() / 2):
        return tuple(int(n) for n in shape), f"The images are small ({native}), so they keep their size."
    share = (extent / extent.max()).prod()
    fitting = [
        s for s in _SIDES[dimension] if s <= max(longest, _LEAST[dimension]) and s**dimension * share <= max(voxels, 1)
    ]
    side = max(fitting, default=_LEAST[dimension])
    side = max(side, min(_LEAST[dimension], int(longest)))
    if side >= 0.9 * longest or (longest < 1.25 * side and voxels >= longest**dimension * share):
        side = int(longest)
    step = 8 if dimension == 2 and side >= 64 else 4
    size = tuple(max(step, round(side * e / extent.max() / step) * step) for e in extent)
    size = tuple(
        int(n) if side == longest and e == extent.max() and longest <= 64 else s
        for s, n, e in zip(size, shape, extent, strict=True)
    )
    if side == int(longest):
        return size, f"The images ({native}) keep about their size; the budget allows it."
    made = " x ".join(map(str, size))
    why = (
        "the largest that the networks are made for"
        if side == _SIDES[dimension][-1]
        else "the largest that the budget lets the networks see often enough"
    )
    return size, f"Images of {native} become {made}: {why}."


def _fit(
    fingerprint: Fingerprint, size: tuple[int, ...]
) -> tuple[Literal["stretch", "pad", "crop"], tuple[float, ...] | None, str]:
    n = fingerprint.dimension
    low, high = (np.array(s[:n], dtype=float) for s in (fingerprint.shape_min, fingerprint.shape_max))
    if np.array_equal(low, high):
        return "stretch", None, "All images have the same shape."
    if n == 3 and fingerprint.spacing_median is not None:
        spacing = np.array(fingerprint.spacing_median)
        if (high / low).max() <= 1.6:
            step = float((high * spacing / np.array(size)).max())
            return (
                "pad",
                (round(step, 4),) * 3,
                f"The volumes are alike in size, so each is brought to {step:.3g} mm and its true size is kept.",
            )
        return (
            "stretch",
            None,
            "The volumes cover different lengths of the body, so each is stretched to fill the array.",
        )
    aspect = (high / low).max() / (high / low).min()
    if (n == 2 and (high / low).max() > 1.15) or aspect > 1.1:
        return "pad", None, "The images differ in shape, so each keeps its proportions and is padded."
    return "stretch", None, "The images have nearly the same shape."


def choose_intensity(cohort: Cohort, fingerprint: Fingerprint, kind: str) -> tuple[Intensity, str]:
    """How values become 0 .. 1, with the mean and standard deviation that follow from it.

    Args:
        cohort: Names that tell the body part.
        fingerprint: Measured facts.
        kind: A key of ``KINDS``.

    Returns:
        The intensities, and the reason.
    """
    f = fingerprint
    if f.two_valued:
        return _with_constants(
            f, "range", f.intensity_min, max(f.intensity_max, f.intensity_min + 1)
        ), "The images hold two values only."
    if f.integer_8_bit:
        high = 255.0 if f.intensity_max > 63 else f.intensity_max
        return _with_constants(
            f, "range", 0.0, high
        ), "The values are 8-bit and windowed already, so their whole range is kept."
    if f.unit == "HU" or (kind == "ct" and f.intensity_min <= -900):
        low, high, why = _ct_window(cohort, f)
        return _with_constants(f, "window", low, high), why
    if f.unit == "SUVbw":
        return _with_constants(f, "window", 0.0, 10.0), "Uptake from 0 to 10 SUV covers what is read clinically."
    if kind == "mr":
        return (
            Intensity(method="zscore", low=5.0, high=4.0, mean=(0.5,), std=(0.125,)),
            "MR values have no unit, so each case is scaled by the mean and spread of its own foreground.",
        )
    if f.intensity_min >= 0 and f.intensity_max <= 1.0 and f.intensity_percentiles["99.5"] > 0.5:
        return _with_constants(f, "range", 0.0, 1.0), "The values lie between 0 and 1 already."
    p = f.intensity_percentiles
    found = _with_constants(f, "percentile", p["0.5"], p["99.5"])
    return (
        found.model_copy(update={"low": 0.5, "high": 99.5}),
        "The values have no fixed scale, so each case is windowed from its 0.5th to its 99.5th percentile.",
    )


def _ct_window(cohort: Cohort, f: Fingerprint) -> tuple[float, float, str]:
    text = " ".join([cohort.name, *cohort.classes, *(str(v) for v in cohort.facts.values())]).lower()
    for part, (pattern, low, high) in _WINDOWS.items():
        if re.search(pattern, text):
            return low, high, f"CT in HU, and the names speak of {part}: window {low:g} to {high:g} HU."
    if f.intensity_percentiles["25"] > -200:
        return -160.0, 240.0, "CT in HU with hardly any air: soft-tissue window, -160 to 240 HU."
    return -1000.0, 400.0, "CT in HU: a wide window from air to dense tissue, -1000 to 400 HU."


def _with_constants(
    f: Fingerprint, method: Literal["window", "percentile", "range", "zscore"], low: float, high: float
) -> Intensity:
    """An intensity whose mean and std follow from the measured distribution, clipped to ``low .. high``.

    The distribution is the one through the measured percentiles, straight between them;
    where nothing is clipped the measured mean and spread are used as they are.
    """
    width = max(high - low, 1e-6)
    if f.intensity_min >= low and f.intensity_max <= high:
        mean, std = (f.intensity_mean - low) / width, f.intensity_std / width
    else:
        values = [f.intensity_min, *(f.intensity_percentiles[f"{q:g}"] for q in _CURVE[1:-1]), f.intensity_max]
        curve = np.interp((np.arange(2000) + 0.5) / 20.0, _CURVE, values)
        scaled = np.clip((curve - low) / width, 0, 1)
        mean, std = float(scaled.mean()), float(scaled.std())
    return Intensity(method=method, low=low, high=high, mean=(round(mean, 4),), std=(round(max(std, 0.02), 4),))
