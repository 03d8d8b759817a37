"""The CT has plausible Hounsfield units and its nodule where the truth says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scanwright.core import LabelMap, Volume
from scanwright.core.errors import InputError
from scanwright.phantom import LABELS, ChestPatient, chest, render_ct


@pytest.fixture(scope="module")
def scanned() -> tuple[ChestPatient, Volume, LabelMap]:
    drawn = chest(6, label="nodule")
    patient = replace(drawn, nodules=drawn.nodules[:1])
    return (patient, *render_ct(patient, (2.0, 2.0, 3.0)))


@pytest.mark.parametrize(
    ("organ", "low", "high"),
    [
        ("lung-left", -900, -700),
        ("lung-right", -900, -700),
        ("heart", 30, 55),
        ("aorta", 30, 55),
        ("liver", 45, 70),
        ("airway", -1000, -800),
        ("spine", 200, 600),
        ("rib", 200, 900),
        ("clavicle", 200, 1000),
        ("scapula", 200, 1000),
    ],
)
def test_organs_have_plausible_ct_numbers(
    scanned: tuple[ChestPatient, Volume, LabelMap], organ: str, low: float, high: float
) -> None:
    _, volume, labels = scanned
    inside = labels.array == LABELS[organ]
    assert inside.any()
    assert low < np.median(volume.array[0][inside]) < high


def test_nodule_lies_where_the_truth_says(scanned: tuple[ChestPatient, Volume, LabelMap]) -> None:
    patient, volume, labels = scanned
    nodule = patient.nodules[0]
    inside = np.argwhere(labels.array == LABELS["nodule"])
    found = labels.grid.world(inside.mean(axis=0))
    assert np.linalg.norm(found - np.array(nodule.centre)) < 2.0
    volume_mm3 = len(inside) * float(np.prod(volume.grid.spacing))
    assert volume_mm3 == pytest.approx(np.pi / 6 * nodule.diameter_mm**3, rel=0.45)
    i, j, k = np.rint(labels.grid.index(nodule.centre)).astype(int)
    assert volume.array[0, i - 1 : i + 2, j - 1 : j + 2, k].mean() > -60


def test_left_and_right_front_and_back_top_and_bottom(scanned: tuple[ChestPatient, Volume, LabelMap]) -> None:
    _, _, labels = scanned

    def middle(name: str) -> np.ndarray:
        return labels.grid.world(np.argwhere(labels.array == LABELS[name]).mean(axis=0))

    assert labels.grid.orientation == "PLS"
    assert middle("lung-right")[0] > 50
    assert middle("lung-left")[0] < -50
    assert middle("heart")[0] < -5
    assert middle("liver")[0] > 10
    assert middle("sternum")[1] > middle("heart")[1] > middle("spine")[1]
    assert middle("clavicle")[2] > middle("heart")[2] > middle("liver")[2]


def test_lungs_have_the_volume_of_lungs(scanned: tuple[ChestPatient, Volume, LabelMap]) -> None:
    _, volume, labels = scanned
    litres = np.isin(labels.array, (1, 2, 13)).sum() * np.prod(volume.grid.spacing) / 1e6
    assert 2.0 < litres < 8.0  # total lung capacity of adults


def test_background_is_air_and_labels_are_named(scanned: tuple[ChestPatient, Volume, LabelMap]) -> None:
    _, volume, labels = scanned
    assert np.median(volume.array[0, :4]) == pytest.approx(-1000, abs=15)
    assert {labels.names[int(v)] for v in np.unique(labels.array) if v} >= {"heart", "rib", "spine", "nodule", "vessel"}


def test_absurd_spacing_is_refused() -> None:
    with pytest.raises(InputError, match=r"between 0\.4 and 12 mm"):
        render_ct(chest(0), 50.0)
