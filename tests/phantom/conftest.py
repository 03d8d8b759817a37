"""Small phantom cohorts, written once for the whole folder of tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanwright.phantom import write_phantom


@pytest.fixture(scope="session")
def xrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom("chest-xray", tmp_path_factory.mktemp("phantom") / "xrays", patients=12, seed=5, size=64)


@pytest.fixture(scope="session")
def cts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom("chest-ct", tmp_path_factory.mktemp("phantom") / "cts", patients=4, seed=5, size=64)
