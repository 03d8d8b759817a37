"""What will be done with a cohort, every choice with its reason.

A plan is complete: every default is written out, so that the same plan, data, seed
and machine give the same weights. ``scanwright.plan`` makes plans; everyone reads them.
"""

from __future__ import annotations

import difflib
import json
from html import escape
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scanwright.core.cohort import Task
from scanwright.core.errors import PlanError

PLAN_FORMAT: Literal["scanwright-plan/1"] = "scanwright-plan/1"


ON_A_BASE = ("frozen", "nearest", "boosted", "tuned")
"""Models that begin from the weights of :class:`Pretrained`; all but the last leave them as they are."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Frames(_Strict):
    """A case is an ordered list of pictures, the last axis of what the network takes.

    One channel more than the pictures have, the clock, says of every frame when it was taken
    (or how deep it lies) since the first one, in ``step`` units, and is -1 on frames that are
    not there: cases may have fewer frames than ``most``.

    Args:
        most: Frames of the array. A longer case gives so many, evenly spread from first to last.
        by: What the frames step through: ``"slice"``, ``"time"`` or ``"visit"``.
        unit: Unit of their places: ``"mm"``, ``"s"``, ``"days"``, or ``"frame"`` where only the order is known.
        step: How many units count as 1 on the clock: the usual distance of two frames.
        column: Column that orders the frames of a patient, with those that tell sequences apart
            (``"phase/slice"``), where a table said so; another cohort is read the same way.
    """

    most: int = Field(ge=2, le=512)
    by: Literal["slice", "time", "visit"]
    unit: str = "frame"
    step: float = Field(1.0, gt=0)
    column: str = ""


class Fingerprint(_Strict):
    """Measured facts of a cohort that a plan is made from.

    Shapes are ``(I, J, K)``; spacings are mm along the same axes (after reorientation
    for volumes); intensities are in the source's unit. Of sequences, K counts frames, and
    ``frames.most`` is the length of the longest.
    """

    n_cases: dict[str, int]
    n_per_class: dict[str, int]
    n_patients: int
    dimension: Literal[2, 3]
    modality: str | None
    unit: str
    n_channels: int
    colour: bool
    shape_min: tuple[int, int, int]
    shape_median: tuple[int, int, int]
    shape_max: tuple[int, int, int]
    spacing_median: tuple[float, float, float] | None
    intensity_min: float
    intensity_max: float
    intensity_percentiles: dict[str, float] = Field(description="keys 0.5, 5, 25, 50, 75, 95, 99.5")
    intensity_mean: float
    intensity_std: float
    integer_8_bit: bool
    two_valued: bool
    n_measured: int
    frames: Frames | None = None


class Intensity(_Strict):
    """How source values become network values.

    ``window``: clip to ``low .. high`` (in the source's unit), then to 0 .. 1.
    ``percentile``: the same with per-case percentiles ``low`` and ``high`` (0 .. 100).
    ``range``: divide by ``high`` after subtracting ``low`` without looking at the case.
    ``zscore``: per case over voxels above ``low`` percentile, clipped at +-``high`` SD.
    Afterwards ``clahe`` (contrast-limited adaptive histogram equalisation, on 0 .. 1),
    then ``contrast`` and ``brightness``: ``(x - 0.5) * contrast + 0.5 + brightness``;
    last, the values are standardised by ``mean`` and ``std`` of the training part.
    """

    method: Literal["window", "percentile", "range", "zscore"] = "percentile"
    low: float = 0.5
    high: float = 99.5
    clahe: bool = False
    clahe_clip: float = 2.0
    contrast: float = 1.0
    brightness: float = 0.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class Preprocessing(_Strict):
    """From a volume to the array that a network takes.

    Args:
        dimension: 2 gives ``(C, I, J)``, 3 gives ``(C, I, J, K)``.
        size: Voxels along each axis of the result.
        channels: Channels of the result: 1 (grey; colour is reduced), 3, or those of the source.
        orientation: Axis codes that volumes are turned to (``"RAS"``), None to leave them.
        fit: ``"stretch"`` to the size; ``"pad"`` keeps the aspect ratio and pads with the
            lowest value; ``"crop"`` keeps it and cuts the longer side.
        spacing_mm: Resample to this spacing first, then pad or crop; None to fit the size.
        intensity: Values.
        frames: For a cohort of sequences: what their frames are; then the array is ``(C + 1, I, J, T)``,
            with the clock as its last channel.
    """

    dimension: Literal[2, 3]
    size: tuple[int, ...]
    channels: int = Field(1, ge=1, le=64)
    orientation: str | None = None
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    spacing_mm: tuple[float, ...] | None = None
    intensity: Intensity = Intensity()
    frames: Frames | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of one case: ``(C, *size)``, of a sequence ``(C + 1, *size, T)``."""
        if self.frames is None:
            return (self.channels, *self.size)
        return (self.channels + 1, *self.size, self.frames.most)

    @property
    def n_axes(self) -> int:
        """Axes of the array beside its channels: what a network is built for."""
        return len(self.shape) - 1


class Segmentation(_Strict):
    """How label maps are learnt and answered; only with the task ``segment``.

    The network sees windows: ``preprocessing.size`` voxels of ``preprocessing.spacing_mm``,
    of ``preprocessing.dimension`` axes. A 2-D network on volumes goes slice by slice.

    Args:
        target: ``"labels"``: one structure a voxel; ``"regions"``: structures may overlap;
            ``"instances"``: touching objects are told apart by their borders.
        codes: For each code of the prepared label maps (1, 2, 3 ...) the classes (indices) it
            belongs to; one class each unless there are regions.
        slices: Neighbouring slices that a 2-D network sees as channels (2.5-D); odd, 1 is none.
        foreground: Share of training windows that are centred on a structure.
        rare: Least share of those that any one structure gets.
        loss: ``"dice_ce"``, ``"dice_topk"`` (the hardest tenth of the voxels), ``"dice_focal_tversky"``.
        deep_supervision: Whether coarser levels of the decoder are trained as well.
        mirror_axes: Axes whose mirror images are averaged in when that helps on validation.
        overlap: Share of a window that the next one covers again.
        crop: ``"none"``, or ``"body"``: windows that hold only air are not computed.
        look_windows: Most windows of one look at validation.
        sides: Pairs of classes (indices) that are left and right of each other.
    """

    target: Literal["labels", "regions", "instances"] = "labels"
    codes: tuple[tuple[int, ...], ...]
    slices: int = Field(1, ge=1, le=15)
    foreground: float = Field(0.5, ge=0, le=1)
    rare: float = Field(0.1, ge=0, le=1)
    loss: Literal["dice_ce", "dice_topk", "dice_focal_tversky"] = "dice_ce"
    deep_supervision: bool = True
    mirror_axes: tuple[int, ...] = ()
    overlap: float = Field(0.5, ge=0, lt=1)
    crop: Literal["none", "body"] = "none"
    look_windows: int = Field(160, ge=1)
    sides: tuple[tuple[int, int], ...] = ()


class Detection(_Strict):
    """How boxes are learnt and answered; only with the task ``detect``.

    The network sees windows of ``preprocessing.size`` voxels and answers on a coarser lattice of cells:
    for each class how likely a box is centred there, and how far its middle lies from the cell and how
    large it is.

    Args:
        shrink: Whole number of pixels along each side of a picture that are averaged into one; 1 for volumes,
            whose voxels ``preprocessing.spacing_mm`` says.
        stride: Voxels of a cell along the network's axes.
        typical: Usual size of a box along them, in cells: sizes are learnt as factors of it.
        foreground: Share of training windows that are drawn around a box.
        visible: Least share of a box that must lie in a window for it to be learnt there; less is neither
            learnt nor held against the network.
        mirror_axes: Axes whose mirror images are averaged in when that helps on validation.
        overlap: Share of a window that the next one covers again.
        cluster_iou: Overlap from which two answers of one class are one thing.
        most: Most boxes of a case.
        match_iou: Overlap from which an answer counts as right when networks are compared and thresholds chosen.
        look_windows: Most windows of one look at validation.
        threshold_rule: How the score from which boxes are shown is chosen on validation: ``"f1"``, or
            ``"sensitivity>=0.90"`` and the like.
    """

    shrink: int = Field(default=1, ge=1, le=64)
    stride: tuple[int, ...]
    typical: tuple[float, ...]
    foreground: float = Field(default=0.67, ge=0, le=1)
    visible: float = Field(default=0.3, gt=0, le=1)
    mirror_axes: tuple[int, ...] = ()
    overlap: float = Field(default=0.25, ge=0, lt=1)
    cluster_iou: float = Field(default=0.5, gt=0, lt=1)
    most: int = Field(default=300, ge=1)
    match_iou: float = Field(default=0.5, gt=0, lt=1)
    look_windows: int = Field(default=96, ge=1)
    threshold_rule: str = Field(default="f1", pattern=r"^(f1|sensitivity>=0?\.[0-9]+)$")


class Augmentation(_Strict):
    """Random changes of training cases; every number is the largest one drawn.

    Axes are those of the prepared array without channel: for pictures 0 is rows
    (a flip of 0 is upside down) and 1 is columns (left-right).
    """

    flip_axes: tuple[int, ...] = ()
    rotate_deg: float = 0.0
    scale: float = Field(0.0, description="0.1 draws a zoom from 0.9 to 1.1")
    shift: float = Field(0.0, description="fraction of the side")
    shear: float = 0.0
    elastic: float = Field(0.0, description="SD of displacements, fraction of the side")
    rotate90: bool = False
    gamma: float = Field(0.0, description="0.3 draws exp(U(-0.3, 0.3))")
    contrast: float = 0.0
    brightness: float = 0.0
    shading: float = Field(0.0, description="SD of the logarithm of a smooth field that multiplies the values")
    noise: float = Field(0.0, description="SD, in SDs of the image")
    blur: float = Field(0.0, description="sigma in pixels")
    low_resolution: float = Field(0.0, description="0.5 draws a factor from 0.5 to 1")
    cutout: float = Field(0.0, description="fraction of the side")
    hue: float = 0.0
    saturation: float = 0.0
    mixup: float = Field(0.0, description="alpha of the Beta distribution")
    probability: float = Field(0.5, description="chance of each kind of change")


class Candidate(_Strict):
    """One recipe in the race.

    Args:
        name: Unique in the plan, such as ``"resnet9"``.
        model: A key of ``models.MODELS``.
        arguments: Arguments of the model's builder (width, depth, dropout ...).
        kind: ``"network"`` is trained by gradient steps; ``"classical"`` is fitted.
        batch_size: Cases a step.
        learning_rate: Peak.
        weight_decay: Decoupled (AdamW).
        augment: Whether the plan's augmentation is used.
        seconds_per_step: Measured on this machine for this shape; 0 for classical.
        race_steps: Steps in each rung of the race.
        final_steps: Steps in all if it wins.
        parameters: Number of trainable parameters.
        memory_mb: Predicted peak in training.
    """

    name: str
    model: str
    arguments: dict[str, int | float | str | bool | tuple[int, ...]] = {}
    kind: Literal["network", "classical"] = "network"
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    augment: bool = True
    seconds_per_step: float = 0.0
    race_steps: tuple[int, ...] = ()
    final_steps: int = 0
    parameters: int = 0
    memory_mb: float = 0.0


class Pretrained(_Strict):
    """Weights that the candidates ``frozen`` and ``tuned`` begin from.

    Args:
        file: Name of the file.
        sha256: Of the file.
        naming: Whose names its tensors had: ``"torchvision"``, ``"timm"``, ``"MONAI"`` or ``"Scanwright"``.
        model: A key of ``models.MODELS``.
        arguments: Arguments of that model's builder.
        dimension: Axes of its kernels; 2-D ones are inflated for volumes.
        channels: Channels that its first layer takes.
        mean: What is subtracted from values of 0 .. 1 for each channel; empty if it learnt from standardised values.
        std: What they are divided by afterwards.
        side: Shortest side, in pixels, that it should see: smaller images are enlarged; 0 leaves them.
        licence: Licence of the weights; None if the file does not say and nobody knows.
        trained_on: What they were learnt from; None if unknown.
        source: Where they come from.
        seen: Test cases whose images they learnt from, labels or not, as far as their file says.
    """

    file: str
    sha256: str
    naming: str
    model: str
    arguments: dict[str, int | float | str | bool | tuple[int, ...]] = {}
    dimension: Literal[2, 3] = 2
    channels: int = Field(3, ge=1)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    side: int = Field(0, ge=0)
    licence: str | None = None
    trained_on: str | None = None
    source: str = ""
    seen: int = Field(0, ge=0)

    @property
    def licence_words(self) -> str:
        """The licence, or what to do where it is unknown."""
        return self.licence or "licence unknown: ask before you use it in a product"


class Training(_Strict):
    """How the candidates are trained."""

    budget_s: float
    schedule: Literal["one_cycle", "cosine", "plateau"] = "cosine"
    warmup: float = Field(0.1, description="fraction of the steps")
    label_smoothing: float = 0.05
    balanced_sampling: bool = True
    ema: float = Field(0.998, description="decay of the moving average of weights; 0 is off")
    gradient_clip: float = 1.0
    patience: int = Field(8, description="evaluations without a better score before stopping")
    evaluations: int = Field(20, description="looks at validation during the final training")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    channels_last: bool = False
    ensemble: int = Field(1, description="how many of the best candidates are averaged")
    devices: str = "auto"


class Memory(_Strict):
    """Predicted and allowed memory, in MB."""

    predicted_mb: float
    limit_mb: float


class Plan(_Strict):
    """All choices for one cohort.

    ``operating_point`` is ``middle``, ``balanced``, ``accuracy``, ``sensitivity>=0.95`` or
    ``specificity>=0.95``. ``reasons`` maps dotted field paths (``"preprocessing.size"``) to a sentence.
    ``pretrained`` names the weights that some candidates begin from. ``columns`` are those of the table that are learnt beside the images, and fused with them.
    """

    format: Literal["scanwright-plan/1"] = PLAN_FORMAT
    task: Task
    classes: tuple[str, ...]
    class_weights: tuple[float, ...] = ()
    preprocessing: Preprocessing
    segmentation: Segmentation | None = None
    detection: Detection | None = None
    augmentation: Augmentation
    training: Training
    candidates: tuple[Candidate, ...]
    memory: Memory
    pretrained: Pretrained | None = None
    columns: tuple[str, ...] = ()
    operating_point: str = "middle"
    n_bootstrap: int = 1000
    seed: int = 0
    reasons: dict[str, str] = {}

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan that a person may have edited.

        Args:
            text: The JSON of :meth:`to_json`.

        Returns:
            The plan.

        Raises:
            PlanError: The text is not JSON, a key is unknown (the nearest name is given)
                or a value does not fit.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _plan_error(error) from None

    def to_json(self) -> str:
        """The plan as indented JSON, every default written out."""
        return json.dumps(self.model_dump(mode="json"), indent=2)

    @property
    def n_outputs(self) -> int:
        """Logits that a network must give: 1 for ``binary`` and ``regress``, else a class each.

        For ``segment`` they are background and structures, structures alone for regions, and
        background, inside and border for instances. For ``detect`` they are a class each, then place and
        size along every axis.
        """
        if self.detection is not None:
            return len(self.classes) + 2 * self.preprocessing.dimension
        if self.segmentation is not None:
            more = {"labels": len(self.classes) + 1, "regions": len(self.classes), "instances": 3}
            return more[self.segmentation.target]
        return 1 if self.task in ("binary", "regress") else len(self.classes)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td><code>{escape(k)}</code></td><td>{escape(v)}</td></tr>" for k, v in self.reasons.items()
        )
        return f"<p><b>Plan</b>: {escape(self.task)}, {len(self.candidates)} candidates, {self.training.budget_s:g} s</p><table>{rows}</table>"


def _field_names(model: type[BaseModel]) -> set[str]:
    names: set[str] = set()
    for name, info in model.model_fields.items():
        names.add(name)
        for kind in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                names |= _field_names(kind)
    return names


def _plan_error(error: ValidationError) -> PlanError:
    found = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    first: dict[str, Any] = dict(found[0])
    place = ".".join(str(p) for p in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), sorted(_field_names(Plan)), n=1)
        fix = f"Did you mean {near[0]!r}?" if near else "Remove it."
        return PlanError(
            f"The plan has an unknown key {place!r}.", "A plan holds only the keys that `scanwright plan` writes.", fix
        )
    return PlanError(
        f"The plan's {place} is wrong: {first['msg'].lower()}.",
        "Every field of a plan has the type that `scanwright plan` writes.",
        "Correct it, or make the plan anew with `scanwright plan`.",
    )
