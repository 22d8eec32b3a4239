"""Runs that take and free the slots of a pool at the same moment, in a real Dagster storage."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine, event

from urgency_dagster.operations.placement import GPU_POOL
from urgency_dagster.operations.pool_slots import take_slots_alone

A_MOMENT_S = 1.0
"""Far longer than an undisturbed claim takes. With the lock, a claim may take any time."""


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[list[dg.DagsterInstance]]:
    """Two runs of one home with a pool of one slot."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as first, dg.DagsterInstance.local_temp(str(tmp_path)) as second:
        first.event_log_storage.set_concurrency_slots(GPU_POOL, 1)
        for instance in (first, second):
            instance.event_log_storage.get_concurrency_info(GPU_POOL)
            take_slots_alone(instance)
        yield [first, second]


def claims(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the step of a run gets the slot."""
    return bool(instance.event_log_storage.claim_concurrency_slot(GPU_POOL, run_id, "step").is_claimed)


@contextmanager
def heard(listen: Callable[[str], object]) -> Iterator[None]:
    """Tells a function every statement that is about to be executed. The statement waits for it."""

    def hear(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        listen(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def test_two_runs_never_take_the_same_slot(runs: list[dg.DagsterInstance]) -> None:
    meetings = {"INSERT INTO pending_steps": Barrier(2), "UPDATE concurrency_slots": Barrier(2)}

    def meet(statement: str) -> None:
        for start, meeting in meetings.items():
            if statement.startswith(start):
                with suppress(BrokenBarrierError):  # the other run waits for the lock
                    meeting.wait(A_MOMENT_S)

    with heard(meet), ThreadPoolExecutor() as threads:
        claimed = list(threads.map(claims, runs, ("first", "second")))
    assert sorted(claimed) == [False, True]
    info = runs[0].event_log_storage.get_concurrency_info(GPU_POOL)
    assert [slot.run_id for slot in info.claimed_slots] == [("first", "second")[claimed.index(True)]]


def test_a_step_that_begins_to_wait_while_the_slot_is_freed_gets_it(runs: list[dg.DagsterInstance]) -> None:
    assert claims(runs[0], "first")
    freed: list[Future[None]] = []
    with ThreadPoolExecutor() as threads:

        def free(statement: str) -> None:
            if not freed and statement.startswith("INSERT INTO pending_steps"):
                storage = runs[0].event_log_storage
                freed.append(threads.submit(storage.free_concurrency_slot_for_step, "first", "step"))
                wait(freed, A_MOMENT_S)

        with heard(free):
            claims(runs[1], "second")
            wait(freed)
    assert [future.result() for future in freed] == [None]
    assert claims(runs[1], "second")


def test_a_second_run_of_a_process_does_not_wait_for_its_own_lock(runs: list[dg.DagsterInstance]) -> None:
    take_slots_alone(runs[0])
    assert claims(runs[0], "first")


def test_another_storage_is_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        before = dict(vars(instance.event_log_storage))
        take_slots_alone(instance)
        assert vars(instance.event_log_storage) == before
