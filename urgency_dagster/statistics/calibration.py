"""Calibration: temperature scaling, reliability bins, expected calibration error.

Source: Guo et al., On Calibration of Modern Neural Networks (2017).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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

    A temperature changes probabilities and never the predicted class.

    Args:
        logits: (N, K).
        true: class ids, (N,).
    """
    from scipy.optimize import minimize_scalar

    if not len(true):
        return 1.0

    def loss(log_temperature: float) -> float:
        likelihood = probabilities(logits, np.exp(log_temperature))[np.arange(len(true)), true]
        return float(-np.log(np.maximum(likelihood, MIN_LIKELIHOOD)).mean())

    fitted = minimize_scalar(loss, bounds=(-MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE), method="bounded")
    return float(np.exp(fitted.x))


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
