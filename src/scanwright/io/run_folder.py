"""The folder of one run: its files, its ledger of finished stages, its stream of events."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from scanwright.core import Emit, Failed, Finished, InputError, Started, parse_event, silent
from scanwright.core.events import Stage
from scanwright.io.atomic import disk_errors, write_json


@dataclass(frozen=True)
class RunFolder:
    """Where everything about one run lies.

    Args:
        path: The folder; made when the first file is written.
    """

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def work(self) -> Path:
        """Prepared arrays, checkpoints and whatever else may be deleted after the run."""
        return self.path / "work"

    @property
    def model(self) -> Path:
        """The model file."""
        return self.path / "model.scanwright"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    def json(self, name: str) -> Any:
        """Content of a JSON file of the run.

        Raises:
            InputError: The file is missing or damaged.
        """
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"{self.path} has no {name}.",
                "This step goes on from an earlier one.",
                f"Run `scanwright run FOLDER --out {self.path}`.",
            ) from None
        except ValueError:
            raise InputError(
                f"{self.path / name} is damaged.",
                "It must be JSON as Scanwright wrote it.",
                "Delete it and type the same command again.",
            ) from None

    def is_done(self, stage: Stage, digest: str, *outputs: str) -> bool:
        """Whether a stage has finished for just these inputs and its outputs are still there."""
        return self._ledger().get(stage) == digest and all((self.path / name).exists() for name in outputs)

    def mark_done(self, stage: Stage, digest: str) -> None:
        """Enter a finished stage into the ledger."""
        write_json(self.work / "ledger.json", {**self._ledger(), stage: digest})

    def _ledger(self) -> dict[str, str]:
        try:
            return dict(json.loads((self.work / "ledger.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    @contextmanager
    def opened(self, emit: Emit = silent) -> Iterator[Emit]:
        """Hold the folder for one process, and write every event to ``events.jsonl``.

        Args:
            emit: Further receiver of the events.

        Yields:
            The receiver that stages should use.

        Raises:
            InputError: Another process is working in the folder.
            ResourceError: The disk is full.
        """
        with disk_errors(self.path):
            self.work.mkdir(parents=True, exist_ok=True)
            lock = (self.work / "lock").open("a+", encoding="utf-8")
        try:
            _take(lock, self.path)
            with (self.path / "events.jsonl").open("a", encoding="utf-8") as log:

                def both(event: Any) -> None:
                    with disk_errors(self.path / "events.jsonl"):
                        log.write(event.model_dump_json(exclude_none=True) + "\n")
                        log.flush()
                    emit(event)

                yield both
        finally:
            lock.close()

    def events(self) -> list[Any]:
        """Every event so far; a last line cut short by a crash is left out."""
        try:
            lines = (self.path / "events.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(parse_event(line))
            except ValueError:
                continue
        return found


@contextmanager
def stage_events(stage: Stage, emit: Emit, *, resumed: bool = False) -> Iterator[None]:
    """Report the beginning and the end of a stage, also when it fails."""
    began = monotonic()
    emit(Started(stage=stage, resumed=resumed))
    try:
        yield
    except Exception as error:
        emit(Failed(stage=stage, error=f"{type(error).__name__}: {error}"))
        raise
    emit(Finished(stage=stage, seconds=round(monotonic() - began, 3)))


def _take(lock: Any, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: no advisory lock
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(
            f"Another process is working in {path}.",
            "One process at a time works in a run folder.",
            "Wait for it, or choose another --out.",
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
