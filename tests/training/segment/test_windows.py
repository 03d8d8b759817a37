"""Windows: where they lie, what they hold, and that image and mask never part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scanwright.core import Augmentation, Segmentation  # noqa: E402
from scanwright.training import augment  # noqa: E402
from scanwright.training.segment.windows import Windows  # noqa: E402

F = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]], dtype=np.uint8)
"""No flip or turn maps it to itself."""


def letter(side: int, depth: int = 0) -> np.ndarray:
    plane = np.zeros((side, side), np.uint8)
    plane[6:26, 8:24] = np.kron(F, np.ones((4, 4), np.uint8))
    return np.repeat(plane[..., None], depth, axis=2) if depth else plane


@pytest.mark.parametrize("depth", [0, 12])
def test_image_and_mask_move_together(depth: int) -> None:
    truth = torch.from_numpy(letter(36, depth))[None]
    images = truth.float()[:, None].repeat(8, 1, *(1,) * (truth.ndim - 1))
    codes = truth.repeat(8, *(1,) * (truth.ndim - 1))
    changes = Augmentation(
        flip_axes=(0, 1), rotate_deg=25, scale=0.2, shear=0.1, shift=0.1, elastic=0.02, rotate90=True, probability=1.0
    )
    drawn = augment.draw(changes, 8, dimension=truth.ndim - 1, generator=torch.Generator().manual_seed(3))
    size = (28, 28, 8)[: truth.ndim - 1]
    moved, masks = augment.warp(images, drawn, size=size, labels=codes, spacing=(1.0, 1.0, 2.0)[: truth.ndim - 1])
    assert moved.shape == (8, 1, *size)
    assert masks is not None
    assert masks.shape == (8, *size)
    assert masks.dtype == torch.uint8
    for image, mask in zip(moved[:, 0], masks, strict=True):
        apart = ((image > 0.5) != (mask == 1)).float().mean()
        assert float(apart) < 0.02, "linear and nearest sampling differ at most on the edge"
    assert not torch.equal(masks[0], masks[1])


def test_a_window_without_changes_is_cut_from_the_middle() -> None:
    images = torch.arange(36.0).reshape(1, 1, 6, 6)
    cut, _ = augment.warp(images, {}, size=(2, 4))
    assert torch.equal(cut[0, 0], images[0, 0, 2:4, 1:5])


def test_a_flip_is_exact() -> None:
    images = torch.from_numpy(letter(36)).float()[None, None]
    drawn = {"flip_axes": torch.tensor([[1.0, -1.0]])}
    flipped, codes = augment.warp(images, drawn, labels=images[:, 0].to(torch.uint8))
    assert torch.allclose(flipped, images.flip(3), atol=1e-5)
    assert codes is not None
    assert torch.equal(codes[0], images[0, 0].flip(1).to(torch.uint8))


def test_larger_windows_are_turned_about_the_same_middle() -> None:
    """A window cut from a larger piece shows the same place as the same turn of the whole."""
    whole = torch.from_numpy(letter(36)).float()[None, None]
    drawn = {"rotate_deg": torch.tensor([[20.0]])}
    turned, _ = augment.warp(whole, drawn)
    cut, _ = augment.warp(whole, drawn, size=(20, 20))
    assert torch.allclose(cut, turned[..., 8:28, 8:28], atol=1e-4)


def test_batches_depend_on_seed_and_step_alone(boxes: Callable[..., Any]) -> None:
    _, store, plan = boxes(augmentation=Augmentation(rotate_deg=10, scale=0.1, noise=0.1))
    one, other = (Windows(store, plan, torch.device("cpu")) for _ in range(2))
    candidate = plan.candidates[0]
    for step in (0, 7):
        a, b = (w.batch(candidate, None, step, slice(None)) for w in (one, other))
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.targets, b.targets)
    assert not torch.equal(a.images, one.batch(candidate, None, 8, slice(None)).images)
    half = one.batch(candidate, None, 7, slice(1, None, 2))
    assert torch.equal(half.targets, a.targets[1::2]), "two processes share a batch without overlap"


def test_half_of_the_windows_hold_a_structure(boxes: Callable[..., Any]) -> None:
    _, store, plan = boxes(sized=(8, 8, 8), segmentation=Segmentation(codes=((0,), (1,)), foreground=1.0))
    windows = Windows(store, plan, torch.device("cpu"))
    held = [windows.batch(plan.candidates[0], None, n, slice(None)).targets for n in range(20)]
    codes = torch.cat(held)
    assert bool((codes > 0).flatten(1).any(1).all()), "every window is centred near a structure"
    each = [bool((c == code).any()) for c in codes for code in (1, 2)]
    assert sum(each[::2]) > 25
    assert sum(each[1::2]) > 25


def test_a_window_larger_than_the_case_is_padded_with_its_lowest_value(boxes: Callable[..., Any]) -> None:
    _, store, plan = boxes(sized=(32, 32, 32))
    windows = Windows(store, plan, torch.device("cpu"))
    shape = store.shapes[0]
    image, labels = windows.window(0, tuple(n // 2 for n in shape), (32, 32, 32))  # type: ignore[arg-type]
    lowest = float(np.asarray(store.image(0)).min())
    assert float(image[0, 0, 0, 0]) == lowest
    before = [16 - n // 2 for n in shape]
    inner = tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))
    assert np.array_equal(image[(0, *inner)], store.image(0)[0])
    assert labels.sum() == np.asarray(store.labels(0)).sum()


def test_slices_beside_are_channels_in_order(boxes: Callable[..., Any]) -> None:
    spec = Segmentation(codes=((0,), (1,)), slices=3)
    _, store, plan = boxes(sized=(16, 16), segmentation=spec)
    flat = plan.preprocessing.model_copy(update={"dimension": 2, "size": (16, 16)})
    windows = Windows(store, plan.model_copy(update={"preprocessing": flat}), torch.device("cpu"))
    image, labels = windows.window(0, (10, 12, 0), (16, 16))
    whole = np.asarray(store.image(0))[0]
    assert image.shape == (3, 16, 16)
    assert np.array_equal(image[1], whole[2:18, 4:20, 0])
    assert np.array_equal(image[0], image[1]), "the first slice stands for the one before it"
    assert np.array_equal(image[2], whole[2:18, 4:20, 1])
    assert np.array_equal(labels, np.asarray(store.labels(0))[2:18, 4:20, 0])
    assert windows.in_channels == 3


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_sample_of_validation_windows_sees_the_structures_of_every_case(
    boxes: Callable[..., Any], dimension: int
) -> None:
    size = (8, 8, 8)[:dimension]
    spec = Segmentation(codes=((0,), (1,)), look_windows=8)
    _, store, plan = boxes(sized=(8, 8, 8), segmentation=spec)
    flat = plan.preprocessing.model_copy(update={"dimension": dimension, "size": size})
    windows = Windows(store, plan.model_copy(update={"preprocessing": flat}), torch.device("cpu"))
    seen = windows._seen
    assert len(seen) == len(set(seen)) == 8
    held = {row: [bool(windows.window(row, c, size)[1].any()) for r, c in seen if r == row] for row in windows.val}
    assert {row: (len(each), sum(each)) for row, each in held.items()} == dict.fromkeys(windows.val, (4, 2))
    assert seen == Windows(store, plan.model_copy(update={"preprocessing": flat}), torch.device("cpu"))._seen
    fewer = plan.model_copy(
        update={"preprocessing": flat, "segmentation": spec.model_copy(update={"look_windows": len(windows.val)})}
    )
    few = Windows(store, fewer, torch.device("cpu"))
    assert {row for row, _ in few._seen} == set(windows.val)
    assert all(few.window(row, centre, size)[1].any() for row, centre in few._seen), "one on a structure comes first"
