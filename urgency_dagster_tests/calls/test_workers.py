import os
import threading
import time
from collections.abc import Iterator
from itertools import islice

import psutil
import pytest

from urgency_dagster.calls.workers import AHEAD_PER_WORKER, MAX_CALLS_ALONE, one_ahead, ordered_map, processes_for
from urgency_dagster.errors import AudioError
from urgency_dagster_tests.child_process import PATIENCE_S


def square(number: int) -> int:
    time.sleep(0.002 * (number % 3))  # later items often finish first
    return number * number


def refuse_three(number: int) -> int:
    if number == 3:
        raise AudioError("three", "another number", "ask for it")
    return number


def process_id(_: int) -> int:
    return os.getpid()


def descendants() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert list(ordered_map(square, range(30), workers)) == [n * n for n in range(30)]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_no_items_give_no_results(workers: int) -> None:
    assert list(ordered_map(square, [], workers)) == []


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_exception_reaches_the_caller_after_the_results_before_it(workers: int) -> None:
    results = ordered_map(refuse_three, range(9), workers)
    assert list(islice(results, 3)) == [0, 1, 2]
    with pytest.raises(AudioError) as caught:
        next(results)
    assert caught.value.args == ("three", "another number", "ask for it")


@pytest.mark.slow
def test_one_worker_is_this_process_and_more_are_others() -> None:
    assert set(ordered_map(process_id, range(4), 1)) == {os.getpid()}
    assert os.getpid() not in set(ordered_map(process_id, range(4), 2))


@pytest.mark.slow
def test_items_are_not_taken_far_ahead_of_a_slow_consumer() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = ordered_map(square, items(), 2)
    next(results)
    assert len(taken) <= 2 * AHEAD_PER_WORKER
    results.close()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["done", "closed", "failed"])
def test_no_process_is_left_behind(end: str) -> None:
    list(ordered_map(square, range(3), 2))  # the fork server stays, once for all
    before = descendants()
    results = ordered_map(refuse_three, range(2 if end == "done" else 50), 2)
    next(results)
    assert descendants() - before
    if end == "closed":
        results.close()
    elif end == "done":
        assert list(results) == [1]
    else:
        with pytest.raises(AudioError):
            list(results)
    assert descendants() <= before


class TestOneAhead:
    def test_the_items_come_in_order(self) -> None:
        assert list(one_ahead(iter(range(20)))) == list(range(20))
        assert list(one_ahead(iter([]))) == []
        assert list(one_ahead(iter([None, 0]))) == [None, 0], "what is false is an item too"

    def test_one_item_is_made_while_the_one_before_is_used(self) -> None:
        made: list[int] = []

        def items() -> Iterator[int]:
            for number in range(5):
                made.append(number)
                yield number

        ahead = one_ahead(items())
        assert next(ahead) == 0
        deadline = time.monotonic() + PATIENCE_S
        while len(made) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # in which a third one would be made
        assert made == [0, 1]

    def test_an_error_comes_after_the_items_before_it(self) -> None:
        items = one_ahead(refuse_three(number) for number in range(5))
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(AudioError, match="three"):
            next(items)

    def test_a_consumer_that_stops_early_leaves_no_thread(self) -> None:
        before = threading.active_count()
        ahead = one_ahead(iter(range(9)))
        next(ahead)
        ahead.close()
        assert threading.active_count() == before


@pytest.mark.parametrize(
    ("calls", "allowed", "processes"),
    [(0, -1, 1), (MAX_CALLS_ALONE, -1, 1), (MAX_CALLS_ALONE + 1, -1, -1), (1, 2, 2), (10_000, 1, 1)],
)
def test_few_calls_start_no_process_unless_a_number_is_set(calls: int, allowed: int, processes: int) -> None:
    assert processes_for(calls, allowed) == processes
