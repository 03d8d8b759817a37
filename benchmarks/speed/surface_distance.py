"""HD95 of masks of 512 x 512 x 200: Scanwright beside MONAI, in one run.

Both get the same bool arrays and spacing. Each peer runs once a pair (it takes long), Scanwright
five times; the figures of all are compared. Run: `python benchmarks/speed/surface_distance.py
[--no-peer] [PAIR ...]`; the pairs are liver, body, nodule and apart.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy

from scanwright.evaluation.masks import case_figures, surface_distances
from scanwright.evaluation.masks.surface import hausdorff

SHAPE, SPACING = (512, 512, 200), (0.8, 0.8, 1.5)
REPEATS = 5
Pair = tuple[np.ndarray, np.ndarray]


def ellipsoid(centre: tuple[float, ...], radii: tuple[float, ...], ripple: float = 0.0) -> np.ndarray:
    """A bumpy ellipsoid, in voxels."""
    i, j, k = (axis.astype(np.float32) for axis in np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]])
    away = sum(((a - c) / r) ** 2 for a, c, r in zip((i, j, k), centre, radii, strict=True))
    return np.asarray(away <= 1 + ripple * np.sin(i / 7) * np.sin(j / 9) * np.sin(k / 5))


PAIRS: dict[str, Callable[[], Pair]] = {
    "liver": lambda: (
        ellipsoid((250, 250, 100), (100, 90, 60), 0.1),
        ellipsoid((254, 247, 101), (98, 93, 58), 0.06),
    ),
    "body": lambda: (ellipsoid((256, 256, 100), (220, 160, 140)), ellipsoid((257, 256, 100), (219, 161, 141), 0.02)),
    "nodule": lambda: (ellipsoid((90, 300, 60), (9, 9, 5)), ellipsoid((91, 300, 60), (8, 10, 5))),
    "apart": lambda: (ellipsoid((60, 60, 40), (50, 50, 30)), ellipsoid((440, 440, 160), (50, 50, 30))),
}


def ours(truth: np.ndarray, answer: np.ndarray) -> float:
    """HD95 in mm."""
    return hausdorff(surface_distances(truth, answer, SPACING))


def theirs(truth: np.ndarray, answer: np.ndarray) -> float:
    """The same through MONAI."""
    import torch
    from monai.metrics import compute_hausdorff_distance

    tensors = (torch.from_numpy(mask)[None, None] for mask in (answer, truth))  # B C I J K
    return float(compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=SPACING))


def timed(measure: Callable[[np.ndarray, np.ndarray], float], pair: Pair) -> tuple[float, float]:
    """Seconds and figure of one call."""
    start = time.perf_counter()
    value = measure(*pair)
    return time.perf_counter() - start, value


def main() -> None:
    """Print a table: seconds of each, and their figures."""
    if "--no-peer" not in sys.argv:
        small = np.ones((4, 4, 4), dtype=bool)
        theirs(small, small)  # imports are not timed
    names = [name for name in sys.argv[1:] if name in PAIRS] or list(PAIRS)
    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    )
    print(
        f"{'pair':<9}{'ours min':>10}{'median':>9}{'all figures':>13}{'MONAI':>9}{'x':>8}{'HD95 mm':>10}{'MONAI':>10}"
    )
    for name in names:
        pair = PAIRS[name]()
        runs = [timed(ours, pair) for _ in range(REPEATS)]
        every, _ = timed(lambda a, b: case_figures(a, b, spacing_mm=SPACING)["dice"], pair)
        seconds = [s for s, _ in runs]
        print(f"{name:<9}{min(seconds):>10.3f}{statistics.median(seconds):>9.3f}{every:>13.3f}", end="", flush=True)
        if "--no-peer" in sys.argv:
            print(f"{'':>17}{runs[0][1]:>10.4f}")
            continue
        other, value = timed(theirs, pair)
        print(f"{other:>9.2f}{other / min(seconds):>8.1f}{runs[0][1]:>10.4f}{value:>10.4f}")


if __name__ == "__main__":
    main()
