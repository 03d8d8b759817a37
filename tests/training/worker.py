"""One training in a process of its own, to be killed: ``worker.py WORK [PROCESSES]``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from scanwright.core import Augmentation, Candidate, Memory, Plan, Preprocessing, Training
from scanwright.training import train


class Rows:
    """Two kinds of noise."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.labels = (np.arange(120) % 2).astype(np.float32)
        images = rng.normal(0, 1, (120, 1, 12, 12))
        images[self.labels == 1, :, :6] += 0.7
        self.images = images.astype(np.float16)
        self.part = np.array(["train", "train", "train", "val"])[np.arange(120) // 2 % 4]
        self.ids = [f"case{k}" for k in range(120)]
        self.groups, self.digest = self.ids, "rows"

    def rows(self, part: str) -> np.ndarray:
        """Row numbers of a part."""
        return np.flatnonzero(self.part == part)


def plan() -> Plan:
    """Two networks and a classical model race; everything random is switched on."""
    common = {"batch_size": 16, "learning_rate": 5e-3, "race_steps": (30,), "final_steps": 120}
    return Plan(
        task="binary",
        classes=("no", "yes"),
        preprocessing=Preprocessing(dimension=2, size=(12, 12)),
        augmentation=Augmentation(flip_axes=(1,), rotate_deg=10, noise=0.1, mixup=0.2, cutout=0.2, elastic=0.02),
        training=Training(budget_s=60, evaluations=6, ema=0.95, precision="bf16-mixed", channels_last=True),
        candidates=(
            Candidate(name="features", model="features", kind="classical"),
            Candidate(name="one", model="cnn", arguments={"width": 6, "stages": 3, "drop": 0.2}, **common),
            Candidate(name="two", model="resnet9", arguments={"width": 4}, **common),
        ),
        memory=Memory(predicted_mb=1, limit_mb=1),
        seed=5,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(plan(), Rows(), work=Path(sys.argv[1]), devices=sys.argv[2] if len(sys.argv) > 2 else None)
