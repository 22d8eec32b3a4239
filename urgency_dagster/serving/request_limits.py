"""Limits of one request: bytes of its body, time, and how many are answered at once. Unexpected errors end here."""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from urgency_dagster.serving.configuration import Limits
from urgency_dagster.serving.problems import BODY_TOO_LARGE, BUSY, SLOW_BODY, TOO_SLOW, Problem, of_unexpected
from urgency_dagster.serving.security import PROBE_PATHS

UNCOUNTED_PATHS = PROBE_PATHS | {"/metrics"}
"""Paths that are answered however many requests run. Without an answer, an orchestrator would end a busy server."""

PATIENCE_S = 20
"""Seconds that a body has to arrive, besides the time of its size."""

MIN_BYTES_PER_S = 4_000
"""Bytes of a body that arrive in a second at least: a quarter of a telephone call's PCM.

A client that hangs would keep a place of `Limits.requests` from others.

Source: the rule of Apache's mod_reqtimeout, `body=20,MinRate=500`.
"""


class RequestLimits:
    """ASGI middleware that bounds each HTTP request.

    Args:
        app: the application.
        limits: the bounds.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on and ends it at a bound with a problem document."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] in UNCOUNTED_PATHS:
            await self._answer(scope, receive, send)
        elif self._running >= self._limits.requests:
            await _busy().response()(scope, receive, send)
        else:
            self._running += 1
            try:
                await self._answer(scope, receive, send)
            finally:
                self._running -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _BoundedRequest(self._app, self._limits, receive, send).answer(scope)


class _BoundedRequest:
    """One request."""

    def __init__(self, app: ASGIApp, limits: Limits, receive: Receive, send: Send) -> None:
        self._app, self._limits, self._receive, self._send = app, limits, receive, send
        self._received_bytes, self._is_received, self._is_answered = 0, False, False
        self._max_bytes, self._start_s = 0, 0.0

    async def answer(self, scope: Scope) -> None:
        """Runs the application; answers in its place where it does not."""
        headers = Headers(scope=scope)
        self._max_bytes = max_body_bytes(headers.get("content-type", ""), self._limits)
        self._start_s = asyncio.get_running_loop().time()
        problem: Problem | None = None
        try:
            self._count(_stated_bytes(headers))
            self._received_bytes = 0
            async with asyncio.timeout(self._limits.request_s):
                await self._app(scope, self._receive_bounded, self._send_noted)
        except Problem as found:
            problem = found
        except TimeoutError:
            kind = TOO_SLOW if self._is_received else SLOW_BODY
            problem = Problem(kind, f"A request may take {self._limits.request_s} s.")
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the server must go on, and say nothing of the request
            problem = of_unexpected(error)
        if problem and not self._is_answered:
            with suppress(OSError):  # the client is gone
                await problem.response()(scope, self._receive, self._send)

    async def _receive_bounded(self) -> Message:
        message = await self._received()
        if message["type"] == "http.request":
            self._is_received = not message.get("more_body", False)
            self._count(len(message.get("body", b"")))
        return message

    async def _received(self) -> Message:
        """The next message. The end of the connection, which follows the body, is waited for without this bound."""
        in_time_s = self._start_s + PATIENCE_S + self._received_bytes / MIN_BYTES_PER_S
        try:
            async with asyncio.timeout_at(None if self._is_received else in_time_s):
                return await self._receive()
        except TimeoutError as error:
            detail = f"A body has {PATIENCE_S} s, and a second for each {MIN_BYTES_PER_S} bytes that arrived."
            raise Problem(SLOW_BODY, detail, headers={"connection": "close"}) from error

    async def _send_noted(self, message: Message) -> None:
        self._is_answered = True
        await self._send(message)

    def _count(self, received: int) -> None:
        self._received_bytes += received
        if self._received_bytes > self._max_bytes:
            detail = f"A body of this media type may have {self._max_bytes} bytes."
            raise Problem(BODY_TOO_LARGE, detail, headers={"connection": "close"})


def max_body_bytes(media_type: str, limits: Limits) -> int:
    """Maximum bytes of a body. Audio goes to a file; everything else is parsed in memory, which takes a multiple."""
    kind = media_type.partition(";")[0].strip().lower()
    return limits.body_bytes if kind.startswith("audio/") or kind == "multipart/form-data" else limits.json_bytes


def _stated_bytes(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _busy() -> Problem:
    return Problem(BUSY, "As many requests are answered as the server allows. Ask again later.")
