"""Refusals: an HTTP status with the three sentences of every error."""

from __future__ import annotations

import logging
import secrets
import traceback
from pathlib import Path
from typing import Any

from scanwright.core.errors import ResourceError, ScanwrightError

log = logging.getLogger(__name__)

CODES = (
    "request", "foreign", "not_found", "stalled", "too_large", "too_many", "kind", "host", "image", "empty", "damaged",
    "no_image", "unpacks", "detached", "decoder", "memory", "no_number", "fault", "busy", "no_time", "model", "no_room",
)  # fmt: skip
"""What a refusal is about, in one word that does not change; the page says each in its own language."""

_CODE_OF = {
    403: "foreign", 404: "not_found", 408: "stalled", 413: "too_large", 415: "kind", 421: "host", 422: "image",
    500: "fault", 503: "busy", 507: "no_room",
}  # fmt: skip


class Refusal(ScanwrightError):
    """A request, or one case of it, that is turned down.

    Args:
        status: HTTP status, 400 .. 599.
        fact: What is there.
        rule: What is needed.
        fix: What to do.
        retry_s: Seconds after which trying again makes sense; sent as ``Retry-After``.
        code: A key of :data:`CODES`, for those who say it in another language; that of the status if empty.
    """

    def __init__(
        self, status: int, fact: str, rule: str = "", fix: str = "", *, retry_s: int | None = None, code: str = ""
    ) -> None:
        super().__init__(fact, rule, fix)
        self.status, self.retry_s = status, retry_s
        self.code = code or _CODE_OF.get(status, "request")
        self.failures: list[dict[str, str]] = []

    def to_dict(self) -> dict[str, Any]:
        """The body that is sent."""
        sentences = {"fact": self.fact, "rule": self.rule, "fix": self.fix, "code": self.code}
        body: dict[str, Any] = {"error": sentences}
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
        fact = f"{about} needs more memory than the service has."
        return Refusal(413, fact, "A case must fit in memory.", "Crop it.", code="memory")
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
