"""From a volume and a model file to an answer on the volume's own grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Emit, Failure, Fingerprint, FormatError, InputError, Plan, Prediction, Volume, silent
from scanwright.core.cohort import Task
from scanwright.inference.cautions import RESEARCH_USE, cautions
from scanwright.inference.engines import Engine, open_engine
from scanwright.inference.heatmap import draw, on_source
from scanwright.inference.saliency import EXPLAINERS
from scanwright.inference.strip import film_strip
from scanwright.io.model_file import ModelFile, read_model_file
from scanwright.preprocessing import prepare
from scanwright.preprocessing.frames import as_clip, picked

if TYPE_CHECKING:
    from scanwright.trust import Trust
    from scanwright.trust.columns import Cell

Array = NDArray[np.float32]

_CHUNK_VALUES = 4 * 2**20
_LARGEST_CHUNK = 64


class Predictor:
    """A network that is ready to answer. Calls from several threads are safe.

    Args:
        engine: What runs the network.
        plan: How images are prepared.
        trust: Content of ``trust.json``; empty for raw, uncalibrated answers.
        model: Name, version and hash, for every prediction.
        fingerprint: What the training cohort was like, None if unknown.
        engine_reason: Why the engine is not the first choice; empty when it is.
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
        from scanwright.inference.beside import Beside
        from scanwright.trust import Trust

        self.engine = engine
        self.engine_reason = engine_reason
        self.plan = plan
        self.model = dict(model or {})
        self.fingerprint = fingerprint
        self.explanation: dict[str, Any] = dict((trust or {}).get("explanation") or {})
        told = dict(trust or {})
        parts = {name: told.pop(name, None) for name in ("columns", "fusion", "image")}
        self.trust = Trust.from_dict(told) if told else None
        self.table = Beside.of(parts, self.trust) if parts["columns"] else None
        if self.table is not None:
            self.trust = self.table.image

    @classmethod
    def load(cls, model: Path | str | ModelFile, *, engine: str = "auto", threads: int | None = None) -> Predictor:
        """Open a model file for prediction.

        Args:
            model: The file, or its path.
            engine: A key of ``ENGINES``, or ``"auto"``.
            threads: CPU threads to compute with; all that the process may use if None.

        Returns:
            The predictor.

        Raises:
            ModelFileError: The file is not a whole, unaltered model file.
            InputError: There is no engine of that name.
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
    ) -> Predictor:
        """Open a network that is not packed yet, for validation and test.

        Args:
            network: ``network.onnx``.
            plan: The plan that it was trained by.
            trust: Content of ``trust.json``, None before it is fitted.
            engine: A key of ``ENGINES``, or ``"auto"``.
            threads: CPU threads to compute with; all that the process may use if None.

        Returns:
            The predictor.

        Raises:
            ModelFileError: No engine can open the network.
        """
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
        """Logits that the network gives."""
        return self.plan.n_outputs

    @property
    def n_pictures(self) -> int | None:
        """Of a model of sequences: channels that show something; what follows is the clock. Else None."""
        spec = self.plan.preprocessing
        return None if spec.frames is None else spec.channels

    @property
    def method(self) -> str:
        """The explainer in use, a key of ``EXPLAINERS``: the one that was examined, else ``cam``."""
        named = str(self.explanation.get("method", "cam"))
        if named == "cam" and "cam" not in self.engine.outputs:
            return "occlusion"
        return named if named in EXPLAINERS else "occlusion"

    def run(self, batch: NDArray[np.floating[Any]]) -> dict[str, Array]:
        """Run the network on prepared arrays, in chunks that fit the memory.

        Args:
            batch: ``(B, C, *size)``.

        Returns:
            ``logits`` ``(B, n_outputs)``, ``embedding`` ``(B, F)``, ``cam``
            ``(B, n_outputs, *coarse)`` and ``frames`` ``(B, T)``, as far as the network gives them; float32.

        Raises:
            InputError: The batch has another shape than the network takes.
            FormatError: The network's answer is not a number.
        """
        self._check_batch(batch)
        step = self.chunk
        pieces = [
            self.engine.run(np.asarray(batch[n : n + step], dtype=np.float32)) for n in range(0, len(batch), step)
        ]
        result = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        if not np.isfinite(result["logits"]).all():
            raise FormatError(
                "The network's answer is not a number.",
                "Every logit must be finite.",
                "Check the image for broken values, or train the model anew.",
            )
        return result

    @property
    def chunk(self) -> int:
        """Cases that are run at once."""
        values = int(np.prod(self.plan.preprocessing.shape))
        return max(1, min(_LARGEST_CHUNK, _CHUNK_VALUES // values))

    def prepare(self, volume: Volume) -> Array:
        """Make the array that the network takes, ``(C, *size)``."""
        return prepare(volume, self.plan.preprocessing)

    def predict(
        self, volume: Volume, *, case: str = "case", heatmap: bool = True, columns: Mapping[str, Cell] | None = None
    ) -> Prediction:
        """Answer for one volume.

        Args:
            volume: The image.
            case: Case id, or the file's name.
            heatmap: Whether to say where the evidence lies.
            columns: Of a model that learnt a table: what the table says of the case. Without it the image
                answers alone, and that is said.

        Returns:
            The answer, with its heat map on the volume's own grid unless the model's heat
            maps failed their examination.

        Raises:
            InputError: A picture was given where a volume is taken, or the reverse.
            FormatError: The image has no finite values, or the answer is not a number.
        """
        started = time.perf_counter()
        array = self.prepare(volume)
        outputs = self.run(array[None])
        return self.answer(volume, array, outputs, case=case, heatmap=heatmap, started=started, columns=columns)

    def predict_many(
        self,
        items: Iterable[tuple[str, Callable[[], Volume]]],
        *,
        emit: Emit = silent,
        batch: int | None = None,
        heatmap: bool = True,
        total: int | None = None,
        columns: Mapping[str, Mapping[str, Cell]] | None = None,
    ) -> Iterator[Prediction | Failure]:
        """Answer for many cases; see :func:`scanwright.inference.many.predict_many`."""
        from scanwright.inference.many import predict_many

        return predict_many(self, items, emit=emit, batch=batch, heatmap=heatmap, total=total, columns=columns)

    def probabilities(self, logits: Array, trust: Trust | None = None) -> NDArray[np.float64]:
        """Calibrated probabilities ``(N, K)``; empty ``(N, 0)`` for ``regress``.

        Args:
            logits: ``(N, n_outputs)``.
            trust: Calibration; that of the image if None.
        """
        if self.task == "regress":
            return np.zeros((len(logits), 0))
        trust = trust or self.trust
        if trust is not None:
            return np.asarray(trust.probabilities(logits), dtype=np.float64)
        return raw_probabilities(logits, self.task)

    def answer(
        self,
        volume: Volume,
        array: Array,
        outputs: Mapping[str, Array],
        *,
        case: str,
        heatmap: bool = True,
        started: float | None = None,
        columns: Mapping[str, Cell] | None = None,
    ) -> Prediction:
        """Put the network's outputs for one case into words and pictures.

        Args:
            volume: The source.
            array: ``(C, *size)``, what the network was given.
            outputs: What :meth:`run` gave for this one case.
            case: Case id, or the file's name.
            heatmap: Whether to say where the evidence lies.
            started: ``time.perf_counter()`` when work on the case began.
            columns: See :meth:`predict`.

        Returns:
            The prediction.
        """
        started = time.perf_counter() if started is None else started
        logits = outputs["logits"][:1]
        told = None if self.table is None else self.table.of_case(logits, columns)
        trust, logits = (self.trust, logits) if told is None else (told.trust, told.logits)
        probabilities = self.probabilities(logits, trust)
        label, value, target = self._words(logits, probabilities, trust)
        name = self.classes[target]
        faithful, hidden = self._examined(name)
        warnings = list(cautions(volume, self.plan.preprocessing, self.fingerprint))
        warnings += [told.caution] if told is not None and told.caution else []
        frames = self.plan.preprocessing.frames
        if frames is not None and volume.channel == "time":
            volume = as_clip(volume)
        heat = None
        if heatmap and hidden:
            warnings.append(hidden)
        elif heatmap:
            explain = EXPLAINERS[self.method]
            values = explain(self, array[None], np.array([target]), outputs=outputs)[0]
            heat = on_source(values, volume.grid, self.plan.preprocessing)
            if not heat.any():
                warnings.append("No single place in the image speaks for this answer, so the heat map is empty.")
        weights = self._weights(outputs, volume)
        picture, overlay = draw(volume, heat) if frames is None else film_strip(volume, heat, weights, frames)
        return Prediction(
            case=case,
            task=self.task,
            classes=self.classes,
            probabilities=tuple(float(p) for p in probabilities[0]),
            logits=tuple(float(x) for x in logits[0]),
            label=label,
            value=value,
            heatmap=heat,
            heatmap_class=name if heat is not None else None,
            faithful=faithful,
            grid=volume.grid,
            picture=picture,
            overlay=overlay,
            model=dict(self.model),
            warnings=(*warnings, RESEARCH_USE),
            seconds=time.perf_counter() - started,
            frame_weights=weights,
        )

    def _weights(self, outputs: Mapping[str, Array], volume: Volume) -> tuple[float, ...]:
        """Weight of every frame of the source in the answer; empty where the network gives none."""
        spec, n = self.plan.preprocessing.frames, volume.grid.shape[2]
        if spec is None or "frames" not in outputs:
            return ()
        weights = np.zeros(n)
        at = picked(n, spec.most)
        weights[at] = outputs["frames"][0, : len(at)]
        return tuple(round(float(w), 5) for w in weights)

    def targets(self, logits: Array) -> NDArray[np.int64]:
        """Class that each answer's heat map speaks for, ``(N,)``."""
        probabilities = self.probabilities(logits)
        return np.array(
            [self._words(logits[n : n + 1], probabilities[n : n + 1])[2] for n in range(len(logits))], dtype=np.int64
        )

    def _words(
        self, logits: Array, probabilities: NDArray[np.float64], trust: Trust | None = None
    ) -> tuple[str, float | None, int]:
        """Name of the answer, the number (``regress``), and the class that the heat map speaks for."""
        if self.task == "regress":
            value = float(logits[0, 0])
            return f"{value:.4g}", value, 0
        trust = trust or self.trust
        answers = np.asarray(trust.answers(probabilities) if trust else raw_answers(probabilities, self.task))
        if self.task != "multilabel":
            answer = int(answers.reshape(-1)[0])
            return self.classes[answer], None, answer
        positive = np.flatnonzero(answers.reshape(-1))
        label = ", ".join(self.classes[n] for n in positive)
        among = positive if len(positive) else np.arange(len(self.classes))
        return label, None, int(among[np.argmax(probabilities[0, among])])

    def _examined(self, name: str) -> tuple[bool | None, str]:
        """Whether heat maps for a class passed their examination, and the warning if they did not."""
        if not self.explanation:
            return None, ""
        own: Mapping[str, Any] = (self.explanation.get("classes") or {}).get(name) or {}
        passed = own.get("passed")
        if passed is None:
            passed = self.explanation.get("passed")
        if passed is not False:
            return passed, ""
        sentence = str(own.get("sentence") or self.explanation.get("sentence") or "").strip()
        return (
            False,
            f"The heat map is hidden: heat maps of this model for {name} failed their examination. {sentence}".strip(),
        )

    def _check_batch(self, batch: NDArray[Any]) -> None:
        spec = self.plan.preprocessing
        needed = spec.shape
        if batch.ndim != len(needed) + 1 or batch.shape[1:] != needed or len(batch) == 0:
            raise InputError(
                f"A batch of shape {batch.shape} was given.",
                f"The network takes (B, {', '.join(str(n) for n in needed)}) with at least one case.",
                "Prepare the images with Predictor.prepare and stack them.",
            )


def raw_probabilities(logits: Array, task: Task) -> NDArray[np.float64]:
    """Probabilities without calibration: sigmoid for ``binary`` and ``multilabel``, else softmax.

    Args:
        logits: ``(N, n_outputs)``.
        task: Task of the model.

    Returns:
        ``(N, K)``; two columns for ``binary``.
    """
    scores = logits.astype(np.float64)
    if task == "binary":
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    if task == "multilabel":
        return np.asarray(0.5 * (1 + np.tanh(scores / 2)))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def raw_answers(probabilities: NDArray[np.float64], task: Task) -> NDArray[np.int64]:
    """Answers without operating points: the likeliest class, or 1 above one half for ``multilabel``."""
    if task == "multilabel":
        return (probabilities >= 0.5).astype(np.int64)
    return probabilities.argmax(axis=1).astype(np.int64)


def row(outputs: Mapping[str, Array], n: int) -> dict[str, Array]:
    """Outputs of one case of a batch, with the batch axis kept."""
    return {name: values[n : n + 1] for name, values in outputs.items()}
