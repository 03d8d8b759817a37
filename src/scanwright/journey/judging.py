"""From a trained network to honest figures.

What is judged is what is shipped: the exported network, run by the engine that serves it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter

from scanwright.core import Case, Cohort, Emit, Evaluation, Part, Plan, Said
from scanwright.evaluation import evaluate, majority_baseline, metrics_json, prediction_rows
from scanwright.io import Store, atomic_write, write_json
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.fusing import Fused, fuse
from scanwright.journey.learning import train_digest
from scanwright.trust import fit_trust

if TYPE_CHECKING:
    from scanwright.training import Trained

Floats = NDArray[np.floating[Any]]
Answers = NDArray[np.intp] | None
_EVALUATIONS: TypeAdapter[list[Evaluation]] = TypeAdapter(
    list[Evaluation], config=ConfigDict(ser_json_inf_nan="strings")
)
_JUDGED: tuple[Part, ...] = ("val", "test")


def judge(
    folder: RunFolder, cohort: Cohort, plan: Plan, store: Store, trained: Trained, emit: Emit
) -> list[Evaluation]:
    """Export, calibrate on validation, and judge on validation and test.

    Writes ``metrics.json``, ``predictions.csv`` and, under ``work``, the networks and
    ``trust.json``. Nothing is chosen here by looking at the test part.

    Args:
        folder: Run folder.
        cohort: Locked cohort.
        plan: Task, classes, number of bootstrap draws.
        store: Prepared arrays.
        trained: Weights.
        emit: Receiver of events.

    Returns:
        Evaluations of the model (calibrated and not), the linear baseline and the
        majority floor, on validation and test.
    """
    digest = train_digest(plan, store)
    outputs = ("metrics.json", "predictions.csv", "work/evaluations.json", "work/trust.json", "work/network.onnx")
    if folder.is_done("evaluate", digest, *outputs):
        return read_evaluations(folder)
    from scanwright.training import export_network

    with stage_events("evaluate", emit):
        rows = {part: _labelled(store, part) for part in _JUDGED}
        told: dict[str, Any] = {}
        networks = {
            "model": export_network(trained, plan, rows=store.images[:8]),
            "linear": export_network(trained, plan, which="baseline", rows=store.images[:8]),
        }
        atomic_write(folder.work / "network.onnx", networks["model"])
        evaluations: list[Evaluation] = []
        shares: dict[Part, tuple[Floats, Answers]] = {}
        for who, network in networks.items():
            logits = {part: _logits(network, plan, store, rows[part], emit) for part in _JUDGED}
            if who == "model" and plan.columns:
                fused = _fused(cohort, plan, store, rows, logits, emit)
                logits, told = fused.logits, fused.told
                evaluations += fused.evaluations
            trust = fit_trust(
                logits["val"],
                store.labels[rows["val"]],
                task=plan.task,
                classes=plan.classes,
                rule=plan.operating_point,
                train_shares=_train_shares(plan, store),
            )
            for part in _JUDGED:
                chances = trust.probabilities(logits[part])
                answers = None if plan.task == "regress" else trust.answers(chances)
                evaluations.append(_evaluate(plan, store, rows[part], part, who, chances, answers))
                if who == "model":
                    shares[part] = (chances, answers)
            if who == "model":
                write_json(folder.work / "trust.json", trust.to_dict() | told)
                plain = trust.uncalibrated(logits["test"])
                if plain is not None:
                    evaluations.append(_evaluate(plan, store, rows["test"], "test", "uncalibrated", plain, None))
                if plan.preprocessing.frames is not None and not plan.columns:
                    mixed = _logits(network, plan, store, rows["test"], emit, Shuffled(store.images, plan.seed))
                    chances = trust.probabilities(mixed)
                    answers = None if plan.task == "regress" else trust.answers(chances)
                    evaluations.append(_evaluate(plan, store, rows["test"], "test", "shuffled", chances, answers))
        truth = store.labels[_labelled(store, "train")]
        for part in _JUDGED:
            floor = majority_baseline(truth, len(rows[part]), plan.task, plan.classes)
            evaluations.append(_evaluate(plan, store, rows[part], part, "majority", floor, None))
        _write(folder, cohort, plan, rows, shares, evaluations)
        for text in next(e for e in evaluations if e.who == "model" and e.part == "test").warnings:
            emit(Said(stage="evaluate", text=text, level="warn"))
        folder.mark_done("evaluate", digest)
    return evaluations


def _fused(
    cohort: Cohort,
    plan: Plan,
    store: Store,
    rows: dict[Part, NDArray[np.intp]],
    logits: dict[Part, Floats],
    emit: Emit,
) -> Fused:
    def judge_part(part: Part, who: str, chances: Floats, answers: Answers) -> Evaluation:
        return _evaluate(plan, store, rows[part], part, who, chances, answers)

    every: dict[Part, NDArray[np.intp]] = {"train": _labelled(store, "train"), **rows}
    return fuse(cohort, plan, store, every, logits, judge_part, emit)


def read_evaluations(folder: RunFolder) -> list[Evaluation]:
    """Evaluations that a run wrote."""
    return _EVALUATIONS.validate_python(folder.json("work/evaluations.json"))


def write_evaluations(folder: RunFolder, evaluations: Sequence[Evaluation]) -> None:
    """Write ``metrics.json``, and the evaluations with their curves under ``work``."""
    value = json.loads(_EVALUATIONS.dump_json(list(evaluations)))
    write_json(folder.work / "evaluations.json", value)
    write_json(folder / "metrics.json", metrics_json(evaluations))


def write_predictions(folder: RunFolder, rows: Sequence[dict[str, Any]]) -> None:
    """Write ``predictions.csv``, one row a case."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(k for row in rows for k in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(folder / "predictions.csv", text.getvalue())


class Shuffled:
    """Prepared sequences with their frames in random order: what the model makes of them shows whether it reads order.

    Args:
        images: ``(N, C + 1, I, J, T)``; the clock stays as it is, and frames that are not there stay last.
        seed: Seed; the same case is always mixed alike.
    """

    def __init__(self, images: NDArray[np.floating[Any]], seed: int) -> None:
        self.images, self.seed = images, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: NDArray[np.intp]) -> Floats:
        found = np.array(self.images[rows])
        for row, one in zip(rows, found, strict=True):
            n = int((one[-1, 0, 0] >= 0).sum())
            order = np.random.default_rng((self.seed, 41, int(row))).permutation(n)
            one[:-1, ..., :n] = one[:-1][..., order]
        return found


def logits_alone(network: bytes) -> bytes:
    """The same network without its embedding and maps, which judging does not need: engines leave out what they take."""
    import onnx

    model = onnx.load_model_from_string(network)
    kept = [port for port in model.graph.output if port.name == "logits"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return bytes(model.SerializeToString())


def _logits(
    network: bytes, plan: Plan, store: Store, rows: NDArray[np.intp], emit: Emit, images: Shuffled | None = None
) -> Floats:
    from scanwright.inference import Predictor, predict_arrays

    predictor = Predictor.from_network(logits_alone(network), plan)
    return predict_arrays(predictor, images or store.images, rows=rows, emit=emit)["logits"]


def _labelled(store: Store, part: Part) -> NDArray[np.intp]:
    rows = store.rows(part)
    known = np.isfinite(store.labels[rows])
    return rows[known if known.ndim == 1 else known.any(axis=1)]


def _train_shares(plan: Plan, store: Store) -> list[float] | None:
    """Shares of the classes as training showed them; None when sampling was balanced."""
    if plan.training.balanced_sampling or plan.task == "regress":
        return None
    labels = store.labels[_labelled(store, "train")]
    if plan.task == "multilabel":
        return [float(share) for share in np.nanmean(labels, axis=0)]
    shares = np.bincount(labels.astype(np.intp), minlength=len(plan.classes)) / len(labels)
    return [float(share) for share in shares]


def _evaluate(
    plan: Plan, store: Store, rows: NDArray[np.intp], part: Part, who: str, chances: Floats, answers: Answers
) -> Evaluation:
    return evaluate(
        chances,
        store.labels[rows],
        task=plan.task,
        classes=plan.classes,
        groups=[store.groups[i] for i in rows],
        part=part,
        who=who,
        answers=answers,
        n_bootstrap=plan.n_bootstrap,
        seed=plan.seed,
    )


def _write(
    folder: RunFolder,
    cohort: Cohort,
    plan: Plan,
    rows: dict[Part, NDArray[np.intp]],
    shares: dict[Part, tuple[Floats, Answers]],
    evaluations: Sequence[Evaluation],
) -> None:
    write_evaluations(folder, evaluations)
    table: list[dict[str, Any]] = []
    for part in reversed(_JUDGED):
        cases: list[Case] = [cohort.cases[i] for i in rows[part]]
        chances, answers = shares[part]
        table.extend(prediction_rows(cases, chances, answers, task=plan.task, classes=plan.classes))
    write_predictions(folder, table)
