"""The plain convolutional network of teaching articles."""

from __future__ import annotations

from torch import nn

from scanwright.models.classifier import Classifier
from scanwright.models.layers import conv_block, dropout, pool


def cnn(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    width: int = 32,
    stages: int = 4,
    drop: float = 0.1,
    head_drop: float = 0.2,
) -> Classifier:
    """Stages of convolution, batch normalisation, ReLU, pooling and dropout.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits.
        width: Channels of the first stage; each later one has twice as many, up to 8 x.
        stages: Times that the image is halved, less one.
        drop: Chance that a channel is dropped after a stage.
        head_drop: The same before the linear layer.

    Returns:
        The network.

    Source:
        LeCun et al. 1998 in the form of the Keras and Kaggle chest X-ray tutorials, with the
        flattened dense layers replaced by a mean over places.
    """
    layers: list[nn.Module] = []
    before = in_channels
    for stage in range(stages):
        after = width * min(2**stage, 8)
        layers.append(conv_block(dimension, before, after))
        if stage < stages - 1:
            layers += [pool(dimension), dropout(dimension, drop)]
        before = after
    return Classifier(nn.Sequential(*layers), n_features=before, n_outputs=n_outputs, dropout=head_drop)
