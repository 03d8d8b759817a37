"""Ways in which a cohort may lie on disk: one file each, one line each in the table; the first that fits wins."""

from __future__ import annotations

from scanwright.intake.layouts import (
    bids,
    box_table,
    class_folders,
    coco,
    dicom_masks,
    idx,
    mask_folders,
    mask_table,
    nnunet,
    npy_folder,
    npz,
    table,
    voc,
)
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes

LAYOUTS: dict[str, Layout] = {
    "npz": npz.LAYOUT,
    "npy-folder": npy_folder.LAYOUT,
    "idx": idx.LAYOUT,
    "nnunet": nnunet.LAYOUT,
    "bids": bids.LAYOUT,
    "box-table": box_table.LAYOUT,
    "table": table.LAYOUT,
    "mask-table": mask_table.LAYOUT,
    "voc": voc.LAYOUT,
    "coco": coco.LAYOUT,
    "dicom-masks": dicom_masks.LAYOUT,
    "class-folders": class_folders.LAYOUT,
    "mask-folders": mask_folders.LAYOUT,
}
"""Name to layout, in the order in which they are tried."""

MASKED = ("npz", "npy-folder", "nnunet", "mask-table", "dicom-masks", "mask-folders")
"""Layouts whose truth may be masks, in the order in which they are tried for the task segment."""

DETECTED = ("voc", "coco", "box-table", *MASKED)
"""Layouts whose truth may be boxes, or masks whose pieces become boxes, in the order in which they are tried."""

__all__ = ["DETECTED", "LAYOUTS", "MASKED", "Fit", "Layout", "Reading", "Row", "Wishes"]
