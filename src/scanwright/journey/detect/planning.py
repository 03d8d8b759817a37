"""Plan and prepared cases of a detection."""

from __future__ import annotations

from scanwright.core import Case, Cohort, Emit, Fingerprint, Plan, PlanError, inside
from scanwright.io import read_volume
from scanwright.io.box_store import BoxLattice, BoxStore
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.request import Request


def choose(cohort: Cohort, request: Request, emit: Emit) -> tuple[Fingerprint, Plan | None]:
    """Measure images and boxes, and make a plan unless one was given."""
    from scanwright.plan import machine, measure
    from scanwright.plan.detect import make_detect_plan, measure_boxes

    fingerprint = measure(cohort, lambda case: read_volume(case.source, root=cohort.root), seed=request.seed, emit=emit)
    if request.plan:
        return fingerprint, None
    plan = make_detect_plan(
        cohort,
        fingerprint,
        measure_boxes(cohort),
        budget=request.budget,
        seed=request.seed,
        devices=request.devices,
        machine=machine(),
        cache=request.cache,
        emit=emit,
    )
    return fingerprint, plan


def prepare(folder: RunFolder, cohort: Cohort, plan: Plan, emit: Emit) -> BoxStore:
    """Lay every case and its boxes out on the lattice of the plan.

    Args:
        folder: Run folder; the store lies under ``work``.
        cohort: Locked cohort.
        plan: Preprocessing.
        emit: Receiver of events.

    Returns:
        The store.

    Raises:
        PlanError: The plan is no detection's.
    """
    import numpy as np

    from scanwright.preprocessing import lattice_spacing
    from scanwright.preprocessing.boxes import lay_out_shrunk, setting

    detection, spec = plan.detection, plan.preprocessing
    if detection is None:
        raise PlanError(
            "The plan says nothing of detection.",
            "The key detection belongs to the task detect.",
            "Make the plan anew with `scanwright plan`.",
        )

    def ready(case: Case) -> BoxLattice:
        volume = read_volume(case.source, root=cohort.root)
        boxes = inside(case.boxes or (), volume.grid.shape)
        corners = setting(volume.grid, spec, detection.shrink).onto(boxes)
        labels = np.array([box.label for box in boxes], dtype=np.intp)
        spacing = lattice_spacing(volume.grid, spec)
        return BoxLattice(lay_out_shrunk(volume, spec, detection.shrink), corners, labels, spacing)

    with stage_events("prepare", emit):
        return BoxStore.build(folder.work / "boxes", cohort, plan, ready, emit=emit)
