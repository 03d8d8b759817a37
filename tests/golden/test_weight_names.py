"""Names of other libraries' tensors, written from their sources, find our networks and give their answers.

Names: torchvision ``models/resnet.py``, ``models/densenet.py`` (and the pattern there for files of 2017),
``models/vision_transformer.py``; timm ``models/vision_transformer.py``; MONAI from MONAI itself. The networks here
are written out by hand on torch's own layers, so that a wrong row of our tables gives other features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from scanwright.core import InputError
from scanwright.models import build
from scanwright.models.bases import Base, begin_from, recognise

Named = dict[str, Tensor]


def drawn(shapes: dict[str, tuple[int, ...]]) -> Named:
    """Random tensors; variances and scales around 1."""
    g = torch.Generator().manual_seed(5)
    found = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=g)
        if name.endswith("running_var"):
            found[name] = value.square() + 0.5
        elif len(shape) == 1:
            found[name] = value * 0.1 + (1.0 if name.endswith("weight") else 0.0)
        else:
            found[name] = value / float(np.sqrt(np.prod(shape[1:])))
    return found


def norm(name: str, n: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (n,) for part in ("weight", "bias", "running_mean", "running_var")}


# ResNet-18 of torchvision and timm: 62 parameters, 60 buffers


def resnet18_names(width: int = 64) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (width, 3, 7, 7), **norm("bn1", width)}
    before = width
    for stage in range(1, 5):
        n = width * 2 ** (stage - 1)
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (n, before, 3, 3)
            shapes |= norm(f"{name}.bn1", n)
            shapes[f"{name}.conv2.weight"] = (n, n, 3, 3)
            shapes |= norm(f"{name}.bn2", n)
            if block == 0 and stage > 1:
                shapes[f"{name}.downsample.0.weight"] = (n, before, 1, 1)
                shapes |= norm(f"{name}.downsample.1", n)
            before = n
    return shapes | {"fc.weight": (1000, before), "fc.bias": (1000,)}


def normed(w: Named, name: str, x: Tensor) -> Tensor:
    parts = (w[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(x, *parts, False, 0.0, 1e-5)


def resnet18_features(w: Named, x: Tensor) -> Tensor:
    x = functional.relu(normed(w, "bn1", functional.conv2d(x, w["conv1.weight"], stride=2, padding=3)))
    x = functional.max_pool2d(x, 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            name, step = f"layer{stage}.{block}", 2 if block == 0 and stage > 1 else 1
            y = functional.conv2d(x, w[f"{name}.conv1.weight"], stride=step, padding=1)
            y = functional.conv2d(functional.relu(normed(w, f"{name}.bn1", y)), w[f"{name}.conv2.weight"], padding=1)
            y = normed(w, f"{name}.bn2", y)
            if f"{name}.downsample.0.weight" in w:
                x = functional.conv2d(x, w[f"{name}.downsample.0.weight"], stride=step)
                x = normed(w, f"{name}.downsample.1", x)
            x = functional.relu(x + y)
    return x.mean((2, 3))


# DenseNet-121 of torchvision and timm


def densenet121_names(growth: int, *, dotted: bool = False) -> dict[str, tuple[int, ...]]:
    n = 2 * growth
    shapes: dict[str, tuple[int, ...]] = {"features.conv0.weight": (n, 3, 7, 7), **norm("features.norm0", n)}
    for block, layers in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, layers + 1):
            name, dot = f"features.denseblock{block}.denselayer{layer}", "." if dotted else ""
            shapes |= norm(f"{name}.norm{dot}1", n)
            shapes[f"{name}.conv{dot}1.weight"] = (4 * growth, n, 1, 1)
            shapes |= norm(f"{name}.norm{dot}2", 4 * growth)
            shapes[f"{name}.conv{dot}2.weight"] = (growth, 4 * growth, 3, 3)
            n += growth
        if block < 4:
            shapes |= norm(f"features.transition{block}.norm", n)
            shapes[f"features.transition{block}.conv.weight"] = (n // 2, n, 1, 1)
            n //= 2
    return shapes | norm("features.norm5", n) | {"classifier.weight": (1000, n), "classifier.bias": (1000,)}


def densenet121_features(w: Named, x: Tensor, dot: str) -> Tensor:
    x = functional.conv2d(x, w["features.conv0.weight"], stride=2, padding=3)
    x = functional.max_pool2d(functional.relu(normed(w, "features.norm0", x)), 3, 2, 1)
    for block, layers in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            y = functional.conv2d(functional.relu(normed(w, f"{name}.norm{dot}1", x)), w[f"{name}.conv{dot}1.weight"])
            y = functional.relu(normed(w, f"{name}.norm{dot}2", y))
            x = torch.cat([x, functional.conv2d(y, w[f"{name}.conv{dot}2.weight"], padding=1)], 1)
        if block < 4:
            name = f"features.transition{block}"
            x = functional.conv2d(functional.relu(normed(w, f"{name}.norm", x)), w[f"{name}.conv.weight"])
            x = functional.avg_pool2d(x, 2)
    return functional.relu(normed(w, "features.norm5", x)).mean((2, 3))


# ViT of timm and of torchvision


def vit_timm_names(width: int, depth: int, grid: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + grid**2, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
    }
    for k in range(depth):
        for name, n_out, n_in in (("attn.qkv", 3, 1), ("attn.proj", 1, 1), ("mlp.fc1", 4, 1), ("mlp.fc2", 1, 4)):
            shapes[f"blocks.{k}.{name}.weight"] = (n_out * width, n_in * width)
            shapes[f"blocks.{k}.{name}.bias"] = (n_out * width,)
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{k}.{name}.weight": (width,), f"blocks.{k}.{name}.bias": (width,)}
    return shapes | {"norm.weight": (width,), "norm.bias": (width,), "head.weight": (9, width), "head.bias": (9,)}


def in_torchvision(w: Named) -> Iterator[tuple[str, Tensor]]:
    """The same weights under torchvision's names."""
    names = {
        "cls_token": "class_token",
        "pos_embed": "encoder.pos_embedding",
        "patch_embed.proj": "conv_proj",
        "attn.qkv.": "self_attention.in_proj_",
        "attn.proj": "self_attention.out_proj",
        "mlp.fc1": "mlp.0",
        "mlp.fc2": "mlp.3",
        "norm1": "ln_1",
        "norm2": "ln_2",
        "head": "heads.head",
    }
    for name, value in w.items():
        for old, new in names.items():
            name = name.replace(old, new)
        name = name.replace("blocks.", "encoder.layers.encoder_layer_")
        yield ("encoder.ln." + name[5:] if name.startswith("norm.") else name), value


def vit_features(w: Named, x: Tensor, *, width: int, depth: int) -> Tensor:
    """Written on torch's own encoder layer, whose three projections are one matrix too."""
    x = functional.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=16).flatten(2)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x.transpose(1, 2)], 1) + w["pos_embed"]
    for k in range(depth):
        layer = nn.TransformerEncoderLayer(
            width, width // 64, 4 * width, 0.0, functional.gelu, 1e-6, batch_first=True, norm_first=True
        ).eval()
        own = {"self_attn.in_proj_weight": "attn.qkv.weight", "self_attn.in_proj_bias": "attn.qkv.bias"}
        for mine, theirs in (("self_attn.out_proj", "attn.proj"), ("linear1", "mlp.fc1"), ("linear2", "mlp.fc2")):
            own |= {f"{mine}.{p}": f"{theirs}.{p}" for p in ("weight", "bias")}
        own |= {f"norm{n}.{p}": f"norm{n}.{p}" for n in (1, 2) for p in ("weight", "bias")}
        layer.load_state_dict({mine: w[f"blocks.{k}.{theirs}"] for mine, theirs in own.items()})
        with torch.no_grad():
            x = layer(x)
    return functional.layer_norm(x, (width,), w["norm.weight"], w["norm.bias"], 1e-6)[:, 1:].mean(1)


def found_in(w: Named, **more: str) -> Base:
    return recognise({n: v.numpy() for n, v in w.items()}, name="some.pth", seen="tensors", **more)


def pooled(base: Base, x: Tensor, **image: tuple[float, ...]) -> Tensor:
    """Features of our network with the weights of a base."""
    net = build(
        "frozen",
        dimension=x.ndim - 2,
        in_channels=x.shape[1],
        n_outputs=2,
        base=base.model,
        channels=base.channels,
        **base.arguments,
    )
    begin_from(net, base.tensors, **image)  # type: ignore[arg-type]
    with torch.no_grad():
        return net.eval().features(x)  # type: ignore[operator]


def test_counts_of_names() -> None:
    """As ``len(state_dict())`` of the published networks, less the counters of batch normalisation."""
    assert len(resnet18_names()) == 122 - 20
    assert sum(int(np.prod(s)) for n, s in resnet18_names().items() if "running" not in n) == 11_689_512
    assert sum(int(np.prod(s)) for n, s in densenet121_names(32).items() if "running" not in n) == 7_978_856
    tiny = vit_timm_names(192, 12, 14) | {"head.weight": (1000, 192), "head.bias": (1000,)}
    assert sum(int(np.prod(s)) for s in tiny.values()) == 5_717_416  # vit_tiny_patch16_224
    assert len(tiny) == 152


def test_resnet_of_torchvision() -> None:
    w, x = drawn(resnet18_names(16)), torch.randn(2, 3, 64, 64)
    wrapped = {f"module.encoder_q.{n}": v for n, v in w.items()} | {"module.queue": torch.zeros(3, 4)}
    for given in (w, wrapped):
        base = found_in(given)
        assert (base.model, base.arguments, base.channels, base.dimension) == ("resnet18", {"width": 0.25}, 3, 2)
        torch.testing.assert_close(pooled(base, x), resnet18_features(w, x), rtol=1e-4, atol=1e-5)


def test_resnet_of_monai_with_its_biases() -> None:
    from monai.networks.nets import ResNet

    net = ResNet("basic", [2, 2, 2, 2], [64, 128, 256, 512], 2, 1, conv1_t_stride=2, widen_factor=0.25, num_classes=3)
    net.eval()
    x = torch.randn(2, 1, 64, 64)
    base = found_in(dict(net.state_dict()))
    assert base.model == "resnet18"
    ours = pooled(base, x)
    with torch.no_grad():
        torch.testing.assert_close(net.fc(ours), net(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dot", ["", "."])
def test_densenet_of_torchvision(dot: str) -> None:
    w, x = drawn(densenet121_names(4, dotted=bool(dot))), torch.randn(1, 3, 64, 64)
    base = found_in(w)
    assert (base.model, base.arguments) == ("densenet121", {"growth": 4})
    torch.testing.assert_close(pooled(base, x), densenet121_features(w, x, dot), rtol=1e-4, atol=1e-5)


def test_vit_of_timm_and_torchvision() -> None:
    w, x = drawn(vit_timm_names(128, 2, 3)), torch.randn(2, 3, 48, 48)
    expected = vit_features(w, x, width=128, depth=2)
    for given in (w, dict(in_torchvision(w)), {f"backbone.{n}": v for n, v in w.items()}):
        base = found_in(given)
        assert base.model == "vit"
        assert base.arguments == {"width": 128, "depth": 2, "heads": 2, "patch": 16, "grid": 3}
        torch.testing.assert_close(pooled(base, x), expected, rtol=1e-3, atol=1e-4)


def test_values_reach_the_base_as_it_learnt_them() -> None:
    """A grey image, standardised by the plan, gives what the photograph network would see of its colour copy."""
    w = drawn(resnet18_names(16))
    base, grey = found_in(w), torch.rand(2, 1, 64, 64)
    assert base.mean == (0.485, 0.456, 0.406)
    mean, std = torch.tensor(base.mean).reshape(3, 1, 1), torch.tensor(base.std).reshape(3, 1, 1)
    expected = resnet18_features(w, (grey.repeat(1, 3, 1, 1) - mean) / std)
    given = pooled(base, (grey - 0.3) / 0.2, mean=base.mean, std=base.std, image_mean=(0.3,), image_std=(0.2,))
    torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-4)


def test_a_volume_of_equal_slices_is_answered_like_its_slice() -> None:
    """Inflation (Carreira and Zisserman 2017): the same activations, away from the ends of the third axis."""
    w = drawn(resnet18_names(8))
    base, x = found_in(w), torch.randn(1, 3, 32, 32)
    net = build("frozen", dimension=3, in_channels=3, n_outputs=1, base=base.model, channels=3, **base.arguments)
    begin_from(net, base.tensors)
    stem = net.body[1][0]  # type: ignore[index, union-attr]
    with torch.no_grad():
        deep = stem(x[..., None].expand(1, 3, 32, 32, 16))  # type: ignore[operator]
    flat = functional.conv2d(x, w["conv1.weight"], stride=2, padding=3)
    torch.testing.assert_close(deep[..., 4], flat, rtol=1e-4, atol=1e-5)


def test_weights_of_another_network_are_refused() -> None:
    names = {"stages.0.blocks.0.conv_dw.weight": (8, 1, 7, 7), "stem.0.weight": (8, 3, 4, 4)}
    with pytest.raises(InputError, match=r"belong to no network that is known.*ResNet-18.*Use another file"):
        found_in(drawn(names))
    lacking = {n: v for n, v in drawn(resnet18_names(8)).items() if n != "layer3.1.conv2.weight"}
    with pytest.raises(InputError, match="1 tensors of resnet18 are missing, such as 6.1.conv2.weight"):
        found_in(lacking)
    wide = drawn(resnet18_names(8)) | {"layer4.1.conv2.weight": torch.zeros(64, 64, 5, 5)}
    with pytest.raises(InputError, match="64x64x5x5"):
        found_in(wide)
