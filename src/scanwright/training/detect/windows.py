"""Windows of prepared cases with their boxes: which ones make which batch, and how good a network is on validation."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scanwright.core import Candidate, CohortError, Detection, Part, Plan
from scanwright.evaluation.boxes import Found, mean_precision
from scanwright.inference.detect import found_in
from scanwright.inference.segment.tiles import windows
from scanwright.io.box_store import BoxStore
from scanwright.models.detectors import build_detector
from scanwright.training import augment
from scanwright.training.detect.losses import detection_loss
from scanwright.training.detect.targets import CellTargets, draw_targets
from scanwright.training.lesson import Batch, seed_of
from scanwright.training.segment.windows import _cut, _inside, _outer, _span, _turn

_JITTER = 0.35
"""How far from a window's middle the box may lie that it was drawn for, as a share of its side."""
_LOOKED_FOR = 0.05
"""Score of the last answer in a look at validation."""


@dataclass(frozen=True)
class BoxScore:
    """Figures of a look at validation.

    Args:
        score: Mean average precision of the classes.
        loss: 1 less the score.
        precision: Average precision of each class that has boxes there.
    """

    score: float
    loss: float
    precision: tuple[float, ...]

    def measured(self) -> dict[str, float]:
        """Figures for the learning curve."""
        each = {f"val_ap_{n}": value for n, value in enumerate(self.precision, start=1)}
        return {"val_loss": self.loss, "val_map": self.score, "score": self.score, **each}


class BoxWindows:
    """The labelled training and validation cases of a box store, seen through windows.

    Args:
        store: Prepared cases.
        plan: A detection's plan.
        device: Where batches go.
        channels_last: Whether batches are laid out with channels last.
    """

    def __init__(self, store: BoxStore, plan: Plan, device: torch.device, *, channels_last: bool = False) -> None:
        if plan.detection is None:
            raise ValueError("the plan is no detection's")
        self.store, self.plan, self.device, self.channels_last = store, plan, device, channels_last
        self.spec: Detection = plan.detection
        self.size = plan.preprocessing.size
        self.train, self.val = self._rows("train"), self._rows("val")
        self.holders = {
            k: rows
            for k in range(len(plan.classes))
            if len(rows := np.array([r for r in self.train if (store.boxes[r][1] == k).any()], dtype=np.intp))
        }
        self.outer = _outer(self.size, plan.augmentation)
        self._lowest: OrderedDict[int, NDArray[np.float16]] = OrderedDict()
        self._seen = self._look_cases()

    @property
    def dimension(self) -> int:
        """Axes of the network."""
        return self.plan.preprocessing.dimension

    def build(self, candidate: Candidate) -> nn.Module:
        """The candidate's network with fresh weights."""
        return build_detector(
            candidate.model,
            dimension=self.dimension,
            in_channels=self.plan.preprocessing.channels,
            n_outputs=self.plan.n_outputs,
            **candidate.arguments,
        )

    def sampler(self, candidate: Candidate) -> None:
        """Windows are drawn from seed and step alone: there is nothing to keep."""

    def batch(self, candidate: Candidate, sampler: None, step: int, mine: slice) -> Batch:
        """Windows ``(B, C, *size)`` and the targets of their cells, augmented."""
        rng = np.random.default_rng(seed_of(self.plan.seed, candidate.name, step, "windows"))
        drawn = [self._draw(candidate, step, place, rng) for place in range(candidate.batch_size)][mine]
        whole = self.outer if candidate.augment else self.size
        pieces = [self.window(row, centre, whole) for row, centre in drawn]
        images = torch.from_numpy(np.stack([p[0] for p in pieces])).to(self.device).float()
        corners = [p[1] for p in pieces]
        if candidate.augment:
            generator = torch.Generator().manual_seed(seed_of(self.plan.seed, candidate.name, step, "augment"))
            numbers = augment.draw(
                self.plan.augmentation, candidate.batch_size, dimension=self.dimension, generator=generator
            )
            numbers = augment.part_of(numbers, mine)
            spacing = self.store.spacings[drawn[0][0]][: self.dimension]
            images, _ = augment.warp(images, numbers, size=self.size, spacing=spacing)
            corners = [
                augment.warp_boxes(
                    torch.from_numpy(c), numbers, n, size=self.size, whole=whole, spacing=spacing
                ).numpy()
                for n, c in enumerate(corners)
            ]
            images = augment.intensities(images, numbers)
        names = [self.store.ids[row] for row, _ in drawn]
        note = ""
        bad = ~torch.isfinite(images.flatten(1)).all(1)
        if bool(bad.any()):
            images = torch.nan_to_num(images, nan=0.0, posinf=0.0, neginf=0.0)
            named = ", ".join(n for n, b in zip(names, bad.tolist(), strict=True) if b)
            note = f"Voxels that are not finite were taken for 0 in training: {named}."
        labels = [self.store.boxes[row][1] for row, _ in drawn]
        return Batch(self.laid_out(images), self.targets(corners, labels), names, note)

    def targets(self, corners: list[NDArray[np.float64]], labels: list[NDArray[np.intp]]) -> CellTargets:
        """Targets of windows whose boxes may lie partly outside.

        Args:
            corners: ``(n, 2 * D)`` of each window.
            labels: ``(n,)`` of each window.

        Returns:
            Targets; boxes are cut at the window's edge, and those of which too little is seen are hidden.
        """
        d, high = self.dimension, np.asarray(self.size) - 0.5
        boxes, hidden = [], []
        for one, kinds in zip(corners, labels, strict=True):
            cut = np.concatenate([np.clip(one[:, :d], -0.5, high), np.clip(one[:, d:], -0.5, high)], axis=1)
            area = np.prod(one[:, d:] - one[:, :d], axis=1)
            seen = np.prod(cut[:, d:] - cut[:, :d], axis=1) / np.maximum(area, 1e-9)
            clear = seen >= self.spec.visible
            boxes.append((cut[clear], kinds[clear]))
            hidden.append(cut[(seen > 0) & ~clear])
        return draw_targets(
            boxes,
            hidden,
            n_classes=len(self.plan.classes),
            size=self.size,
            stride=self.spec.stride,
            device=self.device,
        )

    def loss(self, outputs: Any, targets: CellTargets) -> Tensor:
        """Middles and boxes together."""
        return detection_loss(outputs, targets, stride=self.spec.stride, typical=self.spec.typical)

    def figures(self, values: dict[str, Any]) -> BoxScore:
        """Figures from their plain values."""
        return BoxScore(float(values["score"]), float(values["loss"]), tuple(values["precision"]))

    def look(self, network: nn.Module, *, bf16: bool, mirror_axes: tuple[int, ...] = ()) -> BoxScore:
        """Average precision over a fixed set of whole validation cases.

        Args:
            network: In any mode; it is put back into it.
            bf16: Whether to compute in bfloat16.
            mirror_axes: Axes whose mirror images are averaged.

        Returns:
            Average precision at ``detection.match_iou`` of each class, and their mean.
        """
        was_training = network.training
        network.eval()

        def run(batch: NDArray[np.float32]) -> NDArray[np.floating]:
            image = self.laid_out(torch.nan_to_num(torch.from_numpy(batch).to(self.device)))
            return network(image).float().cpu().numpy()  # type: ignore[no-any-return]

        truths, answers = [], []
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            for row in self._seen:
                found = found_in(
                    run,
                    np.asarray(self.store.image(row)),
                    spec=self.plan.preprocessing,
                    detection=self.spec,
                    n_classes=len(self.plan.classes),
                    mirror_axes=mirror_axes,
                    least=_LOOKED_FOR,
                )
                corners, labels = self.store.boxes[row]
                truths.append(Found(corners, labels, np.ones(len(labels))))
                answers.append(found)
        network.train(was_training)
        each = mean_precision(truths, answers, len(self.plan.classes), self.spec.match_iou)
        known = each[np.isfinite(each)]
        score = float(known.mean()) if len(known) else 0.0
        return BoxScore(score, 1.0 - score, tuple(float(v) for v in known))

    def window(
        self, row: int, centre: tuple[int, int, int], size: tuple[int, ...]
    ) -> tuple[NDArray[np.float16], NDArray[np.float64]]:
        """One window of a case.

        Args:
            row: Row of the store.
            centre: Voxel ``(i, j, k)`` of the lattice that becomes voxel ``size // 2``.
            size: Voxels along the network's axes.

        Returns:
            ``(C, *size)`` float16, beyond the case its lowest value, and ``(n, 2 * D)`` edges of all boxes of the
            case in voxel indices of the window.
        """
        d, image = self.dimension, self.store.image(row)
        flat = image[..., 0] if d == 2 else image
        box = [_span(c, n, m) for c, n, m in zip(centre[:d], size, flat.shape[1:], strict=True)]
        start = np.array([c - n // 2 for c, n in zip(centre[:d], size, strict=True)], dtype=np.float64)
        corners = self.store.boxes[row][0][:, [*range(d), *range(3, 3 + d)]]
        return _cut(flat, box, size, self._low(row)), corners - np.tile(start, 2)

    def laid_out(self, x: Tensor) -> Tensor:
        """Images in the memory layout that the network is fastest with."""
        if not self.channels_last:
            return x
        return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)

    def _draw(
        self, candidate: Candidate, step: int, place: int, rng: np.random.Generator
    ) -> tuple[int, tuple[int, int, int]]:
        """Row and centre of one window: some around a box, the others anywhere."""
        if self.holders and rng.random() < self.spec.foreground:
            label = int(rng.choice(list(self.holders)))
            row = int(rng.choice(self.holders[label]))
            corners, labels = self.store.boxes[row]
            one = corners[rng.choice(np.flatnonzero(labels == label))]
            voxel = ((one[:3] + one[3:]) / 2).round().astype(int)
            jitter = [int(rng.integers(-int(_JITTER * n), int(_JITTER * n) + 1)) for n in self.size]
        else:
            row = int(self.train[_turn(self.plan.seed, candidate, step, place, len(self.train))])
            voxel = np.array([rng.integers(n) for n in self.store.shapes[row]])
            jitter = [0] * len(self.size)
        shape, centre = self.store.shapes[row], [int(v) for v in voxel]
        for axis, n in enumerate(self.size):
            centre[axis] = _inside(centre[axis] + jitter[axis], n, shape[axis])
        return row, (centre[0], centre[1], centre[2])

    def _look_cases(self) -> list[int]:
        """Validation cases of a look: all, or an even choice whose windows are not too many."""
        d = self.dimension
        costs = [len(windows(self.store.shapes[r][:d], self.size, self.spec.overlap)) for r in self.val]
        share = min(1.0, self.spec.look_windows / max(sum(costs), 1))
        n = max(1, math.floor(share * len(self.val) + 1e-9))
        return [int(self.val[i]) for i in np.unique(np.linspace(0, len(self.val) - 1, n).round().astype(int))]

    def _low(self, row: int) -> NDArray[np.float16]:
        if row not in self._lowest:
            if len(self._lowest) > 4096:
                self._lowest.popitem(last=False)
            self._lowest[row] = self.store.image(row).min(axis=(1, 2, 3))
        return self._lowest[row]

    def _rows(self, part: Part) -> NDArray[np.intp]:
        rows = self.store.rows(part)
        if not len(rows) or (part == "train" and not any(len(self.store.boxes[r][1]) for r in rows)):
            raise CohortError(
                f"The {part} part has no case that somebody looked at, or no box.",
                "Training needs boxes in train and cases in val.",
                "Mark more cases, or let `scanwright run` split the cohort.",
            )
        return rows
