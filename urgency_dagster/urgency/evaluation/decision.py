"""Scores during a call: accuracy after some seconds, and the expected cost of errors.

The prediction for a call is the class with the highest mean logit over the utterances heard so far.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import accuracy, recall_of, scores_with_intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMES_S = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180)
"""Seconds of a call after which it is predicted; the longest call of the data set has 180 s."""

COST_CALLS = 1000
"""Number of calls of an expected cost."""


def time_to_decision(
    logits: "NDArray[np.float32]",
    ends_ms: "NDArray[np.int64]",
    calls: "NDArray[np.int64]",
    true: "NDArray[np.int64]",
    high: int,
    bootstrap: BootstrapConfig,
    times_s: Sequence[int] = TIMES_S,
) -> list[dict[str, Any]]:
    """The scores of predictions after some seconds of every call.

    Args:
        logits: logits of each utterance, float32, (N, K).
        ends_ms: end of each utterance in its call, ms, int64, (N,).
        calls: the call of each utterance as ids 0 to C - 1, int64, (N,).
        true: the class of each call, int64, (C,).
        high: the class id of high urgency.
        bootstrap: samples of the calls for each interval.
        times_s: seconds heard.

    Returns:
        For each time: `seconds`; `decided`, the share of calls with a prediction; `accuracy` and `recall_high` of all
        calls, where a call without a prediction counts as wrong, with 95 % intervals over calls as `<score>_interval`.
        `recall_high` is None if no call has high urgency.
    """
    score_functions = {"accuracy": accuracy, "recall_high": recall_of(high)}
    no_prediction, groups = logits.shape[1], np.arange(len(true))
    points = []
    for seconds in times_s:
        predicted = _predicted(logits, calls, ends_ms <= seconds * 1000, len(true))
        # No prediction is a class of its own, so it is never correct.
        classes = np.where(predicted < 0, no_prediction, predicted)
        scores = scores_with_intervals(true, classes, groups, no_prediction + 1, score_functions, bootstrap)
        points.append({"seconds": seconds, "decided": float((predicted >= 0).mean()), **scores})
    return points


def _predicted(
    logits: "NDArray[np.float32]", calls: "NDArray[np.int64]", heard: "NDArray[np.bool_]", count: int
) -> "NDArray[np.int64]":
    """The predicted class of each call from the utterances heard, -1 without any; int64, (C,)."""
    sums = np.zeros((count, logits.shape[1]))
    np.add.at(sums, calls[heard], logits[heard])  # the sum has the same argmax as the mean
    utterances = np.bincount(calls[heard], minlength=count)
    return np.where(utterances > 0, sums.argmax(axis=1), -1)


def expected_cost(matrix: "NDArray[np.int64]", costs: "NDArray[np.float64]") -> float:
    """The expected cost of the errors in COST_CALLS calls.

    Args:
        matrix: confusion matrix of calls, int64, (K, K).
        costs: cost of one call of each true class (rows) predicted as each class (columns), float64, (K, K).
    """
    return float((matrix * costs).sum() / matrix.sum() * COST_CALLS)
