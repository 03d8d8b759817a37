"""Tiny cohorts in memory, learnable in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scanwright.core import Augmentation, Candidate, Memory, Plan, Preprocessing, Training


@dataclass
class MemoryStore:
    """What training needs of a store."""

    images: NDArray[np.float16]
    labels: NDArray[np.float32]
    part: NDArray[np.str_]
    ids: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    digest: str = "memory"

    def __post_init__(self) -> None:
        self.ids = self.ids or [f"case{k}" for k in range(len(self.labels))]
        self.groups = self.groups or list(self.ids)

    def rows(self, part: str) -> NDArray[np.intp]:
        return np.flatnonzero(self.part == part)


@pytest.fixture
def make_store() -> Callable[..., MemoryStore]:
    """Noise with a bright square whose place (and size) tells the label."""

    def make(task: str = "binary", n: int = 96, side: int = 12, dimension: int = 2, seed: int = 0) -> MemoryStore:
        rng = np.random.default_rng(seed)
        images = rng.normal(0, 0.6, (n, 1, *(side,) * dimension)).astype(np.float32)
        if task == "multilabel":
            labels = rng.integers(0, 2, (n, 3)).astype(np.float32)
            for k in range(3):
                images[labels[:, k] == 1, :, 4 * k : 4 * k + 3, 2:5] += 2
            labels[rng.random((n, 3)) < 0.2] = np.nan
        elif task == "regress":
            labels = rng.uniform(20, 60, n).astype(np.float32)
            for k in range(n):
                images[k, 0, 3:9, 3:9] += (labels[k] - 40) / 8
        else:
            classes = 2 if task == "binary" else 3
            labels = rng.integers(0, classes, n).astype(np.float32)
            for k in range(n):
                images[k, 0, 4 * int(labels[k]) : 4 * int(labels[k]) + 4] += 1.5
        part = np.array(["train", "train", "val", "test"])[np.arange(n) % 4]
        return MemoryStore(images.astype(np.float16), labels, part)

    return make


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    """A plan for a memory store: one narrow network, few steps."""

    def make(store: MemoryStore, task: str = "binary", **changes: Any) -> Plan:
        training = {"budget_s": 60, "evaluations": 4, "patience": 50, "ema": 0.9, "label_smoothing": 0.05}
        training |= changes.pop("training", {})
        classes = ("no", "yes") if task == "binary" else ("age",) if task == "regress" else ("a", "b", "c")
        candidates = changes.pop("candidates", None) or (small(),)
        return Plan(
            task=task,
            classes=classes,
            preprocessing=Preprocessing(dimension=store.images.ndim - 2, size=store.images.shape[2:]),
            augmentation=changes.pop("augmentation", Augmentation(flip_axes=(1,), shift=0.05, noise=0.05)),
            training=Training(**training),
            candidates=candidates,
            memory=Memory(predicted_mb=100, limit_mb=1000),
            **changes,
        )

    return make


def small(name: str = "small", *, steps: int = 24, race: tuple[int, ...] = (), **changes: Any) -> Candidate:
    row = {"model": "cnn", "arguments": {"width": 4, "stages": 2}, "batch_size": 16, "learning_rate": 1e-2}
    return Candidate(name=name, race_steps=race, final_steps=steps, **{**row, **changes})


@pytest.fixture
def make_candidate() -> Callable[..., Candidate]:
    """A narrow convolutional network."""
    return small
