"""Every network of the table: shapes, cells, training, and reasons for a wrong name."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from scanwright.core import PlanError  # noqa: E402
from scanwright.models.detectors import DETECTORS, build_detector, cell_of  # noqa: E402
from scanwright.plan.detect import DETECT_RECIPES  # noqa: E402

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "models.md"


@pytest.mark.parametrize("name", DETECTORS)
def test_it_has_words_and_a_reference(name: str) -> None:
    assert DETECTORS[name].words
    assert DETECTORS[name].source
    assert f"`{name}`" in REFERENCE.read_text(encoding="utf-8")


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("answer", [0, 1])
@pytest.mark.parametrize("name", DETECTORS)
def test_answers_lie_on_cells(name: str, dimension: int, answer: int) -> None:
    torch.manual_seed(0)
    arguments = {"size": "swift", "levels": 3, "answer": answer}
    net = build_detector(name, dimension=dimension, in_channels=2, n_outputs=3 + 2 * dimension, **arguments)
    cell = cell_of(dimension, answer=answer)
    window = torch.randn(2, 2, *(16,) * dimension)
    answers = net.train()(window)
    assert answers.shape == (2, 3 + 2 * dimension, *(16 // c for c in cell))
    answers.square().mean().backward()
    assert not [n for n, p in net.named_parameters() if p.grad is None]
    assert float(net.eval()(window)[:, :3].detach().sigmoid().mean()) < 0.1, (
        "a fresh network takes few cells for middles"
    )


def test_coarse_axes_are_passed_by() -> None:
    net = build_detector("centrenet", dimension=3, in_channels=1, n_outputs=7, levels=3, answer=1, flat=(0, 0, 2))
    assert net(torch.randn(1, 1, 16, 16, 6)).shape[2:] == (4, 4, 6)
    assert cell_of(3, answer=1, flat=(0, 0, 2)) == (4, 4, 1)


def test_every_recipe_names_a_network() -> None:
    assert {recipe.model for recipe in DETECT_RECIPES.values()} <= set(DETECTORS)


def test_a_wrong_name_is_refused_with_the_right_ones() -> None:
    with pytest.raises(PlanError, match="They are centrenet"):
        build_detector("retina", dimension=2, in_channels=1, n_outputs=5)
    with pytest.raises(PlanError, match="cannot be built"):
        build_detector("centrenet", dimension=2, in_channels=1, n_outputs=5, depth=3)
