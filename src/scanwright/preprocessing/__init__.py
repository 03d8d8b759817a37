"""Volume to array and back: the same numpy code in training and in serving.

``prepare`` makes what a network takes; ``restore`` puts a map on the prepared array back
on the source's own grid. No torch.
"""

from scanwright.preprocessing.clahe import clahe
from scanwright.preprocessing.estimate import estimate_intensity
from scanwright.preprocessing.intensity import INTENSITY, percentiles
from scanwright.preprocessing.lay_out import lattice, lattice_spacing, lay_labels, lay_out
from scanwright.preprocessing.orientation import reorient, reorient_grid
from scanwright.preprocessing.placement import Placement, place
from scanwright.preprocessing.prepare import prepare, restore
from scanwright.preprocessing.resample import resample
from scanwright.preprocessing.truth import on_grid, same_place

__all__ = [
    "INTENSITY",
    "Placement",
    "clahe",
    "estimate_intensity",
    "lattice",
    "lattice_spacing",
    "lay_labels",
    "lay_out",
    "on_grid",
    "percentiles",
    "place",
    "prepare",
    "reorient",
    "reorient_grid",
    "resample",
    "restore",
    "same_place",
]
