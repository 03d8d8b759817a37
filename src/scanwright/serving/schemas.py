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
    warnings: list[str] = []
    seconds: float


class FailedCase(_Said):
    """A case that could not be answered."""

    case: str
    reason: str


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
