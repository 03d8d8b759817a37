"""Windows of prepared cases: which ones make which batch, and how good a network is on validation."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scanwright.core import Augmentation, Candidate, CohortError, Part, Plan, Segmentation
from scanwright.io.voxel_store import VoxelStore
from scanwright.models.segmenters import build_segmenter
from scanwright.training import augment
from scanwright.training.lesson import Batch, seed_of
from scanwright.training.segment.losses import MaskTargets, supervised_loss

_JITTER = 0.25
"""How far from a window's middle the voxel may lie that it was drawn for, as a share of its side."""


@dataclass(frozen=True)
class MaskScore:
    """Figures of a look at validation.

    Args:
        score: Mean Dice of the structures.
        loss: Validation loss.
        dice: Dice of each structure.
    """

    score: float
    loss: float
    dice: tuple[float, ...]

    def measured(self) -> dict[str, float]:
        """Figures for the learning curve."""
        each = {f"val_dice_{n}": value for n, value in enumerate(self.dice, start=1)}
        return {"val_loss": self.loss, "val_dice": self.score, "score": self.score, **each}


class Windows:
    """The labelled training and validation cases of a voxel store, seen through windows.

    Args:
        store: Prepared cases.
        plan: A segmentation's plan.
        device: Where batches go.
        channels_last: Whether batches are laid out with channels last.
    """

    def __init__(self, store: VoxelStore, plan: Plan, device: torch.device, *, channels_last: bool = False) -> None:
        if plan.segmentation is None:
            raise ValueError("the plan is no segmentation's")
        self.store, self.plan, self.device, self.channels_last = store, plan, device, channels_last
        self.spec: Segmentation = plan.segmentation
        self.size = plan.preprocessing.size
        self.train, self.val = self._rows("train"), self._rows("val")
        self.targets = MaskTargets(plan, device)
        counts = store.counts[self.train]
        self.codes = [c for c in range(1, counts.shape[1]) if (counts[:, c] > 0).any()]
        self.holders = {c: self.train[counts[:, c] > 0] for c in self.codes}
        self.outer = _outer(self.size, plan.augmentation)
        self._lowest: OrderedDict[int, NDArray[np.float16]] = OrderedDict()
        self._seen = self._look_windows()

    @property
    def dimension(self) -> int:
        """Axes of the network."""
        return self.plan.preprocessing.dimension

    @property
    def in_channels(self) -> int:
        """Channels that the network takes: those of every slice it sees."""
        return self.plan.preprocessing.channels * (self.spec.slices if self.dimension == 2 else 1)

    def build(self, candidate: Candidate) -> nn.Module:
        """The candidate's network with fresh weights."""
        return build_segmenter(
            candidate.model,
            dimension=self.dimension,
            in_channels=self.in_channels,
            n_outputs=self.plan.n_outputs,
            **candidate.arguments,
        )

    def sampler(self, candidate: Candidate) -> None:
        """Windows are drawn from seed and step alone: there is nothing to keep."""

    def batch(self, candidate: Candidate, sampler: None, step: int, mine: slice) -> Batch:
        """Windows ``(B, C, *size)`` and codes ``(B, *size)`` of a step, augmented."""
        rng = np.random.default_rng(seed_of(self.plan.seed, candidate.name, step, "windows"))
        drawn = [self._draw(candidate, step, place, rng) for place in range(candidate.batch_size)][mine]
        size = self.outer if candidate.augment else self.size
        pieces = [self.window(row, centre, size) for row, centre in drawn]
        images = torch.from_numpy(np.stack([p[0] for p in pieces])).to(self.device).float()
        codes = torch.from_numpy(np.stack([p[1] for p in pieces])).to(self.device)
        if candidate.augment:
            generator = torch.Generator().manual_seed(seed_of(self.plan.seed, candidate.name, step, "augment"))
            numbers = augment.draw(
                self.plan.augmentation, candidate.batch_size, dimension=self.dimension, generator=generator
            )
            numbers = augment.part_of(numbers, mine)
            spacing = self.store.spacings[drawn[0][0]][: self.dimension]
            images, warped = augment.warp(images, numbers, size=self.size, labels=codes, spacing=spacing)
            codes = codes if warped is None else warped
            images = augment.intensities(images, numbers)
        bad = ~torch.isfinite(images.flatten(1)).all(1)
        names = [self.store.ids[row] for row, _ in drawn]
        note = ""
        if bool(bad.any()):
            images = torch.nan_to_num(images, nan=0.0, posinf=0.0, neginf=0.0)
            codes[bad] = 255
            named = ", ".join(n for n, b in zip(names, bad.tolist(), strict=True) if b)
            note = f"Left out of training, because of voxels that are not finite: {named}."
        return Batch(self.laid_out(images), codes, names, note)

    def loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """The plan's loss over all supervised levels."""
        levels = outputs if isinstance(outputs, list | tuple) else [outputs]
        levels = levels if self.spec.deep_supervision else levels[:1]
        return supervised_loss(self.spec.loss, levels, targets, self.targets)

    def figures(self, values: dict[str, Any]) -> MaskScore:
        """Figures from their plain values."""
        return MaskScore(float(values["score"]), float(values["loss"]), tuple(values["dice"]))

    def look(self, network: nn.Module, *, bf16: bool, mirrors: tuple[tuple[int, ...], ...] = ((),)) -> MaskScore:
        """Dice and loss over a fixed set of validation windows.

        Args:
            network: In any mode; it is put back into it.
            bf16: Whether to compute in bfloat16.
            mirrors: Mirror images that are averaged: axes of each, ``()`` is the image itself.

        Returns:
            Dice of each structure, pooled over the windows of each case, mean over cases.
        """
        n = self.targets.n_outputs - (self.spec.target != "regions")
        sums: dict[int, NDArray[np.float64]] = {}
        was_training, losses = network.training, []
        network.eval()
        step = max(1, 2**21 // math.prod(self.size))
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            for start in range(0, len(self._seen), step):
                seen = self._seen[start : start + step]
                pieces = [self.window(row, centre, self.size) for row, centre in seen]
                images = torch.from_numpy(np.stack([p[0] for p in pieces])).to(self.device).float()
                codes = torch.from_numpy(np.stack([p[1] for p in pieces])).to(self.device)
                logits = self._mirrored(network, torch.nan_to_num(images), mirrors)
                losses.append(float(supervised_loss("dice_ce", [logits], codes, self.targets)) * len(seen))
                hits = self._counts(logits, codes)
                for (row, _), found in zip(seen, hits, strict=True):
                    sums[row] = sums.get(row, np.zeros((n, 3))) + found
        network.train(was_training)
        table = np.stack(list(sums.values()))  # cases, structures, (hit, answered, true)
        with np.errstate(invalid="ignore", divide="ignore"):
            dice = 2 * table[..., 0] / (table[..., 1] + table[..., 2])
            each = np.nanmean(np.where(table[..., 1] + table[..., 2] > 0, dice, np.nan), axis=0)
        each = np.nan_to_num(each, nan=0.0)
        return MaskScore(float(each.mean()), float(np.sum(losses) / len(self._seen)), tuple(float(d) for d in each))

    def window(
        self, row: int, centre: tuple[int, int, int], size: tuple[int, ...]
    ) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
        """One window of a case.

        Args:
            row: Row of the store.
            centre: Voxel ``(i, j, k)`` of the lattice that becomes voxel ``size // 2``.
            size: Voxels along the network's axes.

        Returns:
            ``(C, *size)`` float16 and ``(*size)`` uint8; beyond the case its lowest value and background.
        """
        image, labels = self.store.image(row), self.store.labels(row)
        if self.dimension == 3:
            box = [_span(c, n, m) for c, n, m in zip(centre, size, labels.shape, strict=True)]
            return _cut(image, box, size, self._low(row)), _cut(labels[None], box, size, None)[0]
        box = [_span(c, n, m) for c, n, m in zip(centre[:2], size, labels.shape[:2], strict=True)]
        half = self.spec.slices // 2
        ks = np.clip(np.arange(centre[2] - half, centre[2] + half + 1), 0, labels.shape[2] - 1)
        planes = [_cut(image[..., k], box, size, self._low(row)) for k in ks]
        return np.concatenate(planes), _cut(labels[None, ..., centre[2]], box, size, None)[0]

    def laid_out(self, x: Tensor) -> Tensor:
        """Images in the memory layout that the network is fastest with."""
        if not self.channels_last:
            return x
        return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)

    def _mirrored(self, network: nn.Module, images: Tensor, mirrors: tuple[tuple[int, ...], ...]) -> Tensor:
        total: Tensor | None = None
        for axes in mirrors:
            places = [a + 2 for a in axes]
            logits = network(self.laid_out(images.flip(places) if places else images)).float()
            logits = logits.flip(places) if places else logits
            total = logits if total is None else total + logits
        if total is None:
            raise ValueError("no mirror image was asked for")
        return total / len(mirrors)

    def _counts(self, logits: Tensor, codes: Tensor) -> NDArray[np.float64]:
        """``(B, structures, 3)``: voxels that agree, that were answered, that are true."""
        hot, known = self.targets.hot(codes)
        truth = self.targets.structures(hot) * known
        if self.spec.target == "regions":
            answer = (logits > 0).float() * known
        else:
            best = logits.argmax(1)
            answer = torch.stack([(best == k).float() for k in range(1, logits.shape[1])], dim=1) * known
        axes = tuple(range(2, truth.ndim))
        found = torch.stack([(answer * truth).sum(axes), answer.sum(axes), truth.sum(axes)], dim=-1)
        return found.double().cpu().numpy()

    def _draw(
        self, candidate: Candidate, step: int, place: int, rng: np.random.Generator
    ) -> tuple[int, tuple[int, int, int]]:
        """Row and centre of one window: some on a structure, the others anywhere."""
        if self.codes and rng.random() < self.spec.foreground:
            code = int(rng.choice(self.codes, p=self._quota()))
            row = int(rng.choice(self.holders[code]))
            places = self.store.places(row)
            mine = places[places[:, 0] == code]
            voxel = mine[rng.integers(len(mine)), 1:]
            jitter = [int(rng.integers(-int(_JITTER * n), int(_JITTER * n) + 1)) for n in self.size]
        else:
            row = int(self.train[_turn(self.plan.seed, candidate, step, place, len(self.train))])
            voxel = np.array([rng.integers(n) for n in self.store.shapes[row]])
            jitter = [0] * len(self.size)
        shape = self.store.shapes[row]
        centre = [int(v) for v in voxel]
        for axis, n in enumerate(self.size):
            centre[axis] = _inside(centre[axis] + jitter[axis], n, shape[axis])
        return row, (centre[0], centre[1], centre[2])

    def _quota(self) -> NDArray[np.float64]:
        """Share of the structures in windows that are centred on one: by the cases that hold them, with a floor."""
        held = np.array([len(self.holders[c]) for c in self.codes], dtype=np.float64)
        share = np.maximum(held / held.sum(), min(self.spec.rare, 1 / len(held)))
        return np.asarray(share / share.sum())

    def _look_windows(self) -> list[tuple[int, tuple[int, int, int]]]:
        """Windows that cover the validation cases, or a fixed sample of them."""
        found: list[tuple[int, tuple[int, int, int]]] = []
        for row in self.val:
            shape = self.store.shapes[row]
            axes = [_centres(shape[a], self.size[a]) for a in range(self.dimension)]
            if self.dimension == 2:
                axes.append(list(range(shape[2])))
            found += [(int(row), (c[0], c[1], c[2])) for c in itertools.product(*axes)]
        if len(found) <= self.spec.look_windows:
            return found
        turns = self._turns(found)
        kept = sorted(range(len(found)), key=turns.__getitem__)[: self.spec.look_windows]
        return [found[n] for n in sorted(kept)]

    def _turns(self, found: list[tuple[int, tuple[int, int, int]]]) -> list[tuple[int, float]]:
        """When each window's turn comes: cases by turns, and in each a window on a structure before one beside it."""
        chance = np.random.default_rng(self.plan.seed).permutation(len(found))
        seen: dict[tuple[int, bool], int] = {}
        turns = [(0, 0.0)] * len(found)
        for n in np.argsort(chance):
            row, centre = found[n]
            inside = self._holds(row, centre)
            k = seen[row, inside] = seen.get((row, inside), -1) + 1
            turns[n] = (2 * k + (not inside), float(chance[n]))
        return turns

    def _holds(self, row: int, centre: tuple[int, int, int]) -> bool:
        """Whether a window holds a voxel of a structure."""
        voxels = self.store.places(row)[:, 1:].astype(np.int64)
        size = (*self.size, 1)[:3]
        low = np.array([c - n // 2 for c, n in zip(centre, size, strict=True)])
        return bool(((voxels >= low) & (voxels < low + size)).all(axis=1).any())

    def _low(self, row: int) -> NDArray[np.float16]:
        """Lowest value of each channel of a case."""
        if row not in self._lowest:
            if len(self._lowest) > 4096:
                self._lowest.popitem(last=False)
            self._lowest[row] = self.store.image(row).min(axis=(1, 2, 3))
        return self._lowest[row]

    def _rows(self, part: Part) -> NDArray[np.intp]:
        rows = self.store.rows(part)
        if not len(rows):
            raise CohortError(
                f"The {part} part has no case with a mask.",
                "Training needs at least one in train and one in val.",
                "Give more cases a mask, or let `scanwright run` split the cohort.",
            )
        return rows


def _turn(seed: int, candidate: Candidate, step: int, place: int, n: int) -> int:
    """Cases take turns: every epoch is one permutation."""
    epoch, at = divmod(step * candidate.batch_size + place, n)
    return int(np.random.default_rng([seed_of(seed, candidate.name) % 2**31, epoch]).permutation(n)[at])


def _outer(size: tuple[int, ...], augmentation: Augmentation) -> tuple[int, ...]:
    """Size of the piece that a turned, scaled and moved window is cut from."""
    if not (augmentation.rotate_deg or augmentation.scale or augmentation.shift or augmentation.elastic):
        return size
    angle = math.radians(min(augmentation.rotate_deg, 30.0))
    factor = (1 + augmentation.scale) * (math.cos(angle) + 0.6 * math.sin(angle)) + 2 * augmentation.shift
    return tuple(min(math.ceil(n * min(factor, 1.5) / 2) * 2, n + 64) for n in size)


def _inside(centre: int, n: int, m: int) -> int:
    """Centre moved so that the window lies in the case, or the case in the middle of the window."""
    if m <= n:
        return m // 2
    return min(max(centre, n // 2), m - (n - n // 2))


def _centres(m: int, n: int) -> list[int]:
    """Centres of the windows that cover an axis, with as little overlap as possible."""
    if m <= n:
        return [m // 2]
    count = math.ceil(m / n)
    return [round(s) + n // 2 for s in np.linspace(0, m - n, count)]


def _span(centre: int, n: int, m: int) -> tuple[int, int, int]:
    """First voxel, one past the last, and voxels of padding before: of a window on an axis of m voxels."""
    start = centre - n // 2
    return max(start, 0), min(start + n, m), max(-start, 0)


def _cut(
    array: NDArray[Any], box: list[tuple[int, int, int]], size: tuple[int, ...], fill: NDArray[Any] | None
) -> NDArray[Any]:
    piece = array[(slice(None), *(slice(a, b) for a, b, _ in box))]
    if piece.shape[1:] == size:
        return np.ascontiguousarray(piece)
    result = np.zeros((array.shape[0], *size), dtype=array.dtype)
    if fill is not None:
        result[:] = fill.reshape(-1, *(1,) * len(size))
    result[(slice(None), *(slice(p, p + b - a) for a, b, p in box))] = piece
    return result
