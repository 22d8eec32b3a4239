"""Thresholds for the urgency of a call: when a person should decide, and when to raise an alarm.

Both are fitted on the development side, on calibrated probabilities.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import Score, recall_of, scores_with_intervals, share_predicted_as
from urgency_dagster.statistics.intervals import PERCENTILES_95

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE_THRESHOLD, ALARM_THRESHOLD = "answer_from", "alarm_from"
"""Stored names of the thresholds, in the model folder and in `metrics.json`."""

WHICH = {CONFIDENCE_THRESHOLD: "calls", ALARM_THRESHOLD: "calls of 상 (high)"}
"""The calls of the development side that each threshold is fitted on."""

EFFECT = {CONFIDENCE_THRESHOLD: "answers", ALARM_THRESHOLD: "raises an alarm for"}
"""What a threshold does to such calls at or above it."""


@dataclass(frozen=True)
class ThresholdFit:
    """A fitted threshold, and how well its calls determine what it does.

    Attributes:
        threshold: the probability.
        calls: number of calls that it was fitted on, see WHICH.
        interval: 95 % interval of the share of other such calls that are at or above it.
        offered: whether the calls are enough, so that the model uses it.
    """

    threshold: float
    calls: int
    interval: tuple[float, float]
    offered: bool


def fit_thresholds(
    call_probabilities: "NDArray[np.float64]",
    true: "NDArray[np.int64]",
    *,
    high: int,
    deferral_rate: float,
    alarm_recall: float,
    min_calls: int,
) -> dict[str, ThresholdFit]:
    """The thresholds of a call's urgency.

    Args:
        call_probabilities: calibrated probabilities of each call, float64, (C, K).
        true: the class of each call, int64, (C,).
        high: the class id of high urgency.
        deferral_rate: share of the calls below the confidence threshold.
        alarm_recall: minimum share of the calls of high urgency at or above the alarm threshold.
        min_calls: a threshold from fewer calls is not offered.

    Returns:
        `answer_from`, the confidence threshold: a person should decide calls whose highest probability is below it.
        `alarm_from`, the alarm threshold: a call raises an alarm if its probability of `high` is at or above it;
        absent if no call has high urgency. Empty without calls.
    """
    if not len(true):
        return {}
    fits = {CONFIDENCE_THRESHOLD: _fit(call_probabilities.max(axis=1), deferral_rate, min_calls)}
    of_high = call_probabilities[true == high, high]
    if len(of_high):
        fits[ALARM_THRESHOLD] = _fit(of_high, 1 - alarm_recall, min_calls)
    return fits


def _fit(values: "NDArray[np.float64]", share_below: float, min_calls: int) -> ThresholdFit:
    """The value of which at most a share of the values is below.

    Source: Wilks (1941), Determination of sample sizes for setting tolerance limits: the share of a population at or
    above the (k + 1)-th smallest of n values has the distribution Beta(n - k, k + 1), whatever that of the values is.
    """
    from scipy.stats import beta

    count, below = len(values), int(share_below * len(values))
    low, high = (float(beta.ppf(percentile / 100, count - below, below + 1)) for percentile in PERCENTILES_95)
    return ThresholdFit(float(np.sort(values)[below]), count, (low, high), count >= min_calls)


def offered_thresholds(fits: Mapping[str, ThresholdFit]) -> dict[str, float]:
    """The thresholds that the model uses, by name."""
    return {name: fit.threshold for name, fit in fits.items() if fit.offered}


def threshold_text(name: str, stored: Mapping[str, Mapping[str, Any]], min_calls: int) -> str:
    """What a threshold stands on, in one sentence without its subject.

    Args:
        name: CONFIDENCE_THRESHOLD or ALARM_THRESHOLD.
        stored: the fits on the model card: the attributes of `ThresholdFit` by name of the threshold.
        min_calls: `min_development_calls` of the training.
    """
    which, effect = WHICH[name], EFFECT[name]
    if name not in stored:
        return f"not offered: the development side has no {which}"
    fit = stored[name]
    low, high = fit["interval"]
    does = f"{effect} {low:.1%} to {high:.1%} of them (95 % interval)"
    if fit["offered"]:
        return f"{fit['threshold']:.3f}, fitted on {fit['calls']} {which}: it {does}"
    return (
        f"not offered: the development side has only {fit['calls']} {which}, and at least {min_calls} are needed "
        f"(`min_development_calls`); a threshold from these {does}"
    )


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
