"""The flow against fields that are known in closed form, and the network's shapes."""

from __future__ import annotations

import pytest
import torch

from scanwright.generation.flow import SAMPLERS, draw_times, flow_loss, guided, sample
from scanwright.generation.network import Velocity, fold, unfold
from scanwright.generation.sizes import Design, design, multiple

MEAN, SPREAD = 3.0, 0.5


def exact(x: torch.Tensor, t: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Velocity towards a Gaussian: x_t has variance (1-t)² + t²s², so E[clean - noise | x_t] is linear."""
    at = t.view(-1, *(1,) * (x.ndim - 1))
    variance = (1 - at) ** 2 + (at * SPREAD) ** 2
    return MEAN + (at * SPREAD**2 - (1 - at)) / variance * (x - at * MEAN)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_reach_the_gaussian_that_the_field_leads_to(name: str) -> None:
    noise = torch.randn(4000, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    drawn = sample(exact, noise, torch.zeros(4000, dtype=torch.long), steps=60, sampler=name)
    assert float(drawn.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(drawn.std()) == pytest.approx(SPREAD, abs=0.03)
    # the way is affine: each image is mean + spread * its noise
    assert float((drawn - (MEAN + SPREAD * noise)).abs().max()) < (0.15 if name == "euler" else 0.02)


def test_heun_is_of_second_order_and_euler_of_first() -> None:
    noise = torch.randn(50, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    label = torch.zeros(50, dtype=torch.long)

    def wrong(name: str, steps: int) -> float:
        times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        return float((SAMPLERS[name](exact, noise, label, times) - (MEAN + SPREAD * noise)).abs().max())

    assert wrong("euler", 40) / wrong("euler", 80) == pytest.approx(2, rel=0.2)
    assert wrong("heun", 40) / wrong("heun", 80) == pytest.approx(4, rel=0.25)


def test_the_loss_is_least_for_the_exact_field() -> None:
    generator = torch.Generator().manual_seed(2)
    clean = MEAN + SPREAD * torch.randn(6000, 1, 2, 2, generator=generator)
    noise = torch.randn(clean.shape, generator=generator)
    t, label = draw_times(6000, generator), torch.zeros(6000, dtype=torch.long)
    best = float(flow_loss(exact, clean, label, noise, t).mean())
    for change in (0.1, -0.1):
        worse = flow_loss(lambda x, t, y, c=change: exact(x, t, y) + c, clean, label, noise, t)
        assert float(worse.mean()) == pytest.approx(best + change**2, abs=5e-3)
    assert float(flow_loss(lambda x, t, y: clean - noise, clean, label, noise, t).max()) == 0


def test_moments_lie_inside_and_mostly_in_the_middle() -> None:
    t = draw_times(10_000, torch.Generator().manual_seed(3))
    assert 0 < float(t.min()) < float(t.max()) < 1
    assert float(((t > 0.25) & (t < 0.75)).float().mean()) == pytest.approx(0.728, abs=0.02)  # |N(0, 1)| < ln 3


def test_guidance_goes_on_from_no_class_through_the_class() -> None:
    def field(x: torch.Tensor, t: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return label.float().view(-1, 1) + 0 * x

    x, t, label = torch.zeros(3, 1), torch.zeros(3), torch.tensor([0, 1, 0])
    assert guided(field, 2, 1.0) is field
    # no class is label 2: 2 + 3 (label - 2)
    assert guided(field, 2, 3.0)(x, t, label).flatten().tolist() == [-4, -1, -4]


@pytest.mark.parametrize("shape", [(2, 3, 8, 12), (1, 2, 4, 6, 8)])
def test_folding_keeps_every_pixel_in_its_place(shape: tuple[int, ...]) -> None:
    x = torch.arange(float(torch.tensor(shape).prod())).reshape(shape)
    folded = fold(x, 2)
    assert folded.shape == (shape[0], shape[1] * 2 ** (len(shape) - 2), *(n // 2 for n in shape[2:]))
    assert torch.equal(unfold(folded, 2), x)
    corner = folded[(0, slice(None), *(0,) * (len(shape) - 2))]
    block = x[(0, slice(None), *(slice(0, 2),) * (len(shape) - 2))]
    assert sorted(corner.tolist()) == sorted(block.flatten().tolist()), "a place holds its own square of pixels"


@pytest.mark.parametrize("size", [(28, 28), (16, 20), (8, 12, 8)])
def test_the_network_answers_in_the_shape_of_the_image(size: tuple[int, ...]) -> None:
    net = Velocity(Design(len(size), size, 1, 3, (8, 16), 1, 2))
    for last in (net.out, *(m.conv2 for m in net.modules() if hasattr(m, "conv2"))):  # these begin at 0
        torch.nn.init.normal_(last.weight, std=0.1)
    x, t = torch.randn(2, 1, *size), torch.tensor([0.2, 0.9])
    out = net(x, t, torch.tensor([0, 3]))
    assert out.shape == x.shape
    other = net(x, t, torch.tensor([1, 3]))
    assert not torch.allclose(out[0], other[0]), "the class matters"
    assert torch.allclose(out[1], other[1], atol=1e-5), "images do not see one another"
    out.square().mean().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in net.parameters())


@pytest.mark.parametrize(
    ("dimension", "size"), [(2, (28, 28)), (2, (32, 24)), (2, (64, 48)), (2, (128, 96)), (3, (28, 28, 28))]
)
def test_designs_come_out_even(dimension: int, size: tuple[int, ...]) -> None:
    made = design(dimension, size, 1, 2)
    assert all(n % multiple(max(size)) == 0 for n in size)
    assert all(n % (2 * made.patch) == 0 for n in made.flow_size), "both levels of the network divide evenly"
    assert (made.latent > 0) == (max(size) > 32)
    assert Design.of(made.to_dict()) == made
