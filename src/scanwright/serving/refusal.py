"""Refusals: an HTTP status with the three sentences of every error."""

from __future__ import annotations

import logging
import secrets
import traceback
from pathlib import Path
from typing import Any

from scanwright.core.errors import ResourceError, ScanwrightError

log = logging.getLogger(__name__)


class Refusal(ScanwrightError):
    """A request, or one case of it, that is turned down.

    Args:
        status: HTTP status, 400 .. 599.
        fact: What is there.
        rule: What is needed.
        fix: What to do.
        retry_s: Seconds after which trying again makes sense; sent as ``Retry-After``.
    """

    def __init__(self, status: int, fact: str, rule: str = "", fix: str = "", *, retry_s: int | None = None) -> None:
        super().__init__(fact, rule, fix)
        self.status, self.retry_s = status, retry_s
        self.failures: list[dict[str, str]] = []

    def to_dict(self) -> dict[str, Any]:
        """The body that is sent."""
        body: dict[str, Any] = {"error": {"fact": self.fact, "rule": self.rule, "fix": self.fix}}
        return {**body, "failures": self.failures} if self.failures else body

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the body."""
        return {} if self.retry_s is None else {"Retry-After": str(self.retry_s)}


def refusal_of(error: BaseException, *, about: str) -> Refusal:
    """Say any error of reading or predicting as a refusal, without a traceback.

    Args:
        error: What was raised.
        about: Name of the file or case, as the sender wrote it.

    Returns:
        A refusal; for an unforeseen error one with an id that the log repeats.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, MemoryError):
        return Refusal(
            413, f"{about} needs more memory than the service has.", "A case must fit in memory.", "Crop it."
        )
    if isinstance(error, ScanwrightError):
        return Refusal(507 if isinstance(error, ResourceError) else 422, error.fact, error.rule, error.fix)
    number = note_fault(error)
    return Refusal(
        500,
        f"{about} could not be answered because of a fault in the service.",
        f"The log has it under {number}.",
        "Report that number to whoever runs the service.",
    )


def note_fault(error: BaseException) -> str:
    """Log where an unforeseen error arose, without its words, which may quote a patient's data.

    Args:
        error: What was raised.

    Returns:
        The number under which it stands in the log.
    """
    number = secrets.token_hex(4)
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    log.error("fault %s: %s at %s", number, type(error).__name__, where)
    return number
