"""The sessions of a server: those with a connection, and those that wait for theirs to come back."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from urgency_dagster.serving.configuration import Limits, StreamLimits
from urgency_dagster.serving.problems import BUSY, INVALID_REQUEST, Fault, Problem
from urgency_dagster.serving.served_models import ServedModels
from urgency_dagster.serving.stream.messages import SessionStart
from urgency_dagster.serving.stream.session import Session
from urgency_dagster.serving.stream.stream_problems import UNKNOWN_SESSION

CUTTERS = 2
"""Threads that find the turns of all calls. A second of a call takes some 10 ms."""


@dataclass(eq=False)
class Attachment:
    """A connection of a session.

    Attributes:
        session: the session.
        replaced: is set when another connection goes on with the session.
    """

    session: Session
    replaced: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class _Kept:
    """A session and what belongs to it.

    Attributes:
        task: its work.
        attachment: its connection; None while it has none.
        expiry: ends it when its connection does not come back.
    """

    session: Session
    task: asyncio.Task[None]
    attachment: Attachment | None = None
    expiry: asyncio.TimerHandle | None = None


class Sessions:
    """Starts, keeps and ends sessions.

    Args:
        models: lends the model of each session.
        limits: the limits of every request.
        stream_limits: the limits of a stream.
    """

    def __init__(self, models: ServedModels, limits: Limits, stream_limits: StreamLimits) -> None:
        self.stream_limits = stream_limits
        self._models, self._limits = models, limits
        self._cutters = ThreadPoolExecutor(CUTTERS, thread_name_prefix="cutter")
        self._kept: dict[str, _Kept] = {}

    def attach(self, start: SessionStart) -> Attachment:
        """Starts a session, or goes on with one. A former connection of it ends.

        Raises:
            Problem: there are as many connections as there may be, or the session cannot be resumed.
        """
        kept = self._resumed(start) if start.resume else self._started(start)
        if kept.attachment:
            kept.attachment.replaced.set()
        if kept.expiry:
            kept.expiry.cancel()
        kept.attachment = Attachment(kept.session)
        return kept.attachment

    def detach(self, attachment: Attachment) -> None:
        """Keeps the session of a connection that ended, for a while."""
        kept = self._kept.get(attachment.session.id)
        if kept is None or kept.attachment is not attachment:
            return  # another connection goes on with it
        kept.attachment = None
        loop = asyncio.get_running_loop()
        kept.expiry = loop.call_later(self.stream_limits.resume_s, self._end, kept)
        waiting = [one for one in self._kept.values() if one.attachment is None]
        if len(waiting) > self.stream_limits.kept_sessions:
            self._end(next((one for one in waiting if one.task.done()), waiting[0]))

    async def close(self) -> None:
        """Ends every session."""
        tasks = [kept.task for kept in self._kept.values()]
        for kept in list(self._kept.values()):
            self._end(kept)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._cutters.shutdown(wait=False, cancel_futures=True)

    def _started(self, start: SessionStart) -> _Kept:
        running = [kept for kept in self._kept.values() if not kept.task.done()]
        if len(running) >= self._limits.connections:
            lost = next((kept for kept in running if kept.attachment is None), None)
            if lost is None:
                raise Problem(BUSY, f"{self._limits.connections} calls are in progress. Connect again later.")
            self._end(lost)
        session = Session(start, self._limits, self.stream_limits, self._cutters)
        kept = _Kept(session, asyncio.create_task(session.run(self._models)))
        self._kept[session.id] = kept
        return kept

    def _resumed(self, start: SessionStart) -> _Kept:
        kept = self._kept.get(start.resume.session) if start.resume else None
        if kept is None:
            detail = "The session is unknown, or its connection was lost too long ago. Start a new one."
            raise Problem(UNKNOWN_SESSION, detail, [Fault("is unknown", "#/resume/session")])
        if start.model_copy(update={"resume": None}) != kept.session.start:
            raise Problem(INVALID_REQUEST, "The session was started with other options.", [Fault("differs", "#")])
        return kept

    def _end(self, kept: _Kept) -> None:
        self._kept.pop(kept.session.id, None)
        kept.task.cancel()
        if kept.expiry:
            kept.expiry.cancel()


@asynccontextmanager
async def open_sessions(models: ServedModels, limits: Limits, stream_limits: StreamLimits) -> AsyncIterator[Sessions]:
    """The sessions of a server, until the end of the block."""
    sessions = Sessions(models, limits, stream_limits)
    try:
        yield sessions
    finally:
        await sessions.close()
