"""Random changes and shifts of sequences: the same for every frame, and never of the clock."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def on_frames(change: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    """Change the pictures of clips as if their frames were channels of one picture.

    Args:
        change: ``(B, C * T, I, J)`` to the same.
        clips: ``(B, C + 1, I, J, T)``, the clock last.

    Returns:
        The same shape; the clock as it was, and 0 on frames that are not there.
    """
    b, _, rows, columns, t = clips.shape
    pictures, clock = clips[:, :-1], clips[:, -1:]
    flat = pictures.movedim(-1, 2).reshape(b, -1, rows, columns)  # C T I J
    changed = change(flat).reshape(b, -1, t, rows, columns).movedim(2, -1)
    there = (clock[:, :, :1, :1] >= 0).to(changed.dtype)
    return torch.cat([changed * there, clock], dim=1)
