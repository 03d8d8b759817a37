"""Every network of the table: shapes, window divisibility, training, the light answer."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from scanwright.core import PlanError  # noqa: E402
from scanwright.models.segmenters import SEGMENTERS, build_segmenter  # noqa: E402

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "unet": ("unet", {"size": "small", "levels": 3}),
    "unet, stem of 2": ("unet", {"size": "small", "levels": 3, "stem": 2}),
    "resunet": ("resunet", {"size": "small", "levels": 3}),
    "resunet, stem of 2": ("resunet", {"size": "small", "levels": 3, "stem": 2}),
    "classic-unet": ("classic-unet", {"width": 4, "levels": 3}),
    "vnet": ("vnet", {}),
}


def test_every_network_of_the_table_is_tried() -> None:
    assert {name for name, _ in SMALL.values()} == set(SEGMENTERS)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("which", SMALL)
def test_logits_have_the_size_of_the_window(which: str, dimension: int) -> None:
    torch.manual_seed(0)
    name, arguments = SMALL[which]
    net = build_segmenter(name, dimension=dimension, in_channels=2, n_outputs=3, **arguments)
    window = torch.randn(2, 2, *(16,) * dimension)
    levels = net.train()(window)
    assert isinstance(levels, list)
    assert levels[0].shape == (2, 3, *(16,) * dimension)
    assert all(level.shape[:2] == (2, 3) for level in levels)
    torch.stack([level.square().mean() for level in levels]).sum().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None]
    assert not silent, f"no gradient reaches {silent}"
    answer = net.eval()(window)
    assert answer.shape == (2, 3, *(16,) * dimension)


@pytest.mark.parametrize("which", SMALL)
def test_it_learns_one_window_by_heart(which: str) -> None:
    torch.manual_seed(0)
    name, arguments = SMALL[which]
    net = build_segmenter(name, dimension=2, in_channels=1, n_outputs=2, **arguments).train()
    image = torch.zeros(4, 1, 32, 32)
    truth = torch.zeros(4, 32, 32, dtype=torch.long)
    for n in range(4):
        image[n, :, 4 + 3 * n : 12 + 3 * n, 6:20] = 1
        truth[n, 4 + 3 * n : 12 + 3 * n, 6:20] = 1
    image += 0.1 * torch.randn(image.shape)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(image)[0], truth)
        loss.backward()
        optimizer.step()
    found = net(image)[0].argmax(1)
    dice = 2 * ((found == 1) & (truth == 1)).sum() / ((found == 1).sum() + (truth == 1).sum())
    assert float(dice) > 0.95


def test_coarse_axes_are_pooled_later() -> None:
    net = build_segmenter("unet", dimension=3, in_channels=1, n_outputs=2, size="small", levels=4, flat=(0, 0, 2))
    assert net.eval()(torch.zeros(1, 1, 16, 16, 2)).shape == (1, 2, 16, 16, 2)
    kernels = [stage[0].conv.kernel_size for stage in net.down]
    assert kernels == [(3, 3, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3)]


def test_a_stem_takes_the_first_step_along_fine_axes_alone() -> None:
    net = build_segmenter(
        "unet", dimension=3, in_channels=1, n_outputs=2, size="small", levels=3, flat=(0, 0, 2), stem=2
    )
    assert net.eval()(torch.zeros(1, 1, 16, 16, 2)).shape == (1, 2, 16, 16, 2)
    assert [stage[0].conv.stride for stage in net.down] == [(2, 2, 1), (2, 2, 1), (2, 2, 2)]
    assert [stage[0].conv.kernel_size for stage in net.down] == [(3, 3, 1), (3, 3, 3), (3, 3, 3)]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(PlanError, match="no segmentation network 'unett'"):
        build_segmenter("unett", dimension=2, in_channels=1, n_outputs=2)
    with pytest.raises(PlanError, match="cannot be built"):
        build_segmenter("unet", dimension=2, in_channels=1, n_outputs=2, wdth=3)
