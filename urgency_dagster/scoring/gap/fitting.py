"""The thresholds for calls without labels: fitted on the development side, judged on the validation side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.scoring.gap.listening_ways import ComparedCall, of_whole_call
from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.tables import HIGH
from urgency_dagster.urgency import (
    FOUND_WAY,
    HeldOutCalls,
    TaskLogits,
    ThresholdFit,
    UrgencyModel,
    evaluate_thresholds,
    fit_thresholds,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

HeardCalls = Sequence[tuple[int, TaskLogits]]
"""Calls that were heard without their labels: the class id of the urgency, and the logits of the found turns."""


def fit_label_free_thresholds(
    model: UrgencyModel, held_out: HeldOutCalls, development: HeardCalls
) -> dict[str, ThresholdFit]:
    """The thresholds for the urgency of a call whose turns were found and whose text was recognised.

    Args:
        model: the model. Its temperature for calls stays.
        held_out: the calls that the model was not trained on, for the options of the training.
        development: the calls of the development side. One without a turn has no answer, and does not count.

    Returns:
        See `thresholds.fit_thresholds`; empty if urgency is left out.
    """
    if "urgency" in model.labels.left_out:
        return {}
    config = held_out.config
    return fit_thresholds(
        *_answered(model, development),
        high=model.labels.urgency.index(HIGH),
        deferral_rate=config.deferral_rate,
        alarm_recall=config.alarm_recall,
        min_calls=config.min_development_calls,
    )


def threshold_effects(
    model: UrgencyModel, thresholds: dict[str, float], calls: Sequence[ComparedCall], bootstrap: BootstrapConfig
) -> dict[str, Any]:
    """The effect of thresholds on the validation calls without their labels, by whose thresholds they are.

    Args:
        model: the model, with the thresholds that were fitted on label turns and label text.
        thresholds: the thresholds that were fitted without labels.
        calls: the calls of the validation side.
        bootstrap: samples of the calls.

    Returns:
        `fitted_without_labels` and `fitted_with_labels`, each as `thresholds.evaluate_thresholds` returns it; empty if
        urgency is left out or no call has an answer.
    """
    heard = [(call.call["urgency"], call.logits[FOUND_WAY]) for call in calls]
    if "urgency" in model.labels.left_out or not any(len(logits.urgency) for _, logits in heard):
        return {}
    answered = _answered(model, heard)
    high = model.labels.urgency.index(HIGH)
    return {
        name: evaluate_thresholds(*answered, high=high, thresholds=some, bootstrap=bootstrap)
        for name, some in (("fitted_without_labels", thresholds), ("fitted_with_labels", model.thresholds))
    }


def _answered(model: UrgencyModel, calls: HeardCalls) -> "tuple[NDArray[np.float64], NDArray[np.int64]]":
    """Calibrated probabilities, float64, (C, K), and true classes, int64, (C,), of the calls with a turn."""
    answered = [(true, of_whole_call(logits).urgency) for true, logits in calls if len(logits.urgency)]
    empty = np.empty((0, len(model.labels.urgency)), np.float32)
    logits = np.concatenate([empty, *(of_call for _, of_call in answered)])
    true = np.array([of_call for of_call, _ in answered], np.int64)
    return probabilities(logits, model.temperatures["call"]["urgency"]), true
