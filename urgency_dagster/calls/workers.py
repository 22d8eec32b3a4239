"""Parallel work: an ordered map over worker processes with bounded memory, and a one-item look-ahead in a thread."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD_PER_WORKER = 4
"""Maximum results per worker that wait for the consumer: enough to keep all workers busy, few enough for memory."""

MAX_CALLS_ALONE = 400
"""Up to this number of calls, one process is faster than starting workers: it decodes them in a second."""


def processes_for(calls: int, allowed: int) -> int:
    """The number of processes that decode some calls.

    Args:
        calls: number of calls.
        allowed: the option `workers`: a number of processes, or -1 for one per core, and one alone for few calls.
    """
    return 1 if allowed < 1 and calls <= MAX_CALLS_ALONE else allowed


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """Yields `function(item)` for each item, in order.

    `joblib.Parallel(return_as="generator")` is not used because it does not wait for its consumer: while a consumer
    slept, it took 1,000 of 1,000 items, this function 8.

    Args:
        function: a module-level function, or a `functools.partial` of one.
        items: the items; they are taken at most AHEAD_PER_WORKER per worker ahead of the consumer.
        workers: number of processes. 1 works in this process, -1 is one process per core.
    """
    count = (os.cpu_count() or 1) if workers < 1 else workers
    if count == 1:
        yield from map(function, items)
        return
    # Not a fork of this process: it may have threads and a CUDA context.
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent)
    try:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= count * AHEAD_PER_WORKER:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def one_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yields the items. A thread computes the next item while the consumer uses the current one."""
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(lambda: [*islice(items, 1)])
        while item := upcoming.result():
            upcoming = thread.submit(lambda: [*islice(items, 1)])
            yield item[0]


def _end_with_parent() -> None:
    """Makes this worker end at once when its parent process is killed.

    Otherwise it would wait for work for ever, or write files while the next run begins.
    """
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
