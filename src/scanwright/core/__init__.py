"""Plain frozen data and errors: the nouns that every room speaks of."""

from scanwright.core.budget import Budget, say_duration
from scanwright.core.cohort import PARTS, TASKS, Case, Cohort, Finding, Guess, Label, Part, Skipped, Task, summary
from scanwright.core.errors import (
    CohortError,
    FormatError,
    GeometryError,
    InputError,
    MissingExtraError,
    ModelFileError,
    PlanError,
    ResourceError,
    ScanwrightError,
)
from scanwright.core.events import Emit, Event, Failed, Finished, Measured, Progress, Said, Stage, Started, parse_event, silent
from scanwright.core.grid import Grid
from scanwright.core.plan import Augmentation, Candidate, Fingerprint, Intensity, Memory, Plan, Preprocessing, Training
from scanwright.core.prediction import Evaluation, Failure, Interval, Prediction
from scanwright.core.volume import LabelMap, Volume, png_bytes

__all__ = [
    "PARTS",
    "TASKS",
    "Augmentation",
    "Budget",
    "Candidate",
    "Case",
    "Cohort",
    "CohortError",
    "Emit",
    "Evaluation",
    "Event",
    "Failed",
    "Failure",
    "Finding",
    "Fingerprint",
    "Finished",
    "FormatError",
    "GeometryError",
    "Grid",
    "Guess",
    "InputError",
    "Intensity",
    "Interval",
    "Label",
    "LabelMap",
    "Measured",
    "Memory",
    "MissingExtraError",
    "ModelFileError",
    "Part",
    "Plan",
    "PlanError",
    "Prediction",
    "Preprocessing",
    "Progress",
    "ResourceError",
    "Said",
    "ScanwrightError",
    "Skipped",
    "Stage",
    "Started",
    "Task",
    "Training",
    "Volume",
    "parse_event",
    "png_bytes",
    "say_duration",
    "silent",
    "summary",
]
