"""Changes against hand computation, inverses and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from scanwright.core import Augmentation
from scanwright.training import augment

F = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0.0]])[None, None]


def close(left: torch.Tensor, right: torch.Tensor) -> None:
    torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


def test_flips_mirror_the_named_axis_only() -> None:
    close(augment.apply(F, {"flip_axes": torch.tensor([[1.0, -1.0]])}), F.flip(3))
    close(augment.apply(F, {"flip_axes": torch.tensor([[-1.0, 1.0]])}), F.flip(2))


def test_flips_of_volumes() -> None:
    x = torch.arange(24.0).reshape(1, 1, 2, 3, 4)
    for axis in range(3):
        signs = torch.ones(1, 3)
        signs[0, axis] = -1
        close(augment.apply(x, {"flip_axes": signs}), x.flip(axis + 2))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_numpys(turns: int) -> None:
    found = augment.apply(F, {"rotate90": torch.tensor([[float(turns)]])})
    either = [np.rot90(F[0, 0].numpy(), k) for k in (turns, -turns)]
    assert any(np.allclose(found[0, 0].numpy(), e, atol=1e-5) for e in either)


def test_a_turn_and_back_is_nothing() -> None:
    x = torch.from_numpy(ndimage.gaussian_filter(np.random.default_rng(0).random((1, 1, 32, 24)), (0, 0, 3, 3))).float()
    there = augment.apply(x, {"rotate_deg": torch.tensor([[12.0]])})
    back = augment.apply(there, {"rotate_deg": torch.tensor([[-12.0]])})
    assert (back - x)[0, 0, 8:-8, 8:-8].abs().max() < 0.01
    assert (there - x)[0, 0, 8:-8, 8:-8].abs().max() > 0.02


def test_a_turn_is_rigid_in_oblong_images() -> None:
    x = torch.zeros(1, 1, 20, 60)
    x[..., 9:11, 20:40] = 1  # a bar, 20 long, about the centre
    turned = augment.apply(x, {"rotate_deg": torch.tensor([[90.0]])})[0, 0]
    assert turned[:, 29:31].min() > 0.9  # upright, as long as the image is high
    assert turned[:, :28].max() < 1e-4


def test_shift_moves_by_a_fraction_of_the_side() -> None:
    found = augment.apply(F, {"shift": torch.tensor([[0.25, 0.0]])})
    close(found[:, :, 1:], F[:, :, :-1])


def test_zoom_enlarges() -> None:
    x = torch.zeros(1, 1, 40, 40)
    x[..., 15:25, 15:25] = 1
    found = augment.apply(x, {"scale": torch.tensor([0.5])})
    assert found.sum().item() == pytest.approx(15 * 15, rel=0.05)


def test_blur_is_scipys_gaussian() -> None:
    x = torch.rand(2, 1, 20, 20)
    found = augment.apply(x, {"blur": torch.tensor([0.9, 0.0])})
    expected = ndimage.gaussian_filter(x[0, 0].numpy(), 0.9, mode="nearest", radius=3)
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-5)
    close(found[1], x[1])


def test_gamma_contrast_brightness_by_hand() -> None:
    x = torch.tensor([[[[0.0, 0.5], [0.5, 1.0]]]])
    assert augment.apply(x, {"gamma": torch.tensor([2.0])})[0, 0].tolist() == [[0, 0.25], [0.25, 1]]
    assert augment.apply(x, {"contrast": torch.tensor([0.5])})[0, 0].tolist() == [[0.25, 0.5], [0.5, 0.75]]
    sd = float(x.std())
    close(augment.apply(x, {"brightness": torch.tensor([1.0])}), x + sd)


def test_shading_multiplies_by_a_smooth_field_and_leaves_the_lowest_value() -> None:
    x = torch.rand(2, 2, 30, 30) + 1.0
    x[:, :, 0, 0] = 0.25
    logs = torch.zeros(2, 1, 3, 3)
    logs[0, 0, :, 2] = 0.7  # twice as bright on the right
    found = augment.apply(x, {"shading": logs})
    close(found[1], x[1])
    assert found[0, :, 0, 0].tolist() == [0.25, 0.25]
    factor = (found[0] - 0.25) / (x[0] - 0.25)
    close(factor[:, 5, -1], torch.full((2,), math.exp(0.7)))
    assert float(factor[0, 1:, 1:].diff(dim=1).abs().max()) < 0.1
    close(factor[0, 1:], factor[1, 1:])  # channels share the field


def test_noise_has_the_drawn_spread_and_can_be_replayed() -> None:
    x = torch.randn(1, 1, 64, 64)
    drawn = {"noise": torch.tensor([[0.5, 7.0]], dtype=torch.float64)}
    once, twice = augment.apply(x, drawn), augment.apply(x, drawn)
    assert torch.equal(once, twice)
    assert float((once - x).std() / x.std()) == pytest.approx(0.5, rel=0.05)


def test_low_resolution_loses_detail_and_keeps_the_mean() -> None:
    x = torch.rand(2, 1, 32, 32)
    found = augment.apply(x, {"low_resolution": torch.tensor([0.5, 1.0])})
    assert found[0].std() < 0.8 * x[0].std()
    assert float(found[0].mean()) == pytest.approx(float(x[0].mean()), abs=0.01)
    close(found[1], x[1])


def test_cutout_fills_a_box_with_the_mean() -> None:
    x = torch.rand(1, 1, 10, 10)
    found = augment.apply(x, {"cutout": torch.tensor([[0.5, 0.5, 0.4]])})
    changed = (found != x)[0, 0]
    assert changed.sum() == 16
    close(found[0, 0][changed], x.mean().expand(16))


def test_mixup_mixes_images_and_labels_alike() -> None:
    x, y = torch.rand(2, 1, 4, 4), torch.tensor([[1.0], [0.0]])
    drawn = {"mixup": torch.tensor([0.75, 0.75])}
    close(augment.apply(x, drawn)[0], 0.75 * x[0] + 0.25 * x[1])
    assert augment.mixed_labels(y, drawn).tolist() == [[0.75], [0.25]]


def test_beta_draws_have_the_beta_distribution() -> None:
    share = augment._beta(0.4, 20000, 2, torch.Generator().manual_seed(0)).numpy()
    from scipy import stats

    folded = stats.beta(0.4, 0.4).rvs(20000, random_state=0)
    assert share.mean() == pytest.approx(np.maximum(folded, 1 - folded).mean(), abs=0.01)


def test_hue_keeps_grey_and_turns_colour() -> None:
    x = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    third = augment.apply(x, {"hue": torch.tensor([1 / 3])}).flatten().tolist()
    assert sorted(round(v, 4) for v in third) == [0, 0, 1]
    assert third.index(max(third)) != 0
    grey = torch.full((1, 3, 2, 2), 0.4)
    close(augment.apply(grey, {"hue": torch.tensor([0.2])}), grey)


def test_everything_off_changes_nothing() -> None:
    assert augment.draw(Augmentation(), 4, dimension=2, generator=torch.Generator()) == {}
    assert torch.equal(augment.apply(F, {}), F)
