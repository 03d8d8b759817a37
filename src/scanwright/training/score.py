"""How good a network is on validation, as it is and as another scanner might show it.

One clean validation number cannot see what fails elsewhere: the race is scored on the mean
of clean cases and of mild acquisition shifts. The shifts are fixed, and not all of their
kinds are used in training (a light ramp is in no augmentation).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from scanwright.core import Task
from scanwright.evaluation.paired import auroc
from scanwright.training import augment

Floats = NDArray[np.float32]
Logits = dict[str, Floats]
"""``"clean"`` and each shift's name to logits ``(n, n_outputs)``."""


def _ramp(images: Tensor) -> Tensor:
    light = torch.linspace(-0.6, 0.6, images.shape[-1]).to(images)
    return images + light * images.flatten(1).std(1).reshape(-1, *(1,) * (images.ndim - 1))


def _numbers(images: Tensor, *values: float) -> Tensor:
    row = torch.tensor(values, dtype=torch.float64 if len(values) == 2 else torch.float32)
    return row.repeat(len(images)) if len(values) == 1 else row.repeat(len(images), 1)


def _changed(images: Tensor, name: str, *values: float) -> Tensor:
    return augment.apply(images, {name: _numbers(images, *values)})


def _moved(images: Tensor, zoom: float, shift: float) -> Tensor:
    dimension = images.ndim - 2
    drawn = {"scale": _numbers(images, zoom), "shift": torch.full((len(images), dimension), shift)}
    return augment.apply(images, drawn)


SHIFTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contrast": lambda x: _changed(x, "contrast", 0.65),
    "gamma": lambda x: _changed(x, "gamma", 1.45),
    "blur": lambda x: _changed(x, "blur", max(0.7, 0.011 * x.shape[-1])),
    "noise": lambda x: _changed(x, "noise", 0.15, 11.0),
    "low_resolution": lambda x: _changed(x, "low_resolution", 0.55),
    "ramp": _ramp,
    "geometry": lambda x: _moved(x, -0.1, 0.04),
}
"""Name to mild acquisition shift, images ``(B, C, *size)`` to images."""

SHAPE_SHIFTS: dict[str, Callable[[Tensor], Tensor]] = {
    "low_resolution": SHIFTS["low_resolution"],
    "smaller": lambda x: _moved(x, -0.1, 0.03),
    "larger": lambda x: _moved(x, 0.1, -0.03),
}
"""The same for two-valued images, where grey levels mean nothing."""


@dataclass(frozen=True)
class Score:
    """Figures on validation; higher is better but for ``loss``.

    Args:
        score: What candidates are ranked by: mean of ``clean`` and ``shifted``.
        clean: Nine parts main figure, one part balanced accuracy, on the cases as they are.
        shifted: The same, mean over the shifts.
        auroc: Main figure on clean cases: AUROC (macro); for regression 1 - MAE / SD.
        shifted_auroc: Mean of the main figure over the shifts.
        accuracy: Share of right answers on clean cases; nan for regression.
        loss: Validation loss on clean cases.
    """

    score: float
    clean: float
    shifted: float
    auroc: float
    shifted_auroc: float
    accuracy: float
    loss: float = float("nan")

    def measured(self) -> dict[str, float]:
        """Figures for the learning curve."""
        return {
            "val_loss": self.loss,
            "val_accuracy": self.accuracy,
            "val_auroc": self.auroc,
            "shifted_auroc": self.shifted_auroc,
            "score": self.score,
        }


def collect(
    predict: Callable[[Tensor], Tensor],
    images: Callable[[int, int], Tensor],
    *,
    n: int,
    n_shifted: int,
    shifts: dict[str, Callable[[Tensor], Tensor]],
    batch: int = 128,
) -> Logits:
    """Logits on clean and on shifted cases.

    Args:
        predict: Images to logits.
        images: ``(start, stop)`` to images of the validation part.
        n: Clean cases.
        n_shifted: Cases (the first ones) that each shift is applied to.
        shifts: Shifts.
        batch: Cases at a time.
    """
    found: dict[str, list[Floats]] = {name: [] for name in ("clean", *shifts)}
    for start in range(0, n, batch):
        x = images(start, min(start + batch, n))
        found["clean"].append(predict(x).float().cpu().numpy())
        seen = x[: max(0, n_shifted - start)]
        for name, shift in shifts.items():
            if len(seen):
                found[name].append(predict(shift(seen)).float().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items() if parts}


def judge(logits: Logits, labels: Floats, task: Task, *, scale: float = 1.0) -> Score:
    """Figures of logits.

    Args:
        logits: From :func:`collect`; a shift may hold the first rows only.
        labels: ``(n,)`` or ``(n, K)``, NaN where missing.
        task: Task.
        scale: SD that a regression's error is measured in.
    """
    rows = {name: _figures(values, labels[: len(values)], task, scale) for name, values in logits.items()}
    main, balanced, accuracy = rows["clean"]
    clean = _mixed(main, balanced)
    others = [figures for name, figures in rows.items() if name != "clean"]
    shifted = float(np.mean([_mixed(m, b) for m, b, _ in others])) if others else clean
    shifted_main = float(np.mean([m for m, _, _ in others])) if others else main
    return Score((clean + shifted) / 2, clean, shifted, main, shifted_main, accuracy)


def _mixed(main: float, balanced: float) -> float:
    return main if np.isnan(balanced) else 0.9 * main + 0.1 * balanced


def _figures(logits: Floats, labels: Floats, task: Task, scale: float) -> tuple[float, float, float]:
    """Main figure, balanced accuracy, accuracy."""
    if task == "regress":
        known = np.isfinite(labels)
        error = np.abs(logits[known, 0] - labels[known]) if known.any() else np.full(1, scale)
        return 1 - float(error.mean()) / scale, float("nan"), float("nan")
    if task == "multilabel":
        each = [_one_label(logits[:, k], labels[:, k]) for k in range(labels.shape[1])]
        some = [e for e in each if e is not None] or [(0.5, 0.5, 0.5)]
        return _mean([e[0] for e in some]), _mean([e[1] for e in some]), _mean([e[2] for e in some])
    known = np.isfinite(labels)
    logits, truth = logits[known], labels[known].astype(int)
    if task == "binary":
        answer = (logits[:, 0] > 0).astype(int)
        main = auroc(truth == 1, logits[:, 0])
    elif task == "ordinal":
        answer = logits.argmax(1)
        expected = _softmax(logits) @ np.arange(logits.shape[1])
        main = _mean([auroc(truth > k, expected) for k in range(logits.shape[1] - 1)])
    else:
        answer = logits.argmax(1)
        probabilities = _softmax(logits)
        main = _mean([auroc(truth == k, probabilities[:, k]) for k in range(logits.shape[1])])
    recalls = [float((answer[truth == c] == c).mean()) for c in np.unique(truth)]
    return (0.5 if np.isnan(main) else main), float(np.mean(recalls or [0.0])), float((answer == truth).mean())


def _one_label(logits: Floats, labels: Floats) -> tuple[float, float, float] | None:
    known = np.isfinite(labels)
    truth = labels[known] == 1
    if truth.all() or not truth.any():
        return None
    answer = logits[known] > 0
    balanced = (float(answer[truth].mean()) + float((~answer[~truth]).mean())) / 2
    return auroc(truth, logits[known]), balanced, float((answer == truth).mean())


def auroc_error(value: float, n_yes: int, n_no: int) -> float:
    """Standard error of an AUROC.

    Source:
        Hanley and McNeil, Radiology 143:29 (1982).
    """
    n_yes, n_no = max(n_yes, 1), max(n_no, 1)
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (n_yes - 1) * (q1 - value**2) + (n_no - 1) * (q2 - value**2)
    return float(np.sqrt(max(spread, 0.0) / (n_yes * n_no)))


def _softmax(logits: Floats) -> NDArray[np.float64]:
    found: NDArray[np.float64] = functional.softmax(torch.from_numpy(logits).double(), dim=1).numpy()
    return found


def _mean(values: list[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")
