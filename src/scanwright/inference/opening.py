"""The right predictor for a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scanwright.inference.predictor import Predictor
from scanwright.io.model_file import ModelFile, read_model_file

if TYPE_CHECKING:
    from scanwright.inference.detect.predictor import DetectPredictor
    from scanwright.inference.segment.predictor import SegmentPredictor


def open_predictor(
    model: Path | str | ModelFile, *, engine: str = "auto", threads: int | None = None
) -> Predictor | SegmentPredictor | DetectPredictor:
    """Open a model file for prediction, whatever its task.

    Args:
        model: The file, or its path.
        engine: A key of ``ENGINES``, or ``"auto"``.
        threads: CPU threads to compute with; all that the process may use if None.

    Returns:
        A ``SegmentPredictor`` for the task ``segment``, a ``DetectPredictor`` for ``detect``, else a ``Predictor``.

    Raises:
        ModelFileError: The file is not a whole, unaltered model file.
        InputError: There is no engine of that name.
    """
    file = model if isinstance(model, ModelFile) else read_model_file(model)
    if file.plan.task == "detect":
        from scanwright.inference.detect.predictor import DetectPredictor

        return DetectPredictor.load(file, engine=engine, threads=threads)
    if file.plan.task != "segment":
        return Predictor.load(file, engine=engine, threads=threads)
    from scanwright.inference.segment.predictor import SegmentPredictor

    return SegmentPredictor.load(file, engine=engine, threads=threads)
