"""Scores computed from confusion matrices, so that training, evaluation and bootstrap cannot disagree.

A matrix counts true classes in rows and predicted ones in columns. Reading and writing is `evaluation`'s.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster.urgency.dataset import Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTERVAL = (2.5, 97.5)
"""Percentiles of a 95 % interval."""


@dataclass(frozen=True)
class Judged:
    """True and predicted class ids of N utterances or calls, int64, (N,), and the call of each, 0 to C - 1."""

    urgency: "NDArray[np.int64]"
    urgency_predicted: "NDArray[np.int64]"
    sentiment: "NDArray[np.int64]"
    sentiment_predicted: "NDArray[np.int64]"
    calls: "NDArray[np.int64]"

    def matrices(self, labels: Labels) -> "dict[str, NDArray[np.int64]]":
        """The confusion matrix of each task."""
        return {
            "urgency": confusion_matrix(self.urgency, self.urgency_predicted, len(labels.urgency)),
            "sentiment": confusion_matrix(self.sentiment, self.sentiment_predicted, len(labels.sentiment)),
        }


def confusion_matrix(true: "NDArray[np.int64]", predicted: "NDArray[np.int64]", classes: int) -> "NDArray[np.int64]":
    """How often each true class (rows) was predicted as each class (columns), int64, (K, K)."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def accuracy(matrix: "NDArray[np.int64]") -> float:
    """The share of right predictions."""
    return float(np.trace(matrix) / matrix.sum())


def f1_by_class(matrix: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """The F1 of each class, (K,); 0 for a class that is neither present nor predicted."""
    support = matrix.sum(axis=0) + matrix.sum(axis=1)
    return 2 * np.diagonal(matrix) / np.maximum(support, 1)


def f1_macro(matrix: "NDArray[np.int64]") -> float:
    """The mean F1 over all classes, absent ones included as 0."""
    return float(f1_by_class(matrix).mean())


def share_read_as(matrix: "NDArray[np.int64]", true: int, predicted: int) -> float | None:
    """The share of one true class that was predicted as another; None when the class is absent."""
    present = matrix[true].sum()
    return float(matrix[true, predicted] / present) if present else None


def f1_macro_interval(
    true: "NDArray[np.int64]",
    predicted: "NDArray[np.int64]",
    calls: "NDArray[np.int64]",
    classes: int,
    *,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """The 95 % bootstrap interval of the macro-F1, drawing whole calls with replacement.

    Utterances of one call share voices, channel and label: drawing them singly would make the interval too narrow.

    Args:
        true: class ids, (N,).
        predicted: class ids, (N,).
        calls: the call of each row as ids 0 to C - 1, (N,).
        classes: number of classes.
        resamples: number of bootstrap samples.
        seed: seed of the draw.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3 (percentile interval).
    """
    count = int(calls.max()) + 1
    cells = classes * classes
    per_call = np.bincount(calls * cells + true * classes + predicted, minlength=count * cells).reshape(count, cells)
    rng = np.random.default_rng(seed)
    scores = np.empty(resamples)
    for i in range(resamples):
        weights = np.bincount(rng.integers(count, size=count), minlength=count)
        scores[i] = f1_macro((weights @ per_call).reshape(classes, classes))
    low, high = np.percentile(scores, INTERVAL)
    return float(low), float(high)
