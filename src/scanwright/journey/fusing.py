"""The table beside the images: learnt on the training part, weighed on validation, judged on its own and together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Cohort, Emit, Evaluation, Part, Plan, Said
from scanwright.evaluation.paired import paired_difference
from scanwright.io import Store
from scanwright.trust import fit_trust
from scanwright.trust.fusion import fit_fusion

if TYPE_CHECKING:
    from scanwright.trust.columns import Columns

Floats = NDArray[np.floating[Any]]
Judge = Callable[[Part, str, Floats, "NDArray[np.intp] | None"], Evaluation]
_LEAK = 0.985
"""AUROC of a single column from which it is likely to give the label away."""
_MOST_LOOKED_AT = 40


@dataclass(frozen=True, eq=False)
class Fused:
    """What the columns changed.

    Args:
        logits: Fused logits by part.
        evaluations: Of the image alone and of the table alone.
        told: For ``trust.json``: ``columns``, ``fusion`` and ``image``, the calibration of the image alone.
        sentences: For the report.
    """

    logits: dict[Part, Floats]
    evaluations: list[Evaluation]
    told: dict[str, Any]
    sentences: tuple[str, ...]


def fuse(
    cohort: Cohort,
    plan: Plan,
    store: Store,
    rows: dict[Part, NDArray[np.intp]],
    logits: dict[Part, Floats],
    judge: Judge,
    emit: Emit,
) -> Fused:
    """Fit the columns, weigh them against the image, and judge all three.

    Args:
        cohort: Its covariates.
        plan: Its ``columns``.
        store: Labels, patients, parts.
        rows: Labelled rows of ``train``, ``val`` and ``test``.
        logits: The image's logits of ``val`` and ``test``.
        judge: ``(part, who, probabilities, answers)`` to an evaluation.
        emit: Receiver of events.

    Returns:
        The fused logits and what is to be told of them.
    """
    from scanwright.training.columns import fit_columns

    def cells(part: Part) -> list[dict[str, Any]]:
        return [dict(cohort.cases[i].covariates) for i in rows[part]]

    def fitted(names: tuple[str, ...]) -> tuple[Columns, list[str]]:
        people = [store.groups[i] for i in rows["train"]]
        labels = store.labels[rows["train"]]
        return fit_columns(
            cells("train"), labels, people, names, task=plan.task, n_outputs=plan.n_outputs, seed=plan.seed
        )

    columns, notes = fitted(plan.columns)
    for note in notes[:8]:
        emit(Said(stage="evaluate", text=note))
    table = {part: columns.logits(cells(part)) for part in logits}
    truth = store.labels[rows["val"]]
    fusion = fit_fusion(logits["val"], table["val"], truth, task=plan.task)
    both: dict[Part, Floats] = {part: fusion.logits(logits[part], table[part]) for part in logits}
    evaluations, chances = [], {}
    image = None
    for who, own in (("image", logits), ("columns", table)):
        trust = fit_trust(own["val"], truth, task=plan.task, classes=plan.classes, rule=plan.operating_point)
        image = image or trust
        for part in logits:
            found = trust.probabilities(own[part])
            evaluations.append(judge(part, who, found, None if plan.task == "regress" else trust.answers(found)))
            chances[who, part] = found
    trust = fit_trust(both["val"], truth, task=plan.task, classes=plan.classes, rule=plan.operating_point)
    sentences = [_gain(plan, store, rows["test"], trust.probabilities(both["test"]), chances["image", "test"])]
    sentences += _alone(evaluations)
    sentences += _leaks(plan, fitted, cells("val"), truth)
    for text in sentences:
        emit(Said(stage="evaluate", text=text))
    told = {"columns": columns.to_dict(), "fusion": fusion.to_dict(), "image": image.to_dict() if image else {}}
    return Fused(both, evaluations, told, tuple(sentences))


def _gain(
    plan: Plan,
    store: Store,
    test: NDArray[np.intp],
    both: Floats,
    image: Floats,
) -> str:
    """What the columns add to the image on the test part, with its interval."""
    found = paired_difference(
        both,
        image,
        store.labels[test],
        task=plan.task,
        groups=[store.groups[i] for i in test],
        n_bootstrap=plan.n_bootstrap,
        seed=plan.seed,
    )
    figure = "mean absolute error" if plan.task == "regress" else "AUROC"
    value = -found.value if plan.task == "regress" else found.value
    ends = sorted((-found.low, -found.high)) if plan.task == "regress" else [found.low, found.high]
    sure = "" if not found.low <= 0 <= found.high else ": not more than chance may do"
    return f"With the table the {figure} of the image changes by {value:+.3f} ({ends[0]:+.3f} to {ends[1]:+.3f}){sure}."


def _alone(evaluations: list[Evaluation]) -> list[str]:
    """A warning where the table needs no image."""
    found = {e.who: e.metrics for e in evaluations if e.part == "test"}
    if "auroc" not in found["columns"]:
        return []
    image, table = found["image"]["auroc"].value, found["columns"]["auroc"].value
    if not table >= max(image - 0.01, 0.7):
        return []
    return [
        f"The table alone does as well (AUROC {table:.3f}) as the image alone ({image:.3f}): "
        "what the model knows may be who is imaged, not what is seen."
    ]


def _leaks(plan: Plan, fitted: Callable[..., Any], cells: list[dict[str, Any]], truth: Floats) -> list[str]:
    """Columns that tell the label nearly without error."""
    if plan.task == "regress" or len(plan.columns) > _MOST_LOOKED_AT:
        return []
    from scanwright.evaluation.paired import auroc_of

    found = []
    for name in plan.columns:
        one, _ = fitted((name,))
        if not one.columns:
            continue
        value = auroc_of(one.logits(cells), truth, task=plan.task)
        if value >= _LEAK:
            found.append(
                f"The column {name!r} alone tells the label (AUROC {value:.3f} on validation): "
                "it may have been written down after the diagnosis. Leave it out with --columns."
            )
    return found
