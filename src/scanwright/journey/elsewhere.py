"""A model judged on another cohort."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scanwright.core import Case, Cohort, CohortError, Emit, Evaluation, Failure, Prediction, Said
from scanwright.evaluation import evaluate, majority_baseline, prediction_rows
from scanwright.io import ModelFile, read_case, write_cohort
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.io.store import label_array, voxel_hash
from scanwright.journey.explaining import show_case, telling_rows
from scanwright.journey.judging import write_evaluations, write_predictions
from scanwright.journey.packing import provenance

if TYPE_CHECKING:
    from scanwright.inference import Predictor


UNSEEN = (
    "The model was trained elsewhere: images of the cohort that it is judged on may be among those it was trained on."
)


def judge_elsewhere(folder: RunFolder, file: ModelFile, cohort: Cohort, emit: Emit) -> list[Evaluation]:
    """Judge a model on a cohort that it was not made from.

    Cases whose image the model was trained or chosen on are recognised by their voxels and
    left out, whatever their name. Writes ``metrics.json``, ``predictions.csv``,
    ``cohort.csv`` and ``report.html``.

    Args:
        folder: Where to write.
        file: Model file.
        cohort: Labelled cohort; its class names are matched to the model's.
        emit: Receiver of events.

    Returns:
        Evaluations of the model and the majority floor; their part is ``"test"``.

    Raises:
        CohortError: The classes do not match, or no case is left.
    """
    from scanwright.inference import Predictor
    from scanwright.preprocessing import prepare

    predictor = Predictor.load(file)
    with stage_events("evaluate", emit):
        cohort = as_the_model_says(cohort, file)
        cohort = without_seen(
            cohort,
            file,
            lambda case: prepare(read_case(case, root=cohort.root), file.plan.preprocessing),
            emit,
        )
        if not file.plan.candidates:
            emit(Said(stage="evaluate", level="warn", text=UNSEEN))
        answers = _answers(predictor, cohort, emit)
        failed = [a for a in answers if isinstance(a, Failure)]
        for failure in failed[:5]:
            emit(Said(stage="evaluate", level="warn", text=f"{failure.case} was left out: {failure.reason}"))
        good = {a.case: a for a in answers if isinstance(a, Prediction)}
        cohort = cohort.with_cases(replace(c, part="test") for c in cohort.cases if c.id in good)
        if not len(cohort):
            raise CohortError(
                f"No case of {cohort.name} could be judged.",
                "An evaluation needs labelled images that the model has not seen.",
                "Name a folder of new, labelled images.",
            )
        predictions = [good[c.id] for c in cohort.cases]
        evaluations = _evaluations(file, cohort, predictions)
        write_cohort(folder.path, cohort)
        write_evaluations(folder, evaluations)
        write_predictions(folder, _rows(file, cohort, predictions))
    with stage_events("explain", emit):
        _report(folder, file, cohort, predictor, evaluations)
    return evaluations


def as_the_model_says(cohort: Cohort, file: ModelFile) -> Cohort:
    """The cohort with its labels in the order and names of the model's classes.

    Args:
        cohort: Any labelled cohort.
        file: Model file.

    Returns:
        Labelled cases only, their class index that of the model.

    Raises:
        CohortError: Task or class names do not match.
    """
    task, classes = file.plan.task, file.plan.classes
    labelled = [c for c in cohort.cases if c.label is not None]
    if task == "regress":
        if cohort.task != "regress" and not all(_is_number(n) for n in cohort.classes):
            raise _mismatch(cohort, file)
        values = [c.label if cohort.task == "regress" else float(cohort.classes[int(c.label)]) for c in labelled]  # type: ignore[arg-type]
        return replace(
            cohort,
            task=task,
            classes=classes,
            cases=tuple(replace(c, label=v) for c, v in zip(labelled, values, strict=True)),
        )  # type: ignore[arg-type]
    places = {plain_name(name): k for k, name in enumerate(classes)}
    found = [places.get(plain_name(name)) for name in cohort.classes]
    if (
        (cohort.task == "multilabel") != (task == "multilabel")
        or cohort.task in ("regress", "segment", "detect")
        or all(k is None for k in found)
    ):
        raise _mismatch(cohort, file)
    cases: list[Case] = []
    for case in labelled:
        if isinstance(case.label, tuple):
            row: list[int | None] = [None] * len(classes)
            for k, value in zip(found, case.label, strict=True):
                if k is not None:
                    row[k] = value
            cases.append(replace(case, label=tuple(row)))
        elif (index := found[int(case.label or 0)]) is not None:
            cases.append(replace(case, label=index))
    return replace(cohort, task=task, classes=classes, cases=tuple(cases))


def _mismatch(cohort: Cohort, file: ModelFile) -> CohortError:
    return CohortError(
        f"{cohort.name} is a {cohort.task} cohort of {', '.join(cohort.classes[:6])}; the model tells {', '.join(file.plan.classes[:6])} apart ({file.plan.task}).",
        "A model is judged on labels of its own classes.",
        "Name the label column with --labels, or rename the classes.",
    )


def plain_name(name: str) -> str:
    """A name without regard to case and joints."""
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def without_seen(cohort: Cohort, file: ModelFile, prepared: Callable[[Case], np.ndarray], emit: Emit) -> Cohort:
    """The cohort without the images that trained or chose a model, known by their voxels.

    Args:
        cohort: Any cohort.
        file: Model file.
        prepared: A case's array as the model sees it.
        emit: Receiver of events.

    Returns:
        The cases that are new to the model.

    Raises:
        CohortError: None is.
    """
    from concurrent.futures import ThreadPoolExecutor

    from scanwright.core import Progress, ScanwrightError

    if "evidence/seen.json" not in file.members:
        return cohort
    seen = set(json.loads(file.member("evidence/seen.json"))["hashes"])

    def known(case: Case) -> bool:
        try:
            return voxel_hash(prepared(case)) in seen
        except ScanwrightError:
            return False  # it fails again, and is named, when it is predicted

    kept = []
    with ThreadPoolExecutor(2) as pool:
        for n, (case, old) in enumerate(zip(cohort.cases, pool.map(known, cohort.cases), strict=True), start=1):
            if not old:
                kept.append(case)
            if n % 50 == 0 or n == len(cohort):
                emit(
                    Progress(stage="evaluate", step="Looking for images the model has seen", done=n, total=len(cohort))
                )
    n_seen = len(cohort) - len(kept)
    if n_seen:
        text = f"{n_seen} of {len(cohort)} images were used to train or choose this model; they are left out."
        emit(Said(stage="evaluate", level="warn", text=text))
    if not kept:
        raise CohortError(
            f"All {n_seen} labelled images of {cohort.name} were used to train or choose this model.",
            "A model is judged on images that it has not seen.",
            "Name a folder of new images.",
        )
    return cohort.with_cases(kept)


def _answers(predictor: Predictor, cohort: Cohort, emit: Emit) -> list[Prediction | Failure]:
    items = [(c.id, lambda c=c: read_case(c, root=cohort.root)) for c in cohort.cases]  # type: ignore[misc]
    columns = {c.id: c.covariates for c in cohort.cases}
    return list(predictor.predict_many(items, emit=emit, heatmap=False, columns=columns))


def _evaluations(file: ModelFile, cohort: Cohort, predictions: list[Prediction]) -> list[Evaluation]:
    plan = file.plan
    truth = label_array(cohort.cases, cohort)
    common: dict[str, Any] = {
        "task": plan.task,
        "classes": plan.classes,
        "groups": [c.group for c in cohort.cases],
        "n_bootstrap": plan.n_bootstrap,
        "seed": plan.seed,
    }
    chances = _chances(file, predictions)
    model = evaluate(chances, truth, answers=_indices(file, predictions), **common)
    floor = majority_baseline(truth, len(truth), plan.task, plan.classes)
    return [model, evaluate(floor, truth, who="majority", **common)]


def _chances(file: ModelFile, predictions: list[Prediction]) -> np.ndarray:
    if file.plan.task == "regress":
        return np.array([p.value for p in predictions])
    return np.array([p.probabilities for p in predictions])


def _indices(file: ModelFile, predictions: list[Prediction]) -> np.ndarray | None:
    classes = list(file.plan.classes)
    if file.plan.task == "regress":
        return None
    if file.plan.task == "multilabel":
        return np.array([[name in p.label.split(", ") for name in classes] for p in predictions], dtype=np.intp)
    return np.array([classes.index(p.label) for p in predictions], dtype=np.intp)


def _rows(file: ModelFile, cohort: Cohort, predictions: list[Prediction]) -> list[dict[str, Any]]:
    chances, answers = _chances(file, predictions), _indices(file, predictions)
    return prediction_rows(cohort.cases, chances, answers, task=file.plan.task, classes=file.plan.classes)


def _report(
    folder: RunFolder, file: ModelFile, cohort: Cohort, predictor: Predictor, evaluations: list[Evaluation]
) -> None:
    import csv

    from scanwright.report import ReportContents, write_report

    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    known = {c.id: c for c in cohort.cases}
    shown = [
        show_case(predictor, known[row["case"]], read_case(known[row["case"]], root=cohort.root), row)
        for row in telling_rows(rows)
    ]
    facts = provenance(folder, cohort, None, 0.0)
    facts.update({"model": f"{file.name} {file.version}", "model file (SHA-256)": file.sha256})
    contents = ReportContents(
        title=f"{file.name} on {cohort.name}",
        cohort=cohort,
        findings=[],
        plan=None,
        history=[],
        race=[],
        evaluations=evaluations,
        samples=[],
        explained=shown,
        examination=dict(file.trust.get("explanation") or {}) or None,
        provenance=facts,
        command=f"scanwright evaluate {file.path} {cohort.root} --out {folder.path}",
        notes=[],
    )
    write_report(folder.report, contents)
