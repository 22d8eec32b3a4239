"""Work on many files in several processes, in order and with flat memory; and work ahead in a thread."""

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
"""Results that may wait for a slow consumer, per process: enough to keep all busy, few enough for memory."""


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """Yields `function(item)` for each item in order.

    Args:
        function: a module-level function, or a `functools.partial` of one.
        items: what to work on.
        workers: processes; 1 works in this process, -1 is one process per core.
    """
    count = (os.cpu_count() or 1) if workers < 1 else workers
    if count == 1:
        yield from map(function, items)
        return
    # Not forked from this process: it may hold threads and a GPU context.
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
    """Yields the items, while a thread already makes the next one."""
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(lambda: [*islice(items, 1)])
        while item := upcoming.result():
            upcoming = thread.submit(lambda: [*islice(items, 1)])
            yield item[0]


def _end_with_parent() -> None:
    """Lets this worker end at once when the process that started it is killed.

    Otherwise it would wait for work for ever, or go on writing while the next run begins.
    """
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
