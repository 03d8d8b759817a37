"""Plan and prepared cases of a segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Case, Cohort, CohortError, Emit, Fingerprint, LabelMap, MaskCode, Plan, Volume
from scanwright.io import Lattice, VoxelStore, codes_of, read_truth, read_volume
from scanwright.io.run_folder import RunFolder, stage_events
from scanwright.journey.request import Request


def choose(cohort: Cohort, request: Request, emit: Emit) -> tuple[Fingerprint, Plan | None]:
    """Measure images and masks, and make a plan unless one was given."""
    from scanwright.plan import machine, measure
    from scanwright.plan.segment import make_segment_plan, measure_masks

    fingerprint = measure(cohort, lambda case: read_volume(case.source, root=cohort.root), seed=request.seed, emit=emit)
    if request.plan:
        return fingerprint, None
    codes = codes_of(_code(cohort))
    masks = measure_masks(cohort, lambda case: truth_of(cohort, case), n_codes=len(codes), seed=request.seed, emit=emit)
    plan = make_segment_plan(
        cohort,
        fingerprint,
        masks,
        codes,
        budget=request.budget,
        seed=request.seed,
        devices=request.devices,
        machine=machine(),
        cache=request.cache,
        emit=emit,
    )
    return fingerprint, plan


def prepare(folder: RunFolder, cohort: Cohort, plan: Plan, emit: Emit) -> VoxelStore:
    """Lay every case and its mask out on the lattice of the plan.

    Args:
        folder: Run folder; the store lies under ``work``.
        cohort: Locked cohort.
        plan: Preprocessing and codes.
        emit: Receiver of events.

    Returns:
        The store.
    """
    from scanwright.preprocessing import lattice, lattice_spacing, lay_labels, lay_out

    def ready(case: Case) -> Lattice:
        volume = read_volume(case.source, root=cohort.root)
        truth = truth_of(cohort, case, volume)
        spec = plan.preprocessing
        labels = lay_labels(learnt(truth, plan), lattice(volume.grid, spec))
        return Lattice(lay_out(volume, spec), labels, lattice_spacing(volume.grid, spec))

    with stage_events("prepare", emit):
        return VoxelStore.build(folder.work / "cases", cohort, plan, ready, emit=emit)


def truth_of(cohort: Cohort, case: Case, volume: Volume | None = None) -> LabelMap:
    """The true codes of a case, on its image's grid.

    Args:
        cohort: Its cohort.
        case: A case with masks.
        volume: Its image, read if None.

    Returns:
        Codes; for instances the objects' own numbers.
    """
    from scanwright.preprocessing import on_grid

    volume = volume or read_volume(case.source, root=cohort.root)
    found = read_truth(case.masks, _code(cohort), like=volume.grid, root=cohort.root, name=case.id)
    return on_grid(found, volume.grid, name=f"The mask of {case.id}")


def learnt(truth: LabelMap, plan: Plan) -> NDArray[np.integer[Any]]:
    """What is learnt of true codes: themselves, or the inside and border of numbered objects."""
    if plan.segmentation is None or plan.segmentation.target != "instances":
        return truth.array
    from scanwright.preprocessing.borders import inside_and_border

    return inside_and_border(truth.array)


def _code(cohort: Cohort) -> MaskCode:
    if cohort.mask_code is None:
        raise CohortError(
            f"{cohort.name} has no masks.", "A segmentation is learnt from masks.", "Name another task with --task."
        )
    return cohort.mask_code
