"""Every augmentation: drawn first, replayable, neutral when not chosen, for pictures and volumes."""

from __future__ import annotations

import pytest
import torch

from scanwright.core import Augmentation
from scanwright.training import AUGMENTATIONS, augment

STRENGTH = {"flip_axes": (0, 1), "rotate_deg": 20.0, "rotate90": True, "low_resolution": 0.5, "blur": 1.0}


def settings(name: str, **more: float) -> Augmentation:
    return Augmentation(**{name: STRENGTH.get(name, 0.3), **more})


def test_the_table_holds_every_field_of_the_plan() -> None:
    assert set(AUGMENTATIONS) == set(Augmentation.model_fields) - {"probability"}


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_contract(name: str, dimension: int) -> None:
    x = torch.rand(6, 3, *(10,) * dimension)

    def once(seed: int, **more: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return augment.apply(x, augment.draw(settings(name, **more), 6, dimension=dimension, generator=generator))

    changed = once(1, probability=1.0)
    assert changed.shape == x.shape
    assert changed.dtype == torch.float32
    assert torch.isfinite(changed).all()
    assert torch.equal(changed, once(1, probability=1.0))
    assert not torch.allclose(changed, x)
    if name not in {"mixup", "flip_axes"}:
        torch.testing.assert_close(once(1, probability=0.0), x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_a_part_of_a_batch_is_changed_as_within_it(name: str) -> None:
    if name in {"mixup", "noise"}:
        pytest.skip("partners, and the noise of a batch, lie within the part")
    x = torch.rand(6, 3, 9, 9)
    drawn = augment.draw(settings(name, probability=1.0), 6, dimension=2, generator=torch.Generator().manual_seed(2))
    whole = augment.apply(x, drawn)
    half = augment.apply(x[1::2], augment.part_of(drawn, slice(1, None, 2)))
    torch.testing.assert_close(half, whole[1::2], atol=1e-5, rtol=1e-5)
