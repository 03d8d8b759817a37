"""Which channels of a source a network sees.

Rules: colour is reduced to grey by Rec. 601 luma; grey is repeated to make three; of a
time series the mean over time is taken; of other channels (MR sequences, say) the first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Volume

REC601 = (0.299, 0.587, 0.114)
"""Luma weights of red, green and blue (ITU-R BT.601)."""


def grey(volume: Volume) -> NDArray[Any]:
    """One channel of a volume.

    Args:
        volume: Any volume.

    Returns:
        ``(1, I, J, K)``: luma of colour, the mean over time, or the first channel. The
        source's own type where nothing had to be worked out, else float32.
    """
    array = volume.array
    if volume.n_channels == 1:
        return array
    if volume.channel == "rgb" and volume.n_channels >= 3:
        red, green, blue = (array[c].astype(np.float32) for c in range(3))
        luma: NDArray[Any] = np.float32(REC601[0]) * red + np.float32(REC601[1]) * green + np.float32(REC601[2]) * blue
        return luma[None]
    if volume.channel == "time":
        mean: NDArray[Any] = array.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
        return mean
    return array[:1]


def select_channels(volume: Volume, n: int) -> NDArray[Any]:
    """The channels that a network takes.

    Args:
        volume: Any volume.
        n: How many. A time series gives its points only when the network takes all of them.

    Returns:
        ``(n, I, J, K)``, or ``(1, I, J, K)`` where three equal channels would be made:
        the caller repeats them last.
    """
    if 1 < n <= volume.n_channels and (volume.channel != "time" or n == volume.n_channels):
        return volume.array[:n]
    return grey(volume)
