"""A small cohort of bright boxes in noise, prepared without files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scanwright.core import (
    Augmentation,
    Candidate,
    Case,
    Cohort,
    Intensity,
    MaskCode,
    Memory,
    Plan,
    Preprocessing,
    Segmentation,
    Training,
)
from scanwright.io import Lattice, VoxelStore


@pytest.fixture
def boxes(tmp_path: Path) -> Callable[..., tuple[Cohort, VoxelStore, Plan]]:
    """A cohort, its store and a plan; volumes of about 20 x 24 x 18, two boxes of other brightness."""

    def make(
        *, n: int = 12, steps: int = 30, seed: int = 0, sized: tuple[int, ...] = (16, 16, 16), **changes: object
    ) -> tuple[Cohort, VoxelStore, Plan]:
        parts = ["train"] * (n - 4) + ["val"] * 2 + ["test"] * 2
        cases = tuple(
            Case(f"c{k}", f"c{k}.nii", part=part, patient=f"p{k}", masks=(f"m{k}.nii",))  # type: ignore[arg-type]
            for k, part in enumerate(parts)
        )
        code = MaskCode(values=((1,), (2,)))
        cohort = Cohort("boxes", tmp_path, "table", "segment", ("one", "two"), cases, "MR", 3, True, mask_code=code)
        plan = Plan(
            task="segment",
            classes=("one", "two"),
            preprocessing=Preprocessing(dimension=3, size=sized, intensity=Intensity(method="range", low=0, high=1)),
            segmentation=Segmentation(codes=((0,), (1,))),
            augmentation=Augmentation(),
            training=Training(budget_s=60, ensemble=1, evaluations=3, ema=0.9, patience=9),
            candidates=(
                Candidate(
                    name="unet-small",
                    model="unet",
                    arguments={"size": "small", "levels": 3},
                    batch_size=4,
                    learning_rate=4e-3,
                    final_steps=steps,
                ),
            ),
            memory=Memory(predicted_mb=1000, limit_mb=2000),
            seed=seed,
        )
        plan = plan.model_copy(update=changes)
        return cohort, VoxelStore.build(tmp_path / "store", cohort, plan, lattice_of), plan

    return make


def lattice_of(case: Case) -> Lattice:
    """Noise with a bright and a very bright box."""
    rng = np.random.default_rng(int(case.id[1:]))
    shape = tuple(int(s) for s in rng.integers((18, 22, 16), (22, 27, 20)))
    labels = np.zeros(shape, np.uint8)
    for code in (1, 2):
        i, j, k = (int(rng.integers(1, s - 8)) for s in shape)
        labels[i : i + 6, j : j + 7, k : k + 5] = code
    image = rng.normal(0, 0.25, shape) + labels
    return Lattice(image[None].astype(np.float32), labels, (1.0, 1.0, 1.0))
