"""The answer to a question that many ask at once, and that takes work."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class RecentAnswer(Generic[Answer]):
    """Asks a question once at a time, and keeps the answer for a while. It belongs to one event loop.

    Args:
        ask: asks the question.
        kept_s: seconds for which an answer is kept. An error is kept as long.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[Answer]], kept_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._kept_s, self._clock = ask, kept_s, clock
        self._asked: asyncio.Task[Answer] | None = None
        self._stale_at = 0.0

    async def get(self) -> Answer:
        """The answer that is kept, or that of the question that is being asked, or of a new one.

        Whoever is cancelled while it waits leaves the question to the others.
        """
        if self._asked is None or (self._asked.done() and self._clock() >= self._stale_at):
            self._asked = asyncio.create_task(self._new())
        return await asyncio.shield(self._asked)

    def forget(self) -> None:
        """Has the next one ask anew, because the answer can be another."""
        self._asked = None

    async def _new(self) -> Answer:
        try:
            return await self._ask()
        finally:
            self._stale_at = self._clock() + self._kept_s
