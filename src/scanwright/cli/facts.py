"""Machine-readable facts about the installation, gathered without importing anything heavy."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PARTS = (
    "torch",
    "monai",
    "lightning-fabric",
    "scikit-learn",
    "openvino",
    "onnxruntime",
    "pydicom",
    "nibabel",
    "SimpleITK",
    "fastapi",
)
_TRAIN = ("torch", "monai", "lightning-fabric", "scikit-learn", "safetensors", "onnx", "onnxscript")


def facts() -> dict[str, Any]:
    """Versions and what they allow.

    Returns:
        Plain JSON values: versions, whether training and prediction can work, formats, tasks.
    """
    versions = {name: installed(name) for name in _PARTS}
    return {
        "scanwright": installed("scanwright"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "libraries": versions,
        "can_train": all(installed(name) for name in _TRAIN),
        "can_predict": bool(versions["openvino"] or versions["onnxruntime"]),
        "tasks": ["binary", "multiclass", "multilabel", "ordinal", "regress", "segment", "detect"],
        "reads": ["dicom", "nifti", "nrrd", "mha", "png", "jpeg", "tiff", "npy", "npz", "idx"],
        "formats": {
            "plan": "scanwright-plan/1",
            "model": "scanwright-model/1",
            "cohort": "scanwright-cohort/1",
            "generator": "scanwright-generator/1",
        },
    }


def installed(name: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
