"""The shapes of what the service says, as they stand in its OpenAPI description."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Said(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class ModelIdentity(_Said):
    """Which model answered."""

    name: str
    version: str
    sha256: str = Field(description="hash of the model file")


class HeatMap(_Said):
    """Where the model looked; the links live for about an hour."""

    url: str = Field(description="PNG of the picture with the heat map drawn over it")
    nifti: str | None = Field(
        None, description="the map itself, 0 .. 1, on the grid of the image; for images with a place"
    )


class Structure(_Said):
    """What a value of a label map means."""

    value: int
    name: str
    colour: str = Field(description="#rrggbb, as the page draws it")


class SegmentationLinks(_Said):
    """The label map; the link lives for about an hour."""

    url: str = Field(description="NIfTI on the grid of the image; 0 is background")
    unit: str = Field(description="of amounts: mL, mm2 or pixels")
    structures: list[Structure]


class SliceLinks(_Said):
    """Slices to leaf through; the links live for about an hour."""

    url: str = Field(description="add {k}.png, and ?overlay=1 for the slice with heat map or structures over it")
    count: int
    start: int = Field(description="slice to show first, from 0")
    aspect: float = Field(description="width over height of a slice in the body")
    layer: str = Field(description="heat, labels, or empty")


class Lesion(_Said):
    """One connected piece of a structure."""

    number: int
    structure: str
    n_voxels: int
    volume_ml: float | None = None
    area_mm2: float | None = None
    longest_mm: float | None = Field(None, description="longest diameter in a slice; pixels where spacing is unknown")
    perpendicular_mm: float | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = Field(description="of mean, low and high")
    centroid: list[float | None]
    centroid_mm: list[float | None] | None = Field(None, description="x, y, z, RAS+")
    side: str
    probability: float | None = None
    slice: int = Field(description="slice to look at, from 0")
    box: list[list[int]] = Field(description="first and last index along each axis")


class FoundBox(_Said):
    """One box of a detection."""

    model_config = ConfigDict(populate_by_name=True)

    number: int
    name: str = Field(alias="class", description="class of the thing")
    score: float = Field(description="confidence, 0 to 1; it orders boxes and is no probability")
    low: list[float] = Field(description="lower edges along i, j, k; voxel n covers n - 0.5 to n + 0.5")
    high: list[float] = Field(description="upper edges")
    low_mm: list[float] | None = Field(None, description="lowest x, y, z, LPS mm, where the place is known")
    high_mm: list[float] | None = None
    size_mm: list[float] | None = Field(None, description="extent along i, j, k")


class Result(_Said):
    """The answer for one case."""

    case: str = Field(description="name of the file, folder or archive")
    task: str
    label: str = Field(description="the answer, by the operating point")
    probabilities: dict[str, float] = Field(description="class to calibrated probability")
    logits: list[float]
    value: float | None = Field(None, description="the number, for regression")
    heatmap: HeatMap | None = None
    heatmap_class: str | None = Field(None, description="class that the heat map speaks for")
    heatmap_faithful: bool | None = Field(None, description="whether this model's heat maps passed their examination")
    picture: str | None = Field(None, description="PNG of what was looked at")
    frame_weights: list[float] | None = Field(None, description="weight of each frame of a sequence in the answer")
    amounts: dict[str, float | None] | None = Field(None, description="structure to its amount, for segmentation")
    lesions: list[Lesion] | None = Field(None, description="connected pieces, largest first, for segmentation")
    boxes: list[FoundBox] | None = Field(None, description="what was found, surest first, for detection")
    threshold: float | None = Field(None, description="score from which boxes are listed, for detection")
    segmentation: SegmentationLinks | None = None
    slices: SliceLinks | None = Field(None, description="for volumes and segmentation, where they were asked for")
    warnings: list[str] = []
    seconds: float


class FailedCase(_Said):
    """A case that could not be answered."""

    case: str
    reason: str
    code: str = Field(description="as in errors")


class Answer(_Said):
    """Answers, and the cases without one."""

    model: ModelIdentity
    results: list[Result]
    failures: list[FailedCase] = []


class Sentences(_Said):
    """An error in three sentences."""

    fact: str
    rule: str
    fix: str
    code: str = Field(description="what it is about, in one word that does not change")


class ErrorBody(_Said):
    """What every answer of 400 and above says."""

    error: Sentences
    failures: list[FailedCase] | None = Field(None, description="case by case, where there were several")


class ModelSummary(_Said):
    """One served model."""

    name: str
    ready: bool
    version: str | None = None
    sha256: str | None = None
    task: str | None = None
    classes: list[str] | None = None
    fault: str | None = Field(None, description="why it is not ready")


class ModelList(_Said):
    """All served models; the first is the default."""

    models: list[ModelSummary]
    limits: dict[str, float]


class ModelDetail(ModelSummary):
    """One model: its plan in short, its figures and its card."""

    plan: dict[str, Any]
    trust: dict[str, Any] = Field({}, description="calibration and operating points, where the model has them")
    evaluation: dict[str, Any]
    card: str = Field(description="link to the model card")


class Health(_Said):
    """State of the service."""

    status: str
    models: dict[str, str] | None = None
