"""Volumes of two channels become a model, as a person types it: a fourth axis, and a file for each channel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scanwright.io import read_volume

Typed = Callable[..., object]
SHAPE = (24, 24, 16)
AFFINE = np.diag([1.0, 1.0, 1.5, 1.0])


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), path)
    return path


def ball(centre: np.ndarray, radius: float) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return np.linalg.norm((grid - centre) * np.diag(AFFINE)[:3], axis=-1) <= radius


def case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two channels and where the ball of the second lies; the ball of the first is none of the truth."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform((7, 7, 6), (17, 17, 10))
    wrong = (centre + np.array([12, 0, 0])) % SHAPE
    whole, core = ball(centre, 6.5), ball(centre, 3.5)
    first = rng.normal(0, 1, SHAPE) + 4 * ball(wrong, 5) + 5 * core
    second = rng.normal(0, 1, SHAPE) + 5 * whole
    channels = np.stack([first, second], axis=-1).astype(np.float32)
    return channels, whole, core


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def trained(typed: Typed, cohort: Path, steps: int) -> Path:
    """A finished run by a plan of a few steps of a small network."""
    planned, plan_file, out = (cohort.parent / name for name in ("planned", "plan.json", "run"))
    done = typed("plan", cohort, "--out", planned, "--budget", "60s")
    assert done.returncode == 0, done.stdout + done.stderr  # type: ignore[attr-defined]
    plan = json.loads((planned / "plan.json").read_text(encoding="utf-8"))
    assert plan["preprocessing"]["channels"] == 2
    first = plan["candidates"][0]
    arguments = {**first["arguments"], "levels": 2}
    plan["candidates"] = [{**first, "arguments": arguments, "batch_size": 4, "race_steps": [], "final_steps": steps}]
    plan["training"] |= {"ema": 0.9, "evaluations": 2, "patience": 2}
    plan_file.write_text(json.dumps(plan), encoding="utf-8")
    done = typed("run", cohort, "--out", out, "--plan", plan_file)
    assert done.returncode == 0, done.stdout + done.stderr  # type: ignore[attr-defined]
    return out


def test_a_decathlon_folder_whose_fourth_axis_is_the_channel(typed: Typed, tmp_path: Path) -> None:
    cohort = tmp_path / "Task99_Ball"
    for n in range(12):
        channels, whole, _ = case(n)
        save(cohort / "imagesTr" / f"ball_{n:02d}.nii.gz", channels)
        save(cohort / "labelsTr" / f"ball_{n:02d}.nii.gz", whole.astype(np.uint8))
    facts = {"modality": {"0": "T2", "1": "ADC"}, "labels": {"0": "background", "1": "ball"}, "tensorImageSize": "4D"}
    (cohort / "dataset.json").write_text(json.dumps(facts))
    run = trained(typed, cohort, steps=30)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["test"]["per_class"]) == {"ball"}
    channels, whole, _ = case(99)
    path = save(tmp_path / "new" / "ball_99.nii.gz", channels)
    done = typed("predict", run / "model.scanwright", path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr  # type: ignore[attr-defined]
    answer = read_volume(next((tmp_path / "out").rglob("segmentation.nii.gz")))
    np.testing.assert_allclose(answer.grid.affine, AFFINE, atol=1e-6)
    assert answer.array.shape == (1, *SHAPE)
    assert dice(answer.array[0] == 1, whole) > 0.7, "a network of the first channel alone would draw the other ball"
    told = json.loads(next((tmp_path / "out").rglob("answer.json")).read_text(encoding="utf-8"))
    assert told["amounts"]["ball"] == pytest.approx(whole.sum() * 1.5 / 1000, rel=0.5)
    one_channel = save(tmp_path / "new" / "half.nii.gz", channels[..., :1])
    done = typed("predict", run / "model.scanwright", one_channel, "--out", tmp_path / "refused")
    text = done.stdout + done.stderr  # type: ignore[attr-defined]
    assert "takes 2 channels" in text
    assert "Traceback" not in text


def test_an_nnunet_folder_of_two_files_a_case_regions_and_ignored_voxels(typed: Typed, tmp_path: Path) -> None:
    cohort, other = tmp_path / "Dataset099_Nested", tmp_path / "other"
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    facts = {
        "channel_names": {"0": "T1", "1": "FLAIR"},
        "labels": labels,
        "regions_class_order": [1, 2],
        "file_ending": ".nii.gz",
    }
    for n in range(19):
        channels, whole, core = case(n)
        truth = whole.astype(np.uint8) + core
        truth[:, :, 14:] = 3  # nobody looked there
        root = cohort if n < 14 else other
        for c in range(2):
            save(root / "imagesTr" / f"n_{n:02d}_{c:04d}.nii.gz", channels[..., c])
        save(root / "labelsTr" / f"n_{n:02d}.nii.gz", truth)
    for root in (cohort, other):
        (root / "dataset.json").write_text(json.dumps({**facts, "numTraining": 14}))
    run = trained(typed, cohort, steps=40)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["test"]["per_class"]) == {"whole", "core"}
    done = typed("predict", run / "model.scanwright", other / "imagesTr", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr  # type: ignore[attr-defined]
    found = {path.parent.name: read_volume(path).array for path in (tmp_path / "out").rglob("regions.nii.gz")}
    assert len(found) == 5, "the two files of a case are one case"
    for n in range(14, 19):
        _, whole, core = case(n)
        drawn = next(array for name, array in found.items() if f"n_{n:02d}" in name)
        assert dice(drawn[0] > 0, whole) > 0.7
        assert dice(drawn[1] > 0, core) > 0.5
        assert not ((drawn[1] > 0) & ~(drawn[0] > 0)).any(), "the core lies within the whole"
    judged = typed("evaluate", run / "model.scanwright", other, "--out", tmp_path / "judged")
    assert judged.returncode == 0, judged.stdout + judged.stderr  # type: ignore[attr-defined]
    test = json.loads((tmp_path / "judged" / "metrics.json").read_text(encoding="utf-8"))["test"]
    assert test["n_cases"] == 5
    assert test["per_class"]["whole"]["dice"]["value"] > 0.7
