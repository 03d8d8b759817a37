"""Sliding windows: nothing moves, nothing is missed, memory stays bounded."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from scanwright.core import FormatError, InputError, Intensity, PlanError
from scanwright.inference.engines import ENGINES, open_engine
from scanwright.inference.segment import slide, slide_slabs

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("shape", [(20, 13, 9), (8, 8, 8), (5, 30, 3)])
def test_a_pointwise_network_gives_its_own_answer_everywhere(network: Any, plan: Any, engine: str, shape: Any) -> None:
    array = RANDOM.normal(size=(1, *shape)).astype(np.float32)
    opened = open_engine(network((8, 8, 8), np.array([[[[[-2.0]]]], [[[[3.0]]]]]), [0.5, -1.0]), engine, threads=1)
    logits = slide(opened.engine, array, plan())
    np.testing.assert_allclose(logits[0], -2 * array[0] + 0.5, atol=1e-4)
    np.testing.assert_allclose(logits[1], 3 * array[0] - 1, atol=1e-4)


def test_windows_are_blended_as_monai_does(network: Any, plan: Any) -> None:
    import torch
    from monai.inferers import sliding_window_inference

    kernel = RANDOM.normal(size=(2, 1, 5, 5, 5)).astype(np.float32)
    array = RANDOM.normal(size=(1, 20, 12, 16)).astype(np.float32)  # evenly spread windows are also MONAI's here
    engine = open_engine(network((8, 8, 8), kernel, [0.0, 0.0]), threads=1).engine

    def layer(x: Any) -> Any:
        return torch.nn.functional.conv3d(x, torch.from_numpy(kernel), padding=2)

    expected = sliding_window_inference(
        torch.from_numpy(array)[None], (8, 8, 8), 2, layer, overlap=0.5, mode="gaussian", sigma_scale=0.125
    )[0]
    np.testing.assert_allclose(slide(engine, array, plan()), expected.numpy(), atol=2e-4)


def test_slabs_are_the_whole_in_rising_order(network: Any, plan: Any) -> None:
    kernel = RANDOM.normal(size=(2, 1, 3, 3, 3)).astype(np.float32)
    array = RANDOM.normal(size=(1, 9, 40, 11)).astype(np.float32)
    engine = open_engine(network((8, 8, 8), kernel, [0.0, 0.0]), threads=1).engine
    slabs = list(slide_slabs(engine, array, plan()))
    assert {slab.axis for slab in slabs} == {1}, "the longest axis keeps the slabs thin"
    assert [slab.start for slab in slabs[1:]] == [slab.stop for slab in slabs[:-1]]
    assert (slabs[0].start, slabs[-1].stop) == (0, 40)
    joined = np.concatenate([slab.logits for slab in slabs], axis=2)
    np.testing.assert_array_equal(joined, slide(engine, array, plan()))


def test_a_small_case_is_padded_with_its_lowest_value_and_cut_back(recorder: Any, plan: Any) -> None:
    engine = recorder(lambda batch: np.concatenate([batch, -batch], axis=1))
    array = RANDOM.uniform(-3, 3, size=(1, 5, 8, 3)).astype(np.float32)
    logits = slide(engine, array, plan())
    np.testing.assert_allclose(logits[0], array[0], atol=1e-5)
    (given,) = engine.given
    assert given.shape == (1, 1, 8, 8, 8)
    assert given.min() == array.min()
    assert np.count_nonzero(given == array.min()) == 512 - array.size + 1


def test_neighbouring_slices_are_channels_with_the_slice_itself_in_the_middle(recorder: Any, plan: Any) -> None:
    chosen = plan(dimension=2, size=(4, 4), channels=2, segmentation={"slices": 3})
    array = np.zeros((2, 4, 4, 5), dtype=np.float32)
    array[0], array[1] = np.arange(5), 100 + np.arange(5)
    engine = recorder(lambda batch: np.stack([batch[:, 2], batch[:, 3]], axis=1))  # the middle slice's channels
    logits = slide(engine, array, chosen, batch=1)
    np.testing.assert_allclose(logits, array)
    seen = [tuple(given[0, :, 0, 0]) for given in engine.given]
    assert seen[0] == (0, 100, 0, 100, 1, 101), "(slice, channel), clamped at the first slice"
    assert seen[2] == (1, 101, 2, 102, 3, 103)
    assert seen[4] == (3, 103, 4, 104, 4, 104), "clamped at the last slice"


def test_mirror_images_are_averaged_in(network: Any, plan: Any, recorder: Any) -> None:
    # A network that looks one voxel to the left along each axis: averaged over all mirrors, both sides count alike.
    kernel = np.zeros((2, 1, 3, 3))
    kernel[0, 0, 1, 0] = kernel[1, 0, 0, 1] = 1.0
    chosen = plan(dimension=2, size=(8, 8))
    engine = open_engine(network((8, 8), kernel, [0.0, 0.0]), threads=1).engine
    array = np.zeros((1, 8, 8, 1), dtype=np.float32)
    array[0, 3, 4] = 1.0
    plain = slide(engine, array, chosen)
    assert plain[0, 3, 5, 0] == pytest.approx(1)
    assert plain[1, 4, 4, 0] == pytest.approx(1)
    both = slide(engine, array, chosen, mirror_axes=(0, 1))
    expected = np.zeros((2, 8, 8))
    expected[0, 3, [3, 5]] = expected[1, [2, 4], 4] = 0.5
    np.testing.assert_allclose(both[..., 0], expected, atol=1e-6)


def test_windows_of_air_are_skipped_and_are_background(recorder: Any, plan: Any) -> None:
    spec = {"intensity": Intensity(method="window", low=-1000, high=400, mean=(0.3,), std=(0.2,))}
    air, tissue = (0 - 0.3) / 0.2, (0.75 - 0.3) / 0.2
    array = np.full((1, 8, 8, 64), air, dtype=np.float32)
    array += np.abs(RANDOM.normal(0, 0.01, array.shape)).astype(np.float32)  # noise of about 3 HU
    array[..., 20:30] = tissue

    def everything(batch: Any) -> Any:
        return np.concatenate([batch * 0, batch * 0 + 1], axis=1)

    skipping, whole = recorder(everything), recorder(everything)
    logits = slide(skipping, array, plan(segmentation={"crop": "body", "overlap": 0.0}, **spec), batch=1)
    slide(whole, array, plan(segmentation={"overlap": 0.0}, **spec), batch=1)
    assert len(whole.given) == 8
    assert len(skipping.given) == 2, "tissue lies in the windows 16-24 and 24-32"
    foreground = (logits.argmax(axis=0) == 1).all(axis=(0, 1))
    np.testing.assert_array_equal(np.flatnonzero(foreground), np.arange(16, 32))


def test_progress_tells_the_time_left(recorder: Any, plan: Any) -> None:
    told: list[Any] = []
    engine = recorder(lambda batch: np.concatenate([batch, batch], axis=1))
    slide(engine, np.zeros((1, 8, 8, 40), np.float32), plan(), emit=told.append)
    assert told[-1].done == told[-1].total == 9
    assert told[-1].left_s == 0


def test_wrong_arrays_plans_and_answers_are_refused(recorder: Any, plan: Any) -> None:
    good = recorder(lambda batch: np.concatenate([batch, batch], axis=1))
    array = np.zeros((1, 8, 8, 8), np.float32)
    with pytest.raises(InputError, match="with 1 channels"):
        slide(good, np.zeros((2, 8, 8, 8), np.float32), plan())
    with pytest.raises(FormatError, match="needs 2 logits"):
        slide(recorder(lambda batch: batch), array, plan())
    with pytest.raises(FormatError, match="not a number"):
        slide(recorder(lambda batch: np.concatenate([batch, batch * np.nan], axis=1)), array, plan())
    with pytest.raises(PlanError, match="task 'segment'"):
        slide(good, array, plan().model_copy(update={"segmentation": None, "task": "multiclass"}))


LARGE = """
import resource
import numpy as np
from scanwright.core import Grid, Volume
from scanwright.inference.segment import Decision, lay_out_half, on_source, slide_slabs
from scanwright.preprocessing import lattice
from tests_plan import make_plan
import openvino, scipy.ndimage

class Bright:
    name, outputs = "numpy", ("logits",)
    def run(self, batch):
        logits = np.zeros((len(batch), 11, *batch.shape[2:]), np.float32)
        logits[:, 0] = 0.5
        logits[:, 7] = batch[:, 0]
        return {"logits": logits}

from scanwright.core import Intensity
plan = make_plan(tuple("abcdefghij"), size=(96, 96, 96), segmentation={"overlap": 0.25, "crop": "none"},
                 intensity=Intensity(method="window", low=0, high=1000))
array = np.zeros((1, 512, 512, 600), np.int16)
array[:, 100:200, 300:400, 50:500] = 900
volume = Volume(array, Grid((512, 512, 600), np.diag([0.7, 0.7, 0.8, 1])), unit="HU", modality="CT")
prepared = lay_out_half(volume, plan.preprocessing)
placement = lattice(volume.grid, plan.preprocessing)
found = on_source(slide_slabs(Bright(), prepared, plan), placement, Decision.of(plan), n_outputs=11)
expected = np.zeros((512, 512, 600), np.uint8)
expected[100:200, 300:400, 50:500] = 7
print("equal", bool((found.labels == expected).all()), "peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_a_large_ct_with_ten_classes_stays_under_two_and_a_half_gigabytes(tmp_path: Any) -> None:
    from pathlib import Path

    (tmp_path / "tests_plan.py").write_bytes(Path(__file__).with_name("conftest.py").read_bytes())
    script = tmp_path / "large.py"
    script.write_text(LARGE)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    words = done.stdout.split()
    assert words[1] == "True"
    assert int(words[3]) < 2500, f"{words[3]} MB"
