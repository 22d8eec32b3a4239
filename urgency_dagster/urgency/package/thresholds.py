"""Thresholds for the urgency of a call: when a person should decide, and when to raise an alarm.

Both are fitted on the calibration set, on calibrated probabilities.
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
    call_probabilities: "NDArray[np.float64]",
    true: "NDArray[np.int64]",
    *,
    high: int,
    deferral_rate: float,
    alarm_recall: float,
) -> dict[str, float]:
    """The thresholds of a call's urgency.

    Args:
        call_probabilities: calibrated probabilities of each call, float64, (C, K).
        true: the class of each call, int64, (C,).
        high: the class id of high urgency.
        deferral_rate: share of the calls below the confidence threshold.
        alarm_recall: minimum share of the calls of high urgency at or above the alarm threshold.

    Returns:
        `answer_from`, the confidence threshold: a person should decide calls whose highest probability is below it.
        `alarm_from`, the alarm threshold: a call raises an alarm if its probability of `high` is at or above it;
        absent if no call has high urgency. Empty without calls.
    """
    if not len(true):
        return {}
    confidence = np.sort(call_probabilities.max(axis=1))
    thresholds = {CONFIDENCE_THRESHOLD: float(confidence[int(deferral_rate * len(confidence))])}
    of_high = np.sort(call_probabilities[true == high, high])
    if len(of_high):
        thresholds[ALARM_THRESHOLD] = float(of_high[int((1 - alarm_recall) * len(of_high))])
    return thresholds


def evaluate_thresholds(
    call_probabilities: "NDArray[np.float64]",
    true: "NDArray[np.int64]",
    *,
    high: int,
    thresholds: dict[str, float],
    bootstrap: BootstrapConfig,
) -> dict[str, dict[str, Any]]:
    """The effect of the thresholds on other calls.

    Args:
        call_probabilities: calibrated probabilities of each call, float64, (C, K).
        true: the class of each call, int64, (C,).
        high: the class id of high urgency.
        thresholds: as `fit_thresholds` returns them.
        bootstrap: samples of the calls for each interval.

    Returns:
        For `answer_from`: `threshold`, the share of deferred calls (`to_person`), and the `accuracy` of the others.
        For `alarm_from`: `threshold`, the share of calls of high urgency with an alarm (`recall_high`), and the share
        of the others with one (`false_alarms`). Each share has its 95 % interval over calls as `<name>_interval`; a
        share of no calls is None.
    """
    answered = call_probabilities.max(axis=1) >= thresholds.get(CONFIDENCE_THRESHOLD, 0)
    alarm = call_probabilities[:, high] >= thresholds.get(ALARM_THRESHOLD, 0)
    correct, of_high = call_probabilities.argmax(axis=1) == true, true == high
    shares: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, Score]]] = {
        CONFIDENCE_THRESHOLD: (answered, correct, {"to_person": _share_of_first_row, "accuracy": recall_of(1)}),
        ALARM_THRESHOLD: (
            of_high,
            alarm,
            {"recall_high": recall_of(1), "false_alarms": lambda matrix: share_predicted_as(matrix, 0, 1)},
        ),
    }
    effects: dict[str, dict[str, Any]] = {}
    for name in thresholds:
        rows, columns, scores = shares[name]
        pair = rows.astype(np.int64), columns.astype(np.int64), np.arange(len(true))
        effects[name] = {
            "threshold": thresholds[name],
            **scores_with_intervals(*pair, 2, scores, bootstrap),
        }
    return effects


def _share_of_first_row(matrix: "NDArray[np.int64]") -> float:
    return float(matrix[0].sum() / matrix.sum())
