import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score
from sklearn.metrics import confusion_matrix as sklearn_matrix

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import (
    accuracy,
    confusion_matrix,
    f1_macro,
    f1_macro_of_present,
    paired_differences,
    recall_of,
    resampled_matrices,
    scores_with_intervals,
    share_predicted_as,
)
from urgency_dagster.statistics.intervals import percentile_interval

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(pairs)
def test_scores_agree_with_sklearn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    matrix = confusion_matrix(true, predicted, 4)
    labels = range(4)
    np.testing.assert_array_equal(matrix, sklearn_matrix(true, predicted, labels=labels))
    assert accuracy(matrix) == pytest.approx(accuracy_score(true, predicted))
    expected = f1_score(true, predicted, labels=labels, average="macro", zero_division=0)
    assert f1_macro(matrix) == pytest.approx(expected)


def test_the_share_predicted_as_another_class() -> None:
    matrix = np.array([[5, 0, 0], [0, 0, 0], [1, 2, 7]])
    assert share_predicted_as(matrix, 2, 2) == 0.7
    assert share_predicted_as(matrix, 2, 0) == 0.1
    assert share_predicted_as(matrix, 1, 1) is None


def noisy(calls: int, per_call: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calls that are read rightly or wrongly as a whole."""
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=calls)
    predicted = np.where(rng.random(calls) < 0.7, true, rng.integers(3, size=calls))
    codes = np.arange(calls)
    return np.repeat(true, per_call), np.repeat(predicted, per_call), np.repeat(codes, per_call)


def f1_interval(rows: tuple[np.ndarray, np.ndarray, np.ndarray], seed: int = 1) -> tuple[float, float]:
    bounds = percentile_interval(map(f1_macro, resampled_matrices(*rows, 3, BootstrapConfig(500, seed))))
    assert bounds
    return bounds


def test_the_interval_holds_the_score_and_is_seeded() -> None:
    true, predicted, codes = noisy(80, 1)
    low, high = f1_interval((true, predicted, codes))
    assert low < f1_macro(confusion_matrix(true, predicted, 3)) < high
    assert (low, high) == f1_interval((true, predicted, codes))
    assert (low, high) != f1_interval((true, predicted, codes), seed=2)


def test_copies_of_an_utterance_within_a_call_do_not_narrow_the_interval() -> None:
    assert f1_interval(noisy(80, 10)) == pytest.approx(f1_interval(noisy(80, 1)))


def test_more_calls_narrow_the_interval() -> None:
    few, many = np.diff(f1_interval(noisy(50, 1))), np.diff(f1_interval(noisy(2000, 1)))
    assert many < few / 3


@pytest.mark.parametrize(("calls_of_high", "known"), [(0, False), (1, False), (3, False), (6, True), (20, True)])
def test_a_recall_of_few_calls_has_no_interval(calls_of_high: int, known: bool) -> None:
    true = np.where(np.arange(40) < calls_of_high, 2, 0)
    found = scores_with_intervals(
        true, true, np.arange(40), 3, {"recall": recall_of(2), "accuracy": accuracy}, BootstrapConfig(1000, 0)
    )
    assert (found["recall_interval"] is not None) is known
    assert found["accuracy_interval"] == [1, 1]


def test_the_macro_f1_of_present_classes_is_scikit_learns() -> None:
    """The class 2 is neither present nor predicted: it counts as 0 in one mean, and not at all in the other."""
    true, predicted = np.array([0, 0, 1, 3]), np.array([0, 1, 1, 1])
    matrix = confusion_matrix(true, predicted, 4)
    assert f1_macro_of_present(matrix) == pytest.approx(f1_score(true, predicted, average="macro"))
    assert f1_macro_of_present(matrix) == pytest.approx(f1_macro(matrix) * 4 / 3)


def test_groups_without_a_row_take_part_in_the_samples() -> None:
    """The samples of two models stay paired, although one has no row of the last group."""
    config = BootstrapConfig(100, 1)
    true, groups = np.array([0, 1, 1]), np.array([0, 1, 2])
    whole = resampled_matrices(true, true, groups, 2, config)
    part = resampled_matrices(true[:2], true[:2], groups[:2], 2, config, 3)
    without_last = whole[:, 1, 1] - part[:, 1, 1]
    assert (whole[:, 0, 0] == part[:, 0, 0]).all()
    assert without_last.min() >= 0
    assert without_last.max() > 0


class TestPairedDifferences:
    def test_a_difference_is_that_of_both_scores_and_its_interval_that_of_the_same_samples(self) -> None:
        true, predicted, _ = noisy(80, 1)
        other = np.roll(predicted, 1)
        config = BootstrapConfig(200, 1)
        found = paired_differences(true, predicted, other, 3, {"f1_macro": f1_macro}, config)
        ours, theirs = (confusion_matrix(true, one, 3) for one in (predicted, other))
        assert found["f1_macro"] == f1_macro(ours) - f1_macro(theirs)
        codes = np.arange(len(true))
        samples = (resampled_matrices(true, one, codes, 3, config) for one in (predicted, other))
        differences = [f1_macro(one) - f1_macro(two) for one, two in zip(*samples, strict=True)]
        assert found["f1_macro_interval"] == pytest.approx(np.percentile(differences, [2.5, 97.5]))

    def test_predictions_do_not_differ_from_themselves(self) -> None:
        true, predicted, _ = noisy(30, 1)
        found = paired_differences(true, predicted, predicted, 3, {"accuracy": accuracy}, BootstrapConfig(50))
        assert found == {"accuracy": 0.0, "accuracy_interval": [0.0, 0.0]}

    def test_it_is_narrower_than_both_intervals_where_the_same_calls_are_hard(self) -> None:
        true, predicted, codes = noisy(80, 1)
        other = np.where(codes < 3, (predicted + 1) % 3, predicted)
        found = paired_differences(true, predicted, other, 3, {"accuracy": accuracy}, BootstrapConfig())
        alone = scores_with_intervals(true, predicted, codes, 3, {"accuracy": accuracy}, BootstrapConfig())
        (low, high), (low_alone, high_alone) = found["accuracy_interval"], alone["accuracy_interval"]
        assert high - low < 0.6 * (high_alone - low_alone)
        assert low <= found["accuracy"] <= high

    def test_a_score_that_one_of_both_lacks_has_no_difference(self) -> None:
        true = np.array([0, 1])
        found = paired_differences(true, true, true, 3, {"recall": recall_of(2)}, BootstrapConfig(10))
        assert found == {"recall": None, "recall_interval": None}
