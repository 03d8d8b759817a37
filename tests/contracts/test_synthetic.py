"""Every figure of synthetic images, every way to write them and every way to draw them keeps the same promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanwright.evaluation.synthetic import SYNTHETIC
from scanwright.io import SYNTHETIC_WRITERS, SyntheticMark, is_synthetic, write_synthetic

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", SYNTHETIC)
def test_every_figure_stands_in_the_reference(name: str) -> None:
    assert f"`{name}`" in (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", SYNTHETIC_WRITERS)
def test_every_format_marks_its_files_and_stands_in_the_how_to(kind: str, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (1, 20, 24, 1), dtype=np.uint8)
    path = write_synthetic(tmp_path / "folder" / "a", grey, kind=kind, mark=SyntheticMark("toy", "", 7))
    assert is_synthetic(path)
    assert path.name.endswith(SYNTHETIC_WRITERS[kind].suffix)
    assert f"`{kind}`" in (DOCS / "how-to" / "generate.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [k for k in SYNTHETIC_WRITERS if k != "nifti"])
def test_colour_is_kept(kind: str, tmp_path: Path) -> None:
    from scanwright.io import read_volume

    colour = np.random.default_rng(1).integers(0, 255, (3, 20, 24, 1), dtype=np.uint8)
    path = write_synthetic(tmp_path / "a", colour, kind=kind, mark=SyntheticMark("toy", "", 7))
    assert np.array_equal(read_volume(path).array, colour)
