"""Learning without labels: two changed views of one image should look alike to the network.

The loop, its checkpoints and its clock are those of every training; only the lesson differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

from scanwright.core import Augmentation, Candidate, Emit, Plan, PlanError, Progress
from scanwright.models import Classifier, build
from scanwright.training import augment
from scanwright.training.data import StoreLike
from scanwright.training.fit import Run, begin, fit
from scanwright.training.lesson import Batch, seed_of
from scanwright.training.targets import Sampler

PROJECTED = 256
"""Numbers that views are compared in."""
COLLAPSED = 0.1
"""Spread of the projections below which the network gives all images the same answer; 1 is even in all directions."""
_LOOKED_AT = 512


@dataclass(frozen=True)
class Learnt:
    """What learning without labels leaves behind.

    Args:
        tensors: Of the body, by name.
        steps: Steps done.
        loss: Negative cosine similarity of two views of images held out; -1 is alike.
        spread: Spread of the projections of different images: 1 is even, 0 is collapse.
        collapsed: Whether the spread is so small that the weights are worth nothing.
        notes: What was said.
    """

    tensors: Mapping[str, NDArray[np.float32]]
    steps: int
    loss: float
    spread: float
    collapsed: bool
    notes: tuple[str, ...]


class Siamese(nn.Module):
    """A body with a projector and a predictor: SimSiam.

    Args:
        body: ``(B, C, *size)`` to ``(B, F, *coarse)``.
        n_features: F.

    Source:
        Chen and He, Exploring simple Siamese representation learning (CVPR 2021), section 3, with a projector of
        two layers and 256 numbers, as their experiments on small images.
    """

    def __init__(self, body: nn.Module, n_features: int) -> None:
        super().__init__()
        self.body = body
        self.projector = nn.Sequential(
            nn.Linear(n_features, PROJECTED, bias=False),
            nn.BatchNorm1d(PROJECTED),
            nn.ReLU(inplace=True),
            nn.Linear(PROJECTED, PROJECTED, bias=False),
            nn.BatchNorm1d(PROJECTED, affine=False),
        )
        self.predictor = nn.Sequential(
            nn.Linear(PROJECTED, PROJECTED // 4, bias=False),
            nn.BatchNorm1d(PROJECTED // 4),
            nn.ReLU(inplace=True),
            nn.Linear(PROJECTED // 4, PROJECTED),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Predictions and projections ``(B, 2, PROJECTED)``; no gradient flows through the projections."""
        projected = self.projector(self.body(x).flatten(2).mean(2))
        return torch.stack([self.predictor(projected), projected.detach()], dim=1)


@dataclass(frozen=True)
class Alikeness:
    """Figures of one look at images held out.

    Args:
        score: Higher is better: how alike views of one image are, where different images are not.
        loss: Negative cosine similarity of two views.
        spread: Of the projections of different images.
    """

    score: float
    loss: float
    spread: float

    def measured(self) -> dict[str, float]:
        """Figures for the learning curve."""
        return {"val_loss": self.loss, "spread": self.spread, "score": self.score}


@dataclass(eq=False)
class Views:
    """Images in pairs of changed views; labels are never looked at.

    Args:
        store: Prepared arrays.
        plan: Augmentation and seed.
        device: Where batches go.
    """

    store: StoreLike
    plan: Plan
    device: torch.device
    train: NDArray[np.intp] = field(init=False)
    val: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        self.train, self.val = self.store.rows("train"), self.store.rows("val")[:_LOOKED_AT]

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.plan.preprocessing.n_axes

    def build(self, candidate: Candidate) -> Siamese:
        """The candidate's body with fresh weights, and what compares views."""
        net = build(
            candidate.model,
            dimension=self.dimension,
            in_channels=self.plan.preprocessing.shape[0],
            n_outputs=1,
            **candidate.arguments,
        )
        if not isinstance(net, Classifier):
            raise PlanError(
                f"The model {candidate.model!r} has no feature maps to learn without labels.",
                "Bases are networks with a mean over places.",
                "Name another with --model.",
            )
        return Siamese(net.body, net.head.in_features)

    def sampler(self, candidate: Candidate) -> Sampler:
        """Which rows make which batch."""
        seed = seed_of(self.plan.seed, candidate.name) % 2**31
        return Sampler(np.zeros(len(self.train), np.float32), self.train, batch=candidate.batch_size, seed=seed)

    def batch(self, candidate: Candidate, sampler: Sampler, step: int, mine: slice) -> Batch:
        """Two views of every image of a step, ``(2 B, C, *size)``: first all first views, then all second ones."""
        rows = sampler.rows(step)[mine]
        images = self._images(rows)
        views = [self._view(images, (candidate.name, step, k)) for k in (1, 2)]
        return Batch(torch.cat(views), None, [self.store.ids[int(r)] for r in rows])

    def loss(self, outputs: Tensor, targets: Any) -> Tensor:
        """Each view's prediction against the other's projection."""
        predicted, projected = outputs.float().unbind(1)
        first, second = projected.chunk(2)
        others = torch.cat([second, first])
        return -cosine_similarity(predicted, others, dim=1).mean()

    def look(self, network: nn.Module, *, bf16: bool) -> Alikeness:
        """How alike views of images held out are, and how different the images."""
        network.eval()
        found: list[Tensor] = []
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            for start in range(0, len(self.val), 64):
                images = self._images(self.val[start : start + 64])
                pairs = [network(self._view(images, ("look", start, k))).float() for k in (1, 2)]
                found.append(torch.stack(pairs, dim=1).cpu())  # B 2 2 P: views, then prediction and projection
        every = torch.cat(found)
        first = cosine_similarity(every[:, 0, 0], every[:, 1, 1], dim=1)
        second = cosine_similarity(every[:, 1, 0], every[:, 0, 1], dim=1)
        loss = -float((first + second).mean() / 2)
        apart = spread(every[:, 0, 1])
        return Alikeness(score=-loss * min(1.0, apart / 0.5), loss=loss, spread=apart)

    def figures(self, values: dict[str, Any]) -> Alikeness:
        """Figures from their plain values."""
        return Alikeness(**values)

    def _images(self, rows: NDArray[np.intp]) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(self.store.images[rows])).to(self.device).float()
        return torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)

    def _view(self, images: Tensor, facts: tuple[object, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(seed_of(self.plan.seed, *facts, "view"))
        drawn = augment.draw(
            self.plan.augmentation, len(images), dimension=self.plan.preprocessing.dimension, generator=generator
        )
        return augment.apply(images, drawn)


def spread(projected: Tensor) -> float:
    """How evenly different images fill the sphere: SD of each number of unit vectors, times the root of their length.

    Args:
        projected: ``(n, P)``.

    Returns:
        0 where all images have one answer, about 1 where they fill all directions.

    Source:
        Chen and He (CVPR 2021), section 4.1.
    """
    if len(projected) < 2:
        return 0.0
    return float(normalize(projected, dim=1).std(0).mean()) * math.sqrt(projected.shape[1])


def stronger(augmentation: Augmentation) -> Augmentation:
    """The changes of a plan, made so strong that two views share the content and little else.

    Flips and turns stay those of the plan: they are the ones that this kind of image bears.
    """
    return augmentation.model_copy(
        update={
            "rotate_deg": max(augmentation.rotate_deg, 10.0),
            "scale": 0.35,
            "shift": 0.15,
            "gamma": 0.5,
            "contrast": 0.5,
            "brightness": 0.5,
            "noise": 0.15,
            "blur": max(augmentation.blur, 0.7),
            "low_resolution": 0.5,
            "cutout": 0.3,
            "mixup": 0.0,
            "probability": 0.8,
        }
    )


def learn_without_labels(
    plan: Plan, store: StoreLike, *, work: Path, emit: Emit, deadline: float | None = None
) -> Learnt:
    """Train the plan's only candidate on pairs of views; called again, go on where it stopped.

    Args:
        plan: One network; its augmentation is made stronger here.
        store: Prepared arrays; their labels are not used.
        work: Folder for checkpoints.
        emit: Receiver of events.
        deadline: ``time.monotonic()`` value by which it must have ended.

    Returns:
        The body's weights and how alike, and how different, its answers are.
    """
    work.mkdir(parents=True, exist_ok=True)
    fabric = Fabric(accelerator="auto", devices=1)
    fabric.launch()
    plan = plan.model_copy(update={"augmentation": stronger(plan.augmentation)})
    views = Views(store, plan, fabric.device)
    run: Run[Views] = Run(fabric, plan, views, work, emit, deadline)
    (candidate,) = plan.candidates
    state = begin(run, candidate)
    fit(run, candidate, state, candidate.final_steps)
    found = cast(Alikeness, state.score)
    collapsed = found.spread < COLLAPSED
    run.say(
        f"{len(views.train)} images, {state.step} steps without labels: views of one image are alike by {-found.loss:.2f} "
        f"(1 is the same), different images spread by {found.spread:.2f} (1 is even, 0 is collapse)."
    )
    if collapsed:
        run.say("The network gives all images nearly the same answer: these weights are worth nothing.", warn=True)
    emit(Progress(stage="train", step="Learning without labels", done=1, total=1, left_s=0.0))
    body = cast(Siamese, state.ema).body.state_dict()
    tensors = {n: v.detach().float().cpu().numpy() for n, v in body.items() if not n.endswith("num_batches_tracked")}
    return Learnt(tensors, state.step, found.loss, found.spread, collapsed, tuple(run.notes))
