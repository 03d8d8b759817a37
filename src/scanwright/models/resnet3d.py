"""A narrow residual network for small volumes."""

from __future__ import annotations

from torch import nn

from scanwright.models.classifier import Classifier
from scanwright.models.layers import Residual, conv_block


def resnet3d(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    width: int = 16,
    stages: int = 3,
    head_drop: float = 0.2,
) -> Classifier:
    """Strided convolutions, each with a residual pair: cheap in 3-D, where early layers cost most.

    Args:
        dimension: 3 (2 works as well).
        in_channels: Channels of the image.
        n_outputs: Logits.
        width: Channels after the first stage; doubled by each later one.
        stages: Halvings, the first by the stem.
        head_drop: Chance that a pooled feature is dropped.

    Returns:
        The network; the coarse grid is the size divided by ``2**stages``.

    Source:
        He et al. (CVPR 2016), in three dimensions as Hara et al. (CVPR 2018).
    """
    layers: list[nn.Module] = [
        conv_block(dimension, in_channels, width, stride=2, kernel=5),
        Residual(dimension, width),
    ]
    for stage in range(1, stages):
        before, after = width * 2 ** (stage - 1), width * 2**stage
        layers += [conv_block(dimension, before, after, stride=2), Residual(dimension, after)]
    features = width * 2 ** (stages - 1)
    return Classifier(nn.Sequential(*layers), n_features=features, n_outputs=n_outputs, dropout=head_drop)
