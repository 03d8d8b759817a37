"""The candidates that may race: one row each, the first rows first.

A row applies by dimension, by the longest side of the prepared image, by how long there is
to train, and by device. How the rows were found is in ``benchmarks/LOG.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from scanwright.core import Candidate, Pretrained


@dataclass(frozen=True, slots=True)
class Recipe:
    """One row of the table.

    Args:
        model: A key of ``models.MODELS``.
        words: When it is worth its time, for the plan's reasons.
        dimension: 2 or 3; 0 for both.
        side: Shortest and longest of the longest sides that it serves.
        seconds: Training time, in seconds, from which it takes part.
        device: ``"any"``, or ``"gpu"`` for networks that a processor is too slow for.
        arguments: Arguments of the model's builder.
        learning_rate: Peak.
        weight_decay: Decoupled.
        batch: Factor on the batch size that the cohort asks for.
        kind: ``"network"`` or ``"classical"``.
        frames: Whether it is for sequences, whose pictures it takes one by one.
    """

    model: str
    words: str
    dimension: Literal[0, 2, 3] = 0
    side: tuple[int, int] = (1, 100_000)
    seconds: float = 0.0
    device: Literal["any", "gpu"] = "any"
    arguments: dict[str, int | float | str | bool | tuple[int, ...]] = field(default_factory=dict)
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    batch: float = 1.0
    kind: Literal["network", "classical"] = "network"
    frames: bool = False


def _of_frames() -> dict[str, Recipe]:
    """Networks for sequences: five ways to read the frames, over a first network for each size of picture."""
    looks: dict[str, tuple[tuple[int, int], dict[str, int | float | str | bool | tuple[int, ...]]]] = {
        "": ((1, 40), {"width": 16, "stem": 1, "pools": 3}),
        "-64": ((41, 80), {"width": 16, "stem": 2, "pools": 2}),
        "-128": ((81, 100_000), {"width": 16, "stem": 4, "pools": 2}),
    }
    heads = {
        "frames-lstm": ("reads the frames in order, both ways", 0.0),
        "frames-attention": ("compares every frame with every other, and knows their times", 20.0),
        "frames-mean": ("the mean over frames: what order must beat", 30.0),
        "frames-gru": ("a lighter recurrent network, when there is time", 900.0),
        "frames-mil": ("finds the frames that matter, whatever their order", 900.0),
    }
    rows = {
        head + name: Recipe(head, words, 2, side, seconds, arguments=arguments, learning_rate=2e-3, frames=True)
        for head, (words, seconds) in heads.items()
        for name, (side, arguments) in looks.items()
    }
    rows["frames-3d"] = Recipe(
        "resnet3d",
        "the frames as a volume, when there is time",
        2,
        (1, 100_000),
        1500,
        arguments={"width": 16, "stages": 3},
        frames=True,
    )
    return rows


RECIPES: dict[str, Recipe] = {
    "features": Recipe("features", "cheap, and strong on small cohorts", kind="classical"),
    "linear": Recipe("linear", "fits in a second", seconds=0, kind="classical"),
    # pictures up to 40 pixels
    "resnet9": Recipe(
        "resnet9",
        "the best small network for small pictures",
        2,
        (1, 40),
        8,
        arguments={"width": 24},
        learning_rate=5e-3,
    ),
    "cnn": Recipe(
        "cnn", "fewer parameters, a second opinion", 2, (1, 40), 60, arguments={"width": 32}, learning_rate=3e-3
    ),
    "resnet18-half": Recipe(
        "resnet18", "deeper, when there is time", 2, (1, 40), 900, arguments={"width": 0.5, "small": True}
    ),
    "resnet9-wide": Recipe(
        "resnet9", "more channels, on a fast device", 2, (1, 40), 30, "gpu", {"width": 64}, learning_rate=3e-3
    ),
    # pictures of 41 to 80 pixels
    "resnet9-64": Recipe(
        "resnet9",
        "a first layer of stride 2 for pictures of this size",
        2,
        (41, 80),
        15,
        arguments={"width": 24, "stem": 2, "pools": 2},
        learning_rate=3e-3,
    ),
    "cnn-64": Recipe(
        "cnn", "cheap, a second opinion", 2, (41, 80), 60, arguments={"width": 24, "stages": 5}, learning_rate=3e-3
    ),
    # larger pictures
    "resnet9-stem4": Recipe(
        "resnet9",
        "a first layer of stride 4 makes larger pictures cheap",
        2,
        (81, 100_000),
        8,
        arguments={"width": 24, "stem": 4, "pools": 3},
        learning_rate=3e-3,
    ),
    "resnet18": Recipe("resnet18", "deeper, when there is time", 2, (81, 100_000), 400, arguments={"width": 0.5}),
    "resnet9-stem2": Recipe(
        "resnet9",
        "a finer first layer, when there is time",
        2,
        (81, 100_000),
        600,
        arguments={"width": 24, "stem": 2, "pools": 4},
    ),
    "resnet18-full": Recipe(
        "resnet18", "full width, on a fast device", 2, (65, 100_000), 60, "gpu", {"width": 1.0}, 1e-3
    ),
    "densenet121": Recipe(
        "densenet121",
        "densely connected, when there is time",
        2,
        (81, 100_000),
        1800,
        arguments={"growth": 16},
        learning_rate=1e-3,
    ),
    "densenet121-full": Recipe(
        "densenet121", "full growth, on a fast device", 2, (81, 100_000), 120, "gpu", {"growth": 32}, 1e-3
    ),
    # volumes
    "resnet3d": Recipe(
        "resnet3d",
        "strided at once: cheap where volumes cost most",
        3,
        (1, 40),
        8,
        arguments={"width": 16, "stages": 3},
        learning_rate=3e-3,
    ),
    "cnn3d": Recipe(
        "cnn", "plain, a second opinion", 3, (1, 40), 400, arguments={"width": 16, "stages": 4}, learning_rate=3e-3
    ),
    "resnet3d-64": Recipe(
        "resnet3d", "one stage more for larger volumes", 3, (41, 100_000), 15, arguments={"width": 16, "stages": 4}
    ),
    "resnet18-3d": Recipe("resnet18", "deep, on a fast device", 3, (1, 100_000), 120, "gpu", {"width": 0.5}, 1e-3),
    # sequences
    **_of_frames(),
}
"""Name of the candidate to its row, in order of preference."""


def transferred(
    pretrained: Pretrained, *, size: tuple[int, ...], n_train: int, n_outputs: int, regress: bool = False
) -> dict[str, Recipe]:
    """Rows of candidates that begin from a base.

    Args:
        pretrained: The base.
        size: Of one prepared image.
        n_train: Training cases.
        n_outputs: Answers of the network.
        regress: Whether answers are numbers.

    Returns:
        The base as it is with fitted heads, and the base trained further.
    """
    arguments: dict[str, int | float | str | bool | tuple[int, ...]] = {
        "base": pretrained.model,
        "channels": pretrained.channels,
        "enlarge": max(1, math.ceil(pretrained.side / min(size))) if pretrained.side else 1,
        **pretrained.arguments,
    }
    name = pretrained.model
    return {
        f"{name}-frozen": Recipe("frozen", "the base's features as they are", arguments=arguments, kind="classical"),
        f"{name}-nearest": Recipe(
            "nearest",
            "the most similar cases vote",
            seconds=60,
            arguments=arguments | {"cases": min(n_train, 2000)} | ({"regress": True} if regress else {}),
            kind="classical",
        ),
        f"{name}-boosted": Recipe(
            "boosted",
            "trees on the base's features",
            seconds=120,
            arguments=arguments | ({"trees": 20 * n_outputs} if n_outputs > 4 else {}),
            kind="classical",
        ),
        f"{name}-tuned": Recipe(
            "tuned",
            "the base trained further, the layers near the image with smaller steps",
            arguments=arguments,
            learning_rate=1e-3,
        ),
    }


MOST_NETWORKS = {"cpu": 3, "gpu": 4}
"""Networks in one race: more of them would leave the winner too little time."""


def applicable(*, dimension: int, side: int, seconds: float, gpu: bool, frames: bool = False) -> dict[str, Recipe]:
    """Rows that fit a cohort, the preferred first.

    Args:
        dimension: 2 or 3.
        side: Longest side of the prepared image.
        seconds: Time to train, in seconds.
        gpu: Whether an accelerator is used.
        frames: Whether cases are sequences.

    Returns:
        Classical rows and at most :data:`MOST_NETWORKS` networks.
    """
    fitting = {
        name: row
        for name, row in RECIPES.items()
        if row.dimension in (0, dimension)
        and (row.frames == frames or row.kind == "classical")
        and row.side[0] <= side <= row.side[1]
        and row.seconds <= seconds
        and (row.device == "any" or gpu)
    }
    networks = [name for name, row in fitting.items() if row.kind == "network"]
    if gpu:  # wide networks first, where they cost little
        networks.sort(key=lambda name: fitting[name].device != "gpu")
    kept = set(networks[: MOST_NETWORKS["gpu" if gpu else "cpu"]])
    return {name: row for name, row in fitting.items() if row.kind == "classical" or name in kept}


def candidate(name: str, row: Recipe, *, batch_size: int) -> Candidate:
    """A row as a candidate of a plan, before its times are known.

    Args:
        name: Name in the plan.
        row: The recipe.
        batch_size: Cases a step that the cohort asks for.

    Returns:
        The candidate.
    """
    return Candidate(
        name=name,
        model=row.model,
        arguments=dict(row.arguments),
        kind=row.kind,
        batch_size=max(2, int(batch_size * row.batch)),
        learning_rate=row.learning_rate,
        weight_decay=row.weight_decay,
        augment=row.kind == "network",
    )


def batch_size(n_train: int, *, gpu: bool, voxels: int, frames: int = 1) -> int:
    """Cases a step.

    Args:
        n_train: Training cases.
        gpu: Whether an accelerator is used.
        voxels: Of one prepared image, without channels.
        frames: Pictures of one case.

    Returns:
        128 for large cohorts of small images, fewer for small ones; at most a quarter of the cases, at least 2.
    """
    size = 128 if n_train >= 4000 else 64 if n_train >= 1500 else 32
    if voxels > 80 * 80 and not gpu:
        size = min(size, 32)
    if gpu and n_train >= 4000:
        size *= 2
    if frames > 1:
        size = min(size, 16 if not gpu else 64)
    while size > 2 and size > n_train / 4:
        size //= 2
    return size
