"""Every explainer marks the place that the answer comes from, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scanwright.core.cohort import Task
from scanwright.explain import EXPLAINERS

Array = NDArray[np.float32]


class Bright:
    """A model on paper: brightness over one half, averaged over cells of four, times a weight each class."""

    n_pictures = None

    def __init__(self, task: Task, weights: tuple[float, ...]) -> None:
        self.task, self.weights = task, np.array(weights, dtype=np.float32)
        self.n_outputs = len(weights)

    def run(self, batch: Array) -> dict[str, Array]:
        bright = np.clip(batch.mean(axis=1) - 0.5, 0, None)
        n, size = len(bright), bright.shape[1:]
        cells = bright.reshape(n, *[v for side in size for v in (side // 4, 4)])
        cells = cells.mean(axis=tuple(range(2, 2 * len(size) + 1, 2)))
        cam = cells[:, None] * self.weights.reshape(1, -1, *[1] * len(size))
        return {"cam": cam, "logits": cam.reshape(n, self.n_outputs, -1).mean(axis=2) - 0.1}


def image(size: tuple[int, ...], at: tuple[int, ...], channels: int = 1) -> Array:
    array = np.zeros((channels, *size), dtype=np.float32)
    array[(slice(None), *[slice(a, a + 6) for a in at])] = 1
    return array


@pytest.mark.parametrize(("size", "at"), [((32, 32), (4, 20)), ((32, 48), (22, 6)), ((20, 20, 24), (12, 3, 14))])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EXPLAINERS)
def test_the_bright_place_is_marked(name: str, size: tuple[int, ...], at: tuple[int, ...], channels: int) -> None:
    arrays = image(size, at, channels)[None]
    found = EXPLAINERS[name](Bright("binary", (5.0,)), arrays, np.array([1]))
    assert found.shape == (1, *size)
    assert found.dtype == np.float32
    peak = np.array(np.unravel_index(found[0].argmax(), size))
    assert (np.abs(peak - (np.array(at) + 2.5)) <= np.array(size) / 6).all()
    inside = arrays[0, 0] > 0
    assert found[0][inside].mean() > 4 * np.abs(found[0][~inside]).mean()


@pytest.mark.parametrize("name", EXPLAINERS)
def test_evidence_against_is_negative(name: str) -> None:
    arrays = image((32, 32), (8, 8))[None]
    against = EXPLAINERS[name](Bright("binary", (5.0,)), arrays, np.array([0]))
    assert against[0, 10, 10] < 0
    np.testing.assert_allclose(against, -EXPLAINERS[name](Bright("binary", (5.0,)), arrays, np.array([1])), atol=1e-6)


@pytest.mark.parametrize("task", ["multiclass", "ordinal", "multilabel"])
@pytest.mark.parametrize("name", EXPLAINERS)
def test_each_class_has_its_own_map(name: str, task: Any) -> None:
    runner = Bright(task, (6.0, 0.0, -6.0))
    arrays = np.repeat(image((32, 32), (8, 20))[None], 3, axis=0)
    found = EXPLAINERS[name](runner, arrays, np.array([0, 1, 2]))
    assert found[0, 10, 22] > 0
    assert abs(found[1, 10, 22]) < 1e-5
    assert found[2, 10, 22] < 0


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_batch_is_its_cases(name: str) -> None:
    runner = Bright("binary", (5.0,))
    arrays = np.stack([image((32, 32), (4, 4)), image((32, 32), (20, 12))])
    together = EXPLAINERS[name](runner, arrays, np.array([1, 0]))
    for n, target in enumerate((1, 0)):
        alone = EXPLAINERS[name](runner, arrays[n : n + 1], np.array([target]))
        np.testing.assert_allclose(together[n : n + 1], alone, atol=1e-6)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_known_outputs_spare_a_run_and_change_nothing(name: str) -> None:
    runner = Bright("regress", (5.0,))
    arrays = image((32, 32), (4, 4))[None]
    fresh = EXPLAINERS[name](runner, arrays, np.array([0]))
    np.testing.assert_array_equal(EXPLAINERS[name](runner, arrays, np.array([0]), outputs=runner.run(arrays)), fresh)
