import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score
from sklearn.metrics import confusion_matrix as sklearn_matrix

from urgency_dagster.urgency.data.dataset import Labels
from urgency_dagster.urgency.evaluation.metrics import (
    Judged,
    accuracy,
    confusion_matrix,
    f1_macro,
    interval,
    judge,
    recall_of,
    resampled_matrices,
    scores_with_intervals,
    share_read_as,
)

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


def f1_interval(rows: tuple[np.ndarray, np.ndarray, np.ndarray], seed: int = 1) -> tuple[float, float]:
    bounds = interval(map(f1_macro, resampled_matrices(*rows, 3, resamples=500, seed=seed)))
    assert bounds
    return bounds


def test_the_interval_holds_the_score_and_is_seeded():
    true, predicted, codes = noisy(80, 1)
    low, high = f1_interval((true, predicted, codes))
    assert low < f1_macro(confusion_matrix(true, predicted, 3)) < high
    assert (low, high) == f1_interval((true, predicted, codes))
    assert (low, high) != f1_interval((true, predicted, codes), seed=2)


def test_copies_of_an_utterance_within_a_call_do_not_narrow_the_interval():
    assert f1_interval(noisy(80, 10)) == pytest.approx(f1_interval(noisy(80, 1)))


def test_more_calls_narrow_the_interval():
    few, many = np.diff(f1_interval(noisy(50, 1))), np.diff(f1_interval(noisy(2000, 1)))
    assert many < few / 3


def test_an_interval_needs_a_score_in_nearly_every_sample():
    assert interval([]) is None
    assert interval([None, None]) is None
    assert interval([*[None] * 2, *[0.5] * 198]) is None
    assert interval([None, *[0.5] * 199]) == (0.5, 0.5)


@pytest.mark.parametrize(("calls_of_high", "known"), [(0, False), (1, False), (3, False), (6, True), (20, True)])
def test_a_recall_of_few_calls_has_no_interval(calls_of_high, known):
    true = np.where(np.arange(40) < calls_of_high, 2, 0)
    found = scores_with_intervals(
        true, true, np.arange(40), 3, {"recall": recall_of(2), "accuracy": accuracy}, resamples=1000, seed=0
    )
    assert (found["recall_interval"] is not None) is known
    assert found["accuracy_interval"] == [1, 1]


class TestJudge:
    LABELS = Labels(("하", "중", "상"), ("불안/걱정", "중립"))

    def judged(self, calls: int = 60, per_call: int = 3) -> Judged:
        true, predicted, codes = noisy(calls, per_call)
        return Judged(true, predicted, true % 2, predicted % 2, codes)

    def test_the_intervals_are_those_of_the_resampled_calls(self):
        judged = self.judged()
        scores = judge(judged, self.LABELS, resamples=500, seed=1)
        bounds = f1_interval((judged.urgency, judged.urgency_predicted, judged.calls))
        assert tuple(scores["urgency"]["f1_macro_interval"]) == bounds
        low, high = scores["average_f1_interval"]
        assert low < scores["average_f1"] < high

    def test_the_average_is_resampled_over_the_same_calls(self):
        """Two tasks that are right on the same calls: their mean varies as much as each of them."""
        true, predicted, codes = noisy(60, 1)
        same = Judged(true, predicted, true, predicted, codes)
        scores = judge(same, Labels(("하", "중", "상"), ("a", "b", "c")), resamples=500, seed=1)
        assert scores["average_f1_interval"] == pytest.approx(scores["urgency"]["f1_macro_interval"])

    def test_without_calls_of_high_urgency_their_recall_has_no_interval(self):
        judged = self.judged()
        low = np.zeros_like(judged.urgency)
        scores = judge(Judged(low, low, low, low, judged.calls), self.LABELS, resamples=10, seed=1)
        assert scores["urgency"]["recall_high"] is scores["urgency"]["recall_high_interval"] is None
        assert scores["urgency"]["accuracy_interval"] == [1, 1]
