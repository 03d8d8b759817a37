"""From a trained detection network to honest figures on whole cases.

What is judged is what is shipped: the exported network over whole cases by the engine that serves it, boxes on each
source's own grid, the threshold that validation chose.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from scanwright.core import Box, Case, Cohort, Emit, Evaluation, Part, Plan, Progress, Said, ScanwrightError, inside
from scanwright.evaluation.boxes import Found, best_threshold, box_rows, evaluate_boxes, match
from scanwright.io import atomic_write, read_volume, write_json
from scanwright.io.box_store import BoxStore
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.judging import read_evaluations, write_evaluations, write_predictions
from scanwright.journey.learning import train_digest

if TYPE_CHECKING:
    from scanwright.inference import DetectPredictor
    from scanwright.training import Trained

_JUDGED: tuple[Part, ...] = ("val", "test")
ANSWERS = "boxes.json"


def judge(
    folder: RunFolder, cohort: Cohort, plan: Plan, store: BoxStore, trained: Trained, emit: Emit
) -> list[Evaluation]:
    """Export, choose the threshold on validation, and judge whole cases of validation and test.

    Writes ``metrics.json``, ``predictions.csv`` and, under ``work``, the network, ``trust.json`` and the answered
    boxes. Nothing is chosen by looking at the test part.

    Args:
        folder: Run folder.
        cohort: Locked cohort.
        plan: Plan.
        store: Prepared cases.
        trained: Weights.
        emit: Receiver of events.

    Returns:
        Evaluations of the model and of the floor (another case's boxes), on validation and test.
    """
    digest = train_digest(plan, store)
    outputs = ("metrics.json", "predictions.csv", "work/evaluations.json", "work/trust.json", "work/network.onnx")
    if folder.is_done("evaluate", digest, *outputs, f"work/{ANSWERS}"):
        return read_evaluations(folder)
    from scanwright.inference import DetectPredictor
    from scanwright.training import export_detector

    with stage_events("evaluate", emit):
        network = export_detector(trained, plan, store)
        atomic_write(folder.work / "network.onnx", network)
        first: dict[str, Any] = {"mirror_axes": list(trained.tta_flips), "threshold": 0.5}
        predictor = DetectPredictor.from_network(network, plan, trust=first)
        known: dict[str, Answered] = {}
        for part in _JUDGED:
            cases = [cohort.cases[int(n)] for n in store.rows(part)]
            known[part] = answer_cases(cohort, cases, predictor, part, emit)
        threshold = choose_threshold(known["val"], plan)
        emit(Said(stage="evaluate", text=f"Boxes are shown from the score {threshold:.2f} on, as validation chose."))
        write_json(folder.work / "trust.json", first | {"threshold": threshold})
        keep_answers(folder.work / ANSWERS, known["test"])
        evaluations: list[Evaluation] = []
        for part in _JUDGED:
            evaluations.append(evaluation_of(known[part], plan, part, threshold))
            floor = known[part].as_floor([c for c in cohort.of("train") if c.boxes], plan.seed)
            evaluations.append(evaluation_of(floor, plan, part, threshold, who="floor"))
        write_evaluations(folder, evaluations)
        models = [e for e in reversed(evaluations) if e.who == "model"]
        write_predictions(folder, [row for e in models for row in box_rows(e)])
        for text in models[0].warnings:
            emit(Said(stage="evaluate", text=text, level="warn"))
        folder.mark_done("evaluate", digest)
    return evaluations


class Answered:
    """Cases with their true and answered boxes, on each source's own grid."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.shapes: list[tuple[int, int, int]] = []
        self.truths: list[Found] = []
        self.answers: list[Found] = []

    def add(self, case: Case, shape: tuple[int, int, int], truth: Found, answer: Found) -> None:
        """Take in one case."""
        self.cases.append(case)
        self.shapes.append(shape)
        self.truths.append(truth)
        self.answers.append(answer)

    def as_floor(self, training: Sequence[Case], seed: int) -> Answered:
        """The same cases, answered with the boxes of a training case drawn at random: no image is looked at."""
        from scanwright.inference.detect import found_of

        floor, rng = Answered(), np.random.default_rng((seed, 17))
        for case, shape, truth in zip(self.cases, self.shapes, self.truths, strict=True):
            boxes: tuple[Box, ...] = ()
            if training:
                boxes = inside(training[int(rng.integers(len(training)))].boxes or (), shape)
            floor.add(case, shape, truth, found_of(boxes))
        return floor


def answer_cases(
    cohort: Cohort, cases: Sequence[Case], predictor: DetectPredictor, part: Any, emit: Emit, *, leave_out: bool = False
) -> Answered:
    """Answer whole cases, however unsure the boxes.

    Args:
        cohort: Their cohort.
        cases: Cases that somebody looked at.
        predictor: The model.
        part: What they are called.
        emit: Receiver of progress.
        leave_out: Whether a case that cannot be answered is named and left out, and ends nothing.

    Returns:
        True and answered boxes.
    """
    from scanwright.inference.detect import found_of

    known, began = Answered(), monotonic()
    for done, case in enumerate(cases, start=1):
        try:
            volume = read_volume(case.source, root=cohort.root)
            shape = volume.grid.shape
            known.add(case, shape, found_of(inside(case.boxes or (), shape)), predictor.found(volume))
        except ScanwrightError as error:
            if not leave_out:
                raise
            emit(Said(stage="evaluate", level="warn", text=f"{case.id} was left out: {error}"))
        left = (monotonic() - began) / done * (len(cases) - done)
        emit(Progress(stage="evaluate", step=f"Answering {part} cases", done=done, total=len(cases), left_s=left))
    return known


def choose_threshold(known: Answered, plan: Plan) -> float:
    """The score from which boxes are shown, by the plan's rule."""
    rule = plan.detection.threshold_rule if plan.detection else "f1"
    least = plan.detection.match_iou if plan.detection else 0.5
    scores, hits = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for truth, answer in zip(known.truths, known.answers, strict=True):
        for k in range(len(plan.classes)):
            mine = answer.of(k)
            scores.append(mine.scores)
            hits.append(match(truth.of(k), mine, least) >= 0)
    n_truth = float(sum(map(len, known.truths)))
    return round(best_threshold(np.concatenate(scores), np.concatenate(hits), n_truth, rule), 6)


def evaluation_of(known: Answered, plan: Plan, part: Any, threshold: float, *, who: str = "model") -> Evaluation:
    """Figures of answered cases."""
    return evaluate_boxes(
        known.truths,
        known.answers,
        classes=plan.classes,
        ids=[c.id for c in known.cases],
        groups=[c.group for c in known.cases],
        threshold=threshold,
        part=part,
        who=who,
        n_bootstrap=plan.n_bootstrap,
        seed=plan.seed,
    )


def keep_answers(path: Path, known: Answered) -> None:
    """Keep answered boxes for pictures: case id to rows of edges, class and score."""
    rows = {
        case.id: [[*map(float, c), int(k), float(s)] for c, k, s in zip(a.corners, a.labels, a.scores, strict=True)]
        for case, a in zip(known.cases, known.answers, strict=True)
    }
    write_json(path, rows)


def kept_answers(path: Path) -> dict[str, Found]:
    """What :func:`keep_answers` kept."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    found = {}
    for case, boxes in rows.items():
        table = np.array(boxes, dtype=np.float64).reshape(-1, 8)
        found[case] = Found(table[:, :6], table[:, 6].astype(np.intp), table[:, 7])
    return found
