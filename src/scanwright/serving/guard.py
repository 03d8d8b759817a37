"""The door of the service: who may knock, how much may be carried in, and what every answer says.

Pure ASGI, so that nothing is held in memory and nothing gets past it:

* the Host header must be one of ours (a page elsewhere cannot reach a loopback service by
  pointing its own name at 127.0.0.1);
* what changes or computes something must not come from a page of another site;
* the whole body is counted as it arrives, with or without Content-Length, and must keep coming;
* every answer carries a strict content security policy;
* an unforeseen error becomes a number, in the answer and in the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scanwright.serving.limits import Limits
from scanwright.serving.refusal import Refusal, note_fault

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex",
}

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_SMALL_BODY = 65536
_DRAIN_BYTES, _DRAIN_S = 64_000_000, 5.0


class Guard:
    """Middleware around the whole service.

    Args:
        app: What is guarded.
        limits: Ceilings.
        hosts: Names that the Host header may have, without port.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, hosts: Iterable[str] = LOOPBACK) -> None:
        self.app, self.limits = app, limits
        self.hosts = frozenset(h.lower() for h in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await _Visit(self, scope, receive, send).serve()
        else:
            await send({"type": "websocket.close", "code": 1008})

    def refuse(self, scope: Scope) -> Refusal | None:
        """Whether a request may not even begin.

        Args:
            scope: The request.

        Returns:
            Why not, or None.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name_of(host) not in self.hosts:
            return Refusal(
                421,
                "The request names a host that this service does not answer for.",
                "Only " + ", ".join(sorted(self.hosts)) + " are served.",
                "Open the address that the service was started with.",
            )
        if scope["method"] not in _SAFE_METHODS and _foreign(headers, host):
            return Refusal(
                403,
                "The request comes from a page of another site.",
                "Images are taken from this service's own page, or from a program.",
                "Open the service's own address.",
            )
        if headers.get("content-encoding", "identity") != "identity":
            return Refusal(
                415, "The body is compressed.", "Bodies are taken as they are.", "Leave out Content-Encoding."
            )
        declared = headers.get("content-length", "0")
        if not declared.isdigit():
            return Refusal(
                400, "The Content-Length is not a number.", "It counts the bytes of the body.", "Correct it."
            )
        return self.too_large(scope) if int(declared) > self.ceiling(scope) else None

    def ceiling(self, scope: Scope) -> int:
        """Largest body of a request, in bytes."""
        return _SMALL_BODY if scope["method"] in _SAFE_METHODS else self.limits.max_upload_bytes

    def too_large(self, scope: Scope) -> Refusal:
        """Why a body is too large."""
        most = self.ceiling(scope) / 1e6
        return Refusal(
            413,
            f"The upload is larger than {most:g} MB.",
            f"One request may hold {most:g} MB.",
            "Send fewer or smaller files, or start the service with a higher limit.",
        )


class _Visit:
    """One request on its way through the guard."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self.guard, self.scope, self._receive, self._send = guard, scope, receive, send
        self.arrived, self.status = 0, 0
        self.until = time.monotonic() + guard.limits.request_s
        self.started = self.ended = self.gone = False

    async def serve(self) -> None:
        began = time.monotonic()
        refusal = self.guard.refuse(self.scope)
        try:
            if refusal is not None:
                await self._answer(refusal)
            else:
                await self.guard.app(self.scope, self.receive, self.send)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender gets a number and no traceback
            if self.gone:
                return
            number = note_fault(error)
            if not self.started:
                fact = "The service met a fault of its own."
                fix = "Report that number to whoever runs the service."
                await self._answer(Refusal(500, fact, f"The log has it under {number}.", fix))
        finally:
            log.info("%s %s %.3f s", self.scope["method"], self.status or "-", time.monotonic() - began)

    async def _answer(self, refusal: Refusal) -> None:
        response = JSONResponse(refusal.to_dict(), refusal.status, refusal.headers)
        await response(self.scope, self.receive, self.send)

    async def receive(self) -> Message:
        """Pass on a piece of the body, counted and timed."""
        if self.ended or self.gone:
            return await self._receive()
        try:
            patience = min(self.guard.limits.idle_s, self.until - time.monotonic())
            message = await asyncio.wait_for(self._receive(), max(patience, 0))
        except TimeoutError:
            self.gone = True  # nothing more is worth waiting for
            raise Refusal(408, "The upload stopped arriving.", "A body must keep coming.", "Send it again.") from None
        if message["type"] == "http.disconnect":
            self.gone = True
            return message
        self.arrived += len(message.get("body", b""))
        self.ended = not message.get("more_body", False)
        if self.arrived > self.guard.ceiling(self.scope):
            raise self.guard.too_large(self.scope)
        return message

    async def send(self, message: Message) -> None:
        """Add the headers; let a refused sender finish, so that it reads the answer instead of a broken pipe."""
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and self._still_coming():
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _still_coming(self) -> bool:
        headers = Headers(scope=self.scope)
        awaits_go = headers.get("expect", "").lower() == "100-continue" and self.arrived == 0
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        return has_body and not (self.ended or self.gone or awaits_go)

    async def _drain(self) -> None:
        dropped, until = 0, time.monotonic() + _DRAIN_S
        while dropped < _DRAIN_BYTES and (left := until - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except TimeoutError:
                return
            dropped += len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return


def _name_of(host: str) -> str:
    """The Host header without its port, in lower case."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()


def _foreign(headers: Headers, host: str) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != host.lower()
