"""Fit the model of a table's columns: ages, sexes, scores, thousands of genes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Task
from scanwright.training.classical import main_directions, solve
from scanwright.trust.columns import Cell, Column, Columns, as_number, as_word, features

_MOST_LEVELS = 20
_NUMBERS = 0.9
"""Share of the filled cells that must be numbers (or dates) for a column of them."""
_FILLED = 0.1
"""Columns with fewer filled cells are left out."""
_MANY = 64
"""From so many numeric columns on, they are a matrix (gene expression): few directions of it are fitted."""


def fit_columns(
    rows: Sequence[Mapping[str, Cell]],
    labels: NDArray[np.floating],
    groups: Sequence[str],
    names: Sequence[str],
    *,
    task: Task,
    n_outputs: int,
    seed: int,
) -> tuple[Columns, list[str]]:
    """Fit a logistic (or ridge) regression on the columns of the training part.

    Everything is learnt from these rows alone: means, spreads, levels, which columns vary, main directions.
    Of many numeric columns those that vary least are left out (the lower half by variance, where there are over a
    thousand), the rest are standardised and turned to their main directions, at
    most a fifth of the cases; the weights are turned back, so the model stays linear in the columns.

    Args:
        rows: Cells of each training case.
        labels: ``(N,)`` or ``(N, K)``, NaN where missing.
        groups: Patients, so that the strength of regularisation is chosen across them.
        names: Columns to use.
        task: Task.
        n_outputs: Logits.
        seed: Seed.

    Returns:
        The model, and a sentence for each column left out.
    """
    kept, notes = [], []
    for name in names:
        column, why = _column(name, [row.get(name) for row in rows])
        if column is None:
            notes.append(f"The column {name!r} is left out: {why}.")
        else:
            kept.append(column)
    numeric = [c for c in kept if c.kind != "category"]
    if len(numeric) > 1000:
        spread = sorted(numeric, key=lambda c: -c.std)
        quiet = {c.name for c in spread[len(spread) // 2 :]}
        kept = [c for c in kept if c.name not in quiet]
        notes.append(f"{len(quiet)} of {len(numeric)} numeric columns vary least and are left out.")
    z = features(kept, rows)
    if not z.shape[1]:
        return Columns((), np.zeros((0, n_outputs)), np.zeros(n_outputs)), notes
    most = max(2, len(rows) // 5) if len(numeric) > _MANY else z.shape[1]
    turn = main_directions(z, most=most)
    rng = np.random.default_rng([seed, 7])
    weight, bias, _ = solve(z @ turn, labels.astype(np.float64), list(groups), task=task, n_outputs=n_outputs, rng=rng)
    return Columns(tuple(kept), np.ascontiguousarray((weight @ turn.T).T), np.asarray(bias, dtype=np.float64)), notes


def _column(name: str, cells: Sequence[Cell]) -> tuple[Column | None, str]:
    words = [as_word(cell) for cell in cells]
    filled = [w for w in words if w]
    if len(filled) < _FILLED * len(cells) or not filled:
        return None, f"only {len(filled)} of {len(cells)} cells are filled"
    for kind in ("number", "date"):
        values = np.array([as_number(cell, kind) for cell in cells])
        known = values[np.isfinite(values)]
        if len(known) >= _NUMBERS * len(filled):
            if kind == "date" or len(set(known)) > 2 or not set(known) <= {0.0, 1.0}:
                if known.std() < 1e-12 * max(1.0, abs(float(known.mean()))):
                    return None, "all its cells are the same"
                flagged = len(known) < len(cells)
                return Column(name, kind, float(known.mean()), float(known.std()), flagged), ""  # type: ignore[arg-type]
            break
    levels = [word for word, n in Counter(filled).most_common(_MOST_LEVELS) if n > 1]
    if len(set(filled)) == 1 and len(filled) == len(cells):
        return None, "all its cells are the same"
    if not levels or len(set(filled)) > max(_MOST_LEVELS, len(filled) // 3):
        return None, "nearly every case has a word of its own"
    return Column(name, "category", levels=tuple(sorted(levels))), ""
