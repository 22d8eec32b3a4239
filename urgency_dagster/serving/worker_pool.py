"""Threads for work that takes long. Their number and their queue are bounded."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

from urgency_dagster.errors import OverloadError

Result = TypeVar("Result")


class WorkerPool:
    """Some threads with a queue. Work that finds the queue full is refused at once.

    Attributes:
        unfinished: pieces of work that wait or run. Cancelled work counts until its thread is free.

    Args:
        name: prefix of the names of the threads.
        workers: number of threads.
        waiting: maximum pieces of work that wait for a thread.
        cores: cores that torch uses in each thread.
    """

    def __init__(self, name: str, workers: int, waiting: int, cores: int = 1) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix=name, initializer=use_cores, initargs=(cores,))
        self._places = workers + waiting
        self._lock = Lock()
        self.unfinished = 0

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """The result of some work. Work that is cancelled before it starts never starts.

        Raises:
            OverloadError: the queue is full.
        """
        self._take_place()
        future = self._executor.submit(work, *arguments)
        future.add_done_callback(lambda _: self._leave_place())
        return await asyncio.wrap_future(future)

    def _take_place(self) -> None:
        with self._lock:
            if self.unfinished == self._places:
                raise OverloadError(f"{self._places} requests that wait", "fewer at a time", "send it again later")
            self.unfinished += 1

    def _leave_place(self) -> None:
        with self._lock:
            self.unfinished -= 1

    def close(self) -> None:
        """Drops the work that waits. The threads end after their present work."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def use_cores(cores: int) -> None:
    """Sets the cores that torch uses in this thread alone. Its default is all cores in every thread."""
    import torch

    torch.set_num_threads(cores)
