import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.scoring.monitoring.shares import ERROR_RATE, compare_shares
from urgency_dagster.statistics.intervals import share_interval
from urgency_dagster.urgency import CallCount


def test_equal_shares_overlap() -> None:
    (share,) = compare_shares({"상": CallCount(30, 100)}, {"상": CallCount(300, 1000)})
    assert not share.apart
    assert share.archive_interval[0] < 0.3 < share.archive_interval[1]


@pytest.mark.parametrize("counts", [(CallCount(90, 100), CallCount(300, 1000)), (CallCount(0, 100), CallCount(9, 10))])
def test_far_shares_are_apart_in_both_directions(counts: tuple[CallCount, CallCount]) -> None:
    for archive, validation in (counts, counts[::-1]):
        assert compare_shares({"a": archive}, {"a": validation})[0].apart


def test_one_call_is_no_evidence_against_a_share_of_some_percent() -> None:
    for calls in (0, 1):
        assert not compare_shares({"a": CallCount(calls, 1)}, {"a": CallCount(5, 100)})[0].apart


def test_nothing_to_compare_with_gives_nothing() -> None:
    assert compare_shares({"a": CallCount(0, 0)}, {"a": CallCount(1, 2)}) == ()
    assert compare_shares({"a": CallCount(1, 2)}, {"a": CallCount(0, 0)}) == ()
    assert compare_shares({"a": CallCount(1, 2)}, {}) == ()


def test_more_shares_have_wider_intervals() -> None:
    one, three = {"a": CallCount(5, 20)}, {name: CallCount(5, 20) for name in "abc"}
    (alone,), (among, *_) = compare_shares(one, one), compare_shares(three, three)
    assert among.archive_interval[0] < alone.archive_interval[0]
    assert among.archive_interval[1] > alone.archive_interval[1]


def test_unchanged_archives_warn_at_most_as_often_as_the_error_rate() -> None:
    rng, warned, archives = np.random.default_rng(0), 0, 500
    shares = np.array([0.0, 0.02, 0.1, 0.3, 0.5, 0.6, 0.9, 1.0])
    for _ in range(archives):
        archive, validation = (
            {str(i): CallCount(int(n), of) for i, n in enumerate(rng.binomial(of, shares))} for of in (60, 400)
        )
        warned += any(share.apart for share in compare_shares(archive, validation))
    assert warned / archives <= ERROR_RATE


@given(st.integers(1, 200), st.data(), st.sampled_from([0.9, 0.99, 0.999]))
def test_an_interval_holds_its_share_and_grows_with_confidence(whole: int, data: st.DataObject, level: float) -> None:
    part = data.draw(st.integers(0, whole))
    low, high = share_interval(part, whole, level)
    wider = share_interval(part, whole, 1 - (1 - level) / 10)
    assert 0 <= wider[0] <= low <= part / whole <= high <= wider[1] <= 1
