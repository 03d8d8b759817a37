"""A few workers and a short queue: surplus is told to come back instead of piling up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from scanwright.serving.limits import Limits
from scanwright.serving.refusal import Refusal

T = TypeVar("T")


class Crew:
    """Runs work in threads, and admits only so much of it.

    Args:
        limits: ``workers`` and ``max_waiting``.
    """

    def __init__(self, limits: Limits) -> None:
        self._threads = ThreadPoolExecutor(limits.workers, thread_name_prefix="answer")
        self._seats = limits.workers + limits.max_waiting
        self.taken = 0

    def seat(self) -> _Seat:
        """A place in the service, held from the first byte of a request to its answer.

        Raises:
            Refusal: On entering: 503 if all places are taken.
        """
        return _Seat(self)

    async def run(self, work: Callable[[threading.Event], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """Run work in a thread; ask it to stop when the sender has gone.

        Args:
            work: Called with an event; when that is set it should end soon.
            gone: Whether the sender has gone.

        Returns:
            What the work returned.
        """
        stop = threading.Event()
        task = asyncio.get_running_loop().run_in_executor(self._threads, work, stop)
        try:
            while not (await asyncio.wait({task}, timeout=0.5))[0]:
                if not stop.is_set() and await gone():
                    stop.set()
        finally:
            stop.set()
        return await task

    def close(self) -> None:
        """Let running work end; drop what waits."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    @property
    def full(self) -> bool:
        """Whether all places are taken."""
        return self.taken >= self._seats


class _Seat:
    def __init__(self, crew: Crew) -> None:
        self.crew = crew

    def __enter__(self) -> None:
        if self.crew.full:
            raise Refusal(
                503,
                f"The service is busy with {self.crew.taken} requests.",
                "It takes only as many as it can answer soon.",
                "Try again in a few seconds.",
                retry_s=5,
            )
        self.crew.taken += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.crew.taken -= 1
