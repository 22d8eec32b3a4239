"""What a client sent and the session has not worked on yet. It is bounded."""

import asyncio
from collections import deque
from typing import TypeAlias

from urgency_dagster.serving.problems import Problem
from urgency_dagster.serving.stream.messages import Commit, Finish, TurnMessage
from urgency_dagster.serving.stream.stream_problems import TOO_FAST

Order: TypeAlias = TurnMessage | Commit | Finish
"""What a client asks for in a session that has begun."""

STEP_S = 0.1
"""Seconds of audio that are worked on together at least, if they arrive within as many seconds."""

MAX_STEP_S = 4.0
"""Seconds of audio that are worked on together at most."""

MAX_ITEMS = 16_384
"""Messages and pieces of audio that wait at most: a small one takes far more memory than its bytes."""

SAMPLE_BYTES = 2


class Inbox:
    """A queue of audio and messages.

    Attributes:
        audio_bytes: bytes of audio that were put.

    Args:
        sample_rate: samples per second of the audio.
        max_s: maximum seconds of audio that wait.
    """

    def __init__(self, sample_rate: int, max_s: float) -> None:
        self.audio_bytes = 0
        self._bytes_per_s = sample_rate * SAMPLE_BYTES
        self._max_bytes = int(max_s * self._bytes_per_s)
        self._items: deque[bytes | Order] = deque()
        self._bytes = 0
        self._filled, self._enough = asyncio.Event(), asyncio.Event()

    @property
    def queued_ms(self) -> int:
        """Milliseconds of audio that wait. A text counts by its size."""
        return self._bytes * 1000 // self._bytes_per_s

    def put(self, item: bytes | Order) -> None:
        """Adds audio or a message.

        Raises:
            Problem: so much waits that it is not taken.
        """
        size = _size(item)
        if self._items and self._bytes + size > self._max_bytes:
            raise Problem(
                TOO_FAST, f"{self._max_bytes / self._bytes_per_s:g} s of audio wait. Send more after a while."
            )
        if len(self._items) == MAX_ITEMS:
            raise Problem(TOO_FAST, f"{MAX_ITEMS:,} messages wait. Send more after a while.")
        self._items.append(item)
        self._bytes += size
        self.audio_bytes += size if isinstance(item, bytes) else 0
        self._filled.set()
        if not isinstance(item, bytes) or self._bytes >= STEP_S * self._bytes_per_s:
            self._enough.set()

    async def get(self) -> bytes | Order:
        """Waits for the next message, or for audio, of which neighbouring pieces are joined."""
        await self._filled.wait()
        if not self._enough.is_set():
            try:
                async with asyncio.timeout(STEP_S):
                    await self._enough.wait()
            except TimeoutError:
                pass  # the client paused: what is there is heard now
        item = self._taken()
        if not self._items:
            self._filled.clear()
            self._enough.clear()
        return item

    def _taken(self) -> bytes | Order:
        first = self._items.popleft()
        self._bytes -= _size(first)
        if not isinstance(first, bytes):
            return first
        pieces, left = [first], int(MAX_STEP_S * self._bytes_per_s) - len(first)
        while self._items and isinstance(piece := self._items[0], bytes) and len(piece) <= left:
            pieces.append(piece)
            left -= len(piece)
            self._bytes -= len(piece)
            self._items.popleft()
        return b"".join(pieces)


def _size(item: bytes | Order) -> int:
    if isinstance(item, bytes):
        return len(item)
    return len(item.text.encode()) + 1 if isinstance(item, TurnMessage) else 1
