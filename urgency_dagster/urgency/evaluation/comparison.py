"""The model against its baselines on the same calls: paired differences, and the best part alone."""

from collections.abc import Mapping
from typing import Any

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import SCORES, paired_differences
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.evaluation.predictions import Predictions

MAJORITY = "majority"


def differences_by_call(
    model: Predictions, baselines: Mapping[str, Predictions], labels: Labels, bootstrap: BootstrapConfig
) -> dict[str, dict[str, dict[str, Any]]]:
    """How much better the model is than each baseline, by call.

    Args:
        model: the predictions of the model, by call.
        baselines: those of each baseline, for the same calls in the same order.
        labels: the class names.
        bootstrap: samples of the calls.

    Returns:
        By task and baseline, `accuracy` and `f1_macro` of the model minus those of the baseline, each with the 95 %
        interval of the paired difference as `<score>_interval`. A task that is left out is absent.
    """
    return {
        task: {
            name: paired_differences(
                getattr(model, task),
                getattr(model, f"{task}_predicted"),
                getattr(baseline, f"{task}_predicted"),
                len(getattr(labels, task)),
                SCORES,
                bootstrap,
            )
            for name, baseline in baselines.items()
        }
        for task in labels.tasks
    }


def best_part(metrics: Mapping[str, Any], task: str) -> str:
    """The baseline with the highest macro-F1 by call; the majority class is no part of the model.

    The model minus a baseline is smallest for the best one.
    """
    differences = metrics["differences"][task]
    parts = [name for name in differences if name != MAJORITY]
    best: str = min(parts, key=lambda name: float(differences[name]["f1_macro"]))
    return best


def is_better(difference: Mapping[str, Any]) -> bool:
    """Whether the whole interval of a difference of macro-F1 is above 0."""
    interval = difference["f1_macro_interval"]
    return interval is not None and interval[0] > 0


def is_worse(difference: Mapping[str, Any]) -> bool:
    """Whether the whole interval of a difference of macro-F1 is below 0."""
    interval = difference["f1_macro_interval"]
    return interval is not None and interval[1] < 0
