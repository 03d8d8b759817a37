"""Commands as a person types them, on small cohorts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the machine's speed is remembered, apart from the user's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def typed(cache: Path) -> Typed:
    """Type a command; a new process, as in a shell."""

    def type_(*words: object, cwd: Path | None = None, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scanwright", *map(str, words)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "SCANWRIGHT_CACHE": str(cache), "COLUMNS": "200", "NO_COLOR": "1"},
        )

    return type_


def shapes(n: int, seed: int, *, bright: bool) -> list[np.ndarray]:
    """Pictures of noise, with or without a soft blob: easy, but not without an image model."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32]
    found = []
    for _ in range(n):
        picture = rng.normal(110, 18, (32, 32))
        if bright:
            i, j = rng.uniform(8, 24, 2)
            picture += 80 * np.exp(-((rows - i) ** 2 + (columns - j) ** 2) / 18)
        found.append(np.clip(picture, 0, 255).astype(np.uint8))
    return found


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders with PNG files."""
    root = tmp_path_factory.mktemp("cohort") / "blobs"
    for k, name in enumerate(("clear", "blob")):
        (root / name).mkdir(parents=True)
        for i, picture in enumerate(shapes(90, k, bright=bool(k))):
            Image.fromarray(picture).save(root / name / f"{name} ({i}).png")
    return root
