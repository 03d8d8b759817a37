"""ResNet and DenseNet as MONAI writes them, cut before their pooling."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from scanwright.models.classifier import Classifier


def resnet18(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    width: float = 1.0,
    small: bool = False,
    head_drop: float = 0.0,
) -> Classifier:
    """ResNet-18.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits.
        width: Factor on the number of channels; 1 gives 64 to 512.
        small: For images up to about 64: a first layer with stride 1 and no pooling after it.
        head_drop: Chance that a pooled feature is dropped.

    Returns:
        The network; the coarse grid is the size divided by 32, or by 8 if ``small``.

    Source:
        He et al. (CVPR 2016); ``monai.networks.nets.ResNet`` with basic blocks (2, 2, 2, 2).
    """
    return _resnet("basic", (2, 2, 2, 2), dimension, in_channels, n_outputs, width, small, head_drop)


def resnet34(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    width: float = 1.0,
    small: bool = False,
    head_drop: float = 0.0,
) -> Classifier:
    """ResNet-34: arguments as those of :func:`resnet18`.

    Source:
        He et al. (CVPR 2016); ``monai.networks.nets.ResNet`` with basic blocks (3, 4, 6, 3).
    """
    return _resnet("basic", (3, 4, 6, 3), dimension, in_channels, n_outputs, width, small, head_drop)


def resnet50(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    width: float = 1.0,
    small: bool = False,
    head_drop: float = 0.0,
) -> Classifier:
    """ResNet-50: arguments as those of :func:`resnet18`, four times as many features.

    Source:
        He et al. (CVPR 2016); ``monai.networks.nets.ResNet`` with bottlenecks (3, 4, 6, 3), the step of 2 in
        their middle convolution as in torchvision.
    """
    return _resnet("bottleneck", (3, 4, 6, 3), dimension, in_channels, n_outputs, width, small, head_drop)


def _resnet(
    block: str,
    layers: tuple[int, int, int, int],
    dimension: int,
    in_channels: int,
    n_outputs: int,
    width: float,
    small: bool,
    head_drop: float,
) -> Classifier:
    from monai.networks.nets import ResNet

    net = ResNet(
        block=block,
        layers=list(layers),
        block_inplanes=[64, 128, 256, 512],
        spatial_dims=dimension,
        n_input_channels=in_channels,
        conv1_t_size=3 if small else 7,
        conv1_t_stride=1 if small else 2,
        no_max_pool=small,
        widen_factor=width,
        shortcut_type="B",
        feed_forward=False,
    )
    stem = [net.conv1, net.bn1, nn.ReLU(inplace=True), *([] if small else [net.maxpool])]
    body = nn.Sequential(*stem, net.layer1, net.layer2, net.layer3, net.layer4)
    n_features = int(512 * width) * (4 if block == "bottleneck" else 1)
    return Classifier(body, n_features=n_features, n_outputs=n_outputs, dropout=head_drop)


def densenet121(
    *,
    dimension: int,
    in_channels: int,
    n_outputs: int,
    growth: int = 32,
    small: bool = False,
    head_drop: float = 0.0,
) -> Classifier:
    """DenseNet-121.

    Args:
        dimension: 2 or 3.
        in_channels: Channels of the image.
        n_outputs: Logits.
        growth: Channels that each layer adds.
        small: For images up to about 64: a first layer with stride 1 and no pooling after it.
        head_drop: Chance that a pooled feature is dropped.

    Returns:
        The network; the coarse grid is the size divided by 32, or by 8 if ``small``.

    Source:
        Huang et al. (CVPR 2017); ``monai.networks.nets.DenseNet`` with blocks (6, 12, 24, 16).
    """
    from monai.networks.nets import DenseNet

    net = DenseNet(
        spatial_dims=dimension,
        in_channels=in_channels,
        out_channels=n_outputs,
        init_features=2 * growth,
        growth_rate=growth,
        block_config=(6, 12, 24, 16),
    )
    body: Any = net.features
    if small:
        body.conv0.stride = (1,) * dimension
        body.pool0 = nn.Identity()
    features = int(cast(nn.Linear, net.class_layers.out).in_features)
    return Classifier(
        nn.Sequential(body, nn.ReLU(inplace=True)), n_features=features, n_outputs=n_outputs, dropout=head_drop
    )
