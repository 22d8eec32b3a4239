"""The network computes the utterances of several requests in one forward pass."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster.urgency import TASKS, TaskLogits

if TYPE_CHECKING:
    from numpy.typing import NDArray

Compute = Callable[[Sequence[str], "NDArray[np.float32]"], TaskLogits]
"""Returns the logits of N texts with their vectors, float32 of shape (N, T, D)."""


@dataclass(frozen=True)
class _Request:
    """Some utterances, and the future of their logits. It is cancelled with its request."""

    texts: Sequence[str]
    vectors: "NDArray[np.float32]"
    answer: asyncio.Future[TaskLogits]


class MicroBatcher:
    """Joins the utterances of requests that wait at the same time.

    A request that comes while nothing is computed is computed at once. Requests that come during a forward pass share
    the next one. A long request is computed in pieces, so that short requests come in between.

    Args:
        compute: its inputs were checked before.
        thread: an executor of one thread.
        size: maximum utterances of a forward pass.
        finished: receives the number of utterances of each finished forward pass.
    """

    def __init__(self, compute: Compute, thread: Executor, size: int, finished: Callable[[int], None]) -> None:
        self._compute, self._thread, self._size, self._finished = compute, thread, size, finished
        self._waiting: deque[_Request] = deque()
        self._work: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Number of utterances that wait for a forward pass."""
        return sum(len(request.texts) for request in self._waiting)

    async def logits(self, texts: Sequence[str], vectors: "NDArray[np.float32]") -> TaskLogits:
        """The logits of N checked utterances, in their order.

        Args:
            texts: their texts, at least one.
            vectors: float32 of shape (N, T, D).
        """
        starts = range(0, len(texts), self._size)
        pieces = [
            await self._piece(texts[start : start + self._size], vectors[start : start + self._size])
            for start in starts
        ]
        return TaskLogits(*(np.concatenate([getattr(piece, task) for piece in pieces]) for task in TASKS))

    async def _piece(self, texts: Sequence[str], vectors: "NDArray[np.float32]") -> TaskLogits:
        request = _Request(texts, vectors, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._answer_all())
        return await request.answer

    async def _answer_all(self) -> None:
        while batch := self._next_batch():
            await self._answer(batch)

    def _next_batch(self) -> list[_Request]:
        """The requests of the next forward pass, in the order in which they came; none if nothing waits."""
        batch: list[_Request] = []
        room = self._size
        while self._waiting and len(self._waiting[0].texts) <= room:
            request = self._waiting.popleft()
            if not request.answer.done():  # a cancelled request waits for nothing
                batch.append(request)
                room -= len(request.texts)
        return batch

    async def _answer(self, batch: Sequence[_Request]) -> None:
        texts = [text for request in batch for text in request.texts]
        vectors = np.concatenate([request.vectors for request in batch])
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._compute, texts, vectors)
        await asyncio.wait([work])  # does not raise what the work raises
        self._finished(len(texts))
        start = 0
        for request in batch:
            end = start + len(request.texts)
            _settle(request, work, slice(start, end))
            start = end


def _settle(request: _Request, work: asyncio.Future[TaskLogits], rows: slice) -> None:
    """Gives a request its rows, or the error. A request that was cancelled meanwhile gets neither."""
    if request.answer.done():
        return
    if error := work.exception():
        request.answer.set_exception(error)
    else:
        request.answer.set_result(TaskLogits(*(getattr(work.result(), task)[rows] for task in TASKS)))
