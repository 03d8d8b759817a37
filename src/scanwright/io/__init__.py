"""The door: DICOM, NIfTI, NRRD, pictures, arrays, run folders and model files to nouns and back.

Names are loaded when they are first asked for, so that importing the room costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Locator": "locator",
    "ModelFile": "model_file",
    "Probe": "probing",
    "READERS": "read",
    "RunFolder": "run_folder",
    "Series": "dicom.series",
    "Store": "store",
    "atomic_write": "atomic",
    "format_locator": "locator",
    "frames_of": "locator",
    "kind_of": "content",
    "list_series": "dicom.series",
    "open_array": "arrays",
    "parse_locator": "locator",
    "probe": "probing",
    "read_case": "read",
    "read_cohort": "cohort_file",
    "read_label_map": "read",
    "read_truth": "truth",
    "VoxelStore": "voxel_store",
    "Lattice": "voxel_store",
    "codes_of": "truth",
    "read_model_file": "model_file",
    "read_series": "dicom.series",
    "read_volume": "read",
    "GeneratorFile": "generator_file",
    "SYNTHETIC_WRITERS": "synthetic",
    "SyntheticMark": "synthetic",
    "is_synthetic": "synthetic",
    "read_generator_file": "generator_file",
    "write_generator_file": "generator_file",
    "write_synthetic": "synthetic",
    "write_cohort": "cohort_file",
    "write_heatmap_dicom": "dicom.write",
    "write_json": "atomic",
    "write_model_file": "model_file",
    "write_nifti": "write",
    "write_png": "write",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
