"""Labels that are words: an npz of images with their names beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanwright.core import FormatError
from scanwright.intake import scan
from scanwright.io import open_array, read_volume

NAMES = ["benign", "malignant", "恶性", ""]


@pytest.mark.parametrize("kind", ["U", "S"])
@pytest.mark.parametrize("packed", [True, False])
def test_text_is_read_as_text(tmp_path: Path, kind: str, packed: bool) -> None:
    words = np.array(NAMES) if kind == "U" else np.array([n.encode() for n in NAMES])
    (np.savez_compressed if packed else np.savez)(tmp_path / "a.npz", x_train=np.zeros((4, 8, 8), "u1"), y_train=words)
    assert open_array(f"{tmp_path}/a.npz::y_train").tolist() == NAMES
    assert read_volume(f"{tmp_path}/a.npz::x_train[3]").array.shape == (1, 8, 8, 1)


def test_text_is_no_image(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([["a", "b"], ["c", "d"]]))
    with pytest.raises(FormatError, match="type <U1"):
        read_volume(tmp_path / "a.npy")


def test_objects_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array(NAMES, dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="Python objects.*dtype=str"):
        open_array(tmp_path / "a.npy")


def test_a_cohort_of_arrays_may_name_its_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 16, 16), dtype=np.uint8)
    words = np.array(["benign", "malignant"] * 20)
    np.savez(tmp_path / "a.npz", x_train=images[:30], y_train=words[:30], x_test=images[30:], y_test=words[30:])
    cohort = scan(tmp_path / "a.npz")
    assert cohort.classes == ("benign", "malignant")
    assert [c.part for c in cohort.cases].count("test") == 10
