"""What is shipped beside the network, so that its numbers mean what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from scanwright.core.cohort import TASKS, Task
from scanwright.core.errors import InputError, ModelFileError
from scanwright.trust.calibration import calibrated_sigmoid, calibrated_softmax, fit_sigmoid, fit_softmax
from scanwright.trust.operating import TOWARDS_PRIOR, check_rule, choose_cut

Floats = NDArray[np.float64]
TRUST_FORMAT = "scanwright-trust/1"


@dataclass(frozen=True)
class Trust:
    """Calibration and operating point of one model.

    Args:
        task: Task.
        classes: K names.
        temperature: Divides the logits (after the bias).
        bias: Added to the logits: one for ``binary``, K for the other class tasks, none for ``regress``.
        cuts: Raw logits from which a label counts as present: one for ``binary``, K for
            ``multilabel``; for ``multiclass`` and ``ordinal`` K offsets that are added to the
            log probabilities before the largest is taken; none for ``regress``.
        rule: How the operating point was chosen.
        n_validation: Cases that it was fitted on.
        statistics: Simple facts of the validation logits and inputs, to notice drift later.
    """

    task: Task
    classes: tuple[str, ...]
    temperature: float = 1.0
    bias: tuple[float, ...] = ()
    cuts: tuple[float, ...] = ()
    rule: str = "balanced"
    n_validation: int = 0
    statistics: Mapping[str, float] = field(default_factory=dict)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Calibrated probability from which each label counts as present; empty for one-of-many tasks."""
        if self.task not in ("binary", "multilabel"):
            return ()
        return tuple(
            float(v) for v in calibrated_sigmoid(np.asarray(self.cuts), self.temperature, np.asarray(self.bias))
        )

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Calibrated probabilities.

        Args:
            logits: ``(N, n_outputs)``, or ``(N,)`` where there is one output.

        Returns:
            ``(N, K)``; two columns for ``binary``; ``(N, 1)`` values for ``regress``.

        Raises:
            InputError: The shape does not fit the task.
        """
        z = as_logits(logits, self.task, len(self.classes))
        if self.task == "regress":
            return z
        bias = np.asarray(self.bias)
        if self.task == "binary":
            p = calibrated_sigmoid(z, self.temperature, bias)
            return np.concatenate([1 - p, p], axis=1)
        if self.task == "multilabel":
            return calibrated_sigmoid(z, self.temperature, bias)
        return calibrated_softmax(z, self.temperature, bias)

    def uncalibrated(self, logits: ArrayLike) -> Floats | None:
        """Probabilities as the network alone would give them, to show what calibration changed.

        Args:
            logits: As in :meth:`probabilities`.

        Returns:
            As in :meth:`probabilities`; None for ``regress``, which has nothing to calibrate.
        """
        if self.task == "regress":
            return None
        return replace(self, temperature=1.0, bias=(0.0,) * len(self.bias)).probabilities(logits)

    def answers(self, probabilities: ArrayLike) -> NDArray[np.intp]:
        """Decide by the operating point.

        Args:
            probabilities: ``(N, K)`` from :meth:`probabilities`.

        Returns:
            ``(N,)`` class indices; ``(N, K)`` of 1 and 0 for ``multilabel``.

        Raises:
            InputError: The task is ``regress``, which has no answer but the number.
        """
        if self.task == "regress":
            raise InputError(
                "A regress model gives a number.", "Only classes have an operating point.", "Use probabilities()."
            )
        p = np.asarray(probabilities, dtype=np.float64)
        if self.task == "binary":
            return (p[:, 1] >= self.thresholds[0]).astype(np.intp)
        if self.task == "multilabel":
            return (p >= np.asarray(self.thresholds)).astype(np.intp)
        with np.errstate(divide="ignore"):
            return np.asarray((np.log(p) + np.asarray(self.cuts)).argmax(axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for ``trust.json``."""
        return {
            "format": TRUST_FORMAT,
            **asdict(self),
            "classes": list(self.classes),
            "bias": list(self.bias),
            "cuts": list(self.cuts),
            "thresholds": list(self.thresholds),
            "statistics": dict(self.statistics),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trust:
        """Read ``trust.json``.

        Args:
            values: What :meth:`to_dict` gave.

        Returns:
            The trust.

        Raises:
            ModelFileError: A value is missing, of the wrong kind or from another format.
        """
        try:
            if values["format"] != TRUST_FORMAT or values["task"] not in TASKS:
                raise ValueError(f"format {values['format']!r}, task {values['task']!r}")
            known = {f.name: values[f.name] for f in fields(cls)}
            numbers = {name: tuple(float(v) for v in known[name]) for name in ("bias", "cuts")}
            made = cls(
                **{
                    **known,
                    **numbers,
                    "classes": tuple(str(c) for c in known["classes"]),
                    "temperature": float(known["temperature"]),
                    "n_validation": int(known["n_validation"]),
                    "statistics": {str(k): float(v) for k, v in known["statistics"].items()},
                }
            )
            made._check()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelFileError(
                f"The calibration in the model file cannot be read ({error}).",
                f"It must be {TRUST_FORMAT} as `scanwright pack` writes it.",
                "Pack the model again.",
            ) from None
        return made

    def _check(self) -> None:
        n = {"binary": 1, "regress": 0}.get(self.task, len(self.classes))
        if len(self.bias) != n or len(self.cuts) != n:
            raise ValueError(f"{len(self.bias)} biases and {len(self.cuts)} cuts for {n} outputs")
        if not self.temperature > 0 or not np.isfinite([self.temperature, *self.bias, *self.cuts]).all():
            raise ValueError("a temperature, bias or cut is not a usable number")


def fit_trust(
    logits: ArrayLike,
    truth: ArrayLike | Sequence[Any],
    *,
    task: Task,
    classes: Sequence[str],
    rule: str = "middle",
    train_shares: Sequence[float] | None = None,
) -> Trust:
    """Fit calibration and operating point on validation.

    Temperature and biases minimise the negative log-likelihood plus weak priors, so that a
    tiny or perfectly separated validation part cannot push them far. The cut starts at the
    balanced point of training and moves as :func:`~scanwright.trust.operating.choose_cut` says.

    Args:
        logits: ``(N, n_outputs)``, or ``(N,)``: one logit for ``binary`` and ``regress``.
        truth: ``(N,)`` class indices or numbers, ``(N, K)`` of 1, 0, missing for ``multilabel``.
            None and NaN are left out.
        task: Task.
        classes: K names.
        rule: ``"middle"``, ``"balanced"``, ``"accuracy"``, ``"sensitivity>=0.95"`` …; the last
            kind for ``binary`` and ``multilabel`` only.
        train_shares: Shares of the classes as training showed them to the network (of the
            positive for each label in ``multilabel``); None for balanced sampling.

    Returns:
        The fitted trust.

    Raises:
        InputError: Shapes do not fit, or the rule is unknown or not for this task.

    Source:
        Guo et al. 2017; Alexandari et al. 2020; Breiman et al. 1984.
    """
    check_rule(rule)
    if task in ("multiclass", "ordinal") and ">=" in rule:
        raise InputError(
            f"The rule {rule!r} was given for a {task} task.",
            "A floor of sensitivity or specificity needs two classes, or labels of their own.",
            "Take balanced or accuracy.",
        )
    z = as_logits(logits, task, len(classes))
    labels = _as_labels(truth, task, z)
    kept = np.isfinite(labels).any(axis=1)
    z, labels = z[kept], labels[kept]
    facts = _statistics(z)
    if task == "regress":
        residual = {"residual_sd": float(np.std(labels - z))} if len(z) else {}
        return Trust(task, tuple(classes), rule=rule, n_validation=len(z), statistics=facts | residual)
    if task in ("binary", "multilabel"):
        temperature, bias = fit_sigmoid(z, labels)
        cuts = _cuts(z, labels, rule, _starts(train_shares, task, z.shape[1]), temperature)
    else:
        temperature, bias = fit_softmax(z, labels[:, 0].astype(np.intp))
        shares = np.asarray(train_shares) if train_shares is not None else np.full(len(classes), 1 / len(classes))
        undo = bias / temperature + np.log(np.clip(shares, 1e-6, 1))  # back to the logits that training balanced
        cuts = tuple((1 - TOWARDS_PRIOR.get(rule, 0.0)) * -undo)
    return Trust(
        task=task,
        classes=tuple(classes),
        temperature=temperature,
        bias=tuple(float(b) for b in bias),
        cuts=tuple(float(c) for c in cuts),
        rule=rule,
        n_validation=len(z),
        statistics=facts,
    )


def as_logits(logits: ArrayLike, task: Task, n_classes: int) -> Floats:
    """Give logits the shape ``(N, n_outputs)``.

    Args:
        logits: Raw outputs.
        task: Task.
        n_classes: K.

    Returns:
        Float columns.

    Raises:
        InputError: The shape does not fit, or a value is not finite.
    """
    z = np.asarray(logits, dtype=np.float64)
    z = z[:, None] if z.ndim == 1 else z
    wanted = 1 if task in ("binary", "regress") else n_classes
    if z.ndim != 2 or z.shape[1] != wanted:
        raise InputError(
            f"The logits have the shape {np.shape(logits)}.",
            f"A {task} model with {n_classes} classes gives (N, {wanted}).",
            "Give the network's raw outputs.",
        )
    if not np.isfinite(z).all():
        bad = int((~np.isfinite(z)).any(axis=1).sum())
        raise InputError(
            f"{bad} of {len(z)} cases have logits that are not numbers.",
            "Every logit must be finite.",
            "Train again with a lower learning rate.",
        )
    return z


def _as_labels(truth: ArrayLike | Sequence[Any], task: Task, z: Floats) -> Floats:
    width = z.shape[1] if task == "multilabel" else 1
    rows = [[np.nan] * width if t is None else np.atleast_1d(np.asarray(t, dtype=np.float64)) for t in truth]  # type: ignore[union-attr]
    labels = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1 if rows else width)
    if labels.shape != (len(z), width):
        raise InputError(
            f"The truth has the shape {labels.shape} beside logits of shape {z.shape}.",
            "Every case needs its labels.",
            "Give truth and logits in the same order and number.",
        )
    return labels


def _starts(train_shares: Sequence[float] | None, task: Task, n: int) -> Floats:
    """The cut that training aimed at: 0 when it showed both classes equally often."""
    if train_shares is None:
        return np.zeros(n)
    shares = np.asarray(train_shares, dtype=np.float64)
    return np.asarray(logit(np.clip(shares[-1:] if task == "binary" else shares, 1e-6, 1 - 1e-6)))


def _cuts(z: Floats, labels: Floats, rule: str, starts: Floats, temperature: float) -> tuple[float, ...]:
    """A cut for each logit; the odds of the classes count on the calibrated scale, as logits do not."""
    towards = TOWARDS_PRIOR.get(rule, 0.0) * temperature
    known = np.isfinite(labels)
    columns = range(z.shape[1])
    return tuple(
        choose_cut(
            z[known[:, k], k],
            labels[known[:, k], k].astype(np.intp),
            rule,
            start=float(starts[k]) - towards * _log_odds(labels[known[:, k], k]),
        )
        for k in columns
    )


def _log_odds(labels: Floats) -> float:
    """Log-odds of the positive on validation, five cases added to each side against small parts."""
    positive = float(labels.sum())
    return float(np.log((positive + 5.0) / (len(labels) - positive + 5.0)))


def _statistics(z: Floats) -> dict[str, float]:
    if not len(z):
        return {}
    quantiles = np.percentile(z, (1, 50, 99), axis=0)
    named = {"p01": quantiles[0], "p50": quantiles[1], "p99": quantiles[2], "mean": z.mean(axis=0), "sd": z.std(axis=0)}
    return {f"logit{k}_{name}": round(float(v[k]), 6) for name, v in named.items() for k in range(z.shape[1])}
