"""Class activation maps are exact: mean over places plus a constant is the logit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from scanwright.core import PlanError
from scanwright.models import Averaged, Classifier, Flipped, build, count_parameters


def test_cam_by_hand() -> None:
    net = Classifier(nn.Identity(), n_features=2, n_outputs=1)
    net.head.weight.data = torch.tensor([[2.0, -1.0]])
    net.head.bias.data = torch.tensor([0.5])
    x = torch.tensor([[[[1.0, 2.0]], [[3.0, 5.0]]]])  # two features, one row, two columns
    found = net.explained(x)
    assert found["cam"][0, 0, 0].tolist() == [2 * 1 - 3, 2 * 2 - 5]
    assert found["embedding"][0].tolist() == [1.5, 4.0]
    assert found["logits"].item() == pytest.approx(2 * 1.5 - 4 + 0.5)


def test_rescale_folds_a_scale_into_the_head() -> None:
    net = Classifier(nn.Identity(), n_features=2, n_outputs=1)
    x = torch.randn(3, 2, 4, 4)
    before = net(x)
    net.rescale(40.0, 7.0)
    torch.testing.assert_close(net(x), before * 7.0 + 40.0)


def test_flipped_is_blind_to_a_mirror() -> None:
    net = Flipped(build("cnn", dimension=2, in_channels=1, n_outputs=2, width=4, stages=3), (1,)).eval()
    x = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(net(x), net(x.flip(3)))
    here, there = net.explained(x)["cam"], net.explained(x.flip(3))["cam"]
    torch.testing.assert_close(here, there.flip(3))


def test_averaged_adds_weighted_logits_and_keeps_the_maps_exact() -> None:
    members = [
        build("cnn", dimension=2, in_channels=1, n_outputs=2, width=4, stages=2).eval(),
        build("cnn", dimension=2, in_channels=1, n_outputs=2, width=4, stages=4).eval(),
    ]
    net = Averaged(members, [0.25, 1.5])
    x = torch.randn(3, 1, 20, 20)
    found = net.explained(x)
    torch.testing.assert_close(net(x), 0.25 * members[0](x) + 1.5 * members[1](x))
    bias = 0.25 * members[0].head.bias + 1.5 * members[1].head.bias
    torch.testing.assert_close(found["cam"].mean((2, 3)) + bias, found["logits"])
    assert found["cam"].shape[2:] == (10, 10)
    assert found["embedding"].shape[1] == 8 + 32


def test_parameters_counted_by_hand() -> None:
    net = build("cnn", dimension=2, in_channels=1, n_outputs=3, width=2, stages=2)
    assert count_parameters(net) == (9 * 2 + 2 * 2) + (9 * 2 * 4 + 2 * 4) + (4 * 3 + 3)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet99", {}, "There is no model 'resnet99'"),
        ("cnn", {"wdith": 3}, "no argument 'wdith'"),
    ],
)
def test_unknown_names_are_refused(name: str, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        build(name, dimension=2, in_channels=1, n_outputs=1, **arguments)


def test_a_dimension_that_no_model_serves() -> None:
    with pytest.raises(PlanError, match="4 dimensions"):
        build("cnn", dimension=4, in_channels=1, n_outputs=1)


def test_same_seed_same_weights() -> None:
    def first() -> np.ndarray:
        torch.manual_seed(3)
        return build("resnet9", dimension=2, in_channels=1, n_outputs=1, width=4).head.weight.detach().numpy()

    np.testing.assert_array_equal(first(), first())
