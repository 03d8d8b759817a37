"""From the figures of many cases to means with intervals, and to honest warnings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import CohortError, InputError
from scanwright.core.prediction import Evaluation, Interval
from scanwright.evaluation.masks.caution import warnings_of
from scanwright.evaluation.masks.chances import Reliability
from scanwright.evaluation.masks.figures import FIGURES, WHOLE_FIGURES
from scanwright.evaluation.masks.froc import RATES, Froc
from scanwright.evaluation.masks.surface import Floats
from scanwright.evaluation.resampling import group_index, percentile_bounds, resample, sum_by_group

INSTANCES = "instances"
"""Key of a case's figures of separated objects, beside its structures."""
ANY_STRUCTURE = "(any structure)"
"""Name of the curves of all structures together."""
_COUNTS = ("n_missed", "n_invented")
"""Summed over cases, not averaged."""
_LIMIT = 1.96
"""Standard deviations of the limits of agreement."""


def evaluate_masks(
    figures: Sequence[Mapping[str, Mapping[str, float]]],
    *,
    classes: Sequence[str],
    ids: Sequence[str],
    groups: Sequence[Any] | NDArray[Any] | None = None,
    part: Literal["train", "val", "test", "external"] = "test",
    who: str = "model",
    n_bootstrap: int = 1000,
    seed: int = 0,
    pictures: bool = False,
    froc: Froc | Mapping[str, Froc] | None = None,
    reliability: Reliability | None = None,
) -> Evaluation:
    """Judge the masks of one part.

    A figure of a structure is its mean over the cases in which it can be computed; a figure of
    the whole is the plain mean over structures. Intervals are those of
    :func:`scanwright.evaluation.evaluate`: patients drawn with replacement.

    Args:
        figures: One mapping a case: structure to its
            :func:`~scanwright.evaluation.masks.case_figures`; under ``"instances"`` perhaps its
            :func:`~scanwright.evaluation.masks.instance_figures`.
        classes: Names of the structures.
        ids: ``(N,)`` names of the cases.
        groups: ``(N,)`` patient of each case; None when every case is a patient.
        part: Which part this is.
        who: ``"model"``, or a baseline.
        n_bootstrap: Number of resamples; 0 gives no intervals (NaN).
        seed: Seed of the draws.
        pictures: Whether amounts are areas.
        froc: Candidates of the same cases in the same order, of all structures or of each.
        reliability: Probability map against truth, all cases.

    Returns:
        ``metrics`` and ``per_class`` by the names of :data:`FIGURES` (``volume_error_ml`` is the mean
        of its size, ``volume_bias_ml`` the signed mean, ``n_missed`` and ``n_invented`` sums without
        an interval); also ``instance_…``, ``cpm`` and ``ece`` where they were given. ``cases``: one row
        a case, lowest mean Dice first, cases without a Dice last; a figure that cannot be computed is
        None. ``curves``: ``"bland_altman"`` (``mean``, ``difference``, ``bias``, ``low``, ``high``
        and both as ``limits``), ``"froc"`` (``x``, ``y``, ``rate``, ``at``) and ``"reliability"``.

    Raises:
        InputError: Lengths do not fit, or a structure is unknown.
        CohortError: There is no case.

    Source:
        Percentile bootstrap over clusters: Efron and Tibshirani 1993. Limits of agreement: bias
        ± 1.96 standard deviations, Bland and Altman 1986.
    """
    _check(figures, classes, ids, groups)
    group = group_index(groups, len(ids))
    names, values = _stacked(figures, classes)
    overall, per_class = _structure_intervals(names, values, classes, group, n_bootstrap, seed)
    overall |= _instance_intervals(figures, group, n_bootstrap, seed)
    curves: dict[str, dict[str, dict[str, list[float]]]] = {"bland_altman": _bland_altman(figures, classes)}
    if froc is not None:
        found = froc if isinstance(froc, Mapping) else {ANY_STRUCTURE: froc}
        overall["cpm"], by_name, curves["froc"] = _froc(found, group, n_bootstrap, seed)
        for name, cpm in by_name.items():
            if name in per_class:
                per_class[name]["cpm"] = cpm
    if reliability is not None:
        overall["ece"] = Interval(reliability.ece, math.nan, math.nan)
        curves["reliability"] = {ANY_STRUCTURE: reliability.curve()}
    judged = Evaluation(
        part=part,
        task="segment",
        classes=tuple(classes),
        n_cases=len(ids),
        n_patients=int(group.max()) + 1,
        metrics=overall,
        per_class=per_class,
        curves=curves,
        cases=_rows(figures, classes, ids, groups),
        who=who,
    )
    return Evaluation(**{**judged.__dict__, "warnings": warnings_of(judged, pictures=pictures)})


def mask_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row a case, for ``predictions.csv``.

    Args:
        evaluation: From :func:`evaluate_masks`.

    Returns:
        Columns ``case, patient, part, dice`` (mean over structures), then ``<figure>:<structure>``;
        what cannot be computed is an empty text.
    """
    return [
        {
            "case": row["case"],
            "patient": row["patient"],
            "part": evaluation.part,
            "dice": _cell(row["dice"]),
            **{key: _cell(value) for key, value in row.items() if ":" in key},
        }
        for row in evaluation.cases
    ]


def _check(
    figures: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    ids: Sequence[str],
    groups: Sequence[Any] | NDArray[Any] | None,
) -> None:
    if not len(figures):
        raise CohortError("There is no case to judge.", "A part needs one at least.", "Give this part more cases.")
    if len(ids) != len(figures) or (groups is not None and len(groups) != len(figures)):
        raise InputError(
            f"There are {len(figures)} cases of figures and {len(ids)} names.",
            "Figures, names and patients belong together.",
            "Give one of each for every case.",
        )
    unknown = {name for row in figures for name in row} - {*classes, INSTANCES}
    if unknown:
        raise InputError(
            f"The structures {', '.join(sorted(unknown))} are unknown.",
            f"They are {', '.join(classes)}.",
            "Name them as the plan does.",
        )


def _stacked(figures: Sequence[Mapping[str, Mapping[str, float]]], classes: Sequence[str]) -> tuple[list[str], Floats]:
    """Names of the figures, and ``(N, K, F)`` values, NaN where there is none."""
    given = {figure for row in figures for c in classes for figure in row.get(c, {})}
    if "volume_error_ml" in given:
        given.add("volume_bias_ml")
    names = [name for name in FIGURES if name in given]
    read = {name: "volume_error_ml" if name == "volume_bias_ml" else name for name in names}
    rows = [[[row.get(c, {}).get(read[n], math.nan) for n in names] for c in classes] for row in figures]
    values = np.asarray(rows, dtype=np.float64).reshape(len(figures), len(classes), len(names))
    if "volume_error_ml" in names:
        values[:, :, names.index("volume_error_ml")] = np.abs(values[:, :, names.index("volume_error_ml")])
    return names, values


def _means(values: Floats, group: NDArray[np.intp], n_bootstrap: int, seed: int) -> tuple[dict[str, Floats], ...]:
    """Means over cases ``each`` (K, F) and over structures ``all`` (F), of the cohort and its resamples."""
    n, k, f = values.shape
    known = np.isfinite(values)
    sums = sum_by_group(np.where(known, values, 0.0).reshape(n, k * f), group)
    counts = sum_by_group(known.astype(np.float64).reshape(n, k * f), group)

    def compute(weights: Floats) -> dict[str, Floats]:
        with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # no structure can give it: NaN is the answer
            each = ((weights @ sums) / (weights @ counts)).reshape(-1, k, f)
            return {"each": each, "all": np.nanmean(each, axis=1)}

    return resample(compute, len(sums), n_bootstrap=n_bootstrap, seed=seed, cells=k * f)


def _structure_intervals(
    names: list[str],
    values: Floats,
    classes: Sequence[str],
    group: NDArray[np.intp],
    n_bootstrap: int,
    seed: int,
) -> tuple[dict[str, Interval], dict[str, dict[str, Interval]]]:
    point, drawn = _means(values, group, n_bootstrap, seed)
    bounds = {key: percentile_bounds(found) for key, found in drawn.items()}
    overall = {n: _interval(point["all"][f], *(b[f] for b in bounds["all"])) for f, n in enumerate(names)}
    per_class = {
        c: {n: _interval(point["each"][k, f], *(b[k, f] for b in bounds["each"])) for f, n in enumerate(names)}
        for k, c in enumerate(classes)
    }
    for f, name in enumerate(names):
        if name in _COUNTS:
            totals = np.nansum(values[:, :, f], axis=0)
            overall[name] = _interval(totals.sum(), math.nan, math.nan)
            for k, c in enumerate(classes):
                per_class[c][name] = _interval(totals[k], math.nan, math.nan)
    return overall, per_class


def _instance_intervals(
    figures: Sequence[Mapping[str, Mapping[str, float]]], group: NDArray[np.intp], n_bootstrap: int, seed: int
) -> dict[str, Interval]:
    names = [n for n in WHOLE_FIGURES if any(n.removeprefix("instance_") in row.get(INSTANCES, {}) for row in figures)]
    if not names:
        return {}
    rows = [[row.get(INSTANCES, {}).get(n.removeprefix("instance_"), math.nan) for n in names] for row in figures]
    point, drawn = _means(np.asarray(rows, dtype=np.float64)[:, None], group, n_bootstrap, seed)
    low, high = percentile_bounds(drawn["all"])
    return {n: _interval(point["all"][f], low[f], high[f]) for f, n in enumerate(names)}


def _froc(
    found: Mapping[str, Froc], group: NDArray[np.intp], n_bootstrap: int, seed: int
) -> tuple[Interval, dict[str, Interval], dict[str, dict[str, list[float]]]]:
    """Mean CPM over structures, each structure's, and their curves."""
    if any(len(one) != len(group) for one in found.values()):
        raise InputError(
            f"The free-response curve holds {', '.join(str(len(f)) for f in found.values())} cases of {len(group)}.",
            "It takes in every case once, in order.",
            "Call add for each case.",
        )

    def compute(weights: Floats) -> dict[str, Floats]:
        by_case = weights[:, group]
        each = np.stack([one.at_rates(by_case) for one in found.values()], axis=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # no lesion was drawn: NaN is the answer
            return {"at": each, "cpm": each.mean(axis=2), "all": np.nanmean(each.mean(axis=2), axis=1)}

    longest = max((one.n_scores for one in found.values()), default=1)
    n_groups = int(group.max()) + 1
    point, drawn = resample(compute, n_groups, n_bootstrap=n_bootstrap, seed=seed, cells=max(longest, len(group)))
    low, high = percentile_bounds(drawn["cpm"])
    by_name = {name: _interval(point["cpm"][k], low[k], high[k]) for k, name in enumerate(found)}
    curves = {
        name: {**one.curve(), "rate": list(RATES), "at": [round(float(v), 6) for v in point["at"][k]]}
        for k, (name, one) in enumerate(found.items())
        if one.n_lesions
    }
    return _interval(point["all"], *percentile_bounds(drawn["all"])), by_name, curves


def _bland_altman(
    figures: Sequence[Mapping[str, Mapping[str, float]]], classes: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
    out = {}
    for name in classes:
        rows = [row[name] for row in figures if "volume_truth_ml" in row.get(name, {})]
        truth = np.array([row["volume_truth_ml"] for row in rows])
        answer = np.array([row["volume_answer_ml"] for row in rows])
        if not len(rows):
            continue
        difference = answer - truth
        bias, spread = difference.mean(), difference.std(ddof=1) if len(rows) > 1 else 0.0
        out[name] = {
            "mean": _plain((truth + answer) / 2),
            "difference": _plain(difference),
            "bias": _plain([bias]),
            "low": _plain([bias - _LIMIT * spread]),
            "high": _plain([bias + _LIMIT * spread]),
            "limits": _plain([bias - _LIMIT * spread, bias + _LIMIT * spread]),
        }
    return out


def _rows(
    figures: Sequence[Mapping[str, Mapping[str, float]]],
    classes: Sequence[str],
    ids: Sequence[str],
    groups: Sequence[Any] | NDArray[Any] | None,
) -> tuple[dict[str, Any], ...]:
    rows = []
    for n, (row, name) in enumerate(zip(figures, ids, strict=True)):
        dice = [row[c]["dice"] for c in classes if math.isfinite(row.get(c, {}).get("dice", math.nan))]
        rows.append(
            {
                "case": str(name),
                "patient": str(name if groups is None else groups[n]),
                "dice": sum(dice) / len(dice) if dice else None,
                **{
                    f"{figure}:{c}": _finite(value)
                    for c in (*classes, INSTANCES)
                    for figure, value in row.get(c, {}).items()
                },
            }
        )
    return tuple(sorted(rows, key=lambda row: (row["dice"] is None, row["dice"] or 0.0)))


def _interval(value: Any, low: Any, high: Any) -> Interval:
    return Interval(float(value), float(low), float(high))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _cell(value: float | None) -> float | str:
    return "" if value is None else round(value, 6)


def _plain(values: Any) -> list[float]:
    return [round(float(v), 6) for v in values]
