"""Pictures of a segmentation: samples with their truth, and the best, median and worst answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Case, Cohort, Emit, Evaluation, LabelMap, Plan, Volume
from scanwright.io import VoxelStore, read_volume
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.explaining import Explained
from scanwright.journey.judging import read_evaluations
from scanwright.journey.segment.judging import answer_name
from scanwright.journey.segment.planning import truth_of

_SAMPLES = 8
_EACH = 2


def explain(folder: RunFolder, cohort: Cohort, plan: Plan, store: VoxelStore, emit: Emit) -> Explained:
    """Draw training samples with their truth, and the best, median and worst test answers.

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
        return Explained(
            samples=_samples(cohort, plan),
            cases=[],
            examination=None,
            segments=segments_of(cohort, plan, test, folder.work / "answers"),
        )


def segments_of(cohort: Cohort, plan: Plan, judged: Evaluation, answers: Any) -> list[dict[str, Any]]:
    """The best, median and worst cases with their planes.

    Args:
        cohort: Its cases.
        plan: Classes.
        judged: Evaluation with one row a case, worst first.
        answers: Folder of answered label maps.

    Returns:
        Rows of ``ReportContents.segments``.
    """
    known = {case.id: case for case in cohort.cases}
    shown = []
    for rank, row in telling([r for r in judged.cases if r.get("dice") is not None]):
        case = known[row["case"]]
        path = answers / f"{answer_name(case)}.npz"
        if not path.exists():
            continue
        volume = read_volume(case.source, root=cohort.root)
        answer = np.load(path)["labels"]
        truth = _shown(truth_of(cohort, case, volume), plan)
        shown.append(
            {
                "case": case.id,
                "rank": rank,
                "dice": row["dice"],
                "sentence": "",
                "planes": planes(volume, truth, answer),
            }
        )
    return shown


def planes(volume: Volume, truth: NDArray[Any], answer: NDArray[Any]) -> list[dict[str, Any]]:
    """Slices through the middle of what is true or answered, hung upright.

    Args:
        volume: The image.
        truth: ``(I, J, K)`` structures on its grid.
        answer: The same for the answer.

    Returns:
        One plane of a picture, else axial, coronal and sagittal ones: ``name, picture, truth,
        answer, aspect``.
    """
    if volume.grid.is_picture:
        one = {"name": "picture", "picture": volume.picture(), "truth": truth[..., 0], "answer": answer[..., 0]}
        return [one | {"aspect": volume.grid.spacing[0] / volume.grid.spacing[1]}]
    from scanwright.preprocessing.orientation import reorient_grid, turn_to

    spacing, turned = volume.grid.spacing, volume.array[0]
    if volume.grid.spacing_known:
        turn = turn_to(volume.grid, "RAS")
        spacing = reorient_grid(volume.grid, "RAS").spacing
        turned, truth, answer = turn.apply(volume.array)[0], turn.apply(truth), turn.apply(answer)
    low, high = (float(v) for v in np.percentile(turned, (0.5, 99.5)))
    if volume.window:
        low, high = volume.window[0] - volume.window[1] / 2, volume.window[0] + volume.window[1] / 2
    inside = np.argwhere((truth != 0) | (answer != 0))
    centre = inside.mean(axis=0).round().astype(int) if len(inside) else np.array(turned.shape) // 2
    found = []
    for name, axis in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        cut: list[Any] = [slice(None, None, -1)] * 3
        cut[axis] = int(centre[axis])
        columns, rows = (a for a in range(3) if a != axis)
        grey = turned[tuple(cut)].T.astype(np.float32)
        picture = (np.clip((grey - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
        found.append(
            {
                "name": name,
                "picture": picture,
                "truth": truth[tuple(cut)].T,
                "answer": answer[tuple(cut)].T,
                "aspect": spacing[rows] / spacing[columns],
            }
        )
    return found


def _shown(truth: LabelMap, plan: Plan) -> NDArray[np.integer[Any]]:
    """True codes as the structures that an answer paints: of overlapping regions the later one on top."""
    if plan.segmentation is None or plan.segmentation.target == "instances":
        return truth.array
    table = np.zeros(256, dtype=np.uint8)
    table[255] = 255
    for code, classes in enumerate(plan.segmentation.codes, start=1):
        table[code] = max(classes) + 1
    return table[truth.array]


def telling(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """The worst, median and best rows (given worst first), each case once, with their rank."""
    middle = max(len(rows) // 2 - _EACH // 2, 0)
    chosen: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for rank, some in (
        ("worst", rows[:_EACH]),
        ("best", rows[::-1][:_EACH]),
        ("median", rows[middle : middle + _EACH]),
    ):
        for row in some:
            chosen.setdefault(row["case"], (rank, row))
    order = {"best": 0, "median": 1, "worst": 2}
    return sorted(chosen.values(), key=lambda item: order[item[0]])


def _samples(cohort: Cohort, plan: Plan) -> list[tuple[str, NDArray[np.uint8]]]:
    from scanwright.report.overlays import paint_truth

    train: list[Case] = [c for c in cohort.of("train") if c.masks]
    drawn = []
    for case in train[:: max(len(train) // _SAMPLES, 1)][:_SAMPLES]:
        volume = read_volume(case.source, root=cohort.root)
        truth = _shown(truth_of(cohort, case, volume), plan)
        first = planes(volume, truth, truth)[0]
        picture = paint_truth(first["picture"], first["truth"], len(plan.classes), aspect=first["aspect"])
        drawn.append((case.id, picture))
    return drawn
