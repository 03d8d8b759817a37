"""Ways in which a cohort may lie on disk: one file each, one line each in the table; the first that fits wins."""

from __future__ import annotations

from scanwright.intake.layouts import bids, class_folders, idx, not_yet, npy_folder, npz, table
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Row, Wishes

LAYOUTS: dict[str, Layout] = {
    "npz": npz.LAYOUT,
    "npy-folder": npy_folder.LAYOUT,
    "idx": idx.LAYOUT,
    "bids": bids.LAYOUT,
    "table": table.LAYOUT,
    "nnunet": not_yet.NNUNET,
    "voc": not_yet.VOC,
    "coco": not_yet.COCO,
    "class-folders": class_folders.LAYOUT,
    "mask-folders": not_yet.MASKS,
}
"""Name to layout, in the order in which they are tried."""

__all__ = ["LAYOUTS", "Fit", "Layout", "Reading", "Row", "Wishes"]
