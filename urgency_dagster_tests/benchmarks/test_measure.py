import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measure import Figures, Side, Timing, in_turns, turns


def test_equal_numbers_of_runs_alternate_and_ours_goes_first() -> None:
    assert turns(3, 3) == [True, False, True, False, True, False]


def test_a_single_run_comes_in_the_middle_of_the_other_sides() -> None:
    assert turns(4, 1) == [True, True, False, True, True]
    assert turns(1, 2) == [False, True, False]


@given(st.integers(1, 30), st.integers(1, 30))
def test_at_any_time_both_sides_are_equally_far(ours: Any, reference: Any) -> None:
    done = {True: 0, False: 0}
    for turn in turns(ours, reference):
        done[turn] += 1
        assert abs(done[True] / ours - done[False] / reference) <= 1 / min(ours, reference) + 1e-9
    assert done == {True: ours, False: reference}


def test_the_sides_run_in_turns_and_the_last_results_are_kept() -> None:
    ran = []

    def work(name: str) -> int:
        ran.append(name)
        return len(ran)

    ours, reference = in_turns(Side(lambda: work("ours"), 3), Side(lambda: work("reference"), 2))
    assert ran == ["ours", "reference", "ours", "reference", "ours"]
    assert (ours.result, reference.result) == (5, 4)
    assert (len(ours.seconds), len(reference.seconds)) == (3, 2)


def test_each_run_is_timed_alone() -> None:
    slow, fast = in_turns(Side(lambda: time.sleep(0.05), 3), Side(lambda: None, 3))
    assert slow.duration().low >= 0.05
    assert fast.duration().low < 0.05


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [((4.0, 1.0, 2.0), Figures(3, 2.0, 1.0, 4.0)), ((4.0, 1.0, 2.0, 3.0), Figures(4, 2.5, 1.0, 4.0))],
)
def test_a_duration_is_the_median_with_both_extremes(seconds: Any, expected: Any) -> None:
    assert Timing(seconds, None).duration() == expected


def test_a_rate_is_the_work_of_a_run_by_its_seconds() -> None:
    assert Timing((4.0, 1.0, 2.0), None).rate(8) == Figures(3, 4.0, 2.0, 8.0)
