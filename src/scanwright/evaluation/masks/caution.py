"""What a reader must know before believing a figure of masks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scanwright.core.prediction import Evaluation
from scanwright.evaluation.caution import FEW_PATIENTS

WIDE = 0.1
"""Width of a Dice interval that says little."""
MOST_NAMED = 5
_FEWEST_FOR_WHISKERS = 5


def warnings_of(judged: Evaluation, *, pictures: bool = False) -> tuple[str, ...]:
    """Sentences about structures never found, cases far below the rest, and small numbers.

    Args:
        judged: Figures and cases, without warnings.
        pictures: Whether amounts are areas.

    Returns:
        Plain sentences, the gravest first.
    """
    sentences = [s for name in judged.classes for s in _presence(judged, name, "image" if pictures else "volume")]
    for name in judged.classes:
        sentences += _below_whisker(judged, name)
    return (*sentences, *_small(judged))


def below_whisker(values: Sequence[float]) -> float:
    """The lower whisker: first quartile less 1.5 interquartile ranges.

    Args:
        values: ``(N,)``, finite.

    Returns:
        Value below which one lies far from the rest.

    Source:
        Tukey 1977; quartiles as numpy (linear between ranks).
    """
    low, high = np.percentile(values, (25, 75))
    return float(low - 1.5 * (high - low))


def _presence(judged: Evaluation, name: str, image: str) -> Iterator[str]:
    """Structures that are not there, not found, or made up."""
    rows = [row for row in judged.cases if any(key.endswith(f":{name}") for key in row)]
    here = [row for row in rows if _has(row, name, "volume_truth_ml")]
    answered = [row for row in rows if _has(row, name, "volume_answer_ml")]
    if rows and not here:
        yield f"No {image} of this part has “{name}”: how well it is found cannot be judged here."
    elif here and not any(_of(row, name, "dice") for row in rows):
        yield f"“{name}” was never found: {_cases(len(here))} {'has' if len(here) == 1 else 'have'} it, and no answer overlaps it."
    missed = [row["case"] for row in here if row not in answered]
    invented = [row["case"] for row in answered if row not in here]
    if missed:
        yield (
            f"Nothing was answered in {len(missed)} of {_cases(len(here))} with “{name}” (left out of its distances): "
            f"{_listed(missed)}."
        )
    if invented:
        yield f"“{name}” was answered in {_cases(len(invented))} without it (left out of its distances): {_listed(invented)}."
    if here and len(here) < len(rows):
        empty = len(rows) - len(here)
        yield (
            f"{empty} of {_cases(len(rows))} {'has' if empty == 1 else 'have'} no “{name}”: Dice is 0 where something was answered there, "
            "and left out where nothing was."
        )


def _below_whisker(judged: Evaluation, name: str) -> Iterator[str]:
    found = [(_of(row, name, "dice"), row["case"]) for row in judged.cases]
    scored = sorted((dice, case) for dice, case in found if dice is not None)
    if len(scored) < _FEWEST_FOR_WHISKERS:
        return
    limit = below_whisker([dice for dice, _ in scored])
    far = [f"{case} ({dice:.3f})" for dice, case in scored if dice < limit]
    if far:
        yield f"Far below the rest in Dice of “{name}” (under {limit:.3f}): {_listed(far)}. Look at these first."


def _small(judged: Evaluation) -> Iterator[str]:
    if judged.n_patients < FEW_PATIENTS:
        yield f"Only {judged.n_patients} patients: the intervals are rough, and narrower than they should be."
    wide = [
        f"“{name}” {row['dice']}"
        for name, row in judged.per_class.items()
        if "dice" in row and math.isfinite(row["dice"].low) and row["dice"].high - row["dice"].low > WIDE
    ]
    if wide:
        yield f"The interval is wider than {WIDE:g}: Dice of {', '.join(wide)}. More cases are needed."


def _of(row: dict[str, Any], name: str, figure: str) -> float | None:
    value = row.get(f"{figure}:{name}")
    return None if value is None else float(value)


def _has(row: dict[str, Any], name: str, figure: str) -> bool:
    return bool(_of(row, name, figure))


def _cases(n: int) -> str:
    return f"{n} case" if n == 1 else f"{n} cases"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
