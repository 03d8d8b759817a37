"""The one stream of events that progress bars, pages and logs are fed from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Stage = Literal[
    "scan",
    "check",
    "plan",
    "prepare",
    "train",
    "evaluate",
    "explain",
    "pack",
    "predict",
    "serve",
    "fetch",
    "phantom",
    "generate",
]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)
    time: str = Field(default_factory=_now)
    stage: Stage


class Started(_Event):
    """A stage begins (``resumed``: it goes on from where it stopped)."""

    kind: Literal["started"] = "started"
    resumed: bool = False


class Progress(_Event):
    """``done`` of ``total`` units of a long step; ``left_s`` seconds remain, if known."""

    kind: Literal["progress"] = "progress"
    step: str
    done: float
    total: float
    left_s: float | None = None


class Said(_Event):
    """Something a person should read. ``level`` is ``"info"`` or ``"warn"``."""

    kind: Literal["said"] = "said"
    text: str
    level: Literal["info", "warn"] = "info"


class Measured(_Event):
    """Figures of a candidate at a step: losses, learning rate, validation scores."""

    kind: Literal["measured"] = "measured"
    candidate: str
    step: int
    values: dict[str, float]


class Finished(_Event):
    """A stage has ended after ``seconds`` (``skipped``: it had nothing left to do)."""

    kind: Literal["finished"] = "finished"
    seconds: float
    skipped: bool = False


class Failed(_Event):
    """A stage has stopped with an error."""

    kind: Literal["failed"] = "failed"
    error: str


Event = Annotated[Started | Progress | Said | Measured | Finished | Failed, Field(discriminator="kind")]
Emit = Callable[[Started | Progress | Said | Measured | Finished | Failed], None]
"""Receiver of events. Stages call it; they never print."""

_ADAPTER: TypeAdapter[Started | Progress | Said | Measured | Finished | Failed] = TypeAdapter(Event)


def parse_event(line: str) -> Started | Progress | Said | Measured | Finished | Failed:
    """Read one line of ``events.jsonl``.

    Args:
        line: One JSON object.

    Returns:
        The event.

    Raises:
        pydantic.ValidationError: The line is no event.
    """
    return _ADAPTER.validate_json(line)


def silent(event: object) -> None:
    """An :data:`Emit` that drops everything."""
