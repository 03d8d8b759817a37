"""What a reader is told beside the answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scanwright.core import Fingerprint, Grid, Intensity, Preprocessing, Volume
from scanwright.inference.cautions import CAUTIONS, cautions


def seen(**other: Any) -> Fingerprint:
    """A training cohort of 8-bit chest radiographs of 200 to 400 pixels."""
    facts: dict[str, Any] = {
        "n_cases": {"train": 100},
        "n_per_class": {"a": 50, "b": 50},
        "n_patients": 100,
        "dimension": 2,
        "modality": "DX",
        "unit": "1",
        "n_channels": 1,
        "colour": False,
        "shape_min": (200, 200, 1),
        "shape_median": (300, 300, 1),
        "shape_max": (400, 400, 1),
        "spacing_median": None,
        "intensity_min": 0,
        "intensity_max": 255,
        "intensity_percentiles": {"0.5": 3, "50": 120, "99.5": 250},
        "intensity_mean": 120,
        "intensity_std": 50,
        "integer_8_bit": True,
        "two_valued": False,
        "n_measured": 100,
    }
    return Fingerprint(**(facts | other))


SPEC = Preprocessing(dimension=2, size=(128, 128), intensity=Intensity(method="range", low=0, high=255))


def radiograph(rows: int = 300, columns: int = 300, channels: int = 1, *, top: int = 255, **other: Any) -> Volume:
    array = np.random.default_rng(0).integers(0, top + 1, (channels, rows, columns, 1)).astype(np.uint8)
    return Volume(array, Grid.of_picture(rows, columns), **({"modality": "DX"} | other))


def test_nothing_is_said_of_an_image_like_those_of_training() -> None:
    assert cautions(radiograph(), SPEC, seen()) == ()
    assert cautions(radiograph(modality="CR"), SPEC, seen()) == ()
    assert cautions(radiograph(modality=None), SPEC, seen()) == ()
    assert cautions(radiograph(), SPEC, None) == ()


@pytest.mark.parametrize(
    ("volume", "sentence"),
    [
        (radiograph(modality="US"), "This is a US image; the model learnt from DX images."),
        (radiograph(1000, 1000), "1000 × 1000 voxels; the model learnt from images of 200 × 200 to 400 × 400"),
        (radiograph(60, 60), "only 60 × 60 voxels; the network looks at 128 × 128"),
        (radiograph(channels=3, channel="rgb"), "in colour; the model learnt from grey"),
        (radiograph(top=0), "blank"),
        (radiograph(unit="HU"), "in HU; the model learnt from images in arbitrary units"),
        (radiograph(top=2), "run from 0 to 2; the model learnt from 3 to 250"),
    ],
)
def test_what_differs_is_told(volume: Volume, sentence: str) -> None:
    assert any(sentence in told for told in cautions(volume, SPEC, seen()))


def test_grey_stored_as_colour_is_no_matter() -> None:
    grey = radiograph()
    same = Volume(np.repeat(grey.array, 3, axis=0), grey.grid, modality="DX", channel="rgb")
    assert cautions(same, SPEC, seen()) == ()


def test_grey_for_a_colour_model() -> None:
    spec = Preprocessing(dimension=2, size=(128, 128), channels=3)
    told = cautions(radiograph(), spec, seen(colour=True, n_channels=3))
    assert told == ("The image is grey; the model learnt from colour images.",)


def test_a_volume_is_compared_along_its_own_axes() -> None:
    """Stored slices first, it is still 20 slices of 200 x 200."""
    spec = Preprocessing(dimension=3, size=(64, 64, 16), orientation="RAS")
    known = seen(
        dimension=3, modality="CT", shape_min=(180, 180, 18), shape_median=(200, 200, 20), shape_max=(220, 220, 24)
    )
    affine = np.array([[0, 1.0, 0, 0], [0, 0, 1, 0], [3, 0, 0, 0], [0, 0, 0, 1]])
    array = np.random.default_rng(0).normal(size=(1, 20, 200, 200)).astype(np.float32)
    assert cautions(Volume(array, Grid((20, 200, 200), affine), modality="CT"), spec, known) == ()
    upright = Volume(array, Grid((20, 200, 200)), modality="CT")
    assert any("20 × 200 × 200" in told for told in cautions(upright, spec, known))


def test_every_caution_is_a_sentence_or_nothing() -> None:
    assert set(CAUTIONS) == {"blank", "modality", "unit", "intensity", "colour", "size", "resolution"}
    for told in cautions(radiograph(8, 8, 3, channel="rgb", modality="US", unit="HU"), SPEC, seen()):
        assert told[0].isupper()
        assert told.endswith(".")
