"""From which probability on a call is acted upon: when a person must decide, and when to raise an alarm.

Both are fitted on calls of the training side that the network was not fitted to, on calibrated probabilities.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import Score, recall_of, scores_with_intervals, share_predicted_as

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE_THRESHOLD, ALARM_THRESHOLD = "answer_from", "alarm_from"
"""Stored names of the thresholds, in the model folder and in `metrics.json`."""


def fit_thresholds(
    of_calls: "NDArray[np.float64]",
    true: "NDArray[np.int64]",
    *,
    high: int,
    deferral_rate: float,
    alarm_recall: float,
) -> dict[str, float]:
    """The thresholds of a call's urgency.

    Args:
        of_calls: calibrated probabilities of each call, (C, K).
        true: the class of each call, (C,).
        high: the class that an alarm is for.
        deferral_rate: share of the calls that a person decides, below 1.
        alarm_recall: share of the calls of that class that raise an alarm, at least.

    Returns:
        `answer_from`: the probability of the likeliest class from which on its answer stands. `alarm_from`: the
        probability of `high` from which on a call raises an alarm; absent when no call is of that class.
    """
    if not len(true):
        return {}
    confidence = np.sort(of_calls.max(axis=1))
    thresholds = {CONFIDENCE_THRESHOLD: float(confidence[int(deferral_rate * len(confidence))])}
    of_high = np.sort(of_calls[true == high, high])
    if len(of_high):
        thresholds[ALARM_THRESHOLD] = float(of_high[int((1 - alarm_recall) * len(of_high))])
    return thresholds


def evaluate_thresholds(
    of_calls: "NDArray[np.float64]",
    true: "NDArray[np.int64]",
    *,
    high: int,
    thresholds: dict[str, float],
    bootstrap: BootstrapConfig,
) -> dict[str, dict[str, Any]]:
    """What the thresholds do on other calls.

    Args:
        of_calls: calibrated probabilities of each call, (C, K).
        true: the class of each call, (C,).
        high: the class that an alarm is for.
        thresholds: as `fit_thresholds` gives them.
        bootstrap: samples of the calls for each interval.

    Returns:
        For `answer_from` its `threshold`, the share of calls that go `to_person`, and the `accuracy` of the others;
        for `alarm_from` its `threshold`, the share of the calls of `high` with an alarm (`recall_high`) and that of the
        others (`false_alarms`). Each share has its 95 % interval over calls as `<name>_interval`; one of nothing is
        None.
    """
    stands, right = of_calls.max(axis=1) >= thresholds.get(CONFIDENCE_THRESHOLD, 0), of_calls.argmax(axis=1) == true
    alarm, of_high = of_calls[:, high] >= thresholds.get(ALARM_THRESHOLD, 0), true == high
    shares: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, Score]]] = {
        CONFIDENCE_THRESHOLD: (stands, right, {"to_person": _share_outside, "accuracy": recall_of(1)}),
        ALARM_THRESHOLD: (
            of_high,
            alarm,
            {"recall_high": recall_of(1), "false_alarms": lambda matrix: share_predicted_as(matrix, 0, 1)},
        ),
    }
    found: dict[str, dict[str, Any]] = {}
    for name in thresholds:
        rows, columns, scores = shares[name]
        pair = rows.astype(np.int64), columns.astype(np.int64), np.arange(len(true))
        found[name] = {
            "threshold": thresholds[name],
            **scores_with_intervals(*pair, 2, scores, bootstrap),
        }
    return found


def _share_outside(matrix: "NDArray[np.int64]") -> float:
    """The share of the first row."""
    return float(matrix[0].sum() / matrix.sum())
