"""Vision transformers as timm (also DINO, DeiT, MAE), torchvision and MONAI name them."""

from __future__ import annotations

import numpy as np

from scanwright.models.bases.naming import Arguments, Family, Naming, Tensors

_PER_HEAD = 64
"""Numbers of a token that one head reads, in all published sizes."""
_HEADS = r"(head|heads|head_dist|fc_norm|pre_logits|classification_head|decoder.*|projector|predictor)\..+|mask_token|decoder_pos_embed"

_TIMM = (
    (r"patch_embed\.proj\.(.+)", r"patches.\1"),
    (r"cls_token", r"token"),
    (r"pos_embed", r"table"),
    (r"blocks\.(\d+)\.norm1\.(.+)", r"blocks.\1.before.\2"),
    (r"blocks\.(\d+)\.attn\.qkv\.(.+)", r"blocks.\1.queries_keys_values.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(.+)", r"blocks.\1.out.\2"),
    (r"blocks\.(\d+)\.norm2\.(.+)", r"blocks.\1.middle.\2"),
    (r"blocks\.(\d+)\.mlp\.fc1\.(.+)", r"blocks.\1.think.0.\2"),
    (r"blocks\.(\d+)\.mlp\.fc2\.(.+)", r"blocks.\1.think.2.\2"),
    (r"norm\.(.+)", r"norm.\1"),
)
_TORCHVISION = (
    (r"conv_proj\.(.+)", r"patches.\1"),
    (r"class_token", r"token"),
    (r"encoder\.pos_embedding", r"table"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.ln_1\.(.+)", r"blocks.\1.before.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_(.+)", r"blocks.\1.queries_keys_values.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\.(.+)", r"blocks.\1.out.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.ln_2\.(.+)", r"blocks.\1.middle.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)\.(.+)", r"blocks.\1.think.0.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)\.(.+)", r"blocks.\1.think.2.\2"),
    (r"encoder\.ln\.(.+)", r"norm.\1"),
)
_MONAI = (
    (r"patch_embedding\.patch_embeddings\.(weight|bias)", r"patches.\1"),
    (r"cls_token", r"token"),
    (r"patch_embedding\.position_embeddings", r"table"),
    (r"blocks\.(\d+)\.norm1\.(.+)", r"blocks.\1.before.\2"),
    (r"blocks\.(\d+)\.attn\.qkv\.(.+)", r"blocks.\1.queries_keys_values.\2"),
    (r"blocks\.(\d+)\.attn\.out_proj\.(.+)", r"blocks.\1.out.\2"),
    (r"blocks\.(\d+)\.norm2\.(.+)", r"blocks.\1.middle.\2"),
    (r"blocks\.(\d+)\.mlp\.linear1\.(.+)", r"blocks.\1.think.0.\2"),
    (r"blocks\.(\d+)\.mlp\.linear2\.(.+)", r"blocks.\1.think.2.\2"),
    (r"norm\.(.+)", r"norm.\1"),
)
_UNUSED = r"|blocks\.\d+\.(norm_cross_attn|cross_attn)\..+"  # MONAI makes them and passes them by


def _shape_of(tensors: Tensors) -> tuple[str, Arguments] | str:
    kernel, table = tensors["patches.weight"], tensors.pop("table", None)
    width, dimension = kernel.shape[0], kernel.ndim - 2
    if table is None:
        return "it has no table of positions"
    if len(set(kernel.shape[2:])) != 1 or width % _PER_HEAD:
        return f"its patches are {'x'.join(map(str, kernel.shape[2:]))} and its tokens have {width} numbers"
    rows = table.reshape(-1, width)
    grid = _side(len(rows), dimension)
    if grid is None and "token" in tensors:  # the first position is the class token's own
        tensors["token"] = tensors["token"] + rows[0].reshape(1, 1, -1)
        rows = rows[1:]
        grid = _side(len(rows), dimension)
    if grid is None:
        return f"its table of {len(rows)} positions is no square"
    tensors["positions"] = np.ascontiguousarray(rows.T.reshape(1, width, *(grid,) * dimension))
    depth = len({n.split(".")[1] for n in tensors if n.startswith("blocks.")})
    monai = "blocks.0.queries_keys_values.bias" not in tensors
    for k in range(depth):
        tensors.setdefault(f"blocks.{k}.queries_keys_values.bias", np.zeros(3 * width, np.float32))
    arguments: Arguments = {
        "width": width, "depth": depth, "heads": width // _PER_HEAD, "patch": kernel.shape[2], "grid": grid
    }  # fmt: skip
    arguments |= {} if "token" in tensors else {"token": False}
    return "vit", arguments | ({"eps": 1e-5} if monai else {})


def _side(n: int, dimension: int) -> int | None:
    side = round(n ** (1 / dimension))
    return side if side**dimension == n else None


VIT = Family(
    "vision transformers (tiny, small, base; square patches)",
    (
        Naming("timm", _TIMM, "patch_embed.proj.weight", _HEADS),
        Naming("torchvision", _TORCHVISION, "conv_proj.weight", _HEADS),
        Naming("MONAI", _MONAI, "patch_embedding.patch_embeddings.weight", _HEADS + _UNUSED),
    ),
    _shape_of,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
