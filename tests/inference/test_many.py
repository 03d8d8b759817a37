"""Many cases: one bad file among a thousand costs one answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scanwright.core import Failure, FormatError, Grid, Plan, Prediction, Progress, Volume
from scanwright.inference import Predictor, predict_arrays


@pytest.fixture
def predictor(network: Callable[..., bytes], plan: Callable[..., Plan]) -> Predictor:
    return Predictor.from_network(network(bias=(-0.01,)), plan(), threads=1)


def case(n: int) -> Volume:
    array = np.zeros((1, 32, 32, 1), dtype=np.uint8)
    array[0, : n % 17, :8] = 255
    return Volume(array, Grid.of_picture(32, 32))


def test_one_bad_file_among_a_thousand(predictor: Predictor) -> None:
    def load(n: int) -> Volume:
        if n == 613:
            raise ValueError("PatientName=DOE^JOHN has no pixels")
        return case(n)

    items = [(f"case-{n}", lambda n=n: load(n)) for n in range(1000)]
    results = list(predictor.predict_many(items, heatmap=False))
    assert [r.case for r in results] == [name for name, _ in items]
    failures = [r for r in results if isinstance(r, Failure)]
    assert [f.case for f in failures] == ["case-613"]
    assert "ValueError" in failures[0].reason
    assert "DOE" not in failures[0].reason
    answers = {r.case: r for r in results if isinstance(r, Prediction)}
    assert len(answers) == 999
    for n in (0, 5, 612, 614, 999):
        alone = predictor.predict(case(n), case=f"case-{n}", heatmap=False)
        assert answers[f"case-{n}"].logits == pytest.approx(alone.logits, abs=1e-5)
        assert answers[f"case-{n}"].label == alone.label


def test_our_own_errors_are_told_in_full(predictor: Predictor) -> None:
    def bad() -> Volume:
        raise FormatError("x.dcm ends after 7 bytes.", "A file must be whole.", "Copy it again.")

    def gone() -> Volume:
        raise FileNotFoundError("x")

    def grey_volume() -> Volume:
        return Volume(np.zeros((1, 8, 8, 8), np.uint8), Grid((8, 8, 8)))

    results = list(predictor.predict_many([("a", bad), ("b", gone), ("c", grey_volume), ("d", lambda: case(4))]))
    reasons = [r.reason for r in results if isinstance(r, Failure)]
    assert reasons[0] == "x.dcm ends after 7 bytes. A file must be whole. Copy it again."
    assert "does not exist" in reasons[1]
    assert len(reasons) == 3
    assert isinstance(results[3], Prediction)


def test_progress_counts_and_the_time_left_is_known(predictor: Predictor) -> None:
    events: list[Any] = []
    list(predictor.predict_many([(str(n), lambda n=n: case(n)) for n in range(40)], emit=events.append, batch=7))
    assert [e.done for e in events] == list(range(1, 41))
    assert all(isinstance(e, Progress) and e.stage == "predict" and e.total == 40 for e in events)
    assert events[-1].left_s == 0


def test_reading_is_ahead_but_bounded(predictor: Predictor) -> None:
    """However long the list, only two batches of volumes are read before they are used."""
    read, lock = [0], threading.Lock()

    def load() -> Volume:
        with lock:
            read[0] += 1
        return case(3)

    def endless() -> Any:
        n = 0
        while True:
            yield str(n), load
            n += 1

    stream = predictor.predict_many(endless(), batch=4, heatmap=False)
    for _ in range(10):
        next(stream)
    assert read[0] <= 10 + 4 * 3
    stream.close()


def test_a_case_that_breaks_the_network_does_not_take_its_batch_along(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = predictor.engine.run

    def fragile(batch: Any) -> Any:
        if (batch[:, 0, 20, 20] > 0.5).any():
            raise RuntimeError("out of luck")
        return run(batch)

    monkeypatch.setattr(predictor.engine, "run", fragile)

    def load(n: int) -> Volume:
        volume = case(2)
        array = volume.array.copy()
        array[0, 18:24, 18:24] = 255 if n == 3 else 0
        return Volume(array, volume.grid)

    results = list(predictor.predict_many([(str(n), lambda n=n: load(n)) for n in range(8)], batch=8))
    assert [r.case for r in results if isinstance(r, Failure)] == ["3"]


def test_stored_half_precision_arrays(predictor: Predictor) -> None:
    images = np.stack([predictor.prepare(case(n)) for n in range(150)])
    events: list[Any] = []
    found = predict_arrays(
        predictor, images.astype(np.float16), keep=("logits", "embedding", "cam"), emit=events.append
    )
    expected = [predictor.predict(case(n), heatmap=False).logits for n in range(150)]
    np.testing.assert_allclose(found["logits"], expected, atol=1e-5)
    assert found["embedding"].shape == (150, 1)
    assert found["cam"].shape == (150, 1, 8, 8)
    assert events[-1].done == events[-1].total == 150
    rows = np.array([7, 3, 149])
    np.testing.assert_array_equal(predict_arrays(predictor, images, rows=rows)["logits"], found["logits"][rows])
    assert predict_arrays(predictor, images[:0])["logits"].shape == (0, 1)


def test_two_threads_at_once_get_their_own_answers(predictor: Predictor) -> None:
    images = [predictor.prepare(case(n))[None] for n in range(17)]
    alone = [predictor.run(image)["logits"] for image in images]
    wrong: list[int] = []

    def work(start: int) -> None:
        for turn in range(60):
            n = (start + turn) % 17
            if not np.array_equal(predictor.run(images[n])["logits"], alone[n]):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(s,)) for s in (0, 5, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
