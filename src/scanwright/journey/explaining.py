"""Where a model looks, and whether its heat maps deserve to be believed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Case, Cohort, Emit, Plan, Said, Volume
from scanwright.io import Store, read_case, write_json
from scanwright.io.run_folder import RunFolder, stage_events

if TYPE_CHECKING:
    from scanwright.inference import Predictor

_EXAMINED = 64
_SAMPLES_PER_CLASS = 6
_SAMPLES = 24


@dataclass(frozen=True)
class Explained:
    """Pictures for the report, and the examination of the heat maps.

    Args:
        samples: Caption and picture of training cases, some of each class.
        cases: One row for each explained test case: names, pictures, whether right.
        examination: Result of the examination, as it stands in the model file.
        segments: Rows of the best, median and worst answers of a segmentation.
    """

    samples: list[tuple[str, NDArray[np.uint8]]]
    cases: list[dict[str, Any]]
    examination: dict[str, Any] | None
    segments: list[dict[str, Any]] = field(default_factory=list)


def explain(
    folder: RunFolder, cohort: Cohort, plan: Plan, store: Store, emit: Emit, *, seconds: float = 10.0
) -> Explained:
    """Examine the heat maps on validation, and draw those of telling test cases.

    Args:
        folder: Run folder with an evaluated network.
        cohort: Locked cohort.
        plan: Plan.
        store: Prepared arrays.
        emit: Receiver of events.
        seconds: How long the examination may take.

    Returns:
        Pictures and examination; ``work/trust.json`` gets the examination as well.
    """
    from scanwright.explain import best_explainer
    from scanwright.inference import Predictor

    with stage_events("explain", emit):
        rows = _spread(store, plan)
        network = (folder.work / "network.onnx").read_bytes()
        trust = folder.json("work/trust.json")
        predictor = Predictor.from_network(network, plan, trust=trust)
        found = best_explainer(
            predictor, np.asarray(store.images[rows], dtype=np.float32), seed=plan.seed, seconds=seconds, emit=emit
        )
        trust = {**trust, "explanation": found.to_dict()}
        write_json(folder.work / "trust.json", trust)
        emit(Said(stage="explain", text=found.sentence))
        predictor = Predictor.from_network(network, plan, trust=trust)
        cases = _explained_cases(folder, cohort, predictor)
        return Explained(_samples(cohort), cases, found.to_dict())


def members(folder: RunFolder, plan: Plan, *, card: str) -> dict[str, bytes]:
    """Members of the model file that a run has made.

    Args:
        folder: Run folder with an evaluated network.
        plan: Plan.
        card: Model card, Markdown.

    Returns:
        Name to content.
    """
    eight_bit = folder.work / "network.int8.onnx"
    return {
        "plan.json": plan.to_json().encode(),
        "fingerprint.json": (folder / "fingerprint.json").read_bytes(),
        "network.onnx": (folder.work / "network.onnx").read_bytes(),
        **({"network.int8.onnx": eight_bit.read_bytes()} if eight_bit.exists() else {}),
        "labels.json": json.dumps({"names": list(plan.classes)}, ensure_ascii=False, indent=2).encode(),
        "trust.json": (folder.work / "trust.json").read_bytes(),
        "evaluation.json": (folder / "metrics.json").read_bytes(),
        "card.md": card.encode(),
    }


def show_case(predictor: Predictor, case: Case, volume: Volume, row: dict[str, str]) -> dict[str, Any]:
    """What the report shows of one case.

    Args:
        predictor: The model.
        case: The case.
        volume: Its image.
        row: Its row of ``predictions.csv``.

    Returns:
        Names, probability, picture, overlay and whether the answer is right.
    """
    answer = predictor.predict(volume, case=case.id, heatmap=True, columns=case.covariates)
    chance = max(answer.probabilities) if answer.probabilities else answer.value
    return {
        "case": case.id,
        "truth": row["truth"],
        "predicted": row.get("predicted", answer.label),
        "probability": chance,
        "picture": answer.picture,
        "overlay": answer.overlay,
        "correct": row.get("correct") in ("True", "1", "true", "yes"),
    }


def telling_rows(rows: Sequence[dict[str, str]], n: int = 16) -> list[dict[str, str]]:
    """Rows of ``predictions.csv`` that teach most: confident errors, doubtful and clear right answers.

    Args:
        rows: Rows of the test part.
        n: How many at most.

    Returns:
        Errors first, the most confident first; then right answers of every class.
    """
    if not rows:
        return []
    if "error" in rows[0]:
        order = sorted(rows, key=lambda r: -abs(float(r["error"] or 0)))
        return [*order[: n // 2], *order[-(n - n // 2) :]]
    margin = {r["case"]: float(r.get("margin") or 0) for r in rows}
    right = [r for r in rows if r["correct"] in ("True", "1", "true", "yes")]
    wrong = sorted((r for r in rows if r not in right and r["truth"]), key=lambda r: -margin[r["case"]])[: n // 2]
    chosen = list(wrong)
    by_class = {
        name: sorted((r for r in right if r["truth"] == name), key=lambda r: -margin[r["case"]])
        for name in {r["truth"]: 0 for r in right}
    }
    while len(chosen) < n and any(by_class.values()):
        for bucket in by_class.values():
            if bucket and len(chosen) < n:
                chosen.append(bucket.pop(len(bucket) // 4))
    return chosen


def _explained_cases(folder: RunFolder, cohort: Cohort, predictor: Predictor) -> list[dict[str, Any]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    known = {case.id: case for case in cohort.cases}
    shown = []
    for row in telling_rows(rows):
        case = known[row["case"]]
        shown.append(show_case(predictor, case, read_case(case, root=cohort.root), row))
    return shown


def _spread(store: Store, plan: Plan) -> NDArray[np.intp]:
    """Validation rows for the examination, every class alike, drawn by the plan's seed."""
    rows = np.random.default_rng(plan.seed).permutation(store.rows("val"))
    if plan.task in ("regress", "multilabel"):
        return rows[:_EXAMINED]
    labels = store.labels[rows]
    each = max(_EXAMINED // len(plan.classes), 2)
    return np.concatenate([rows[labels == k][:each] for k in range(len(plan.classes))])


def _samples(cohort: Cohort) -> list[tuple[str, NDArray[np.uint8]]]:
    train = [c for c in cohort.of("train") if c.label is not None]
    chosen: Iterable[Case]
    if cohort.task in ("regress", "multilabel"):
        chosen = train[:: max(len(train) // _SAMPLES, 1)][:_SAMPLES]
    else:
        each = max(min(_SAMPLES_PER_CLASS, _SAMPLES // max(len(cohort.classes), 1)), 1)
        chosen = [c for k in range(len(cohort.classes)) for c in [c for c in train if c.label == k][:each]]
    return [(_caption(cohort, case), read_case(case, root=cohort.root).picture()) for case in chosen]


def _caption(cohort: Cohort, case: Case) -> str:
    if isinstance(case.label, tuple):
        return ", ".join(n for n, v in zip(cohort.classes, case.label, strict=True) if v == 1) or "none"
    return f"{case.label:g}" if cohort.task == "regress" else cohort.classes[int(case.label or 0)]
