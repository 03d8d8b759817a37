"""Words that people use for parts, columns, modalities and degrees of disease."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from scanwright.core import Part

PART_WORDS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "tr": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "tune": "val",
    "tuning": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "t10k": "test",
    "holdout": "test",
}
"""Folder names, cell values and array names to parts."""

PATIENT_COLUMNS = (
    "patient", "patient_id", "patientid", "patient_key", "patient_name", "subject", "subject_id", "subjectid",
    "participant", "participant_id", "person", "person_id", "pid", "mrn",
)  # fmt: skip
PART_COLUMNS = ("part", "split", "set", "subset", "partition", "fold_name", "phase", "usage", "dataset")
PATH_COLUMNS = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "img_path",
    "image_file", "imagefile", "image_name", "dicom", "dicom_path", "source", "scan", "nifti", "volume",
    "image_id", "imageid", "image_index", "img_id", "id", "case", "case_id", "name", "series", "study", "id_code",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "class", "target", "diagnosis", "dx", "labels", "class_name", "class_label", "label_name",
    "finding_labels", "finding", "findings", "pathology", "outcome", "severity", "grade", "stage", "category",
    "birads", "bi_rads", "level", "ground_truth", "truth", "gt", "y", "disease", "condition", "abnormality",
    "malignancy", "status", "result", "type", "kind", "group", "score", "cancer",
)  # fmt: skip
ORDER_COLUMNS = (
    "grade", "stage", "level", "score", "birads", "bi_rads", "severity", "isup", "kl", "gleason", "malignancy",
    "rads", "density", "dr",
)  # fmt: skip
NUMBER_COLUMNS = (
    "age", "volume", "area", "size", "length", "diameter", "thickness", "weight", "height", "dose", "ef", "ejection",
    "percent", "ratio", "time", "days", "months", "years", "bmi", "value", "bone",
)  # fmt: skip
DEMOGRAPHIC_COLUMNS = (
    "age", "sex", "gender", "race", "ethnicity", "site", "center", "centre", "hospital", "scanner", "manufacturer",
    "view", "laterality", "side", "width", "height", "rows", "columns", "follow_up", "weight", "bmi", "handedness",
    "frontal_lateral", "ap_pa", "mask", "mode", "date", "year", "frame", "slice", "phase",
)  # fmt: skip

NEGATIVE_WORDS = frozenset(
    [
        "normal",
        "negative",
        "neg",
        "healthy",
        "control",
        "controls",
        "none",
        "no",
        "absent",
        "benign",
        "false",
        "clear",
        "0",
        "n",
        "nofinding",
        "no_finding",
        "hc",
        "cn",
    ]
)
"""Class names that mean that the disease is not there."""

DEGREES: tuple[tuple[str, ...], ...] = (
    ("none", "minimal", "mild", "moderate", "severe", "critical", "proliferative"),
    ("normal", "mild", "moderate", "severe"),
    ("no", "mild", "moderate", "severe"),
    ("low", "medium", "high"),
    ("low", "intermediate", "high"),
    ("absent", "equivocal", "present"),
    ("i", "ii", "iii", "iv", "v"),
)
"""Words that rise in degree: a set of classes drawn from one row is ordinal."""

WORSENING: dict[str, int] = {
    "normal": 0, "none": 0, "negative": 0, "healthy": 0, "norm": 0, "no finding": 0, "n": 0,
    "benign": 1, "b": 1, "mild": 2, "moderate": 3, "severe": 4, "malignant": 5, "m": 5, "cancer": 5,
}  # fmt: skip
"""Rank of a class name where several rows speak of one picture: the worst wins."""

MODALITY_WORDS: dict[str, str] = {
    "xray": "DX", "xrays": "DX", "cxr": "DX", "cxr8": "DX", "radiograph": "DX", "radiographs": "DX", "chestxray": "DX",
    "radiography": "DX", "ct": "CT", "hrct": "CT", "cect": "CT", "mri": "MR", "mr": "MR", "t1w": "MR", "t2w": "MR",
    "flair": "MR", "ultrasound": "US", "us": "US", "sonography": "US", "busi": "US", "echo": "US", "mammo": "MG",
    "mammogram": "MG", "mammograms": "MG", "mammography": "MG", "mias": "MG", "ddsm": "MG", "inbreast": "MG",
    "fundus": "OP", "retina": "OP", "retinopathy": "OP", "aptos": "OP", "histology": "SM", "histopathology": "SM",
    "pathology": "SM", "biopsy": "SM", "wsi": "SM", "pcam": "SM", "oct": "OPT", "pet": "PT", "dermoscopy": "XC",
    "dermatoscopy": "XC", "skin": "XC", "isic": "XC", "ham10000": "XC", "endoscopy": "ES", "colonoscopy": "ES",
    "kvasir": "ES",
}  # fmt: skip
"""Words in folder and file names to DICOM modality codes."""

MODALITY_NAMES = {
    "DX": "radiograph", "CR": "radiograph", "RG": "radiograph", "CT": "CT", "MR": "MR", "US": "ultrasound", "MG": "mammogram",
    "OP": "fundus photograph", "SM": "microscope slide", "OPT": "optical coherence tomogram", "PT": "PET",
    "XC": "photograph", "ES": "endoscopy", "NM": "nuclear medicine", "XA": "angiogram",
}  # fmt: skip

RADIOGRAPHS = frozenset(["DX", "CR", "RG"])
"""Codes of one kind of image: radiographs by digital detector, by imaging plate, and on film."""

MASK_FOLDERS = frozenset(
    [
        "mask",
        "masks",
        "seg",
        "segs",
        "segmentation",
        "segmentations",
        "annotation",
        "annotations",
        "groundtruth",
        "ground_truth",
        "gt",
        "label",
        "labels",
        "labelstr",
        "labelsts",
        "contours",
        "contour",
        "truth",
        "manual",
        "overlay",
        "overlays",
        "heatmap",
        "heatmaps",
    ]
)
"""Folder names that hold answers, not pictures."""

IMAGE_FOLDERS = frozenset(
    [
        "image",
        "images",
        "imgs",
        "img",
        "imagestr",
        "imagests",
        "data",
        "pictures",
        "scans",
        "jpegimages",
        "png",
        "jpg",
        "dicom",
        "raw",
    ]
)
"""Folder names that hold pictures and are no class."""

MISSING_WORDS = frozenset(("", "nan", "na", "n/a", "null", "?", "<na>", "missing", "nat"))
"""Cells (in lower case) that say that nothing is known."""


def plain(text: str) -> str:
    """Column and folder names in one spelling: lower case, words joined by ``_``.

    Example:
        >>> plain("Patient ID"), plain("PatientID"), plain("Finding Labels")
        ('patient_id', 'patient_id', 'finding_labels')
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text.strip())
    return re.sub(r"[^0-9a-z]+", "_", parted.lower()).strip("_")


def tokens(text: str) -> list[str]:
    """Words of a name, such as ``["chest", "xray", "2"]`` for ``"Chest-XRay_2"``."""
    joined = re.sub(r"(?i)x-?rays?", "xray", text)
    return [t for t in re.split(r"[^0-9a-z]+", joined.lower()) if t]


def part_of(text: str) -> Part | None:
    """The part that a word names, or None."""
    return PART_WORDS.get(plain(text))


def modality_kinds(codes: Iterable[str | None]) -> Counter[str]:
    """Count images by kind of modality: DX, CR and RG are all radiographs.

    Args:
        codes: DICOM codes; None where unknown.

    Returns:
        Code to number; radiographs of several codes are counted together as ``"DX"``.
    """
    counts = Counter(c for c in codes if c)
    plates = [c for c in counts if c in RADIOGRAPHS]
    if len(plates) > 1:
        counts["DX"] = sum(counts.pop(c) for c in plates)
    return counts


def modality_in_words(code: str) -> str:
    """``"DX (radiograph)"``; the code alone when it has no word."""
    return f"{code} ({MODALITY_NAMES[code]})" if code in MODALITY_NAMES else code
