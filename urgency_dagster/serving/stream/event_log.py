"""The events of a session in their order. The last ones are kept for a client that reconnects or reads slowly."""

import asyncio
from collections import deque
from collections.abc import Iterator

from urgency_dagster.serving.problems import Problem
from urgency_dagster.serving.stream.messages import ServerEvent
from urgency_dagster.serving.stream.stream_problems import EVENTS_LOST


class EventLog:
    """Numbers events, and keeps the last ones as JSON.

    Attributes:
        sequence: number of the last event.
        is_closed: whether no event follows.

    Args:
        max_bytes: size of the events that are kept. The last one always is.
    """

    def __init__(self, max_bytes: int) -> None:
        self.sequence, self.is_closed = 0, False
        self._max_bytes, self._bytes = max_bytes, 0
        self._events: deque[str] = deque()
        self._changed = asyncio.Event()

    def append(self, event: ServerEvent) -> None:
        """Adds an event."""
        self.sequence += 1
        event.sequence = self.sequence
        content = event.model_dump_json()
        self._events.append(content)
        self._bytes += len(content)
        while self._bytes > self._max_bytes and len(self._events) > 1:
            self._bytes -= len(self._events.popleft())
        self._wake()

    def close(self) -> None:
        """Says that no event follows."""
        self.is_closed = True
        self._wake()

    def after(self, sequence: int) -> Iterator[tuple[int, str]]:
        """Yields the number and the content of each event after one that a client has. Events may be added meanwhile.

        Raises:
            Problem: the events that follow are no longer kept, or the client has one that does not exist.
        """
        while sequence != self.sequence:
            place = sequence - (self.sequence - len(self._events))
            if not 0 <= place < len(self._events):
                detail = f"Events {self.sequence - len(self._events) + 1} to {self.sequence} are kept."
                raise Problem(EVENTS_LOST, detail)
            sequence += 1
            yield sequence, self._events[place]

    async def more(self, sequence: int) -> None:
        """Waits for an event after one that a client has, or for the end."""
        while sequence == self.sequence and not self.is_closed:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
