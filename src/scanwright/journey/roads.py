"""Three roads through the same stages: for classes and numbers, for label maps, for boxes.

A stage that differs between them is a field here; everything else is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scanwright.core import Emit, Plan, Task
from scanwright.io.box_store import BoxStore
from scanwright.io.store import Store
from scanwright.io.voxel_store import VoxelStore
from scanwright.journey.beginning import BASE

AnyStore = Store | VoxelStore | BoxStore


@dataclass(frozen=True)
class Road:
    """What a kind of task does in each stage that differs.

    Args:
        choose: ``(cohort, request, emit)`` to fingerprint and plan (None where one was given).
        prepare: ``(folder, cohort, plan, emit)`` to a store.
        teach: ``(plan, store, *, work, emit, devices, deadline)`` to what was trained.
        judge: ``(folder, cohort, plan, store, trained, emit)`` to evaluations.
        explain: ``(folder, cohort, plan, store, emit)`` to pictures for the report.
        judge_elsewhere: ``(folder, model file, cohort, emit)`` to evaluations on another cohort.
    """

    choose: Callable[..., Any]
    prepare: Callable[..., AnyStore]
    teach: Callable[..., Any]
    judge: Callable[..., Any]
    explain: Callable[..., Any]
    judge_elsewhere: Callable[..., Any]


def road_of(task: Task) -> Road:
    """The road that a task takes.

    Args:
        task: Of the cohort or the plan.

    Returns:
        Its stages.
    """
    return ROADS.get(task, _labels)()


def _labels() -> Road:
    from scanwright.journey import elsewhere, explaining, judging, planning

    def teach(plan: Plan, store: Any, *, emit: Emit, **rest: Any) -> Any:
        from scanwright.training import train

        base = rest["work"].parent / BASE if plan.pretrained else None
        return train(plan, store, emit=emit, base=base, **rest)

    return Road(
        planning.choose_labels,
        planning.prepare_rows,
        teach,
        judging.judge,
        explaining.explain,
        elsewhere.judge_elsewhere,
    )


def _masks() -> Road:
    from scanwright.journey.segment import elsewhere, explaining, judging, planning

    def teach(plan: Plan, store: Any, *, emit: Emit, **rest: Any) -> Any:
        from scanwright.training import train_segmenter

        return train_segmenter(plan, store, emit=emit, **rest)

    return Road(
        planning.choose,
        planning.prepare,
        teach,
        judging.judge,
        explaining.explain,
        elsewhere.judge_elsewhere,
    )


def _boxes() -> Road:
    from scanwright.journey.detect import elsewhere, explaining, judging, planning

    def teach(plan: Plan, store: Any, *, emit: Emit, **rest: Any) -> Any:
        from scanwright.training import train_detector

        return train_detector(plan, store, emit=emit, **rest)

    return Road(
        planning.choose,
        planning.prepare,
        teach,
        judging.judge,
        explaining.explain,
        elsewhere.judge_elsewhere,
    )


ROADS: dict[Task, Callable[[], Road]] = {"segment": _masks, "detect": _boxes}
"""Task to its road; every other task takes that of classes and numbers."""
