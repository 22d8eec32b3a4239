"""From which probability on a call is acted upon: when a person must decide, and when to raise an alarm.

Both are fitted on calls of the training side that the network was not fitted to, on calibrated probabilities.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ANSWER_FROM, ALARM_FROM = "answer_from", "alarm_from"


def fit_thresholds(
    of_calls: "NDArray[np.float64]",
    true: "NDArray[np.int64]",
    *,
    high: int,
    person_share: float,
    high_recall: float,
) -> dict[str, float]:
    """The thresholds of a call's urgency.

    Args:
        of_calls: calibrated probabilities of each call, (C, K).
        true: the class of each call, (C,).
        high: the class that an alarm is for.
        person_share: share of the calls that a person decides, below 1.
        high_recall: share of the calls of that class that raise an alarm, at least.

    Returns:
        `answer_from`: the probability of the likeliest class from which on its answer stands. `alarm_from`: the
        probability of `high` from which on a call raises an alarm; absent when no call is of that class.
    """
    if not len(true):
        return {}
    confidence = np.sort(of_calls.max(axis=1))
    thresholds = {ANSWER_FROM: float(confidence[int(person_share * len(confidence))])}
    of_high = np.sort(of_calls[true == high, high])
    if len(of_high):
        thresholds[ALARM_FROM] = float(of_high[int((1 - high_recall) * len(of_high))])
    return thresholds


def judge_thresholds(
    of_calls: "NDArray[np.float64]", true: "NDArray[np.int64]", *, high: int, thresholds: dict[str, float]
) -> dict[str, dict[str, Any]]:
    """What the thresholds do on other calls.

    Args:
        of_calls: calibrated probabilities of each call, (C, K).
        true: the class of each call, (C,).
        high: the class that an alarm is for.
        thresholds: as `fit_thresholds` gives them.

    Returns:
        For `answer_from` its `threshold`, the share of calls that go `to_person`, and the `accuracy` of the others;
        for `alarm_from` its `threshold`, the share of the calls of `high` with an alarm (`recall_high`) and that of the
        others (`false_alarms`). A share of nothing is None.
    """
    found: dict[str, dict[str, Any]] = {}
    if ANSWER_FROM in thresholds:
        stands = of_calls.max(axis=1) >= thresholds[ANSWER_FROM]
        right = of_calls.argmax(axis=1) == true
        found[ANSWER_FROM] = {
            "threshold": thresholds[ANSWER_FROM],
            "to_person": float(1 - stands.mean()),
            "accuracy": _mean(right[stands]),
        }
    if ALARM_FROM in thresholds:
        alarm, of_high = of_calls[:, high] >= thresholds[ALARM_FROM], true == high
        found[ALARM_FROM] = {
            "threshold": thresholds[ALARM_FROM],
            "recall_high": _mean(alarm[of_high]),
            "false_alarms": _mean(alarm[~of_high]),
        }
    return found


def _mean(values: "NDArray[np.bool_]") -> float | None:
    return float(values.mean()) if len(values) else None
