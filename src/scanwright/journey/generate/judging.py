"""How good synthetic images are: beside real ones, in the eyes of a network of our own, and for training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Emit, Evaluation, Progress
from scanwright.evaluation.synthetic import (
    ALARM_SHARE,
    frechet_distance,
    kernel_distance,
    memorised,
    nearest,
    precision_recall,
    thresholds,
)
from scanwright.intake.checks.survey import shrink
from scanwright.io import RunFolder, Store
from scanwright.journey.generate.learning import Learning

if TYPE_CHECKING:
    from torch import nn

_K = 3
_DEAD = 0.1
_MOST_FEATURES, _DIRECTIONS = 256, 48
_FEWEST = 24
_LONGEST_COMPARED = {2: 32, 3: 16}
"""Sides that images are brought down to before their pixels are compared, by dimension."""


@dataclass(frozen=True, eq=False)
class Eye:
    """What images look like to a network.

    Args:
        network: Gives embeddings; a classifier trained on the real images, or fixed features.
        words: What it is.
        mean: Mean of each feature over the training images.
        std: Their spread.
        basis: ``(F, P)`` main directions that many features are brought down to; None to keep them all.
        train: Features of the training images ``(N, F)``, standardised.
        unseen: Features of the unseen real images.
        limits: Distances in pixels (root mean square on -1 .. 1) and features below which an image is near to a training image.
        auroc: Of the classifier on the unseen real images; None for fixed features.
    """

    network: nn.Module
    words: str
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    basis: NDArray[np.float64] | None
    train: NDArray[np.float64]
    unseen: NDArray[np.float64]
    limits: tuple[float, float]
    auroc: Evaluation | None = None
    logits: NDArray[np.float64] | None = None

    def see(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Standardised features ``(N, F)`` of images ``(N, C, *size)``."""
        rows = (embed(self.network, images)[0] - self.mean) / self.std
        return rows if self.basis is None else rows @ self.basis


@dataclass
class Judged:
    """Figures of a set of synthetic images.

    Args:
        figures: Name (of ``evaluation.synthetic.SYNTHETIC``) to ``value`` and what it is compared with.
        facts: Numbers of images and the like, in words.
        alarm: Whether the memorisation alarm was given.
    """

    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    alarm: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; a figure that is not finite is None."""
        figures = {
            name: {k: (round(v, 6) if math.isfinite(v) else None) for k, v in row.items()}
            for name, row in self.figures.items()
        }
        return {"figures": figures, "facts": self.facts, "alarm": self.alarm}


def open_eye(folder: RunFolder, made: Learning, emit: Emit, *, seed: int) -> Eye:
    """Train the classifier on the real images, and look at them with it.

    Args:
        folder: Where learning keeps its files.
        made: Prepared arrays; gets seconds.
        emit: Receiver of events.
        seed: Seed of the bootstrap.

    Returns:
        The eye.
    """
    began = monotonic()
    logits, auroc = None, None
    if made.plan is not None and len(made.unseen) >= 2:
        judged = replace_part(made.store, made.train, made.unseen)
        network, logits, auroc = _classifier(folder, made, judged, "real", emit, seed=seed)
        words = f"the last layer of {made.plan.candidates[0].name}, trained on the real images"
        network_features: nn.Module = network
    else:
        network_features = _fixed(made)
        words = "gradients, histograms and shape (there was nothing to train a network on)"
    raw = embed(network_features, made.images(made.train))[0]
    mean, std = raw.mean(axis=0), raw.std(axis=0)
    std = np.maximum(std, max(_DEAD * float(std.mean()), 1e-6))  # a feature that is always 0 here must not count most
    basis = _main_directions((raw - mean) / std)
    eye = Eye(network_features, words, mean, std, basis, raw[:0], raw[:0], (0.0, 0.0), auroc, logits)
    train, unseen_images = eye.see(made.images(made.train)), made.images(made.unseen)
    unseen = eye.see(unseen_images) if len(made.unseen) else train[:0]
    limits = (0.0, 0.0)
    if len(made.unseen):
        pixels = nearest(_flat(unseen_images), _flat(made.images(made.train)))[0]
        limits = thresholds(pixels, nearest(unseen, train)[0])
    made.seconds["the classifier on real images"] = round(monotonic() - began, 1)
    return replace(eye, train=train, unseen=unseen, limits=limits)


def neighbours(made: Learning, eye: Eye, images: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """The nearest training image of each synthetic one.

    Args:
        made: Training images.
        eye: Features.
        images: ``(N, C, *size)``.

    Returns:
        ``pixels`` (root mean square difference on -1 .. 1), ``features``, ``row`` (position among the training
        rows, nearest in pixels) and ``copies``.
    """
    flat = _flat(images)
    pixels, row = nearest(flat, _flat(made.images(made.train)))
    features = nearest(eye.see(images), eye.train)[0]
    near = memorised(pixels, features, limits=eye.limits)
    return {"pixels": pixels, "features": features, "row": row, "copies": near.copies}


def judge(
    folder: RunFolder,
    made: Learning,
    eye: Eye,
    images: NDArray[np.float32],
    labels: NDArray[np.intp],
    emit: Emit,
    *,
    seed: int,
) -> Judged:
    """All figures of some synthetic images, drawn in the proportions of the training part.

    Args:
        folder: Where learning keeps its files.
        made: Real images.
        eye: Features.
        images: Synthetic images ``(N, C, *size)``.
        labels: Their classes.
        emit: Receiver of events.
        seed: Seed of random draws.

    Returns:
        The figures.
    """
    began = monotonic()
    found = Judged()
    emit(Progress(stage="generate", step="Comparing with real images", done=0, total=1))
    seen = eye.see(images)
    rng = np.random.default_rng([seed, 11])
    n = min(len(images), len(made.train))
    real = eye.train[rng.permutation(len(eye.train))[:n]]
    drawn = seen[rng.permutation(len(seen))[:n]]
    if len(eye.unseen) >= _FEWEST and n >= _FEWEST:
        found.figures["fid"] = {
            "value": frechet_distance(drawn, eye.unseen),
            "reference": frechet_distance(real, eye.unseen),
        }
        kid, spread = kernel_distance(drawn, eye.unseen, seed=seed)
        reference, around = kernel_distance(real, eye.unseen, seed=seed)
        found.figures["kid"] = {"value": kid, "spread": spread, "reference": reference, "reference_spread": around}
        precision, recall = precision_recall(eye.unseen, drawn, k=_K)
        ref_precision, ref_recall = precision_recall(eye.unseen, real, k=_K)
        found.figures["precision"] = {"value": precision, "reference": ref_precision}
        found.figures["recall"] = {"value": recall, "reference": ref_recall}
    else:
        made.said(
            emit, f"With fewer than {_FEWEST} unseen real images no distance between the sets can be given.", warn=True
        )
    near = neighbours(made, eye, images)
    share = float(near["copies"].mean())
    if len(made.unseen):
        found.figures["copies"] = {"value": share, "reference": ALARM_SHARE}
    else:
        made.said(emit, "No unseen real image was left to compare with: nobody looked for near-copies.", warn=True)
    found.alarm = share > ALARM_SHARE
    found.facts = {
        "synthetic images judged": f"{len(images):,}",
        "real images learnt from": f"{len(made.train):,}",
        "unseen real images compared with": f"{len(made.unseen):,}",
        "features": eye.words,
        "k of precision and recall": str(_K),
        "near-copies": f"{int(near['copies'].sum()):,} of {len(images):,}",
    }
    emit(Progress(stage="generate", step="Comparing with real images", done=1, total=1))
    if eye.auroc is not None and made.plan is not None and len(set(labels.tolist())) > 1:
        _train_on_synthetic(folder, made, eye, found, (images, labels), emit, seed=seed)
    made.seconds["judging"] = round(monotonic() - began, 1)
    return found


def embed(network: nn.Module, images: NDArray[np.float32], batch: int = 128) -> tuple[NDArray[np.float64], ...]:
    """Embeddings and logits ``(N, F)``, ``(N, n_outputs)`` of images ``(N, C, *size)``."""
    import torch

    network.eval()
    features, logits = [], []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            out = network.explained(torch.from_numpy(np.ascontiguousarray(images[start : start + batch])))  # type: ignore[operator]
            features.append(out["embedding"].float().numpy())
            logits.append(out["logits"].float().numpy())
    return np.concatenate(features).astype(np.float64), np.concatenate(logits).astype(np.float64)


def replace_part(
    store: Store,
    train: NDArray[np.intp],
    unseen: NDArray[np.intp],
    synthetic: tuple[NDArray[np.float32], NDArray[np.intp]] | None = None,
) -> Store:
    """A store in memory: real training rows, or synthetic images in their place, and the unseen real rows."""
    images = store.images[train] if synthetic is None else synthetic[0].astype(np.float16)
    labels = store.labels[train] if synthetic is None else synthetic[1].astype(np.float32)
    ids = [store.ids[r] for r in train] if synthetic is None else [f"synthetic-{k}" for k in range(len(images))]
    groups = [store.groups[r] for r in train] if synthetic is None else ids
    both = np.concatenate([images, store.images[unseen]])
    return replace(
        store,
        images=both,
        ids=[*ids, *(store.ids[r] for r in unseen)],
        part=np.array(["train"] * len(images) + ["val"] * len(unseen)),
        labels=np.concatenate([labels, store.labels[unseen]]),
        groups=[*groups, *(store.groups[r] for r in unseen)],
        digest=f"{store.digest}-{'real' if synthetic is None else 'synthetic'}-{len(images)}-{float(both.astype(np.float64).sum()):.6g}",
        seen=[],
    )


def _classifier(
    folder: RunFolder, made: Learning, store: Store, name: str, emit: Emit, *, seed: int
) -> tuple[nn.Module, NDArray[np.float64], Evaluation]:
    """Train on a store and judge on the unseen real images."""
    from scanwright.evaluation import evaluate
    from scanwright.training import network, train

    plan = made.plan
    if plan is None:
        raise ValueError("a classifier needs a plan")
    trained = train(plan, store, work=folder.work / f"classifier-{name}", emit=emit, devices=1)
    net = network(trained, plan)
    logits = embed(net, made.images(made.unseen))[1]
    judged = evaluate(
        _chances(logits),
        made.labels(made.unseen),
        task=plan.task,
        classes=plan.classes,
        groups=[made.store.groups[r] for r in made.unseen],
        part="val",
        seed=seed,
    )
    return net, logits, judged


def _train_on_synthetic(
    folder: RunFolder,
    made: Learning,
    eye: Eye,
    found: Judged,
    synthetic: tuple[NDArray[np.float32], NDArray[np.intp]],
    emit: Emit,
    *,
    seed: int,
) -> None:
    from scanwright.evaluation.paired import paired_difference

    store = replace_part(made.store, made.train, made.unseen, synthetic)
    _, logits, judged = _classifier(folder, made, store, "synthetic", emit, seed=seed)
    for name, one in (("auroc_synthetic", judged), ("auroc_real", eye.auroc)):
        if one is not None and "auroc" in one.metrics:
            figure = one.metrics["auroc"]
            found.figures[name] = {"value": figure.value, "low": figure.low, "high": figure.high}
    plan = made.plan
    if plan is None or eye.logits is None:
        return
    groups = [made.store.groups[r] for r in made.unseen]
    gap = paired_difference(
        _chances(logits), _chances(eye.logits), made.labels(made.unseen), task=plan.task, groups=groups, seed=seed
    )
    found.figures["auroc_synthetic"] |= {"reference": found.figures["auroc_real"]["value"], "gap": gap.value}
    found.figures["auroc_synthetic"] |= {"gap_low": gap.low, "gap_high": gap.high}
    steps = plan.candidates[0].final_steps
    found.facts["classifiers"] = (
        f"{plan.candidates[0].name}, {steps} steps each; {len(synthetic[0]):,} synthetic or {len(made.train):,} real "
        "images to train on, the same unseen real images to test on"
    )


def _chances(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities ``(N, K)`` of logits ``(N, 1)`` or ``(N, K)``."""
    if logits.shape[1] == 1:
        yes = 1 / (1 + np.exp(-logits))
        return np.concatenate([1 - yes, yes], axis=1)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def _fixed(made: Learning) -> nn.Module:
    from scanwright.models import build

    spec = made.spec
    return build("features", dimension=spec.dimension, in_channels=spec.channels, n_outputs=1)


def _main_directions(rows: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Directions ``(F, P)`` in which many features differ most, scaled to unit spread; None for few features."""
    if rows.shape[1] <= _MOST_FEATURES:
        return None
    values, vectors = np.linalg.eigh(np.cov(rows[:2000], rowvar=False))
    kept = min(_DIRECTIONS, len(rows) // 4 + 1)
    return np.asarray(vectors[:, -kept:] / np.sqrt(np.maximum(values[-kept:], 1e-6)))


def _flat(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows whose distances are root mean square differences; large images by the means of equal parts."""
    most = _LONGEST_COMPARED[images.ndim - 2]
    small = shrink(images, [min(n, most) for n in images.shape[2:]])
    return small.reshape(len(small), -1) / np.float32(math.sqrt(small[0].size if len(small) else 1))
