"""Fixed features against other libraries and hand computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from scanwright.models import FixedFeatures, build
from scanwright.models.fixed import area_means, smooth


def test_area_means_of_whole_blocks() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert area_means(x, (2, 2))[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_area_means_share_a_pixel_between_parts() -> None:
    x = torch.tensor([[[[0.0, 3.0, 6.0]]]])
    np.testing.assert_allclose(area_means(x, (1, 2))[0, 0, 0].numpy(), [1.0, 5.0], rtol=1e-6)


def test_area_means_keep_the_mean_in_three_dimensions() -> None:
    x = torch.randn(2, 1, 7, 9, 11)
    torch.testing.assert_close(area_means(x, (3, 4, 5)).mean((2, 3, 4)), x.mean((2, 3, 4)), rtol=1e-4, atol=1e-5)


def test_smooth_is_scipys_uniform_filter() -> None:
    x = torch.randn(1, 1, 12, 9)
    expected = ndimage.uniform_filter(x[0, 0].numpy(), 5, mode="nearest")
    np.testing.assert_allclose(smooth(x, 5)[0, 0].numpy(), expected, atol=1e-5)


def test_orientations_tell_stripes_apart() -> None:
    net = build("features", dimension=2, in_channels=1, n_outputs=1)
    assert isinstance(net, FixedFeatures)
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    across, upright = (torch.sin(v)[None, None] for v in (rows, columns))
    local = [net.measured(x)[0][0, 2:10].mean((1, 2)) for x in (across, upright)]
    assert local[0].argmax() == 0  # gradient along axis 0
    assert local[1].argmax() == 4  # a quarter turn further


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("name", ["linear", "features"])
def test_any_image_size_gives_the_same_number_of_features(name: str, dimension: int) -> None:
    net = build(name, dimension=dimension, in_channels=2, n_outputs=1)
    assert isinstance(net, FixedFeatures)
    for side in (9, 20, 33):
        x = torch.randn(2, 2, *(side,) * dimension)
        assert net.features(x).shape == (2, net.n_features)


def test_shape_features_measure_a_box() -> None:
    net = build("features", dimension=3, in_channels=1, n_outputs=1)
    assert isinstance(net, FixedFeatures)
    x = torch.zeros(1, 1, 20, 20, 20)
    x[:, :, 2:6, 5:15, 8:12] = 1
    shape = net._shape(x)[0]
    assert shape[0] == pytest.approx(4 * 10 * 4 / 8000)
    places = np.linspace(-1, 1, 20)
    for axis, part in enumerate((slice(2, 6), slice(5, 15), slice(8, 12))):
        assert shape[1 + axis] == pytest.approx(places[part].mean(), abs=1e-4)
    variances = [places[s].var() for s in (slice(2, 6), slice(5, 15), slice(8, 12))]
    np.testing.assert_allclose(shape[[4, 7, 9]].numpy(), variances, atol=1e-4)
