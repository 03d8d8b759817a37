"""CLAHE beside OpenCV 5.0 (``cv2.createCLAHE``; the file was made with it)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanwright.core import Grid, Intensity, Preprocessing, Volume
from scanwright.preprocessing import clahe, prepare

GOLDEN = Path(__file__).with_name("clahe_opencv.npz")


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize("clip", [1.0, 2.0, 4.0])
def test_it_agrees_with_opencv_within_one_grey_level(name: str, clip: float) -> None:
    with np.load(GOLDEN) as golden:
        source, theirs = golden[name], golden[f"{name}_{clip:g}"]
    ours = clahe(source.astype(np.float32) / 255, clip=clip) * 255
    assert np.abs(ours - theirs).max() <= 1.001


def test_it_raises_contrast_where_it_was_low() -> None:
    i, j = np.mgrid[:128, :128]
    dull = (0.5 + 0.02 * np.sin(i / 5) * np.sin(j / 5)).astype(np.float32)
    assert clahe(dull, clip=4.0).std() > 2 * dull.std()


def test_colour_keeps_its_hue() -> None:
    rng = np.random.default_rng(0)
    base = rng.random((1, 64, 64)).astype(np.float32) * 0.2 + 0.4
    colour = np.concatenate([base + 0.1, base, base - 0.1])[..., None]
    volume = Volume(colour, Grid.of_picture(64, 64), channel="rgb")
    intensity = Intensity(method="range", low=0, high=1, clahe=True)
    ready = prepare(volume, Preprocessing(dimension=2, size=(64, 64), channels=3, intensity=intensity))
    middle = (ready > 0.15) & (ready < 0.85)
    keep = middle.all(axis=0)
    np.testing.assert_allclose((ready[0] - ready[1])[keep], 0.1, atol=2e-3)
