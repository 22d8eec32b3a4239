import numpy as np
import pytest

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.evaluation.predictions import Predictions, evaluate_predictions
from urgency_dagster_tests.statistics.test_confusion import f1_interval, noisy

LABELS = Labels(("하", "중", "상"), ("불안/걱정", "중립"))


def predictions(calls: int = 60, per_call: int = 3) -> Predictions:
    true, predicted, codes = noisy(calls, per_call)
    return Predictions(true, predicted, true % 2, predicted % 2, codes)


def test_the_intervals_are_those_of_the_resampled_calls() -> None:
    of_calls = predictions()
    scores = evaluate_predictions(of_calls, LABELS, BootstrapConfig(500, 1))
    bounds = f1_interval((of_calls.urgency, of_calls.urgency_predicted, of_calls.calls))
    assert tuple(scores["urgency"]["f1_macro_interval"]) == bounds
    low, high = scores["average_f1_interval"]
    assert low < scores["average_f1"] < high


def test_the_average_is_resampled_over_the_same_calls() -> None:
    """Two tasks that are right on the same calls: their mean varies as much as each of them."""
    true, predicted, codes = noisy(60, 1)
    same = Predictions(true, predicted, true, predicted, codes)
    scores = evaluate_predictions(same, Labels(("하", "중", "상"), ("a", "b", "c")), BootstrapConfig(500, 1))
    assert scores["average_f1_interval"] == pytest.approx(scores["urgency"]["f1_macro_interval"])


def test_without_calls_of_high_urgency_their_recall_has_no_interval() -> None:
    of_calls = predictions()
    low = np.zeros_like(of_calls.urgency)
    scores = evaluate_predictions(Predictions(low, low, low, low, of_calls.calls), LABELS, BootstrapConfig(10, 1))
    assert scores["urgency"]["recall_high"] is scores["urgency"]["recall_high_interval"] is None
    assert scores["urgency"]["accuracy_interval"] == [1, 1]
