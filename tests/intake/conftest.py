"""Shared fixtures: the benchmark kit, and small cohorts drawn on the fly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def kit() -> Path:
    folder = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the benchmark kit is not beside the repository")
    return folder.resolve()


@pytest.fixture
def draw() -> Callable[..., Path]:
    """Draw one picture of smooth random texture and save it."""

    def _draw(path: Path, seed: int, size: int = 96, **save: object) -> Path:
        rng = np.random.default_rng(seed)
        coarse = rng.normal(size=(12, 12))
        fine = rng.normal(size=(size, size))
        rough = np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))
        pixels = np.clip(128 + 45 * rough + 14 * fine, 0, 255).astype(np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, **save)
        return path

    return _draw


@pytest.fixture
def folders(tmp_path: Path, draw: Callable[..., Path]) -> Path:
    """Twelve healthy and twelve sick pictures in class folders."""
    root = tmp_path / "cohort"
    for k in range(12):
        draw(root / "healthy" / f"h{k}.png", k)
        draw(root / "sick" / f"s{k}.png", 100 + k)
    return root
