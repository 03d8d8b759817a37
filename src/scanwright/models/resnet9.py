"""A small residual network: nine layers, one to two million parameters in 2-D."""

from __future__ import annotations

from torch import nn

from scanwright.models.classifier import Classifier
from scanwright.models.layers import Residual, conv_block, pool


def resnet9(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    width: int = 32,
    stem: int = 1,
    pools: int = 3,
    head_drop: float = 0.1,
) -> Classifier:
    """Convolutions that double the channels, with two residual pairs between them.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits.
        width: Channels of the first layer; the last has 8 x as many.
        stem: Stride of the first layer: 1 for small images, 2 or 4 for large ones.
        pools: Halvings after the stem; the first two and the last stages always come, a
            fourth and later ones add a stage that keeps 8 x ``width`` channels.
        head_drop: Chance that a pooled feature is dropped.

    Returns:
        The network; the coarse grid is the size divided by ``stem * 2**pools``.

    Source:
        Page, How to train your ResNet (DAWNBench CIFAR-10, 2018), with average pooling.
    """
    kernel = 3 if stem == 1 else 2 * stem - 1
    layers: list[nn.Module] = [
        conv_block(dimension, in_channels, width, stride=stem, kernel=kernel),
        conv_block(dimension, width, 2 * width),
        pool(dimension),
        Residual(dimension, 2 * width),
        conv_block(dimension, 2 * width, 4 * width),
        pool(dimension),
        conv_block(dimension, 4 * width, 8 * width),
    ]
    for _ in range(max(pools - 3, 0)):
        layers += [pool(dimension), conv_block(dimension, 8 * width, 8 * width)]
    if pools >= 3:
        layers.append(pool(dimension))
    layers.append(Residual(dimension, 8 * width))
    return Classifier(nn.Sequential(*layers), n_features=8 * width, n_outputs=n_outputs, dropout=head_drop)
