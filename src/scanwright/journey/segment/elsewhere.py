"""A segmentation model judged on another cohort."""

from __future__ import annotations

from dataclasses import replace

from scanwright.core import Case, Cohort, CohortError, Emit, Evaluation, MaskCode, Plan, Said, ScanwrightError
from scanwright.io import ModelFile, codes_of, read_volume, write_cohort
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.elsewhere import plain_name, without_seen
from scanwright.journey.judging import write_evaluations, write_predictions
from scanwright.journey.packing import provenance
from scanwright.journey.segment.explaining import segments_of
from scanwright.journey.segment.judging import judge_cases
from scanwright.journey.segment.planning import truth_of


def judge_elsewhere(folder: RunFolder, file: ModelFile, cohort: Cohort, emit: Emit) -> list[Evaluation]:
    """Judge a model on a cohort that it was not made from.

    Cases whose image the model was trained or chosen on are recognised by their voxels and left
    out. Writes ``metrics.json``, ``predictions.csv``, ``cohort.csv`` and ``report.html``.

    Args:
        folder: Where to write.
        file: Model file.
        cohort: Cohort with masks; its structures are matched to the model's by name, and by place
            where there is only one.
        emit: Receiver of events.

    Returns:
        The evaluation of the model; its part is ``"test"``.

    Raises:
        CohortError: The structures do not match, or no case is left.
    """
    from scanwright.evaluation.masks import mask_rows
    from scanwright.inference import SegmentPredictor
    from scanwright.inference.segment import lay_out_half

    predictor = SegmentPredictor.load(file)
    with stage_events("evaluate", emit):
        cohort = as_the_model_says(cohort, file)
        spec = file.plan.preprocessing
        cohort = without_seen(
            cohort, file, lambda case: lay_out_half(read_volume(case.source, root=cohort.root), spec), emit
        )
        cases = [replace(c, part="test") for c in _readable(cohort, emit)]
        if not cases:
            raise CohortError(
                f"No case of {cohort.name} could be judged.",
                "An evaluation needs images with masks that the model has not seen.",
                "Name a folder of new images with masks.",
            )
        cohort = cohort.with_cases(cases)
        plan = plan_for(file.plan, cohort)
        found = judge_cases(cohort, cases, plan, predictor, "test", emit, answers=folder.work / "answers")
        write_cohort(folder.path, cohort)
        write_evaluations(folder, [found])
        write_predictions(folder, mask_rows(found))
    with stage_events("explain", emit):
        _report(folder, file, cohort, plan, found)
    return [found]


def as_the_model_says(cohort: Cohort, file: ModelFile) -> Cohort:
    """The cohort with its structures in the order and names of the model's.

    Args:
        cohort: Any cohort with masks.
        file: Model file.

    Returns:
        Cases with masks only.

    Raises:
        CohortError: It has no masks, or none of the model's structures.
    """
    code, classes = cohort.mask_code, file.plan.classes
    if code is None:
        raise _mismatch(cohort, file)
    own = {plain_name(name): k for k, name in enumerate(cohort.classes)}
    places = [own.get(plain_name(name)) for name in classes]
    if len(classes) == 1 and len(cohort.classes) == 1:
        places = [0]
    if any(k is None for k in places):
        raise _mismatch(cohort, file)
    order = [k for k in places if k is not None]
    values = tuple(code.values[k] for k in order)
    cases = tuple(c for c in cohort.cases if c.masks)
    if code.kind == "files":
        cases = tuple(replace(c, masks=tuple(c.masks[k] for k in order)) for c in cases)
    names = tuple(code.names[k] for k in order) if len(code.names) == len(cohort.classes) else code.names
    known = {v for group in values for v in group}
    others = {v for group in code.values for v in group} - known - set(code.background)
    rest = (*code.background, *sorted(others)) if code.kind not in ("files", "segments") else code.background
    mapped: MaskCode = replace(code, values=values, sides=(), names=names, background=rest)
    return replace(cohort, classes=classes, cases=cases, mask_code=mapped)


def plan_for(plan: Plan, cohort: Cohort) -> Plan:
    """The model's plan with the codes of another cohort's masks."""
    if plan.segmentation is None or cohort.mask_code is None or plan.segmentation.target == "instances":
        return plan
    spec = plan.segmentation.model_copy(update={"codes": codes_of(cohort.mask_code)})
    return plan.model_copy(update={"segmentation": spec})


def _readable(cohort: Cohort, emit: Emit) -> list[Case]:
    kept, left_out = [], []
    for case in cohort.cases:
        try:
            truth_of(cohort, case)
            kept.append(case)
        except ScanwrightError as error:
            left_out.append(f"{case.id} was left out: {error}")
    for text in left_out[:5]:
        emit(Said(stage="evaluate", level="warn", text=text))
    return kept


def _mismatch(cohort: Cohort, file: ModelFile) -> CohortError:
    return CohortError(
        f"{cohort.name} has masks of {', '.join(cohort.classes[:6]) or 'nothing'}; the model finds "
        f"{', '.join(file.plan.classes[:6])}.",
        "A model is judged on masks of its own structures.",
        "Name them as the model does with --structures.",
    )


def _report(folder: RunFolder, file: ModelFile, cohort: Cohort, plan: Plan, found: Evaluation) -> None:
    from scanwright.report import ReportContents, write_report

    facts = provenance(folder, cohort, None, 0.0)
    facts.update({"model": f"{file.name} {file.version}", "model file (SHA-256)": file.sha256})
    contents = ReportContents(
        title=f"{file.name} on {cohort.name}",
        cohort=cohort,
        evaluations=[found],
        segments=segments_of(cohort, plan, found, folder.work / "answers"),
        provenance=facts,
        command=f"scanwright evaluate {file.path} {cohort.root} --out {folder.path}",
    )
    write_report(folder.report, contents)
