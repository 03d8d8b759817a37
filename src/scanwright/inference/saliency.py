"""Where the evidence for an answer lies: one function each, one line each in :data:`EXPLAINERS`.

An explainer takes prepared arrays and gives a map of the same size, larger where the place
speaks more for the target. None needs gradients, so none needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scanwright.core import InputError
from scanwright.core.cohort import Task

Array = NDArray[np.float32]


class Runs(Protocol):
    """What explainers need of a predictor: its task, its number of outputs, its pictures and ``run``."""

    @property
    def task(self) -> Task: ...
    @property
    def n_outputs(self) -> int: ...
    @property
    def n_pictures(self) -> int | None: ...
    def run(self, batch: Array) -> dict[str, Array]: ...


def directions(targets: NDArray[np.integer[Any]], task: Task, n_outputs: int) -> Array:
    """How the evidence for each target is made of the logits.

    The evidence is ``logits @ direction``: the logit of the class against the mean of all
    classes for exclusive ones (softmax does not see what all logits share), plus or minus
    the single logit for ``binary``, the logit itself for ``multilabel`` and ``regress``.

    Args:
        targets: ``(N,)`` class indices; ignored for ``regress``.
        task: Task of the model.
        n_outputs: Number of logits.

    Returns:
        ``(N, n_outputs)`` float32.
    """
    targets = np.asarray(targets, dtype=np.int64)
    if n_outputs == 1:
        sign = np.where(targets == 0, -1.0, 1.0) if task == "binary" else np.ones(len(targets))
        return sign[:, None].astype(np.float32)
    chosen = np.eye(n_outputs, dtype=np.float32)[targets]
    return chosen if task == "multilabel" else chosen - np.float32(1.0 / n_outputs)


def evidence(logits: Array, targets: NDArray[np.integer[Any]], task: Task) -> Array:
    """Evidence for each case's target, in logit units, ``(N,)``."""
    result: Array = np.einsum("no,no->n", logits, directions(targets, task, logits.shape[1])).astype(np.float32)
    return result


def cam(
    runner: Runs, arrays: Array, targets: NDArray[np.integer[Any]], *, outputs: Mapping[str, Array] | None = None
) -> Array:
    """Class activation map: the exact share of each place in the evidence, from the network itself.

    Args:
        runner: A predictor.
        arrays: ``(N, C, *size)`` prepared arrays.
        targets: ``(N,)`` class indices.
        outputs: What ``runner.run(arrays)`` gave, if it is known already.

    Returns:
        ``(N, *size)`` float32 in logit units per coarse cell, negative where the place speaks
        against the target.

    Raises:
        InputError: The network has no output ``cam``.

    Source:
        Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
    """
    outputs = runner.run(arrays) if outputs is None else outputs
    if "cam" not in outputs:
        raise InputError(
            "The network gives no class activation map.",
            "The explainer cam needs an output 'cam'.",
            "Use the explainer occlusion.",
        )
    coarse = np.einsum("no...,no->n...", outputs["cam"], directions(targets, runner.task, runner.n_outputs))
    return np.stack([upsample(one, arrays.shape[2:]) for one in coarse])


def occlusion(
    runner: Runs, arrays: Array, targets: NDArray[np.integer[Any]], *, outputs: Mapping[str, Array] | None = None
) -> Array:
    """How much evidence is lost when a place is blurred away.

    Args:
        runner: A predictor.
        arrays: ``(N, C, *size)`` prepared arrays.
        targets: ``(N,)`` class indices.
        outputs: What ``runner.run(arrays)`` gave, if it is known already.

    Returns:
        ``(N, *size)`` float32, the loss in logit units.

    Source:
        Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014,
        with a blurred instead of a grey patch.
    """
    outputs = runner.run(arrays) if outputs is None else outputs
    before = evidence(outputs["logits"], targets, runner.task)
    size = arrays.shape[2:]
    cells = tuple(min(side, 8 if len(size) == 2 else 5) for side in size)
    maps = []
    for array, target, whole in zip(arrays, np.asarray(targets), before, strict=True):
        filled = blurred(array)
        covered = np.empty((int(np.prod(cells)), *array.shape), dtype=np.float32)
        for n, cell in enumerate(np.ndindex(*cells)):
            cover = _bump(size, cells, cell)
            covered[n] = array * (1 - cover) + filled * cover
        covered = clock_of(array, covered, runner)
        after = evidence(runner.run(covered)["logits"], np.full(len(covered), target), runner.task)
        maps.append(upsample((whole - after).reshape(cells), size))
    return np.stack(maps)


class Explainer(Protocol):
    """See :func:`cam`."""

    def __call__(
        self,
        runner: Runs,
        arrays: Array,
        targets: NDArray[np.integer[Any]],
        *,
        outputs: Mapping[str, Array] | None = None,
    ) -> Array: ...


EXPLAINERS: dict[str, Explainer] = {
    "cam": cam,
    "occlusion": occlusion,
}
"""Name to ``explain(runner, arrays (N, C, *size), targets (N,)) -> (N, *size)``."""


def upsample(coarse: Array, size: tuple[int, ...]) -> Array:
    """Spread coarse cells over a finer grid, smoothly and without over-shooting.

    Args:
        coarse: ``(*cells)`` values; cell centres lie evenly over the grid.
        size: Shape to fill.

    Returns:
        ``(*size)`` float32, within the range of ``coarse``.

    Source:
        Uniform cubic B-spline weights (no prefilter), which are positive and sum to one.
    """
    factors = [fine / cells for fine, cells in zip(size, coarse.shape, strict=True)]
    spread: NDArray[Any] = np.asarray(coarse, dtype=np.float64)
    for axis, (factor, fine) in enumerate(zip(factors, size, strict=True)):
        centres = (np.arange(fine) + 0.5) / factor - 0.5
        spread = np.moveaxis(
            np.tensordot(_spline_weights(centres, spread.shape[axis]), spread, axes=(1, axis)), 0, axis
        )
    return spread.astype(np.float32)


def _spline_weights(centres: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    """``(len(centres), cells)`` cubic B-spline weights; the border cells are repeated outwards."""
    weights = np.zeros((len(centres), cells))
    first = np.floor(centres).astype(int) - 1
    for step in range(4):
        distance = np.abs(centres - (first + step))
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = np.clip(2 - distance, 0, None) ** 3 / 6
        np.add.at(
            weights,
            (np.arange(len(centres)), np.clip(first + step, 0, cells - 1)),
            np.where(distance < 1, near, far),
        )
    return weights


def clock_of(array: Array, changed: Array, runner: Runs) -> Array:
    """Changed copies of a sequence, with its own clock: what is taken away is what is seen, never when.

    Args:
        array: ``(C, *size)``, or one for each copy.
        changed: ``(N, C, *size)``; changed in place.
        runner: A predictor, which says how many channels are pictures.

    Returns:
        ``changed``.
    """
    n = runner.n_pictures
    if n is not None:
        changed[:, n:] = array[..., n:, :, :, :]
    return changed


def blurred(array: Array) -> Array:
    """An array with its detail taken away: what stands for 'nothing to see here'.

    Args:
        array: ``(C, *size)``.

    Returns:
        The same shape, smoothed by a Gaussian of an eighth of the shortest side.
    """
    sigma = max(1.0, min(array.shape[1:]) / 8)
    result: Array = ndimage.gaussian_filter(array, sigma=(0, *[sigma] * (array.ndim - 1)), mode="nearest")
    return result


def _bump(size: tuple[int, ...], cells: tuple[int, ...], cell: tuple[int, ...]) -> Array:
    """A soft-edged patch, 0 .. 1, about two cells wide around the centre of one cell."""
    cover = np.ones(size, dtype=np.float32)
    for axis, (side, count, at) in enumerate(zip(size, cells, cell, strict=True)):
        step = side / count
        distance = np.abs((np.arange(side) + 0.5) / step - (at + 0.5))
        edge = np.clip(1.5 - distance, 0, 1).astype(np.float32)  # whole within half a cell, gone after 1.5
        cover = cover * edge.reshape([-1 if a == axis else 1 for a in range(len(size))])
    return cover
