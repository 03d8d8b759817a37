"""A small fake model, images of every kind, and a client that speaks to the app as a browser would."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from scanwright.core import FormatError, Grid, Plan, Prediction, Volume
from scanwright.core.plan import Augmentation, Memory, Preprocessing, Training

KIT = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def a_plan(dimension: int = 2) -> Plan:
    size = (16, 16) if dimension == 2 else (8, 8, 8)
    return Plan(
        task="binary",
        classes=("normal", "pneumonia"),
        preprocessing=Preprocessing(dimension=dimension, size=size),  # type: ignore[arg-type]
        augmentation=Augmentation(),
        training=Training(budget_s=60),
        candidates=(),
        memory=Memory(predicted_mb=1, limit_mb=2),
    )


class Fake:
    """Answers with the share of bright pixels, so that what was read shows in the answer."""

    name, version, sha256 = "chest", "1.0.0", "ab" * 32
    card = "# Chest model\n\nFor **research**. <script>alert(1)</script>\n\n| part | n |\n|---|---|\n| test | 10 |\n"

    def __init__(self, dimension: int = 2) -> None:
        self.plan = a_plan(dimension)
        self.evaluation = {"test": {"auroc": {"value": 0.9, "low": 0.8, "high": float("nan")}, "n_cases": 10}}
        self.trust = {"cuts": [0.4]}
        self.hold: threading.Event | None = None
        self.seen: list[tuple[str, tuple[int, ...]]] = []
        self.nan = False

    def predict(self, volume: Volume, *, case: str, heatmap: bool = True) -> Prediction:
        self.seen.append((case, volume.array.shape))
        if self.hold is not None:
            self.hold.wait(20)
        if volume.array.max() == 13:
            raise FormatError("The network's answer is not a number.", "Every logit must be finite.", "Check it.")
        if volume.array.max() == 14:
            raise KeyError("Doe^John 19700101")
        share = float("nan") if self.nan else float((volume.array > 127).mean())
        heat = np.ones(volume.grid.shape, np.float32) * 0.5 if heatmap else None
        picture = volume.picture()
        overlay = np.stack([picture if picture.ndim == 2 else picture[..., 0]] * 3, -1) if heatmap else None
        return Prediction(
            case=case,
            task="binary",
            classes=self.plan.classes,
            probabilities=(1 - share, share),
            logits=(share * 2 - 1,),
            label=self.plan.classes[share > 0.4],
            heatmap=heat,
            heatmap_class="pneumonia" if heatmap else None,
            faithful=True,
            grid=volume.grid,
            picture=picture,
            overlay=overlay,
            warnings=("Research use – not a medical device.",),
        )


def read(path: Path) -> Volume:
    """A stand-in for the reader: pictures and arrays; a folder is as many slices as it has files."""
    if path.is_dir():
        array = np.zeros((1, 4, 4, len(list(path.iterdir()))), np.float32)
    elif path.suffix == ".npy":
        array = np.load(path)[None, :, :, None]
    elif path.suffix == ".dcm":
        array = np.zeros((1, 4, 4, 1), np.float32)
    else:
        try:
            array = np.asarray(Image.open(path).convert("L"))[None, :, :, None]
        except OSError:
            raise FormatError(
                f"{path.name} in {path.parent} is damaged.", "A PNG ends with IEND.", "Send it again."
            ) from None
    return Volume(array, Grid(array.shape[1:]))


def png(level: int = 200, size: tuple[int, int] = (20, 30)) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full(size, level, np.uint8)).save(out, "PNG")
    return out.getvalue()


def npy(array: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.fixture
def make() -> dict[str, Callable[..., Any]]:
    """Builders of content."""
    return {"png": png, "npy": npy, "zip": zipped, "plan": a_plan}


@pytest.fixture
def fake() -> Fake:
    """The fake model."""
    return Fake()


@pytest.fixture
def volume_fake() -> Fake:
    """A fake model of volumes."""
    return Fake(dimension=3)


@pytest.fixture
def reading() -> Callable[[Path], Volume]:
    """The stand-in for the reader."""
    return read


@pytest.fixture
def client_of(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Builds a client of a service of given models and limits; closes it afterwards."""
    from scanwright.serving import Limits, create_app

    opened: list[TestClient] = []

    def build(models: Any, *, real_reader: bool = False, **limits: Any) -> TestClient:
        app = create_app(models, limits=Limits(**limits), work=tmp_path / "work", read=None if real_reader else read)
        client = TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
        client.__enter__()
        opened.append(client)
        return client

    yield build
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(client_of: Callable[..., TestClient], fake: Fake) -> TestClient:
    """A service of one fake model."""
    return client_of({"chest": fake})


@pytest.fixture(scope="session")
def kit() -> Path:
    """Folder of real images."""
    if not KIT.is_dir():
        pytest.skip("the kit of real images is not beside the repository")
    return KIT.resolve()
