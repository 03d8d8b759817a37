"""Mean and standard deviation of the training part, after the other steps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scanwright.core import InputError, Intensity, Preprocessing, Volume
from scanwright.preprocessing.prepare import prepare_values


def estimate_intensity(volumes: Iterable[Volume], spec: Preprocessing) -> Intensity:
    """Measure the mean and standard deviation that standardise the prepared values.

    Args:
        volumes: Cases of the training part; they are taken one by one, so a generator
            keeps memory small.
        spec: The preprocessing; its own mean and std are ignored.

    Returns:
        ``spec.intensity`` with ``mean`` and ``std``, one number per channel, over all
        voxels of all cases (padding left out).

    Raises:
        InputError: There is no case.

    Example:
        >>> from scanwright.core import Grid
        >>> half = Volume(np.array([[[[0], [255]]]], np.uint8), Grid.of_picture(1, 2))
        >>> found = estimate_intensity([half], Preprocessing(dimension=2, size=(1, 2), intensity=Intensity(method="range", low=0, high=255)))
        >>> found.mean, found.std
        ((0.5,), (0.5,))
    """
    count = 0
    total = np.zeros(spec.channels)
    squares = np.zeros(spec.channels)
    for volume in volumes:
        values, placement = prepare_values(volume, spec)
        inside = np.ix_(*(np.flatnonzero(axis.inside) for axis in placement.axes))
        flat = values[:, inside[0], inside[1], inside[2]].reshape(values.shape[0], -1).astype(np.float64)
        count += flat.shape[1]
        total += flat.sum(axis=1)
        squares += (flat**2).sum(axis=1)
    if count == 0:
        raise InputError(
            "There is no case to measure.", "Mean and standard deviation need a case.", "Give training cases."
        )
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    std = np.where(std > 1e-6, std, 1.0)
    rounded = (tuple(round(float(v), 5) for v in mean), tuple(round(float(v), 5) for v in std))
    return spec.intensity.model_copy(update={"mean": rounded[0], "std": rounded[1]})
