"""The store of prepared cases: it fills, goes on, names what failed, and reads by windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanwright.core import (
    Augmentation,
    Candidate,
    Case,
    Cohort,
    FormatError,
    MaskCode,
    Memory,
    Plan,
    Preprocessing,
    Segmentation,
    Training,
)
from scanwright.io import Lattice, VoxelStore

PLAN = Plan(
    task="segment",
    classes=("a", "b"),
    preprocessing=Preprocessing(dimension=3, size=(8, 8, 8)),
    segmentation=Segmentation(codes=((0,), (1,))),
    augmentation=Augmentation(),
    training=Training(budget_s=1, ensemble=1),
    candidates=(Candidate(name="u", model="unet", final_steps=1),),
    memory=Memory(predicted_mb=1, limit_mb=2),
)


def cohort(root: Path, n: int = 4) -> Cohort:
    cases = tuple(Case(f"c{k}", f"c{k}.nii", part="train", masks=(f"m{k}.nii",)) for k in range(n))
    return Cohort("c", root, "t", "segment", ("a", "b"), cases, mask_code=MaskCode(values=((1,), (2,))), dimension=3)


def lattice(case: Case) -> Lattice:
    k = int(case.id[1:])
    labels = np.zeros((10 + k, 9, 8), np.uint8)
    labels[1:4, 2:5, 3:6] = 1
    labels[8, 8, 7] = 2
    labels[0, 0, 0] = 255
    return Lattice(np.full((1, *labels.shape), k, np.float32), labels, (1.0, 1.0, 2.5))


def test_it_holds_what_was_prepared(tmp_path: Path) -> None:
    store = VoxelStore.build(tmp_path / "s", cohort(tmp_path), PLAN, lattice)
    assert store.shapes == [(10, 9, 8), (11, 9, 8), (12, 9, 8), (13, 9, 8)]
    assert store.spacings[2] == (1.0, 1.0, 2.5)
    assert store.counts[0].tolist() == [720 - 27 - 2, 27, 1]
    assert (np.asarray(store.image(3)) == 3).all()
    assert isinstance(store.image(3), np.memmap)
    places = store.places(1)
    assert [tuple(p) for p in places[places[:, 0] == 2]] == [(2, 8, 8, 7)]
    inside = {tuple(p[1:]) for p in places[places[:, 0] == 1]}
    assert len(inside) == 27
    assert all(store.labels(1)[p] == 1 for p in inside)
    assert store.rows("train").tolist() == [0, 1, 2, 3]


def test_it_goes_on_where_it_stopped_and_names_what_failed(tmp_path: Path) -> None:
    asked: list[str] = []

    def broken(case: Case) -> Lattice:
        asked.append(case.id)
        if case.id == "c1":
            raise FormatError("c1.nii is cut short.", "It must be whole.", "Copy it again.")
        if case.id == "c3":
            raise KeyboardInterrupt("stopped")
        return lattice(case)

    with pytest.raises(KeyboardInterrupt, match="stopped"):
        VoxelStore.build(tmp_path / "s", cohort(tmp_path), PLAN, broken, threads=1)
    said: list[str] = []
    store = VoxelStore.build(
        tmp_path / "s", cohort(tmp_path), PLAN, lattice, emit=lambda e: said.append(getattr(e, "text", ""))
    )
    assert store.part.tolist() == ["train", "", "train", "train"]
    assert any("c1" in text and "cut short" in text for text in said)
    assert store.shapes[3] == (13, 9, 8)


def test_another_window_is_the_same_store_and_another_spacing_is_not(tmp_path: Path) -> None:
    first = VoxelStore.build(tmp_path / "s", cohort(tmp_path), PLAN, lattice)
    wider = PLAN.model_copy(update={"preprocessing": PLAN.preprocessing.model_copy(update={"size": (16, 16, 16)})})
    again = VoxelStore.build(tmp_path / "s", cohort(tmp_path), wider, lattice)
    assert again.digest == first.digest
    coarse = PLAN.model_copy(
        update={"preprocessing": PLAN.preprocessing.model_copy(update={"spacing_mm": (2.0, 2.0, 2.0)})}
    )
    assert VoxelStore.build(tmp_path / "s", cohort(tmp_path), coarse, lattice).digest != first.digest
