"""What a reader must know before believing a figure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from scanwright.core.prediction import Evaluation, Interval
from scanwright.evaluation.scored import Scored

FEW_CASES = 10
FEW_PATIENTS = 30
WIDE = 0.2
"""Width of an AUROC interval that says little."""


def warnings_of(judged: Evaluation, scored: Scored, n_unlabelled: int = 0) -> tuple[str, ...]:
    """Sentences about floors, small numbers and missing classes.

    Args:
        judged: Figures without warnings.
        scored: The cases.
        n_unlabelled: Cases left out because they have no label.

    Returns:
        Plain sentences, the gravest first.
    """
    found = [*_single_class(judged, scored)]
    if judged.who in ("model", "uncalibrated"):
        found += [*_no_better(judged, scored)] if not found else []
        found += [*_small(judged, scored)]
    if n_unlabelled:
        found.append(f"{n_unlabelled} cases without a label are left out.")
    missing = int((~scored.known).sum())
    if missing:
        found.append(f"{missing} of {scored.known.size} labels are missing and are left out.")
    return tuple(found)


def _single_class(judged: Evaluation, scored: Scored) -> Iterator[str]:
    if scored.task == "regress":
        if np.ptp(scored.truth) == 0:
            yield f"All {judged.n_cases} cases have the same value: correlation and R² cannot be judged here."
        return
    counts = _counts(scored)
    if scored.single and (counts > 0).sum() == 1:
        only = judged.classes[int(counts.argmax())]
        yield f"This part holds only “{only}” cases: how well the model tells classes apart cannot be judged here."
    elif scored.single and (counts == 0).any():
        names = ", ".join(f"“{c}”" for c, n in zip(judged.classes, counts, strict=True) if n == 0)
        yield f"No cases of {names} in this part: they are left out of every average."


def _no_better(judged: Evaluation, scored: Scored) -> Iterator[str]:
    if scored.task == "regress":
        r2 = judged.metrics["r2"]
        if r2.low <= 0:
            yield f"R² {_say(r2)} is no better than always answering the mean."
        return
    counts, accuracy, auroc = _counts(scored), judged.metrics["accuracy"], judged.metrics["auroc"]
    if auroc.low <= 0.5:
        yield f"AUROC {_say(auroc)} is no better than guessing."
    if scored.single:
        floor, answer = counts.max() / counts.sum(), f"always answering “{judged.classes[int(counts.argmax())]}”"
    else:
        shares = counts / np.maximum(scored.known.sum(axis=0), 1)
        floor, answer = float(np.maximum(shares, 1 - shares).mean()), "always giving the commoner answer for each label"
    if accuracy.low <= floor:
        yield f"Accuracy {_say(accuracy)} is no better than {answer} ({floor:.3f}). Judge by AUROC and balanced accuracy."


def _small(judged: Evaluation, scored: Scored) -> Iterator[str]:
    if judged.n_patients < FEW_PATIENTS:
        yield f"Only {judged.n_patients} patients: the intervals are rough, and narrower than they should be."
    if scored.task == "regress":
        return
    counts = _counts(scored)
    few = [f"{int(n)} of “{c}”" for c, n in zip(judged.classes, counts, strict=True) if 0 < n < FEW_CASES]
    if few:
        yield f"Too few cases to judge: {', '.join(few)} (at least {FEW_CASES} are needed, better 50)."
    shown = [
        c for k, c in enumerate(judged.classes) if counts[k] >= FEW_CASES and not (scored.task == "binary" and k == 0)
    ]
    wide = [c for c in shown if judged.per_class[c]["auroc"].high - judged.per_class[c]["auroc"].low > WIDE]
    if wide:
        names = ", ".join(f"“{c}” {_say(judged.per_class[c]['auroc'])}" for c in wide)
        yield f"The interval is wider than {WIDE:g}: AUROC of {names}. More cases are needed."
    right = judged.metrics["accuracy"].value
    if right == 1.0 and judged.n_patients:
        bound = min(1.0, 3 / judged.n_patients)
        yield f"No error in {judged.n_patients} patients: the true error rate may still be up to {bound:.1%} (rule of three)."


def _counts(scored: Scored) -> np.ndarray:
    return np.asarray((scored.truth * scored.known).sum(axis=0))


def _say(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"{interval.value:.3f}"
    return str(interval)
