"""From a volume and a model file to structures, lesions and amounts on the volume's own grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import (
    Emit,
    Failure,
    Fingerprint,
    InputError,
    LabelMap,
    ModelFileError,
    Plan,
    PlanError,
    Prediction,
    Progress,
    Segmentation,
    Volume,
    silent,
)
from scanwright.core.cohort import Task
from scanwright.inference.cautions import CAUTIONS, RESEARCH_USE, Looked
from scanwright.inference.engines import PRECISIONS, Engine, open_engine
from scanwright.inference.many import say
from scanwright.inference.segment.instances import InstanceRule, objects
from scanwright.inference.segment.nesting import nest, outer_of
from scanwright.inference.segment.pictures import best_slice, paint
from scanwright.inference.segment.pieces import amount_unit, amounts, pieces_of, voxel_amount
from scanwright.inference.segment.postprocess import PostRule, apply
from scanwright.inference.segment.prepared import lay_out_half
from scanwright.inference.segment.sliding import slide_slabs
from scanwright.inference.segment.upsample import Decision, OnSource, on_source
from scanwright.io.model_file import ModelFile, read_model_file
from scanwright.preprocessing import lattice

_NAMED = 4


class SegmentPredictor:
    """A segmentation network that is ready to answer. Calls from several threads are safe.

    Args:
        engine: What runs the network.
        plan: How images are prepared and label maps answered.
        trust: Content of ``trust.json``: ``temperature``, ``post`` (rules of structures),
            ``instances`` (rule of objects), ``mirror_axes``; defaults where a key is missing.
        model: Name, version and hash, for every prediction.
        fingerprint: What the training cohort was like, None if unknown.
        engine_reason: Why the engine is not the first choice; empty when it is.

    Raises:
        PlanError: The plan is not of the task ``segment``.
        ModelFileError: ``trust`` cannot be understood.
    """

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        *,
        trust: Mapping[str, Any] | None = None,
        model: Mapping[str, str] | None = None,
        fingerprint: Fingerprint | None = None,
        engine_reason: str = "",
    ) -> None:
        if plan.segmentation is None:
            raise PlanError(
                f"The plan is of the task {plan.task!r}.",
                "This predictor answers the task 'segment' alone.",
                "Open the model with scanwright.inference.open_predictor.",
            )
        told = trust or {}
        self.engine, self.engine_reason, self.plan = engine, engine_reason, plan
        self.segmentation: Segmentation = plan.segmentation
        self._windows = with_overlap(plan, told)
        self.model, self.fingerprint = dict(model or {}), fingerprint
        self.post = PostRule.from_dict(told.get("post") or {})
        self.instance_rule = InstanceRule.from_dict(told.get("instances") or {})
        try:
            self.temperature = float(told.get("temperature") or 1.0)
            self.mirror_axes = tuple(int(axis) for axis in told.get("mirror_axes") or ())
        except (TypeError, ValueError):
            raise ModelFileError(
                "The temperature or the mirror axes of trust.json are no numbers.",
                "temperature is a number above 0, mirror_axes a list of axes.",
                "Make the model file anew with `scanwright run`.",
            ) from None

    @classmethod
    def load(
        cls,
        model: Path | str | ModelFile,
        *,
        engine: str = "auto",
        threads: int | None = None,
        precision: str | None = None,
    ) -> SegmentPredictor:
        """Open a model file for prediction.

        Args:
            model: The file, or its path.
            engine: A key of ``ENGINES``, or ``"auto"``.
            threads: CPU threads to compute with; all that the process may use if None.
            precision: A key of ``PRECISIONS``; what the model file allows if None.

        Returns:
            The predictor.

        Raises:
            ModelFileError: The file is not a whole, unaltered model file.
            InputError: There is no engine or precision of that name.
            PlanError: The model does not segment.
        """
        file = model if isinstance(model, ModelFile) else read_model_file(model)
        precision = precision or allowed_precision(file.trust)
        name = "network.int8.onnx" if precision == "int8" else "network.onnx"
        opened = open_engine(file.member(name), engine, threads=threads, precision=precision)
        return cls(
            opened.engine,
            file.plan,
            trust=file.trust,
            model=file.facts(),
            fingerprint=file.fingerprint,
            engine_reason=opened.reason,
        )

    @classmethod
    def from_network(
        cls,
        network: bytes,
        plan: Plan,
        *,
        trust: Mapping[str, Any] | None = None,
        eight_bit: bytes | None = None,
        engine: str = "auto",
        threads: int | None = None,
        precision: str | None = None,
    ) -> SegmentPredictor:
        """Open a network that is not packed yet, for validation and test; see :meth:`load`."""
        precision = precision or allowed_precision(trust or {})
        data = eight_bit if precision == "int8" and eight_bit is not None else network
        opened = open_engine(data, engine, threads=threads, precision=precision)
        return cls(opened.engine, plan, trust=trust, engine_reason=opened.reason)

    @property
    def task(self) -> Task:
        """Task of the model."""
        return self.plan.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the structures."""
        return self.plan.classes

    @property
    def n_outputs(self) -> int:
        """Logits that the network gives for each voxel."""
        return self.plan.n_outputs

    @property
    def decision(self) -> Decision:
        """How logits become structures, by the thresholds chosen on validation."""
        return Decision.of(self.plan, temperature=self.temperature, thresholds=self.post.thresholds(self.classes))

    def prepare(self, volume: Volume) -> NDArray[np.float16]:
        """Lay out the whole case, ``(C, i, j, k)``."""
        return lay_out_half(volume, self.plan.preprocessing)

    def found(self, volume: Volume, *, emit: Emit = silent) -> OnSource:
        """Structures on the source's own grid, before anything is dropped or numbered.

        Args:
            volume: The image.
            emit: Receives progress with the time left.

        Returns:
            Labels, regions and probabilities.

        Raises:
            InputError: A volume was given to a model of pictures, or the reverse, or channels are missing.
        """
        self._check_kind(volume)
        array = self.prepare(volume)
        slabs = slide_slabs(self.engine, array, self._windows, mirror_axes=self.mirror_axes, emit=emit)
        placement = lattice(volume.grid, self.plan.preprocessing)
        return on_source(slabs, placement, self.decision, n_outputs=self.n_outputs)

    def predict(self, volume: Volume, *, case: str = "case", heatmap: bool = True, emit: Emit = silent) -> Prediction:
        """Answer for one volume.

        Args:
            volume: The image.
            case: Case id, or the file's name.
            heatmap: Whether the probability of any structure is handed on as ``chances``.
            emit: Receives progress with the time left.

        Returns:
            Structures, lesions, amounts, and the slice with most foreground. Nothing found is an
            answer, and says so.

        Raises:
            InputError: The image has fewer channels than the network takes, or is a volume where the model
                learnt from pictures, or the reverse.
            GeometryError: The model needs a spacing and the image has none.
            FormatError: The image has no finite values, or the answer is not a number.
        """
        started = time.perf_counter()
        found = self.found(volume, emit=emit)
        warnings = list(self._cautions(volume))
        label_map, regions, dropped = self._settled(found, volume)
        instances = self.segmentation.target == "instances"
        pieces = pieces_of(label_map, found.chances, volume, self.classes, regions=regions, instances=instances)
        told = amounts(label_map, self.classes, regions=regions, instances=instances)
        n_pieces = int(label_map.array.max()) if instances else len(pieces.lesions)
        if not any(told.values()):
            warnings.append("Nothing was found: no voxel counts as any structure. That is an answer, not a failure.")
        if dropped:
            warnings.append(f"{dropped} small pieces were left out, by the rule chosen on validation.")
        warnings += [*pieces.warnings, RESEARCH_USE]
        k = best_slice(label_map.array)
        return Prediction(
            case=case,
            task=self.task,
            classes=self.classes,
            probabilities=(),
            logits=(),
            label=sentence(told, amount_unit(volume.grid), n_pieces, instances=instances),
            grid=volume.grid,
            picture=volume.picture(k),
            overlay=paint(volume, label_map, k, regions=regions),
            model=self.model,
            warnings=tuple(warnings),
            seconds=time.perf_counter() - started,
            label_map=label_map,
            regions=regions,
            chances=found.chances if heatmap else None,  # type: ignore[arg-type]
            lesions=pieces.lesions,
            amounts=told,
        )

    def predict_many(
        self,
        items: Iterable[tuple[str, Callable[[], Volume]]],
        *,
        emit: Emit = silent,
        batch: int | None = None,
        heatmap: bool = True,
        total: int | None = None,
    ) -> Iterator[Prediction | Failure]:
        """Answer for many cases, in order; the next one is read while one is computed.

        Args:
            items: Case id and a function that reads its volume.
            emit: Receives progress, with the time left when the number of cases is known.
            batch: Not used: windows are batched within a case.
            heatmap: See :meth:`predict`.
            total: Number of cases; ``len(items)`` if it has one.

        Yields:
            A prediction for each case, or a failure that names the case and the reason.
        """
        total = len(items) if total is None and isinstance(items, Sequence) else total
        began, done, source = time.perf_counter(), 0, iter(items)
        with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
            following = _next(source, reader)
            while following is not None:
                case, reading = following
                try:
                    volume = reading.result()
                    following = _next(source, reader)
                    result: Prediction | Failure = self.predict(volume, case=case, heatmap=heatmap)
                    del volume
                except Exception as error:  # noqa: BLE001 - one bad case must not cost the others their answer
                    if following is not None and following[1] is reading:
                        following = _next(source, reader)
                    result = Failure(case, say(error))
                done += 1
                yield result
                left = None if total is None else (time.perf_counter() - began) / done * max(total - done, 0)
                emit(Progress(stage="predict", step="predict", done=done, total=total or done, left_s=left))

    def _check_kind(self, volume: Volume) -> None:
        """A 2-D network may go through volumes, so what it learnt from decides."""
        if self.fingerprint is None or (self.fingerprint.dimension == 2) == volume.grid.is_picture:
            return
        here = "a picture of one slice" if volume.grid.is_picture else f"a volume of {volume.grid.shape[2]} slices"
        needed = "pictures of one slice" if self.fingerprint.dimension == 2 else "volumes of several slices"
        raise InputError(
            f"The image is {here} (shape {volume.grid.shape}).",
            f"This model takes {needed}.",
            "Give it an image of that kind.",
        )

    def _settled(self, found: OnSource, volume: Volume) -> tuple[LabelMap, NDArray[np.bool_] | None, int]:
        """Label map and regions after the rules, and how many pieces these dropped."""
        grid = volume.grid
        if found.inside is not None and found.chances is not None:
            numbered = objects(found.inside, found.chances, self.instance_rule, spacing=grid.spacing)
            names = {n: f"{self.classes[0]} {n}" for n in range(1, int(numbered.max()) + 1)}
            return LabelMap(numbered, grid, names), None, 0
        voxel_ml = voxel_amount(grid) if grid.spacing_known and not grid.is_picture else None
        dropped = apply(self.post, found.labels, self.classes, regions=found.regions, voxel_ml=voxel_ml)
        if found.regions is not None:
            nest(found.regions, found.labels, outer_of(self.segmentation.codes, len(self.classes)))
        return LabelMap(found.labels, grid, dict(enumerate(self.classes, 1))), found.regions, dropped

    def _cautions(self, volume: Volume) -> Iterator[str]:
        looked = Looked(volume, self.plan.preprocessing, self.fingerprint)
        for name, check in CAUTIONS.items():
            if name != "resolution" and (said := check(looked)) is not None:  # windows do not squeeze the image
                yield said


def with_overlap(plan: Plan, trust: Mapping[str, Any]) -> Plan:
    """The plan with the overlap of windows that validation allows.

    Args:
        plan: Of the task ``segment``.
        trust: Content of ``trust.json``; its ``windows`` as :func:`fewer_windows` told them.

    Returns:
        The plan, changed where a smaller overlap was found to answer the same.

    Raises:
        ModelFileError: The overlap is no share of a window.
    """
    windows = trust.get("windows")
    told = windows.get("overlap") if isinstance(windows, Mapping) else None
    if told is None or plan.segmentation is None:
        return plan
    if not isinstance(told, int | float) or not 0 <= told < 1:
        raise ModelFileError(
            f"The overlap of windows in trust.json is {told!r}.",
            "It is a number from 0 to below 1.",
            "Make the model file anew with `scanwright run`.",
        )
    return plan.model_copy(update={"segmentation": plan.segmentation.model_copy(update={"overlap": float(told)})})


def allowed_precision(trust: Mapping[str, Any]) -> str:
    """What a model file allows its network to compute in: a key of ``PRECISIONS``, else ``"f32"``."""
    told = trust.get("precision")
    name = told.get("precision") if isinstance(told, Mapping) else told
    return str(name) if name in PRECISIONS else "f32"


def sentence(told: Mapping[str, float], unit: str, n_pieces: int, *, instances: bool = False) -> str:
    """Amounts in a short sentence.

    Args:
        told: Structure to amount.
        unit: Of the amounts.
        n_pieces: Pieces, or objects, in all.
        instances: Whether the pieces are objects of the one structure.

    Returns:
        Such as ``"anterior 1.71 mL, posterior 1.52 mL"``.

    Example:
        >>> sentence({"lesion": 12.41}, "mL", 3)
        'lesion 12.4 mL in 3 pieces'
        >>> sentence({"lesion": 0.0}, "mL", 0)
        'nothing found'
    """
    there = {name: amount for name, amount in told.items() if amount > 0}
    if not there:
        return "nothing found"
    parts = [f"{name} {_number(amount)} {unit}" for name, amount in list(there.items())[:_NAMED]]
    if len(there) > _NAMED:
        parts.append(f"and {len(there) - _NAMED} more")
    if instances or (len(told) == 1 and n_pieces > 1):
        parts[-1] += f" in {n_pieces} {'object' if instances else 'piece'}{'s' if n_pieces != 1 else ''}"
    return ", ".join(parts)


def _number(amount: float) -> str:
    return f"{amount:.0f}" if amount >= 100 else f"{amount:.3g}"


def _next(source: Iterator[tuple[str, Callable[[], Volume]]], reader: ThreadPoolExecutor) -> Any:
    for case, read in source:
        return case, reader.submit(read)
    return None
