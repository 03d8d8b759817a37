"""Locators of awkward names."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanwright.core import InputError
from scanwright.io import Locator, format_locator, parse_locator


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("malignant (145).png", Locator(Path("malignant (145).png"))),
        ("a.npz::train_images[7]", Locator(Path("a.npz"), "train_images", 7)),
        ("a b/x[1] (2).npy[12]", Locator(Path("a b/x[1] (2).npy"), None, 12)),
        ("t10k-images-idx3-ubyte.gz[9999]", Locator(Path("t10k-images-idx3-ubyte.gz"), None, 9999)),
        ("study::1.2.840.113", Locator(Path("study"), "1.2.840.113")),
        ("scan [7].png", Locator(Path("scan [7].png"))),
        ("a.npz::x[y]", Locator(Path("a.npz"), "x[y]")),
    ],
)
def test_parts(text: str, expected: Locator) -> None:
    assert parse_locator(text) == expected
    assert format_locator(expected.path, expected.member, expected.row) == text


def test_a_file_of_exactly_this_name_wins(tmp_path: Path) -> None:
    for name in ("case[7]", "odd::name.png"):
        (tmp_path / name).write_bytes(b"x")
        assert parse_locator(name, root=tmp_path) == Locator(tmp_path / name)
    assert parse_locator("case[7][3]", root=tmp_path) == Locator(tmp_path / "case[7]", None, 3)


def test_an_absolute_path_needs_no_root(tmp_path: Path) -> None:
    assert parse_locator(str(tmp_path / "a.png"), root=Path("elsewhere")).path == tmp_path / "a.png"


@pytest.mark.parametrize("text", ["", "  ", "a\0b"])
def test_nothing_is_no_locator(text: str) -> None:
    with pytest.raises(InputError, match="names nothing"):
        parse_locator(text)
