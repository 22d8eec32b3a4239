from typing import Any

import numpy as np
import pytest

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.urgency.evaluation.decision import (
    expected_cost,
    time_to_decision,
)

LOGITS = np.array([[0, 0, 1], [3, 0, 0], [0, 2, 0], [0, 0, 5]], np.float32)
ENDS_MS = np.array([1000, 8000, 5000, 12_000])
CALLS = np.array([0, 0, 1, 1])
BOOTSTRAP = BootstrapConfig(200, 0)


def moments(true: list[int], *times_s: int) -> list[dict[str, Any]]:
    return time_to_decision(LOGITS, ENDS_MS, CALLS, np.array(true), 2, BOOTSTRAP, times_s)


def test_only_utterances_that_have_ended_count() -> None:
    # The first call is read as 2 after 1 s and as 0 after 8 s; the second as 1 after 5 s and as 2 after 12 s.
    found = moments([0, 2], 1, 5, 8, 12)
    assert [moment["accuracy"] for moment in found] == [0, 0, 0.5, 1]
    assert [moment["recall_high"] for moment in found] == [0, 0, 0, 1]
    assert [moment["seconds"] for moment in found] == [1, 5, 8, 12]


def test_a_call_without_a_prediction_counts_as_wrong() -> None:
    first, at_the_border, later = moments([2, 1], 0, 1, 5)
    assert (first["decided"], first["accuracy"]) == (0, 0)
    assert (at_the_border["decided"], at_the_border["accuracy"], at_the_border["recall_high"]) == (0.5, 0.5, 1)
    assert (later["decided"], later["accuracy"]) == (1, 1)


def test_without_a_high_call_there_is_no_recall() -> None:
    assert moments([0, 1], 12)[0]["recall_high"] is None


def test_the_last_point_is_the_prediction_for_the_whole_call() -> None:
    rng = np.random.default_rng(0)
    logits, calls = rng.normal(size=(60, 3)).astype(np.float32), np.repeat(np.arange(12), 5)
    true = rng.integers(0, 3, 12)
    (last,) = time_to_decision(logits, np.arange(60) * 100, calls, true, 2, BOOTSTRAP, [10])
    whole = np.stack([logits[calls == call].mean(axis=0).argmax() for call in range(12)])
    assert last["accuracy"] == (whole == true).mean()
    assert last["decided"] == 1


def test_intervals_are_those_of_the_share_of_correct_calls() -> None:
    rng, calls = np.random.default_rng(0), np.arange(200)
    true = rng.integers(0, 3, 200)
    logits = np.eye(3, dtype=np.float32)[np.where(rng.random(200) < 0.7, true, (true + 1) % 3)]
    heard = np.where(rng.random(200) < 0.9, 0, 9000)  # one call in ten has no answer yet
    (moment,) = time_to_decision(logits, heard, calls, true, 2, BootstrapConfig(2000, 0), [5])
    right = (logits.argmax(axis=1) == true) & (heard == 0)
    drawn = rng.integers(0, 200, (2000, 200))
    assert moment["accuracy_interval"] == pytest.approx(np.percentile(right[drawn].mean(axis=1), [2.5, 97.5]), abs=0.01)
    recalls = [right[sample][true[sample] == 2].mean() for sample in drawn]
    assert moment["recall_high_interval"] == pytest.approx(np.percentile(recalls, [2.5, 97.5]), abs=0.015)


def test_a_score_of_zero_has_an_interval_without_width() -> None:
    (moment,) = moments([1, 0], 12)
    assert (moment["accuracy"], moment["accuracy_interval"]) == (0, [0, 0])
    assert (moment["recall_high"], moment["recall_high_interval"]) == (None, None)


def test_the_expected_cost_follows_the_cost_matrix() -> None:
    matrix, costs = np.array([[3, 1], [2, 4]]), np.array([[0.0, 1.0], [10.0, 0.0]])
    assert expected_cost(matrix, costs) == pytest.approx(1000 * (1 * 1 + 2 * 10) / 10)
    assert expected_cost(np.diag([3, 5]), costs) == 0
