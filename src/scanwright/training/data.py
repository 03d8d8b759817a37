"""Prepared cases as tensors, on the device that trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scanwright.core import Candidate, CohortError, Part, Plan
from scanwright.models import Explainable, Tuned, build
from scanwright.training import augment
from scanwright.training.clips import on_frames
from scanwright.training.lesson import Batch, seed_of
from scanwright.training.score import SHAPE_SHIFTS, SHIFTS, Logits, Score, collect, judge
from scanwright.training.targets import Sampler, Targets
from scanwright.training.transfer import fill

N_CLEAN = 2048
N_SHIFTED = 400
_ON_DEVICE_BYTES = 8 * 2**30


class StoreLike(Protocol):
    """What training needs of ``io.Store``."""

    images: NDArray[np.float16]
    ids: list[str]
    part: NDArray[np.str_]
    labels: NDArray[np.float32]
    groups: list[str]
    digest: str

    def rows(self, part: Part) -> NDArray[np.intp]:
        """Row numbers of one part."""


@dataclass(eq=False)
class Data:
    """The labelled training and validation rows of a store.

    Args:
        store: Prepared arrays.
        plan: The plan.
        device: Where batches go.
        channels_last: Whether batches are laid out with channels last.
        base: Tensors that tuned candidates begin from, under our names.
        heads: Name of a tuned candidate to the head that it begins with.
        frozen: How often images are enlarged before the frozen base, the rows (in order) whose features on it are
            known, and these features.
    """

    store: StoreLike
    plan: Plan
    device: torch.device
    channels_last: bool = False
    base: Mapping[str, NDArray[np.float32]] | None = None
    heads: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    frozen: tuple[int, NDArray[np.intp], NDArray[np.float64]] | None = field(init=False, default=None)
    train: NDArray[np.intp] = field(init=False)
    val: NDArray[np.intp] = field(init=False)
    targets: Targets = field(init=False)
    two_valued: bool = field(init=False)
    damaged: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.train, self.val = self._labelled("train"), self._labelled("val")
        self._check()
        self.val = _spread(self.val, self.plan.seed)
        self.targets = Targets.of(self.plan, self.store.labels[self.train])
        pictures = self.store.images[self.train[:32]][:, : self.plan.preprocessing.channels]
        self.two_valued = len(np.unique(np.asarray(pictures))) <= 2
        self._held: Tensor | None = None
        if self.device.type != "cpu" and self.store.images.nbytes <= _ON_DEVICE_BYTES:
            self._held = torch.from_numpy(np.array(self.store.images)).to(self.device)

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.store.images.ndim - 2

    @property
    def labels(self) -> NDArray[np.float32]:
        """Labels of all rows."""
        return self.store.labels

    def build(self, candidate: Candidate) -> Explainable:
        """The candidate's network with fresh weights, or those of its base."""
        spec = self.plan.preprocessing
        net = build(
            candidate.model,
            dimension=spec.n_axes,
            in_channels=spec.shape[0],
            n_outputs=self.plan.n_outputs,
            **candidate.arguments,
        )
        if isinstance(net, Tuned):
            fill(net, self.plan, self.base)
            net.load_state_dict(net.state_dict() | self.heads.get(candidate.name, {}))
        return net

    def sampler(self, candidate: Candidate) -> Sampler:
        """Which rows make which batch of a candidate."""
        return Sampler(
            self.labels[self.train],
            self.train,
            batch=candidate.batch_size,
            seed=seed_of(self.plan.seed, candidate.name) % 2**31,
            balanced=self.plan.training.balanced_sampling and self.plan.task != "regress",
        )

    def batch(self, candidate: Candidate, sampler: Sampler, step: int, mine: slice) -> Batch:
        """Images and targets ``(B, n_outputs)`` of a step, augmented."""
        rows = sampler.rows(step)[mine]
        images = self.images(rows)
        targets = self.targets.soft(torch.from_numpy(self.labels[rows])).to(self.device)
        names = [self.store.ids[int(r)] for r in rows]
        damaged = [k for k, row in enumerate(rows) if int(row) in self.damaged]
        note = ""
        if damaged:
            targets[damaged] = torch.nan
            named = ", ".join(names[k] for k in damaged[:3])
            note = f"Left out of training, because of voxels that are not finite: {named}."
        if candidate.augment:
            generator = torch.Generator().manual_seed(seed_of(self.plan.seed, candidate.name, step, "augment"))
            drawn = augment.draw(
                self.plan.augmentation,
                candidate.batch_size,
                dimension=self.plan.preprocessing.dimension,
                generator=generator,
            )
            drawn = augment.part_of(drawn, mine)
            images = self.laid_out(self.changed(lambda x: augment.apply(x, drawn), images))
            targets = augment.mixed_labels(targets, drawn)
        return Batch(images, targets, names, note)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The task's loss in full precision; see :meth:`Targets.loss`."""
        return self.targets.loss(outputs.float(), targets)

    def look(self, network: torch.nn.Module, *, bf16: bool) -> Score:
        """Figures on validation, clean and under shifts."""
        logits = self.validation(network, bf16=bf16)
        return replace(self.judged(logits), loss=self.validation_loss(logits))

    def figures(self, values: dict[str, Any]) -> Score:
        """Figures from their plain values."""
        return Score(**values)

    def images(self, rows: NDArray[np.intp]) -> Tensor:
        """Images ``(B, C, *size)`` float32 of some rows, on the device.

        Voxels that are not finite become 0 and their row is noted in ``damaged``.
        """
        if self._held is not None:
            x = self._held[torch.from_numpy(rows).to(self.device)].float()
        else:
            x = torch.from_numpy(np.ascontiguousarray(self.store.images[rows])).to(self.device).float()
        finite = torch.isfinite(x.flatten(1)).all(1)
        if not bool(finite.all()):
            self.damaged.update(int(r) for r, good in zip(rows, finite.tolist(), strict=True) if not good)
            x = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
        return self.laid_out(x)

    def changed(self, change: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Images after a change of pictures or volumes; of sequences every frame is changed alike."""
        return change(images) if self.plan.preprocessing.frames is None else on_frames(change, images)

    def laid_out(self, x: Tensor) -> Tensor:
        """Images in the memory layout that the network is fastest with."""
        if not self.channels_last:
            return x
        return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)

    def validation(self, predict: torch.nn.Module, *, bf16: bool = False) -> Logits:
        """Logits of validation, clean and shifted, in evaluation mode; regressions in SDs."""
        n = min(len(self.val), N_CLEAN)
        was_training = predict.training
        predict.eval()
        shifts: dict[str, Callable[[Tensor], Tensor]] = {
            name: partial(self.changed, shift) for name, shift in (SHAPE_SHIFTS if self.two_valued else SHIFTS).items()
        }
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            found = collect(
                lambda x: predict(self.laid_out(x)),
                lambda start, stop: self.images(self.val[start:stop]),
                n=n,
                n_shifted=min(n, N_SHIFTED),
                shifts=shifts,
            )
        predict.train(was_training)
        return found

    def judged(self, logits: Logits) -> Score:
        """Figures of :meth:`validation`'s logits; a regression's are in SDs of its labels."""
        labels = self.labels[self.val[: len(logits["clean"])]]
        if self.plan.task == "regress":
            labels = ((labels - self.targets.mean) / self.targets.std).astype(np.float32)
        return judge(logits, labels, self.plan.task)

    def validation_loss(self, logits: Logits) -> float:
        """Loss on clean validation, without smoothing or weights."""
        labels = torch.from_numpy(self.labels[self.val[: len(logits["clean"])]])
        plain = Targets(self.plan.task, self.plan.n_outputs, mean=self.targets.mean, std=self.targets.std)
        return float(plain.loss(torch.from_numpy(logits["clean"]), plain.soft(labels)))

    def _labelled(self, part: Part) -> NDArray[np.intp]:
        rows = self.store.rows(part)
        known = np.isfinite(self.store.labels[rows])
        return rows[known if known.ndim == 1 else known.any(1)]

    def _check(self) -> None:
        for part, rows in (("train", self.train), ("val", self.val)):
            if len(rows) < 2:
                raise CohortError(
                    f"The {part} part has {len(rows)} labelled cases.",
                    "Training needs at least two in train and two in val.",
                    "Give more cases a label, or let `scanwright run` split the cohort.",
                )
        if self.plan.task in ("binary", "multiclass", "ordinal") and len(np.unique(self.labels[self.train])) < 2:
            raise CohortError(
                "All training cases have the same class.",
                "A classifier needs at least two classes in the training part.",
                "Check the label column with --labels, or the parts.",
            )


def _spread(rows: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Rows in a fixed random order, so that the first ones stand for all."""
    return rows[np.random.default_rng([seed, 3]).permutation(len(rows))]
