"""A pool of threads: its queue is bounded, and cancelled work leaves it."""

import asyncio
import threading

import pytest

from urgency_dagster.errors import OverloadError
from urgency_dagster.serving.worker_pool import WorkerPool


def test_work_beyond_the_queue_is_refused_until_there_is_room() -> None:
    async def scenario() -> list[int]:
        pool, gate = WorkerPool("test", workers=1, waiting=2), threading.Event()
        running = [asyncio.create_task(pool.run(_wait, gate, number)) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadError, match="3 requests that wait"):
            await pool.run(_wait, gate, 3)
        gate.set()
        done = await asyncio.gather(*running)
        done.append(await pool.run(_wait, gate, 4))
        pool.close()
        return done

    assert asyncio.run(scenario()) == [0, 1, 2, 4]


def test_cancelled_work_that_waits_never_starts_and_leaves_its_place() -> None:
    async def scenario() -> int:
        pool, gate = WorkerPool("test", workers=1, waiting=1), threading.Event()
        done: list[int] = []
        running = asyncio.create_task(pool.run(_wait, gate, 0))
        waiting = asyncio.create_task(pool.run(done.append, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert pool.unfinished == 1
        gate.set()
        await running
        pool.close()
        return len(done)

    assert asyncio.run(scenario()) == 0


def test_cancelled_work_that_runs_keeps_its_place_until_its_thread_is_free() -> None:
    async def scenario() -> None:
        pool, gate, begun = WorkerPool("test", workers=1, waiting=0), threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            gate.wait()

        running = asyncio.create_task(pool.run(work))
        await asyncio.to_thread(begun.wait)
        running.cancel()
        await asyncio.wait([running])
        with pytest.raises(OverloadError):
            await pool.run(work)
        gate.set()
        while pool.unfinished:  # noqa: ASYNC110 - the pool has no event for the tests
            await asyncio.sleep(0.001)
        pool.close()

    asyncio.run(scenario())


def test_an_error_of_the_work_is_raised() -> None:
    async def scenario() -> None:
        pool = WorkerPool("test", workers=1, waiting=0)
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 / 0)
        assert pool.unfinished == 0
        pool.close()

    asyncio.run(scenario())


def _wait(gate: threading.Event, number: int) -> int:
    gate.wait()
    return number
