"""Drawing what was asked for, and writing it: images, a table, the generator, the report."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Emit, Fingerprint, Grid, InputError, Preprocessing, Progress
from scanwright.io import SyntheticMark, atomic_write, write_synthetic
from scanwright.io.synthetic import picture_of

if TYPE_CHECKING:
    from scanwright.generation import Generator

TABLE = "synthetic.csv"
COLUMNS = ("file", "class", "seed", "nearest_pixels", "nearest_features", "near_copy", "synthetic")
"""Columns of the table: distances to the nearest training image are empty where it is not known."""

_ROUNDS = 3

Near = Callable[[NDArray[np.float32]], dict[str, NDArray[Any]]]


_LEVELS = 256
"""Fewest steps of a window that whole numbers can hold without being seen."""
_SHOWN = ("png", "dicom")
"""Formats that hold grey levels from 0 to 255."""


@dataclass(frozen=True)
class Look:
    """How arrays of -1 .. 1 become voxels again.

    Args:
        dimension: 2 or 3.
        low: Value that -1 stands for, in ``unit``; None for pictures of 0 .. 255.
        high: Value that 1 stands for.
        unit: Unit of the values.
        two_valued: Whether the cohort's images hold two values only.
        spacing_mm: Millimetres along each axis, None if unknown.
    """

    dimension: int
    low: float | None
    high: float | None
    unit: str
    two_valued: bool
    spacing_mm: tuple[float, ...] | None

    @classmethod
    def of(cls, spec: Preprocessing, fingerprint: Fingerprint) -> Look:
        """How a cohort's images look."""
        window = spec.intensity.method == "window"
        spacing = spec.spacing_mm
        if spacing is None and fingerprint.spacing_median is not None:
            spacing = tuple(
                round(s * n / k, 4)
                for s, n, k in zip(fingerprint.spacing_median, fingerprint.shape_median, spec.size, strict=False)
            )
        return cls(
            spec.dimension,
            spec.intensity.low if window else None,
            spec.intensity.high if window else None,
            fingerprint.unit if window else "1",
            fingerprint.two_valued,
            spacing,
        )

    def voxels(self, image: NDArray[np.float32]) -> NDArray[Any]:
        """``(C, I, J, K)`` of one image ``(C, *size)``: int16 or (where its range is small) float32 in ``unit``, or uint8."""
        values = (np.clip(image, -1, 1) + 1) / 2
        values = values[..., None] if self.dimension == 2 else values
        if self.two_valued:
            return ((values > 0.5) * 255).astype(np.uint8)
        if self.low is not None and self.high is not None:
            found = self.low + values * (self.high - self.low)
            whole = self.high - self.low >= _LEVELS and self.low >= -(2**15) and self.high < 2**15
            return np.rint(found).astype(np.int16) if whole else found.astype(np.float32)
        return np.rint(values * 255).astype(np.uint8)

    def grey(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """``(C, I, J, K)`` as uint8 over the same range for every image, so that brightness means the same in all of them."""
        voxels = self.voxels(image)
        if voxels.dtype == np.uint8:
            return voxels
        values = (np.clip(image, -1, 1) + 1) / 2
        return np.rint((values[..., None] if self.dimension == 2 else values) * 255).astype(np.uint8)

    def picture(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The (middle slice of the) image for a page."""
        values = (np.clip(image, -1, 1) + 1) / 2
        return picture_of(np.rint((values[..., None] if self.dimension == 2 else values) * 255).astype(np.uint8))

    def grid(self, shape: tuple[int, ...]) -> Grid | None:
        """Place of a volume's voxels, its centre at 0; None for pictures."""
        if self.dimension == 2:
            return None
        spacing = self.spacing_mm or (1.0, 1.0, 1.0)
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = [-s * (n - 1) / 2 for s, n in zip(spacing, shape, strict=True)]
        return Grid((shape[0], shape[1], shape[2]), affine, spacing_known=self.spacing_mm is not None)

    def format_of(self, wanted: str | None) -> str:
        """The format to write.

        Raises:
            InputError: A volume was to be written as PNG.
        """
        if self.dimension == 3 and wanted == "png":
            raise InputError(
                "Volumes were to be written as PNG.",
                "A PNG holds one picture.",
                "Write --format nifti, npy or dicom.",
            )
        return wanted or ("png" if self.dimension == 2 else "nifti")


@dataclass
class Drawn:
    """Images that were drawn for a person.

    Args:
        images: ``(N, C, *size)``.
        labels: Classes.
        seeds: Seeds.
        near: What :func:`~scanwright.journey.generate.judging.neighbours` says; empty where it is not known.
        refused: Near-copies that were drawn and left out.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.intp]
    seeds: NDArray[np.int64]
    near: dict[str, NDArray[Any]]
    refused: int = 0


def draw(
    generator: Generator,
    wanted: list[tuple[int, int]],
    emit: Emit,
    *,
    seed: int,
    steps: int,
    near: Near | None = None,
    keep_copies: bool = False,
) -> Drawn:
    """Draw so many images of each class; near-copies of training images are drawn anew.

    Args:
        generator: Draws.
        wanted: Class and number.
        emit: Receiver of progress.
        seed: Seed; the same one draws the same images.
        steps: Steps of the sampler.
        near: Tells how near images are to training images; None where these are not known.
        keep_copies: Whether near-copies stay.

    Returns:
        The images; fewer than wanted of a class that gives near-copies again and again.
    """
    from scanwright.generation import seeds_of

    parts: list[Drawn] = []
    total, refused, done = sum(n for _, n in wanted), 0, 0
    for label, n in wanted:
        first, missing = 0, n
        for _ in range(_ROUNDS):
            seeds = seeds_of(seed, f"class {label}", missing, first=first)
            labels = np.full(missing, label, dtype=np.intp)

            def tell(k: int, done: int = done) -> None:
                emit(Progress(stage="generate", step="Drawing images", done=min(done + k, total), total=total))

            images = generator.draw(labels, seeds, steps=steps, tell=tell)
            facts = near(images) if near else {}
            keep = np.ones(missing, bool) if keep_copies or not facts else ~facts["copies"]
            refused += int((~keep).sum())
            parts.append(
                Drawn(images[keep], labels[keep], seeds[keep], {k: np.asarray(v)[keep] for k, v in facts.items()})
            )
            first, missing = first + missing, int((~keep).sum())
            done += int(keep.sum())
            if not missing:
                break
    return Drawn(
        np.concatenate([p.images for p in parts]),
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.seeds for p in parts]),
        {k: np.concatenate([p.near[k] for p in parts]) for k in parts[0].near},
        refused,
    )


def write_images(
    out: Path, drawn: Drawn, look: Look, *, classes: tuple[str, ...], kind: str, mark: dict[str, Any], visible: bool
) -> list[Path]:
    """Write images into one folder a class, and ``synthetic.csv``.

    Args:
        out: Folder.
        drawn: Images.
        look: How they become voxels.
        classes: Names; empty for a generator without.
        kind: A key of ``io.SYNTHETIC_WRITERS``.
        mark: ``generator``, ``sha256``, ``steps`` and ``licence`` of every image's mark.
        visible: Whether the word is written into the pixels.

    Returns:
        The files.
    """
    files, rows = [], []
    for k, (image, label, seed) in enumerate(zip(drawn.images, drawn.labels, drawn.seeds, strict=True)):
        name = classes[label] if classes else ""
        folder = out / (folder_name(name) or "image")
        said = SyntheticMark(seed=int(seed), label=name, visible=visible, **mark)
        shown = kind in _SHOWN
        voxels = look.grey(image) if shown else look.voxels(image)
        file = write_synthetic(
            folder / f"synthetic-{k + 1:05d}",
            voxels,
            kind=kind,
            mark=said,
            grid=look.grid(voxels.shape[1:]),
            unit="1" if shown else look.unit,
        )
        files.append(file)
        near = drawn.near
        rows.append(
            {
                "file": file.relative_to(out).as_posix(),
                "class": name or "image",
                "seed": int(seed),
                "nearest_pixels": f"{near['pixels'][k]:.5f}" if near else "",
                "nearest_features": f"{near['features'][k]:.5f}" if near else "",
                "near_copy": ("yes" if near["copies"][k] else "no") if near else "",
                "synthetic": "yes",
            }
        )
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(out / TABLE, text.getvalue())
    return files


def folder_name(name: str) -> str:
    """A class as the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_. ()" else "_" for c in name).strip(". ")


def facts_of(
    generator: Generator, spec: Preprocessing, look: Look, classes: tuple[str, ...], facts: dict[str, Any]
) -> bytes:
    """``generator.json``: all that drawing needs beside the weights."""
    values = {
        "design": generator.design.to_dict(),
        "classes": list(classes),
        "guidance": generator.guidance,
        "preprocessing": json.loads(spec.model_dump_json()),
        "look": {k: list(v) if isinstance(v, tuple) else v for k, v in vars(look).items()},
        **facts,
    }
    return (json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def look_from(values: dict[str, Any]) -> Look:
    """The look that :func:`facts_of` wrote."""
    spacing = values.get("spacing_mm")
    return Look(**{**values, "spacing_mm": tuple(spacing) if spacing else None})


def seconds_words(seconds: dict[str, float]) -> dict[str, str]:
    """Times of the steps in words."""
    return {name: f"{s:.0f} s" if s >= 1 or not math.isfinite(s) else f"{s:.1f} s" for name, s in seconds.items()}
