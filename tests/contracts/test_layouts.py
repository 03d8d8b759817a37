"""Every layout of the table keeps the same promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanwright.intake import LAYOUTS
from scanwright.intake.layouts import Fit, Wishes
from scanwright.intake.place import Place

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "layouts.md"


@pytest.fixture
def unlike(tmp_path: Path) -> Place:
    """A folder that no layout fits: text, and one array of no image."""
    (tmp_path / "notes.txt").write_text("nothing here")
    np.save(tmp_path / "weights.npy", np.zeros(3))
    return Place.of(tmp_path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_says_what_it_is_and_has_a_reference(name: str) -> None:
    assert LAYOUTS[name].say
    assert f"`{name}`" in REFERENCE.read_text(encoding="utf-8")
    assert name == name.lower()


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_does_not_fit_what_it_cannot_read(name: str, unlike: Place) -> None:
    assert LAYOUTS[name].fits(unlike, Wishes()) is None


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_survives_a_single_odd_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2")
    fit = LAYOUTS[name].fits(Place.of(tmp_path / "a.json"), Wishes())
    assert fit is None or isinstance(fit, Fit)
