"""Calibration: temperature scaling, reliability bins, expected calibration error.

Source: Guo et al., On Calibration of Modern Neural Networks (2017).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.statistics.bootstrap import BootstrapConfig, group_weights
from urgency_dagster.statistics.confusion import with_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 15
"""Bins of confidence. Source: Guo et al. (2017)."""

MAX_LOG_TEMPERATURE = 3.0
"""Temperatures are searched between exp(-3), about 1/20, and exp(3), about 20."""

MIN_LIKELIHOOD = 1e-300
"""Likelihoods below this are raised to it, so that their logarithm is finite."""


def probabilities(logits: "NDArray[np.float32]", temperature: float = 1.0) -> "NDArray[np.float64]":
    """The softmax of logits divided by a temperature, float64, (N, K)."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    softmax: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return softmax


def fit_temperature(logits: "NDArray[np.float32]", true: "NDArray[np.int64]") -> float:
    """The temperature with the lowest negative log-likelihood; 1 without any row.

    A temperature changes probabilities and never the predicted class. If every row is right, there is no such
    temperature: the likelihood rises until it is 0 and every probability is 1. Then it is the one at which the mean
    confidence is (N + 1) / (N + 2).

    Args:
        logits: (N, K).
        true: class ids, (N,).

    Source: Albert and Anderson, On the Existence of Maximum Likelihood Estimates in Logistic Regression Models (1984),
    for separated classes. Platt, Probabilistic Outputs for Support Vector Machines (1999), for the probability that N
    right rows support.
    """
    from scipy.optimize import minimize_scalar

    if not len(true):
        return 1.0
    if (logits.argmax(axis=1) == true).all():
        return _temperature_of_confidence(logits, (len(true) + 1) / (len(true) + 2))

    def loss(log_temperature: float) -> float:
        return float(negative_log_likelihoods(probabilities(logits, np.exp(log_temperature)), true).mean())

    fitted = minimize_scalar(loss, bounds=(-MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE), method="bounded")
    return float(np.exp(fitted.x))


def _temperature_of_confidence(logits: "NDArray[np.float32]", confidence: float) -> float:
    """The temperature at which the mean confidence of logits, (N, K), is the given one, as far as the bounds allow."""
    from scipy.optimize import brentq

    def excess(log_temperature: float) -> float:
        return float(probabilities(logits, np.exp(log_temperature)).max(axis=1).mean()) - confidence

    low, high = -MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE
    if excess(low) <= 0 or excess(high) >= 0:
        return float(np.exp(low if excess(low) <= 0 else high))
    return float(np.exp(brentq(excess, low, high)))


def negative_log_likelihoods(
    class_probabilities: "NDArray[np.float64]", true: "NDArray[np.int64]"
) -> "NDArray[np.float64]":
    """Minus the natural logarithm of the probability of each row's true class, float64, (N,).

    Args:
        class_probabilities: (N, K).
        true: class ids, (N,).
    """
    likelihood = class_probabilities[np.arange(len(true)), true]
    losses: NDArray[np.float64] = -np.log(np.maximum(likelihood, MIN_LIKELIHOOD))
    return losses


def bin_indices(probability: "NDArray[np.float64]", bins: int) -> "NDArray[np.int64]":
    """The bin of each probability, 0 to `bins` - 1, int64, (N,). Bins have equal width; 1 is in the last one."""
    return np.minimum((probability * bins).astype(np.int64), bins - 1)


@dataclass(frozen=True)
class Reliability:
    """Mean confidence and accuracy of each bin that is not empty.

    Attributes:
        confidence: mean confidence of each bin, float64, (bins,).
        accuracy: share of correct predictions of each bin, float64, (bins,).
        counts: predictions of each bin, int64, (bins,).
    """

    confidence: "NDArray[np.float64]"
    accuracy: "NDArray[np.float64]"
    counts: "NDArray[np.int64]"

    @property
    def error(self) -> float:
        """The expected calibration error: mean distance of confidence and accuracy, weighted by counts."""
        return float((np.abs(self.confidence - self.accuracy) * self.counts).sum() / self.counts.sum())


def reliability(class_probabilities: "NDArray[np.float64]", true: "NDArray[np.int64]", bins: int = BINS) -> Reliability:
    """Mean confidence and accuracy by bins of confidence. Confidence is the probability of the predicted class.

    scikit-learn's `calibration_curve` returns no counts and puts bin borders elsewhere.

    Args:
        class_probabilities: (N, K).
        true: class ids, (N,).
        bins: number of bins of equal width.
    """
    confidence, correct = class_probabilities.max(axis=1), class_probabilities.argmax(axis=1) == true
    indices = bin_indices(confidence, bins)
    counts = np.bincount(indices, minlength=bins)
    filled = counts > 0
    sums = [np.bincount(indices, weights=values, minlength=bins)[filled] for values in (confidence, correct)]
    return Reliability(sums[0] / counts[filled], sums[1] / counts[filled], counts[filled])


def calibration_with_intervals(
    class_probabilities: "NDArray[np.float64]",
    true: "NDArray[np.int64]",
    groups: "NDArray[np.int64]",
    bootstrap: BootstrapConfig,
    bins: int = BINS,
) -> dict[str, Any]:
    """The expected calibration error and the mean negative log-likelihood, with 95 % intervals over groups.

    The error of few rows is too high, and that of a bootstrap sample more so. Its interval may lie above it.

    Args:
        class_probabilities: (N, K).
        true: class ids, (N,).
        groups: the group of each row as ids 0 to G - 1, (N,).
        bootstrap: samples of the groups.
        bins: number of bins of confidence.

    Returns:
        `ece`, `nll`, `ece_interval` and `nll_interval`.
    """
    per_group = _sums_by_group(class_probabilities, true, groups, bins)
    samples = np.array([weights @ per_group for weights in group_weights(len(per_group), bootstrap)])
    totals = np.vstack([per_group.sum(axis=0), samples.reshape(-1, bins + 2)])
    ece = np.abs(totals[:, :bins]).sum(axis=1) / totals[:, -1]
    nll = totals[:, -2] / totals[:, -1]
    return with_interval("ece", float(ece[0]), ece[1:].tolist()) | with_interval("nll", float(nll[0]), nll[1:].tolist())


def _sums_by_group(
    class_probabilities: "NDArray[np.float64]", true: "NDArray[np.int64]", groups: "NDArray[np.int64]", bins: int
) -> "NDArray[np.float64]":
    """Sums of confidence minus correctness by bin, of the losses, and of the rows of each group, (G, bins + 2)."""
    count = int(groups.max()) + 1
    confidence = class_probabilities.max(axis=1)
    gaps = confidence - (class_probabilities.argmax(axis=1) == true)
    cells = groups * bins + bin_indices(confidence, bins)
    by_bin = np.bincount(cells, weights=gaps, minlength=count * bins).reshape(count, bins)
    losses = np.bincount(groups, weights=negative_log_likelihoods(class_probabilities, true), minlength=count)
    return np.column_stack([by_bin, losses, np.bincount(groups, minlength=count)])
