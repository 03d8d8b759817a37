"""A detection model judged on another cohort."""

from __future__ import annotations

from dataclasses import replace

from scanwright.core import Cohort, CohortError, Emit, Evaluation, Said
from scanwright.evaluation.boxes import box_rows
from scanwright.io import ModelFile, read_volume, write_cohort
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.detect.explaining import drawn_cases
from scanwright.journey.detect.judging import ANSWERS, answer_cases, evaluation_of, keep_answers
from scanwright.journey.elsewhere import plain_name, without_seen
from scanwright.journey.judging import write_evaluations, write_predictions
from scanwright.journey.packing import provenance


def judge_elsewhere(folder: RunFolder, file: ModelFile, cohort: Cohort, emit: Emit) -> list[Evaluation]:
    """Judge a model on a cohort that it was not made from.

    Cases whose image the model was trained or chosen on are recognised by their voxels and left out. Writes
    ``metrics.json``, ``predictions.csv``, ``cohort.csv`` and ``report.html``.

    Args:
        folder: Where to write.
        file: Model file.
        cohort: Cohort with boxes; its classes are matched to the model's by name, and by place where there is only one.
        emit: Receiver of events.

    Returns:
        The evaluation of the model; its part is ``"test"``.

    Raises:
        CohortError: The classes do not match, or no case is left.
    """
    from scanwright.inference import DetectPredictor

    predictor = DetectPredictor.load(file)
    with stage_events("evaluate", emit):
        before = cohort
        cohort = as_the_model_says(cohort, file)
        _say_lost(before, cohort, emit)
        cohort = without_seen(
            cohort, file, lambda case: predictor.prepare(read_volume(case.source, root=cohort.root)), emit
        )
        cases = [replace(c, part="test") for c in cohort.cases]
        known = answer_cases(cohort, cases, predictor, "test", emit, leave_out=True)
        kept = known.cases
        if not kept:
            raise CohortError(
                f"No case of {cohort.name} could be judged.",
                "An evaluation needs images with boxes that the model has not seen.",
                "Name a folder of new images with boxes.",
            )
        cohort = cohort.with_cases(kept)
        found = evaluation_of(known, file.plan, "test", predictor.threshold)
        keep_answers(folder.work / ANSWERS, known)
        write_cohort(folder.path, cohort)
        write_evaluations(folder, [found])
        write_predictions(folder, box_rows(found))
    with stage_events("explain", emit):
        _report(folder, file, cohort, found, predictor.threshold)
    return [found]


def as_the_model_says(cohort: Cohort, file: ModelFile) -> Cohort:
    """The cohort with its boxes under the model's classes.

    Args:
        cohort: Any cohort with boxes.
        file: Model file.

    Returns:
        Cases that somebody looked at; boxes of classes that the model does not know are left out.

    Raises:
        CohortError: It has no boxes, or none of the model's classes.
    """
    classes = file.plan.classes
    places = {plain_name(name): k for k, name in enumerate(classes)}
    table = [places.get(plain_name(name)) for name in cohort.classes]
    if len(classes) == 1 and len(cohort.classes) == 1:
        table = [0]
    if cohort.task != "detect" or all(k is None for k in table):
        raise CohortError(
            f"{cohort.name} has boxes of {', '.join(cohort.classes[:6]) or 'nothing'}; the model finds {', '.join(classes[:6])}.",
            "A model is judged on boxes of its own classes.",
            "Name the classes as the model does.",
        )
    cases = []
    for case in cohort.cases:
        if case.boxes is not None:
            mine = [(box, table[box.label]) for box in case.boxes]
            cases.append(replace(case, boxes=tuple(replace(box, label=k) for box, k in mine if k is not None)))
    return replace(cohort, classes=classes, cases=tuple(cases))


def _say_lost(before: Cohort, after: Cohort, emit: Emit) -> None:
    """Boxes of classes that the model does not know are not judged, and that is said."""
    n = sum(len(c.boxes or ()) for c in before.cases) - sum(len(c.boxes or ()) for c in after.cases)
    if n:
        known = {plain_name(name) for name in after.classes}
        names = ", ".join(name for name in before.classes if plain_name(name) not in known)
        text = f"{n} boxes of {names} were left out: the model does not know them, and boxes that it shows there count as false."
        emit(Said(stage="evaluate", level="warn", text=text))


def _report(folder: RunFolder, file: ModelFile, cohort: Cohort, found: Evaluation, threshold: float) -> None:
    from scanwright.report import ReportContents, write_report

    facts = provenance(folder, cohort, None, 0.0)
    facts.update({"model": f"{file.name} {file.version}", "model file (SHA-256)": file.sha256})
    contents = ReportContents(
        title=f"{file.name} on {cohort.name}",
        cohort=cohort,
        evaluations=[found],
        segments=drawn_cases(cohort, file.plan, found, folder.work / ANSWERS, threshold),
        provenance=facts,
        command=f"scanwright evaluate {file.path} {cohort.root} --out {folder.path}",
    )
    write_report(folder.report, contents)
