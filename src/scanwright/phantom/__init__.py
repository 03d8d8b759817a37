"""Synthetic chests with known truth, written as real DICOM files."""

from scanwright.phantom.cohort import KINDS, Kind, write_phantom
from scanwright.phantom.ct import LABELS, render_ct
from scanwright.phantom.patient import CT_SCANNERS, SCANNERS, ChestPatient, Nodule, Scanner, chest
from scanwright.phantom.xray import attenuation_per_mm, project, render_xray

__all__ = [
    "CT_SCANNERS",
    "KINDS",
    "LABELS",
    "SCANNERS",
    "ChestPatient",
    "Kind",
    "Nodule",
    "Scanner",
    "attenuation_per_mm",
    "chest",
    "project",
    "render_ct",
    "render_xray",
    "write_phantom",
]
