"""Pictures of a detection: samples with their truth, the best, median and worst answers, and sure boxes that stand alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Case, Cohort, Emit, Evaluation, Plan, inside
from scanwright.evaluation.boxes import Found, sure_and_alone
from scanwright.io import read_volume
from scanwright.io.box_store import BoxStore
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.detect.judging import ANSWERS, kept_answers
from scanwright.journey.explaining import Explained
from scanwright.journey.judging import read_evaluations
from scanwright.journey.segment.explaining import telling

_SAMPLES = 6
_ALONE = 3
"""Cases shown for their sure boxes that no true one overlaps."""


def explain(folder: RunFolder, cohort: Cohort, plan: Plan, store: BoxStore, emit: Emit) -> Explained:
    """Draw training samples with their truth, and telling test answers.

    Args:
        folder: Run folder with answered cases.
        cohort: Locked cohort.
        plan: Plan.
        store: Prepared cases.
        emit: Receiver of events.

    Returns:
        Pictures for the report.
    """
    with stage_events("explain", emit):
        test = next(e for e in read_evaluations(folder) if e.part == "test" and e.who == "model")
        threshold = float(folder.json("work/trust.json")["threshold"])
        drawn = drawn_cases(cohort, plan, test, folder.work / ANSWERS, threshold)
        return Explained(samples=_samples(cohort), cases=[], examination=None, segments=drawn)


def drawn_cases(
    cohort: Cohort, plan: Plan, judged: Evaluation, answers: Path, threshold: float
) -> list[dict[str, Any]]:
    """The best, median and worst cases, and those with sure boxes that stand alone, drawn.

    Args:
        cohort: Its cases.
        plan: Classes.
        judged: Evaluation with one row a case, worst first.
        answers: What :func:`scanwright.journey.detect.judging.keep_answers` kept.
        threshold: Score from which boxes are shown.

    Returns:
        Rows of ``ReportContents.segments``: ``case``, ``rank``, ``f1``, ``sentence`` and ``picture``.
    """
    known, found = {case.id: case for case in cohort.cases}, kept_answers(answers)
    rows = [
        _drawn(cohort, plan, known[row["case"]], found[row["case"]], threshold)
        | {"rank": rank, "f1": row["f1"], "sentence": _words(row)}
        for rank, row in telling(judged.cases)
        if row["case"] in found
    ]
    ids = [i for i in found if i in known]
    truths = [_truth(cohort, known[i]) for i in ids]
    _, marks = sure_and_alone(truths, [found[i] for i in ids], threshold)
    many = sorted(range(len(ids)), key=lambda n: -int(marks[n].sum()))[:_ALONE]
    for n in many:
        if marks[n].any():
            case = known[ids[n]]
            drawn = _drawn(cohort, plan, case, found[ids[n]], threshold, marks[n])
            words = f"{int(marks[n].sum())} sure boxes (double lines) overlap no true one."
            rows.append(drawn | {"rank": "alone", "f1": None, "sentence": words})
    return rows


def _words(row: Any) -> str:
    return f"{row['right']:.0f} of {row['true']:.0f} found, {row['shown'] - row['right']:.0f} false."


def _truth(cohort: Cohort, case: Case) -> Found:
    from scanwright.inference.detect import found_of

    return found_of([box for box in case.boxes or () if not box.is_empty])


def _drawn(
    cohort: Cohort, plan: Plan, case: Case, answer: Found, threshold: float, marks: NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    from scanwright.inference.detect import boxes_of, draw_boxes

    volume = read_volume(case.source, root=cohort.root)
    shown = answer.scores >= threshold
    marked = shown & marks if marks is not None else np.zeros(len(answer), dtype=bool)
    plain, double = (
        boxes_of(Found(answer.corners[m], answer.labels[m], answer.scores[m])) for m in (shown & ~marked, marked)
    )
    picture = draw_boxes(volume, plain, inside(case.boxes or (), volume.grid.shape), marked=double)
    return {"case": case.id, "picture": picture}


def _samples(cohort: Cohort) -> list[tuple[str, NDArray[np.uint8]]]:
    from scanwright.inference.detect import draw_boxes

    train = [c for c in cohort.of("train") if c.boxes]
    drawn = []
    for case in train[:: max(len(train) // _SAMPLES, 1)][:_SAMPLES]:
        volume = read_volume(case.source, root=cohort.root)
        drawn.append((case.id, draw_boxes(volume, inside(case.boxes or (), volume.grid.shape))))
    return drawn
