"""From a volume and a model file to boxes on the volume's own grid."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import (
    Box,
    Detection,
    Emit,
    Failure,
    Fingerprint,
    FormatError,
    InputError,
    ModelFileError,
    Plan,
    PlanError,
    Prediction,
    Progress,
    Volume,
    silent,
)
from scanwright.core.cohort import Task
from scanwright.evaluation.boxes import Found
from scanwright.inference.cautions import CAUTIONS, RESEARCH_USE, Looked
from scanwright.inference.detect.pictures import draw_boxes, telling_slice
from scanwright.inference.detect.views import found_in
from scanwright.inference.engines import Engine, open_engine
from scanwright.inference.many import say
from scanwright.io.model_file import ModelFile, read_model_file
from scanwright.preprocessing.boxes import lay_out_shrunk, setting

_NAMED = 4
_HALF = 0.5


class DetectPredictor:
    """A detection network that is ready to answer. Calls from several threads are safe.

    Args:
        engine: What runs the network.
        plan: How images are prepared and boxes answered.
        trust: Content of ``trust.json``: ``threshold`` and ``mirror_axes``; defaults where a key is missing.
        model: Name, version and hash, for every prediction.
        fingerprint: What the training cohort was like, None if unknown.
        engine_reason: Why the engine is not the first choice; empty when it is.

    Raises:
        PlanError: The plan is not of the task ``detect``.
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
        if plan.detection is None:
            raise PlanError(
                f"The plan is of the task {plan.task!r}.",
                "This predictor answers the task 'detect' alone.",
                "Open the model with scanwright.inference.open_predictor.",
            )
        told = trust or {}
        self.engine, self.engine_reason, self.plan = engine, engine_reason, plan
        self.detection: Detection = plan.detection
        self.model, self.fingerprint = dict(model or {}), fingerprint
        try:
            self.threshold = float(told.get("threshold", _HALF))
            self.mirror_axes = tuple(int(axis) for axis in told.get("mirror_axes") or ())
            if not 0 <= self.threshold <= 1:
                raise ValueError
        except (TypeError, ValueError):
            raise ModelFileError(
                "The threshold or the mirror axes of trust.json are no numbers that fit.",
                "threshold is a number from 0 to 1, mirror_axes a list of axes.",
                "Make the model file anew with `scanwright run`.",
            ) from None

    @classmethod
    def load(
        cls, model: Path | str | ModelFile, *, engine: str = "auto", threads: int | None = None
    ) -> DetectPredictor:
        """Open a model file for prediction.

        Args:
            model: The file, or its path.
            engine: A key of ``ENGINES``, or ``"auto"``.
            threads: CPU threads to compute with; all that the process may use if None.

        Returns:
            The predictor.

        Raises:
            ModelFileError: The file is not a whole, unaltered model file.
            PlanError: The model does not detect.
        """
        file = model if isinstance(model, ModelFile) else read_model_file(model)
        opened = open_engine(file.member("network.onnx"), engine, threads=threads)
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
        engine: str = "auto",
        threads: int | None = None,
    ) -> DetectPredictor:
        """Open a network that is not packed yet, for validation and test; see :meth:`load`."""
        opened = open_engine(network, engine, threads=threads)
        return cls(opened.engine, plan, trust=trust, engine_reason=opened.reason)

    @property
    def task(self) -> Task:
        """Task of the model."""
        return self.plan.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.plan.classes

    @property
    def n_outputs(self) -> int:
        """Numbers that the network gives for each cell."""
        return self.plan.n_outputs

    def prepare(self, volume: Volume) -> NDArray[np.float16]:
        """Lay out the whole case, ``(C, i, j, k)``."""
        return lay_out_shrunk(volume, self.plan.preprocessing, self.detection.shrink).astype(np.float16)

    def found(self, volume: Volume) -> Found:
        """Every answer, however unsure, on the source's own grid.

        Args:
            volume: The image.

        Returns:
            Boxes ``(N, 6)`` in voxel indices, surest first.

        Raises:
            InputError: A volume was given to a model of pictures, or the reverse, or channels are missing.
            FormatError: An answer is not a number.
        """
        self._check_kind(volume)
        spec = self.plan.preprocessing
        place = setting(volume.grid, spec, self.detection.shrink)
        here = found_in(
            self._run,
            self.prepare(volume).astype(np.float32),
            spec=spec,
            detection=self.detection,
            n_classes=len(self.classes),
            mirror_axes=self.mirror_axes,
        )
        corners = place.back(here.corners)
        kept = (corners[:, 3:] > corners[:, :3]).all(axis=1)
        return Found(corners[kept], here.labels[kept], here.scores[kept])

    def predict(self, volume: Volume, *, case: str = "case", heatmap: bool = True, emit: Emit = silent) -> Prediction:
        """Answer for one volume.

        Args:
            volume: The image.
            case: Case id, or the file's name.
            heatmap: Not used: boxes say where.
            emit: Not used: a case takes moments.

        Returns:
            Boxes from the threshold on, and the slice that tells most. Nothing found is an answer, and says so.

        Raises:
            InputError: The image has fewer channels than the network takes, or is a volume where the model
                learnt from pictures, or the reverse.
            GeometryError: The model needs a spacing and the image has none.
            FormatError: The image has no finite values, or the answer is not a number.
        """
        started = time.perf_counter()
        boxes = boxes_of(self.found(volume).above(self.threshold))
        warnings = list(self._cautions(volume))
        if not boxes:
            warnings.append("Nothing was found: no box is sure enough. That is an answer, not a failure.")
        if len(boxes) >= self.detection.most:
            warnings.append(f"{self.detection.most} boxes are listed, the most that are; there may be more.")
        counts = Counter(self.classes[box.label] for box in boxes)
        k = telling_slice(boxes, volume.grid.shape[2])
        return Prediction(
            case=case,
            task=self.task,
            classes=self.classes,
            probabilities=(),
            logits=(),
            label=sentence(counts),
            grid=volume.grid,
            picture=volume.picture(k),
            overlay=draw_boxes(volume, boxes, k=k, names=self.classes if len(self.classes) > 1 else ()),
            model=self.model,
            warnings=(*warnings, RESEARCH_USE),
            seconds=time.perf_counter() - started,
            amounts={name: float(counts[name]) for name in self.classes},
            boxes=boxes,
            threshold=self.threshold,
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
        """Answer for many cases, in order.

        Args:
            items: Case id and a function that reads its volume.
            emit: Receives progress, with the time left when the number of cases is known.
            batch: Not used: windows go one by one.
            heatmap: Not used.
            total: Number of cases; ``len(items)`` if it has one.

        Yields:
            A prediction for each case, or a failure that names the case and the reason.
        """
        total = len(items) if total is None and isinstance(items, Sequence) else total
        began = time.perf_counter()
        for done, (case, read) in enumerate(items, start=1):
            try:
                result: Prediction | Failure = self.predict(read(), case=case)
            except Exception as error:  # noqa: BLE001 - one bad case must not cost the others their answer
                result = Failure(case, say(error))
            yield result
            left = None if total is None else (time.perf_counter() - began) / done * max(total - done, 0)
            emit(Progress(stage="predict", step="predict", done=done, total=total or done, left_s=left))

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        answers = self.engine.run(batch)["logits"]
        if not np.isfinite(answers).all():
            raise FormatError(
                "The network's answer is not a number.",
                "Every answer is finite for an image whose intensities are.",
                "Check the image for values that are not finite.",
            )
        return answers

    def _check_kind(self, volume: Volume) -> None:
        pictures = self.plan.preprocessing.dimension == 2
        if pictures == volume.grid.is_picture:
            return
        here = "a picture of one slice" if volume.grid.is_picture else f"a volume of {volume.grid.shape[2]} slices"
        raise InputError(
            f"The image is {here} (shape {volume.grid.shape}).",
            f"This model takes {'pictures of one slice' if pictures else 'volumes of several slices'}.",
            "Give it an image of that kind.",
        )

    def _cautions(self, volume: Volume) -> Iterator[str]:
        looked = Looked(volume, self.plan.preprocessing, self.fingerprint)
        for name, check in CAUTIONS.items():
            if name != "resolution" and (said := check(looked)) is not None:
                yield said


def boxes_of(found: Found) -> tuple[Box, ...]:
    """Answers as boxes.

    Args:
        found: ``(N, 6)`` corners.

    Returns:
        One box each, in the same order.
    """
    rows = zip(found.corners.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
    return tuple(
        Box(label, (c[0], c[1], c[2]), (c[3], c[4], c[5]), score=round(min(score, 1.0), 6)) for c, label, score in rows
    )


def found_of(boxes: Sequence[Box]) -> Found:
    """Boxes as arrays, true ones with a score of 1."""
    from scanwright.core import corners_of

    return Found(
        corners_of(boxes),
        np.array([b.label for b in boxes], dtype=np.intp),
        np.array([1.0 if b.score is None else b.score for b in boxes]),
    )


def sentence(counts: Mapping[str, int]) -> str:
    """How many of each class, in a short sentence.

    Example:
        >>> sentence({"RBC": 14, "WBC": 1}), sentence({})
        ('14 RBC, 1 WBC', 'nothing found')
    """
    there = [f"{n} {name}" for name, n in counts.items() if n]
    if not there:
        return "nothing found"
    more = [f"and {len(there) - _NAMED} more kinds"] if len(there) > _NAMED else []
    return ", ".join([*there[:_NAMED], *more])
