"""One WebSocket: it brings what the client sends to a session, and the events of the session to the client."""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from urgency_dagster.serving.configuration import StreamLimits
from urgency_dagster.serving.problems import INVALID_REQUEST, Fault, Problem
from urgency_dagster.serving.stream.messages import PROTOCOL, ServerEvent, SessionResumed, SessionStart
from urgency_dagster.serving.stream.session import Session, parsed
from urgency_dagster.serving.stream.sessions import Attachment, Sessions
from urgency_dagster.serving.stream.stream_problems import (
    NORMAL_CLOSURE,
    TAKEN_OVER,
    TOO_QUIET,
    WRONG_ORDER,
    close_code,
    error_event,
)


async def serve_connection(socket: WebSocket, sessions: Sessions) -> None:
    """Serves a WebSocket until the call has ended, the client is gone, or something fatal happened."""
    await socket.accept(_subprotocol(socket))
    sequence = 0
    try:
        start = await _first_message(socket, sessions.stream_limits)
        attachment = sessions.attach(start)
        connection = _Connection(socket, attachment, sessions.stream_limits)
        try:
            await connection.serve(start)
        finally:
            sequence = connection.sequence
            sessions.detach(attachment)
        failure = attachment.session.failure
        await socket.close(close_code(failure) if failure else NORMAL_CLOSURE)
    except Problem as problem:
        await _send_last(socket, problem, sequence)
    except WebSocketDisconnect:
        return


def _subprotocol(socket: WebSocket) -> str | None:
    """The subprotocol of the answer. A browser refuses an answer without one if it offered some."""
    offered: list[str] = socket.scope.get("subprotocols", [])
    return PROTOCOL if PROTOCOL in offered else next(iter(offered), None)


async def _send_last(socket: WebSocket, problem: Problem, sequence: int) -> None:
    event = error_event(problem, fatal=True, sequence=sequence)
    try:
        await socket.send_text(event.model_dump_json())
        await socket.close(close_code(problem))
    except (WebSocketDisconnect, RuntimeError):
        return  # the client is gone


async def _first_message(socket: WebSocket, limits: StreamLimits) -> SessionStart:
    """The message that starts or resumes a session.

    Raises:
        Problem: it is another one, or none in time.
        WebSocketDisconnect: the client is gone.
    """
    content = await _received(socket, limits.start_s)
    if isinstance(content, bytes):
        raise Problem(WRONG_ORDER, "The first message is `session.start`, as JSON.")
    if len(content) > limits.message_bytes:
        raise Problem(INVALID_REQUEST, "The first message is too large.", [Fault("is too large", "#")])
    start = parsed(content)
    if not isinstance(start, SessionStart):
        raise Problem(WRONG_ORDER, "The first message is `session.start`.", [Fault("is another one", "#/type")])
    return start


async def _received(socket: WebSocket, timeout_s: float | None) -> str | bytes:
    """The next message.

    Raises:
        Problem: there is none in time.
        WebSocketDisconnect: the client is gone.
    """
    try:
        async with asyncio.timeout(timeout_s):
            message = await socket.receive()
    except TimeoutError as error:
        raise Problem(TOO_QUIET, f"No message arrived within {timeout_s:g} s.") from error
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"], message.get("reason"))
    text: str | None = message.get("text")
    content: bytes | None = message.get("bytes")
    return text if text is not None else content or b""


class _Connection:
    """A connection of a session.

    Attributes:
        sequence: number of the last event that was sent, here or over a former connection.
    """

    def __init__(self, socket: WebSocket, attachment: Attachment, limits: StreamLimits) -> None:
        self.sequence = 0
        self._socket, self._attachment, self._limits = socket, attachment, limits

    @property
    def _session(self) -> Session:
        return self._attachment.session

    async def serve(self, start: SessionStart) -> None:
        """Reads and writes until the last event is sent.

        Raises:
            Problem: the connection has to end.
            WebSocketDisconnect: the client is gone.
        """
        work = [asyncio.create_task(one) for one in (self._write(start), self._read(), self._wait_for_another())]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            # Not `gather`: it drops the message of a cancellation from outside, by which AnyIO knows its own.
            await asyncio.wait(work)
        for failure in [task.exception() for task in work if not task.cancelled()]:
            if failure:
                raise failure

    async def _read(self) -> None:
        while True:
            content = await _received(self._socket, self._limits.idle_s)
            if self._attachment.replaced.is_set():
                return  # it was sent again over the other connection
            if isinstance(content, str):
                self._session.receive_text(content)
            else:
                self._session.receive_audio(content)

    async def _write(self, start: SessionStart) -> None:
        log = self._session.log
        if start.resume:
            self.sequence = start.resume.sequence
            await self._send(self._resumed(self.sequence))
        while not (log.is_closed and self.sequence == log.sequence):
            for number, content in log.after(self.sequence):
                await self._socket.send_text(content)
                self.sequence = number
            await log.more(self.sequence)

    async def _wait_for_another(self) -> None:
        await self._attachment.replaced.wait()
        raise Problem(TAKEN_OVER, "Another connection goes on with the session.")

    def _resumed(self, sequence: int) -> SessionResumed:
        session = self._session
        return SessionResumed(
            type="session.resumed",
            sequence=sequence,
            session=session.id,
            audio_bytes=session.audio_bytes,
            messages=session.messages,
        )

    async def _send(self, event: ServerEvent) -> None:
        await self._socket.send_text(event.model_dump_json())
