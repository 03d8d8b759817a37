"""From a trained segmentation network to honest figures on whole cases.

What is judged is what is shipped: the exported network slid over whole cases by the engine that
serves it, put back on each source's own grid, with the rules that validation chose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Case, Cohort, Emit, Evaluation, LabelMap, Part, Plan, Prediction, Progress, Said, Volume
from scanwright.io import VoxelStore, atomic_write, read_volume, write_json
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.judging import read_evaluations, write_evaluations, write_predictions
from scanwright.journey.learning import train_digest
from scanwright.journey.segment.planning import truth_of

if TYPE_CHECKING:
    from scanwright.inference import SegmentPredictor
    from scanwright.training import Trained

Mask = NDArray[np.bool_]
_JUDGED: tuple[Part, ...] = ("val", "test")
_EIGHT_BIT_FROM_S = 240.0
"""Training time from which a network in 8-bit integers is made and examined: it takes some seconds."""
_GATED = 4
"""Validation cases that fewer bits are compared on."""
_LOOKED_AT = 200
"""Training cases, about, whose pieces are counted."""
_SURE = 30
"""Cases in which a structure must be one piece before it is taken for one."""
_SEEDS = (0.35, 0.5, 0.65, 0.8)
_SMALLEST = (0, 10, 20, 40)


def judge(
    folder: RunFolder, cohort: Cohort, plan: Plan, store: VoxelStore, trained: Trained, emit: Emit
) -> list[Evaluation]:
    """Export, choose the rules on validation, and judge whole cases of validation and test.

    Writes ``metrics.json``, ``predictions.csv`` and, under ``work``, the network, ``trust.json``
    and the answered label maps. Nothing is chosen by looking at the test part.

    Args:
        folder: Run folder.
        cohort: Locked cohort.
        plan: Plan.
        store: Prepared cases.
        trained: Weights.
        emit: Receiver of events.

    Returns:
        Evaluations of the model and of the floor (the training cases' mean shape), on validation
        and test.
    """
    digest = train_digest(plan, store)
    outputs = ("metrics.json", "predictions.csv", "work/evaluations.json", "work/trust.json", "work/network.onnx")
    if folder.is_done("evaluate", digest, *outputs):
        return read_evaluations(folder)
    from scanwright.evaluation.masks import mask_rows
    from scanwright.inference import SegmentPredictor
    from scanwright.inference.segment.predictor import with_overlap
    from scanwright.training import export_segmenter, quantised

    with stage_events("evaluate", emit):
        network = export_segmenter(trained, plan, store)
        atomic_write(folder.work / "network.onnx", network)
        worth_it = plan.training.budget_s >= _EIGHT_BIT_FROM_S
        eight_bit = quantised(network, trained, plan, store) if worth_it else None
        windows = _windows(network, plan, store, emit)
        sparse = with_overlap(plan, {"windows": windows})
        precision = _precision(network, eight_bit, sparse, store, emit)
        _keep_eight_bit(folder, eight_bit if precision["precision"] == "int8" else None)
        first = {"mirror_axes": list(trained.tta_flips), "windows": windows, "precision": precision}
        predictor = SegmentPredictor.from_network(network, plan, trust=first, eight_bit=eight_bit)
        trust = first | _rules(predictor, plan, cohort, store, emit)
        write_json(folder.work / "trust.json", trust)
        predictor = SegmentPredictor.from_network(network, plan, trust=trust, eight_bit=eight_bit)
        evaluations: list[Evaluation] = []
        for part in _JUDGED:
            rows = store.rows(part)
            evaluations.append(_judge_part(folder, cohort, plan, predictor, rows, part, emit))
            evaluations.append(_floor(cohort, plan, store, rows, part))
        write_evaluations(folder, evaluations)
        models = [e for e in reversed(evaluations) if e.who == "model"]
        write_predictions(folder, [row for e in models for row in mask_rows(e)])
        for text in models[0].warnings:
            emit(Said(stage="evaluate", text=text, level="warn"))
        folder.mark_done("evaluate", digest)
    return evaluations


@dataclass(frozen=True, eq=False)
class Judged:
    """One case and its answer, for figures and pictures.

    Args:
        volume: The image.
        truth: Codes on its grid; for instances the objects' own numbers.
        answer: The prediction.
    """

    volume: Volume
    truth: LabelMap
    answer: Prediction


def figures_of(judged: Judged, plan: Plan) -> dict[str, dict[str, float]]:
    """Figures of every structure in one case.

    Args:
        judged: The case.
        plan: Classes and codes.

    Returns:
        Structure to its figures; under ``"instances"`` those of separated objects.
    """
    from scanwright.evaluation.masks import case_figures, instance_figures

    grid = judged.volume.grid
    spacing = grid.spacing if grid.spacing_known else None
    truths, ignored = true_structures(judged.truth, plan)
    answers = answered_structures(judged.answer, plan)
    found = {
        name: case_figures(truth, answer, spacing_mm=spacing, ignored=ignored)
        for name, truth, answer in zip(plan.classes, truths, answers, strict=True)
    }
    if plan.segmentation and plan.segmentation.target == "instances" and judged.answer.label_map is not None:
        found["instances"] = instance_figures(judged.truth.array, judged.answer.label_map.array)
    return found


def true_structures(truth: LabelMap, plan: Plan) -> tuple[list[Mask], Mask | None]:
    """The mask of every structure, and the voxels that count nowhere (None: all count)."""
    from scanwright.io.truth import IGNORED

    if plan.segmentation is None or plan.segmentation.target == "instances":
        return [truth.array != 0], None
    masks = []
    for k in range(len(plan.classes)):
        codes = [n for n, classes in enumerate(plan.segmentation.codes, start=1) if k in classes]
        masks.append(np.isin(truth.array, codes))
    ignored = truth.array == IGNORED
    return masks, ignored if ignored.any() else None


def answered_structures(answer: Prediction, plan: Plan) -> list[Mask]:
    """The mask of every structure in an answer."""
    if answer.label_map is None:
        return []
    if plan.segmentation and plan.segmentation.target == "instances":
        return [answer.label_map.array != 0]
    if answer.regions is not None:
        return list(answer.regions)
    return [answer.label_map.array == k for k in range(1, len(plan.classes) + 1)]


def _keep_eight_bit(folder: RunFolder, network: bytes | None) -> None:
    """Keep the network in 8-bit integers for the model file, or see that there is none."""
    place = folder.work / "network.int8.onnx"
    if network is None:
        place.unlink(missing_ok=True)
    else:
        atomic_write(place, network)


def _windows(network: bytes, plan: Plan, store: VoxelStore, emit: Emit) -> dict[str, Any]:
    """How much windows must overlap, by a few validation cases."""
    from scanwright.inference.segment import fewer_windows

    rows = [int(n) for n in store.rows("val")[:_GATED]]
    separate = plan.segmentation is not None and plan.segmentation.target == "instances"
    truths = (None if separate else np.asarray(store.labels(n)) for n in rows)
    found = fewer_windows(network, plan, (np.asarray(store.image(n)) for n in rows), truths)
    if found["reason"]:
        emit(Said(stage="evaluate", text=str(found["reason"])))
    return found


def _precision(network: bytes, eight_bit: bytes | None, plan: Plan, store: VoxelStore, emit: Emit) -> dict[str, Any]:
    """What the network may compute in, by a few validation cases."""
    from scanwright.inference.segment import gate

    rows = [int(n) for n in store.rows("val")[:_GATED]]
    separate = plan.segmentation is not None and plan.segmentation.target == "instances"
    truths = (None if separate else np.asarray(store.labels(n)) for n in rows)
    found = gate(network, plan, (np.asarray(store.image(n)) for n in rows), truths, eight_bit=eight_bit)
    emit(Said(stage="evaluate", text=str(found["reason"])))
    return found


def _rules(predictor: SegmentPredictor, plan: Plan, cohort: Cohort, store: VoxelStore, emit: Emit) -> dict[str, Any]:
    """Thresholds and clean-up by whole validation cases: parts of ``trust.json``."""
    from scanwright.inference.segment import sweep

    cases = [cohort.cases[int(n)] for n in store.rows("val")]
    if plan.segmentation is not None and plan.segmentation.target == "instances":
        return {"instances": _instance_rule(predictor, cohort, cases, emit)}
    single = _single_pieces(plan, store)
    rule, figures = sweep(_sweep_cases(predictor, cohort, plan, cases, emit), plan.classes, single=single)
    for name, n in single.items():
        if name in rule.structures and rule.structures[name].keep == 1:
            words = f"“{name}” is one piece in all of {n} training cases, so its largest piece alone is kept."
            emit(Said(stage="evaluate", text=words))
    changed = [f"{n} {f['before']:.3f} to {f['after']:.3f}" for n, f in figures.items() if f["after"] > f["before"]]
    words = f"changed by a rule for small pieces and thresholds: {', '.join(changed)}" if changed else "best as it is"
    emit(Said(stage="evaluate", text=f"On validation the answer is {words}."))
    return {"post": rule.to_dict(), "sweep": figures}


def _single_pieces(plan: Plan, store: VoxelStore) -> dict[str, int]:
    """Structures that are one piece in every training case looked at, and in how many of them."""
    from scipy import ndimage

    codes = plan.segmentation.codes if plan.segmentation else ()
    found = dict.fromkeys(plan.classes, 0)
    rows = store.rows("train")
    for row in rows[:: max(1, len(rows) // _LOOKED_AT)]:
        labels = np.asarray(store.labels(int(row)))
        for k, name in enumerate(plan.classes):
            if name not in found:
                continue
            mask = np.isin(labels, [n for n, classes in enumerate(codes, start=1) if k in classes])
            if not mask.any():
                continue
            box = ndimage.find_objects(mask.view(np.uint8))[0]
            if ndimage.label(mask[box], structure=np.ones((3, 3, 3)))[1] > 1:
                del found[name]
            else:
                found[name] += 1
        if not found:
            break
    return {name: n for name, n in found.items() if n >= _SURE}


def _sweep_cases(
    predictor: SegmentPredictor, cohort: Cohort, plan: Plan, cases: list[Case], emit: Emit
) -> Iterator[Any]:
    from scanwright.inference.segment.pieces import voxel_amount
    from scanwright.inference.segment.postprocess import SweepCase

    for done, case in enumerate(cases, start=1):
        volume = read_volume(case.source, root=cohort.root)
        found = predictor.found(volume)
        truths, ignored = true_structures(truth_of(cohort, case, volume), plan)
        alone = len(plan.classes) == 1 and found.chances is not None
        answers = (
            list(found.regions)
            if found.regions is not None
            else [found.labels == k for k in range(1, len(plan.classes) + 1)]
        )
        grid = volume.grid
        yield SweepCase(
            truth=np.stack(truths),
            answer=np.stack(answers),
            chances=found.chances[None] if alone and found.chances is not None else None,
            ignored=ignored,
            voxel_ml=voxel_amount(grid) if grid.spacing_known and not grid.is_picture else None,
        )
        emit(Progress(stage="evaluate", step="Choosing rules on validation", done=done, total=len(cases)))


def _instance_rule(predictor: SegmentPredictor, cohort: Cohort, cases: list[Case], emit: Emit) -> dict[str, Any]:
    """Thresholds that separate the objects of validation best."""
    from scanwright.evaluation.masks import instance_figures
    from scanwright.inference.segment.instances import InstanceRule, objects

    rules = [InstanceRule(seed=seed, smallest=smallest) for seed in _SEEDS for smallest in _SMALLEST]
    rules.sort(key=lambda r: abs(r.seed - 0.5) + abs(r.smallest - 10) / 100)  # of equals the usual one
    scores = np.zeros((len(cases), len(rules)))
    for n, case in enumerate(cases):
        volume = read_volume(case.source, root=cohort.root)
        found, truth = predictor.found(volume), truth_of(cohort, case, volume).array
        if found.inside is None or found.chances is None:
            continue
        for k, rule in enumerate(rules):
            answer = objects(found.inside, found.chances, rule, spacing=volume.grid.spacing)
            scores[n, k] = instance_figures(truth, answer)["ap"]
        emit(Progress(stage="evaluate", step="Choosing rules on validation", done=n + 1, total=len(cases)))
    best = int(np.nanmean(scores, axis=0).argmax())
    emit(Said(stage="evaluate", text=f"Objects begin where the inside is likelier than {rules[best].seed:g}."))
    return rules[best].to_dict()


def _judge_part(
    folder: RunFolder,
    cohort: Cohort,
    plan: Plan,
    predictor: SegmentPredictor,
    rows: NDArray[np.intp],
    part: Part,
    emit: Emit,
) -> Evaluation:
    cases = [cohort.cases[int(n)] for n in rows]
    return judge_cases(cohort, cases, plan, predictor, part, emit, answers=folder.work / "answers")


def judge_cases(
    cohort: Cohort,
    cases: list[Case],
    plan: Plan,
    predictor: SegmentPredictor,
    part: Any,
    emit: Emit,
    *,
    answers: Any,
) -> Evaluation:
    """Answer whole cases and judge the answers.

    Args:
        cohort: Their cohort.
        cases: Cases with masks.
        plan: The model's plan.
        predictor: The model.
        part: What they are called.
        emit: Receiver of progress.
        answers: Folder that keeps each answered label map (``.npz``), for pictures.

    Returns:
        The evaluation, with curves.
    """
    from time import monotonic

    from scanwright.evaluation.masks import Froc, Reliability, evaluate_masks

    answers.mkdir(parents=True, exist_ok=True)
    reliability, curve, figures = Reliability(), Froc(), []
    lesions = len(plan.classes) == 1 and plan.segmentation is not None and plan.segmentation.target != "instances"
    began, pictures = monotonic(), True
    for done, case in enumerate(cases, start=1):
        volume = read_volume(case.source, root=cohort.root)
        truth = truth_of(cohort, case, volume)
        judged = Judged(volume, truth, predictor.predict(volume, case=case.id))
        pictures = pictures and volume.grid.is_picture
        figures.append(figures_of(judged, plan))
        masks, ignored = true_structures(truth, plan)
        if judged.answer.chances is not None:
            reliability.add(judged.answer.chances, np.logical_or.reduce(masks), ignored)
            if lesions:
                curve.add(masks[0], judged.answer.chances)
        if judged.answer.label_map is not None:
            np.savez_compressed(answers / f"{answer_name(case)}.npz", labels=judged.answer.label_map.array)
        left = (monotonic() - began) / done * (len(cases) - done)
        emit(Progress(stage="evaluate", step=f"Answering {part} cases", done=done, total=len(cases), left_s=left))
    return evaluate_masks(
        figures,
        classes=plan.classes,
        ids=[c.id for c in cases],
        groups=[c.group for c in cases],
        part=part,
        n_bootstrap=plan.n_bootstrap,
        seed=plan.seed,
        pictures=pictures,
        froc=curve if lesions else None,
        reliability=reliability,
    )


def answer_name(case: Case) -> str:
    """File name of a case's answer."""
    import hashlib

    return hashlib.sha256(case.id.encode()).hexdigest()[:16]


def _floor(cohort: Cohort, plan: Plan, store: VoxelStore, rows: NDArray[np.intp], part: Part) -> Evaluation:
    """What the mean shape of the training cases gives, stretched over each case: no image is looked at."""
    from scanwright.evaluation.masks import case_figures, evaluate_masks

    shares = mean_shape(store, plan)
    figures, target = [], plan.segmentation.target if plan.segmentation else "labels"
    for row in rows:
        labels = np.asarray(store.labels(int(row)))
        shape = LabelMap(labels, _grid_of(labels.shape))
        truths, ignored = ([labels > 0], None) if target == "instances" else true_structures(shape, plan)
        spread = [_stretched(share, labels.shape) > 0.5 for share in shares]
        spacing = store.spacings[int(row)]
        figures.append(
            {
                name: case_figures(truth, answer, spacing_mm=spacing, ignored=ignored)
                for name, truth, answer in zip(plan.classes, truths, spread, strict=True)
            }
        )
    return evaluate_masks(
        figures,
        classes=plan.classes,
        ids=[store.ids[int(n)] for n in rows],
        groups=[store.groups[int(n)] for n in rows],
        part=part,
        who="floor",
        n_bootstrap=plan.n_bootstrap,
        seed=plan.seed,
    )


def mean_shape(store: VoxelStore, plan: Plan, *, side: int = 48, limit: int = 200) -> list[NDArray[np.float32]]:
    """How often each structure lies at each place of a training case, all stretched to one size."""
    rows = store.rows("train")[:limit]
    flat = all(store.shapes[int(n)][2] == 1 for n in rows)
    shape = (side * 4, side * 4, 1) if flat else (side, side, side)
    total = [np.zeros(shape, dtype=np.float32) for _ in plan.classes]
    target = plan.segmentation.target if plan.segmentation else "labels"
    for row in rows:
        labels = np.asarray(store.labels(int(row)))
        masks = (
            [labels > 0]
            if target == "instances"
            else true_structures(LabelMap(labels, _grid_of(labels.shape)), plan)[0]
        )
        for share, mask in zip(total, masks, strict=True):
            share += _stretched(mask.astype(np.float32), shape)
    return [(share / len(rows)).astype(np.float32) for share in total]


def _stretched(array: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Nearest voxels of an array stretched to a shape."""
    index = [((np.arange(n) + 0.5) * m / n).astype(np.intp) for n, m in zip(shape, array.shape, strict=True)]
    return array[np.ix_(*index)]


def _grid_of(shape: tuple[int, ...]) -> Any:
    from scanwright.core import Grid

    return Grid((shape[0], shape[1], shape[2]))
