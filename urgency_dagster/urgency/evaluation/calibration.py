"""Accuracy when the least confident calls are deferred to a person."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import accuracy, scores_with_intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFERRAL_RATES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the calls that are deferred to a person, the least confident ones first."""


def abstention(
    class_probabilities: "NDArray[np.float64]",
    true: "NDArray[np.int64]",
    bootstrap: BootstrapConfig,
    rates: Sequence[float] = DEFERRAL_RATES,
) -> list[dict[str, Any]]:
    """The accuracy of the remaining calls when the least confident ones are deferred to a person.

    Args:
        class_probabilities: calibrated probabilities of each call, (C, K).
        true: class ids, (C,).
        bootstrap: samples of the remaining calls for each interval.
        rates: shares of the calls to defer, each below 1. At least one call always remains.

    Returns:
        For each rate: `to_person`, the share that is deferred; `accuracy` of the rest with its 95 % interval over
        calls as `accuracy_interval`; `confidence`, the lowest confidence of the rest.
    """
    confidence, predicted = class_probabilities.max(axis=1), class_probabilities.argmax(axis=1)
    by_confidence = np.argsort(-confidence, kind="stable")
    points = []
    for rate in rates:
        kept = by_confidence[: max(1, len(true) - round(rate * len(true)))]
        classes = class_probabilities.shape[1]
        scores = scores_with_intervals(
            true[kept], predicted[kept], np.arange(len(kept)), classes, {"accuracy": accuracy}, bootstrap
        )
        points.append({"to_person": 1 - len(kept) / len(true), **scores, "confidence": float(confidence[kept[-1]])})
    return points
