"""Many cases: read ahead in threads, run in batches, one bad file never stops the rest."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanwright.core import Emit, Failure, Prediction, Progress, ScanwrightError, Volume, silent
from scanwright.core.events import Stage
from scanwright.inference.predictor import Array, Predictor, row

_READERS = 2


@dataclass(frozen=True, eq=False)
class _Ready:
    volume: Volume
    array: Array
    started: float


def predict_many(
    predictor: Predictor,
    items: Iterable[tuple[str, Callable[[], Volume]]],
    *,
    emit: Emit = silent,
    batch: int | None = None,
    heatmap: bool = True,
    total: int | None = None,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Prediction | Failure]:
    """Answer for many cases, in order.

    At most two batches of volumes are held at a time, however long ``items`` is.

    Args:
        predictor: The model.
        items: Case id and a function that reads its volume; called in threads.
        emit: Receives progress, with the time left when the number of cases is known.
        batch: Cases to run at once; as many as the predictor's chunk, at most 16, if None.
        heatmap: Whether to say where the evidence lies.
        total: Number of cases; ``len(items)`` if it has one.
        columns: Of a model that learnt a table: case id to what the table says of it.

    Yields:
        A prediction for each case, or a failure that names the case and the reason.
    """
    total = len(items) if total is None and isinstance(items, Sequence) else total
    batch = max(1, min(predictor.chunk, 16) if batch is None else batch)
    began, done = time.perf_counter(), 0
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as readers:
        waiting: deque[tuple[str, Future[_Ready]]] = deque()
        source = iter(items)

        def read_ahead() -> None:
            for case, load in islice(source, 2 * batch - len(waiting)):
                waiting.append((case, readers.submit(_read, predictor, load)))

        read_ahead()
        try:
            while waiting:
                group = [waiting.popleft() for _ in range(min(batch, len(waiting)))]
                read_ahead()
                for result in _answers(predictor, group, heatmap=heatmap, columns=columns or {}):
                    done += 1
                    yield result
                    emit(_progress("predict", done, total, began))
        finally:
            for _, future in waiting:
                future.cancel()


def _read(predictor: Predictor, load: Callable[[], Volume]) -> _Ready:
    started = time.perf_counter()
    volume = load()
    return _Ready(volume, predictor.prepare(volume), started)


def _answers(
    predictor: Predictor,
    group: Sequence[tuple[str, Future[_Ready]]],
    *,
    heatmap: bool,
    columns: Mapping[str, Mapping[str, Any]],
) -> Iterator[Prediction | Failure]:
    """Run one batch; a case that cannot be read, run or drawn becomes a failure."""
    failed = {n: error for n, (_, future) in enumerate(group) if (error := future.exception()) is not None}
    for error in failed.values():
        if not isinstance(error, Exception):  # KeyboardInterrupt and the like stop the whole
            raise error
    good = [n for n in range(len(group)) if n not in failed]
    outputs = _run(predictor, [group[n][1].result().array for n in good])
    for n, (case, future) in enumerate(group):
        if n in failed:
            yield Failure(case, say(failed[n]))
            continue
        ready, at = future.result(), good.index(n)
        try:
            known = row(outputs, at) if outputs is not None else predictor.run(ready.array[None])
            told = columns.get(case)
            yield predictor.answer(
                ready.volume, ready.array, known, case=case, heatmap=heatmap, started=ready.started, columns=told
            )
        except Exception as error:  # noqa: BLE001 - one bad case must not cost the others their answer
            yield Failure(case, say(error))


def _run(predictor: Predictor, arrays: Sequence[Array]) -> dict[str, Array] | None:
    """Outputs of a batch; None when it must be run case by case to find the bad one."""
    if not arrays:
        return None
    try:
        return predictor.run(np.stack(arrays))
    except (ScanwrightError, RuntimeError, MemoryError, ValueError):
        return None


def say(error: BaseException) -> str:
    """The reason for a failure, without anything that might name a person.

    Args:
        error: What went wrong.

    Returns:
        The sentences of our own errors; of others the kind alone, since their text may
        quote the file.
    """
    if isinstance(error, ScanwrightError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "The file does not exist. An answer needs a file. Check the path."
    return f"The image could not be read or answered ({type(error).__name__}). It may be damaged. Copy it again, or leave it out."


def predict_arrays(
    predictor: Predictor,
    images: Any,
    *,
    rows: NDArray[np.integer[Any]] | None = None,
    keep: Sequence[str] = ("logits",),
    emit: Emit = silent,
    stage: Stage = "evaluate",
) -> dict[str, Array]:
    """Run the network on many prepared arrays, for evaluation.

    Args:
        predictor: The model.
        images: ``(N, C, *size)``, such as the store's memory map, or whatever gives rows of it; read
            chunk by chunk.
        rows: Rows to run, in this order; all if None.
        keep: Outputs to return: ``"logits"``, ``"embedding"``, ``"cam"``.
        emit: Receives progress with the time left.
        stage: Stage that the progress belongs to.

    Returns:
        Each kept output, ``(n, ...)`` float32, in the order of ``rows``.

    Raises:
        InputError: The arrays have another shape than the network takes.
        FormatError: An answer is not a number.
    """
    order = np.arange(len(images)) if rows is None else np.asarray(rows)
    found: dict[str, list[Array]] = {name: [] for name in keep}
    began = time.perf_counter()
    for first in range(0, len(order), predictor.chunk):
        part = order[first : first + predictor.chunk]
        outputs = predictor.run(np.asarray(images[part], dtype=np.float32))
        for name in keep:
            found[name].append(outputs[name])
        emit(_progress(stage, first + len(part), len(order), began))
    empty = {"logits": (0, predictor.n_outputs)}
    return {
        name: np.concatenate(pieces) if pieces else np.zeros(empty.get(name, (0,)), dtype=np.float32)
        for name, pieces in found.items()
    }


def _progress(stage: Stage, done: int, total: int | None, began: float) -> Progress:
    left = None if total is None else (time.perf_counter() - began) / done * max(total - done, 0)
    return Progress(stage=stage, step="predict", done=done, total=total or done, left_s=left)
