"""Probabilities, answers and truth of one part, checked and lined up for counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanwright.core.cohort import TASKS, Task
from scanwright.core.errors import CohortError, InputError
from scanwright.evaluation.resampling import group_index

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """Labelled cases, each class seen as one class against the others.

    Args:
        task: Task.
        classes: K names; for ``regress`` the name of the number.
        scores: ``(N, K)`` probabilities, rows of ``binary``, ``multiclass`` and ``ordinal`` sum
            to 1; for ``regress`` ``(N, 1)`` values.
        truth: ``(N, K)`` 1 or 0; for ``regress`` ``(N, 1)`` values.
        answered: ``(N, K)`` 1 or 0; for ``regress`` equal to ``scores``.
        known: ``(N, K)`` whether there is a label (False only in ``multilabel``).
        group: ``(N,)`` number of the patient.
        kept: ``(N_all,)`` which of the given cases have a label.
    """

    task: Task
    classes: tuple[str, ...]
    scores: Floats
    truth: Floats
    answered: Floats
    known: NDArray[np.bool_]
    group: NDArray[np.intp]
    kept: NDArray[np.bool_]

    @property
    def n_groups(self) -> int:
        """Number of patients."""
        return int(self.group.max()) + 1

    @property
    def single(self) -> bool:
        """Whether each case has exactly one class."""
        return self.task in ("binary", "multiclass", "ordinal")


def as_numbers(truth: ArrayLike | Sequence[Any]) -> Floats:
    """Turn labels into floats, missing ones (None, NaN, empty text) into NaN.

    Args:
        truth: ``(N,)`` class indices or numbers, or ``(N, K)`` of 1, 0 and None.

    Returns:
        Float array of the same shape; a row that is None as a whole becomes NaN in each column.
    """
    if isinstance(truth, np.ndarray) and truth.dtype.kind in "iufb":
        return truth.astype(np.float64)
    rows: list[Any] = list(truth)  # type: ignore[arg-type]
    width = next((len(r) for r in rows if isinstance(r, list | tuple | np.ndarray)), None)
    if width is None:
        return np.asarray([_number(r) for r in rows], dtype=np.float64)
    missing = [np.nan] * width
    return np.asarray([missing if _absent(r) else [_number(v) for v in r] for r in rows], dtype=np.float64)


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _number(value: Any) -> float:
    return np.nan if value is None or value == "" else float(value)


def as_columns(probabilities: ArrayLike, task: Task, n_classes: int) -> Floats:
    """Give every task its ``(N, K)`` probabilities (``(N, 1)`` values for ``regress``).

    Args:
        probabilities: ``(N, K)``; for ``binary`` also ``(N,)`` or ``(N, 1)``, the positive class's.
        task: Task.
        n_classes: K.

    Returns:
        Float columns.

    Raises:
        InputError: The shape does not fit, or a value is not finite.
    """
    array = np.asarray(probabilities, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if task == "binary" and array.ndim == 2 and array.shape[1] == 1:
        array = np.concatenate([1 - array, array], axis=1)
    wanted = 1 if task == "regress" else n_classes
    if array.ndim != 2 or array.shape[1] != wanted:
        raise InputError(
            f"The probabilities have the shape {np.shape(probabilities)}.",
            f"A {task} task with {n_classes} classes needs (N, {wanted}).",
            "Give one column for each class.",
        )
    if not np.isfinite(array).all():
        raise InputError(
            f"{int((~np.isfinite(array)).any(axis=1).sum())} of {len(array)} cases have a prediction that is not a number.",
            "Every prediction must be finite.",
            "Train again with a lower learning rate.",
        )
    return array


def default_answers(columns: Floats, task: Task) -> NDArray[np.intp]:
    """Answers without an operating point: the likeliest class, or .5 for each label.

    Args:
        columns: ``(N, K)`` probabilities.
        task: Any but ``regress``.

    Returns:
        ``(N,)`` class indices; ``(N, K)`` of 1 and 0 for ``multilabel``.
    """
    if task == "multilabel":
        return (columns >= 0.5).astype(np.intp)
    if task == "binary":
        return (columns[:, 1] >= 0.5).astype(np.intp)
    return columns.argmax(axis=1)


def score_cases(
    probabilities: ArrayLike,
    truth: ArrayLike | Sequence[Any],
    *,
    task: Task,
    classes: Sequence[str],
    groups: Sequence[Any] | NDArray[Any] | None = None,
    answers: ArrayLike | None = None,
    part: str = "test",
) -> Scored:
    """Check predictions against truth and drop the cases without a label.

    Args:
        probabilities: See :func:`as_columns`.
        truth: See :func:`as_numbers`.
        task: Task.
        classes: K names.
        groups: ``(N,)`` patient keys, or None.
        answers: What was decided, see :func:`default_answers`; None for that rule.
        part: Name of the part, for messages.

    Returns:
        The cases with a label.

    Raises:
        InputError: Shapes or values do not fit.
        CohortError: No case has a label.
    """
    if task == "segment":
        raise InputError(
            "Masks have no probabilities of classes.",
            "A segmentation is judged by evaluation.masks.evaluate_masks.",
            "Give the figures of its cases to that function.",
        )
    if task == "detect":
        raise InputError(
            "Boxes have no probabilities of classes.",
            "A detection is judged by evaluation.boxes.evaluate_boxes.",
            "Give its true and answered boxes to that function.",
        )
    if task not in TASKS:
        raise InputError(f"The task {task!r} is unknown.", f"A task is one of {', '.join(TASKS)}.", "Correct the name.")
    columns = as_columns(probabilities, task, len(classes))
    labels = as_numbers(truth)
    labels = labels[:, 0] if task != "multilabel" and labels.ndim == 2 and labels.shape[1] == 1 else labels
    labels = labels[:, None] if task == "multilabel" and labels.ndim == 1 else labels
    _same_length(columns, labels, groups, answers)
    known = np.isfinite(labels)
    kept: NDArray[np.bool_] = np.asarray(known.any(axis=1) if known.ndim == 2 else known)
    if not kept.any():
        raise CohortError(
            f"No case of the part {part!r} has a label.",
            "Evaluation compares predictions with labels.",
            "Name the column of labels with --labels.",
        )
    columns, labels = columns[kept], labels[kept]
    group = group_index(None if groups is None else np.asarray(groups)[kept], len(columns))
    if task == "regress":
        return Scored(task, tuple(classes), columns, labels[:, None], columns, known[kept][:, None], group, kept)
    decided = default_answers(columns, task) if answers is None else np.asarray(answers)[kept].astype(np.intp)
    if task == "multilabel":
        seen = np.isfinite(labels)
        if labels.shape != columns.shape or decided.shape != columns.shape:
            raise _misfit("multilabel truth or answers", labels.shape, columns.shape)
        truth_01 = np.where(seen, labels, 0.0)
        _inside(truth_01, 2)
        return Scored(task, tuple(classes), columns, truth_01, decided.astype(np.float64), seen, group, kept)
    _inside(labels, len(classes))
    _inside(decided, len(classes))
    eye = np.eye(len(classes))
    everywhere = np.ones(columns.shape, dtype=bool)
    return Scored(task, tuple(classes), columns, eye[labels.astype(np.intp)], eye[decided], everywhere, group, kept)


def _same_length(columns: Floats, labels: Floats, groups: Any, answers: Any) -> None:
    for name, other in (("truth", labels), ("groups", groups), ("answers", answers)):
        if other is not None and len(other) != len(columns):
            raise _misfit(name, (len(other),), (len(columns),))


def _misfit(name: str, have: tuple[int, ...], want: tuple[int, ...]) -> InputError:
    return InputError(
        f"The {name} have the shape {have} beside predictions of shape {want}.",
        "Predictions, truth, groups and answers need one row a case.",
        "Give them in the same order and number.",
    )


def _inside(labels: NDArray[Any], n_classes: int) -> None:
    wrong = (labels < 0) | (labels >= n_classes) | (labels != np.round(labels))
    if wrong.any():
        raise InputError(
            f"The class index {labels[wrong][0]:g} stands among the labels or answers.",
            f"With {n_classes} classes an index is 0 to {n_classes - 1}.",
            "Correct the labels.",
        )
