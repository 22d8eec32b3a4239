import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score
from sklearn.metrics import confusion_matrix as sklearn_matrix

from urgency_dagster.urgency.metrics import accuracy, confusion_matrix, f1_macro, f1_macro_interval, share_read_as

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(pairs)
def test_scores_agree_with_sklearn(pairs):
    true, predicted = np.array(pairs).T
    matrix = confusion_matrix(true, predicted, 4)
    labels = range(4)
    np.testing.assert_array_equal(matrix, sklearn_matrix(true, predicted, labels=labels))
    assert accuracy(matrix) == pytest.approx(accuracy_score(true, predicted))
    expected = f1_score(true, predicted, labels=labels, average="macro", zero_division=0)
    assert f1_macro(matrix) == pytest.approx(expected)


def test_the_share_read_as_another_class():
    matrix = np.array([[5, 0, 0], [0, 0, 0], [1, 2, 7]])
    assert share_read_as(matrix, 2, 2) == 0.7
    assert share_read_as(matrix, 2, 0) == 0.1
    assert share_read_as(matrix, 1, 1) is None


def noisy(calls: int, per_call: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calls that are read rightly or wrongly as a whole."""
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=calls)
    predicted = np.where(rng.random(calls) < 0.7, true, rng.integers(3, size=calls))
    codes = np.arange(calls)
    return tuple(np.repeat(values, per_call) for values in (true, predicted, codes))


def test_the_interval_holds_the_score_and_is_seeded():
    true, predicted, codes = noisy(80, 1)
    low, high = f1_macro_interval(true, predicted, codes, 3, resamples=500, seed=1)
    assert low < f1_macro(confusion_matrix(true, predicted, 3)) < high
    assert (low, high) == f1_macro_interval(true, predicted, codes, 3, resamples=500, seed=1)
    assert (low, high) != f1_macro_interval(true, predicted, codes, 3, resamples=500, seed=2)


def test_copies_of_an_utterance_within_a_call_do_not_narrow_the_interval():
    single = f1_macro_interval(*noisy(80, 1), 3, resamples=500, seed=1)
    repeated = f1_macro_interval(*noisy(80, 10), 3, resamples=500, seed=1)
    assert repeated == pytest.approx(single)


def test_more_calls_narrow_the_interval():
    few = np.diff(f1_macro_interval(*noisy(50, 1), 3, resamples=500, seed=1))
    many = np.diff(f1_macro_interval(*noisy(2000, 1), 3, resamples=500, seed=1))
    assert many < few / 3
