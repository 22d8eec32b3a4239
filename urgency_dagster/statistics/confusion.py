"""Scores of a confusion matrix, and their bootstrap intervals.

Training, evaluation and bootstrap share these functions, so their scores agree.
A matrix counts true classes in rows and predicted classes in columns.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.statistics.bootstrap import BootstrapConfig, group_weights
from urgency_dagster.statistics.intervals import percentile_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

Score = Callable[["NDArray[np.int64]"], float | None]
"""A number computed from a confusion matrix; None if it is undefined for that matrix."""


def confusion_matrix(true: "NDArray[np.int64]", predicted: "NDArray[np.int64]", classes: int) -> "NDArray[np.int64]":
    """How often each true class (rows) was predicted as each class (columns), int64, (K, K)."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def accuracy(matrix: "NDArray[np.int64]") -> float:
    """The share of correct predictions."""
    return float(np.trace(matrix) / matrix.sum())


def f1_by_class(matrix: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """The F1 of each class, float64, (K,); 0 for a class that is neither present nor predicted."""
    support = matrix.sum(axis=0) + matrix.sum(axis=1)
    f1: NDArray[np.float64] = 2 * np.diagonal(matrix) / np.maximum(support, 1)
    return f1


def f1_macro(matrix: "NDArray[np.int64]") -> float:
    """The mean F1 over all classes; an absent class counts as 0."""
    return float(f1_by_class(matrix).mean())


def f1_macro_of_present(matrix: "NDArray[np.int64]") -> float:
    """The mean F1 over the classes that are present or predicted.

    Source: `sklearn.metrics.f1_score` with `average="macro"` and no `labels`.
    """
    return float(f1_by_class(matrix)[matrix.sum(axis=0) + matrix.sum(axis=1) > 0].mean())


SCORES: Mapping[str, Score] = {"accuracy": accuracy, "f1_macro": f1_macro}
"""The scores of every task, by name."""


def share_predicted_as(matrix: "NDArray[np.int64]", true: int, predicted: int) -> float | None:
    """The share of one true class that was predicted as another; None if the true class is absent."""
    present = matrix[true].sum()
    return float(matrix[true, predicted] / present) if present else None


def recall_of(class_id: int) -> Score:
    """The score function for the recall of one class."""
    return lambda matrix: share_predicted_as(matrix, class_id, class_id)


def resampled_matrices(
    true: "NDArray[np.int64]",
    predicted: "NDArray[np.int64]",
    groups: "NDArray[np.int64]",
    classes: int,
    config: BootstrapConfig,
    group_count: int | None = None,
) -> "NDArray[np.int64]":
    """The confusion matrix of each bootstrap sample of whole groups, int64, (R, K, K).

    Args:
        true: class ids, (N,).
        predicted: class ids, (N,).
        groups: the group of each row as ids 0 to G - 1, (N,).
        classes: number of classes.
        config: number of samples R and seed.
        group_count: number of groups G; needed if some have no row.
    """
    count = int(groups.max()) + 1 if group_count is None else group_count
    cells = classes * classes
    per_group = np.bincount(groups * cells + true * classes + predicted, minlength=count * cells).reshape(count, cells)
    samples = np.empty((config.resamples, cells), np.int64)
    for sample, weights in zip(samples, group_weights(count, config), strict=True):
        sample[:] = weights @ per_group
    return samples.reshape(config.resamples, classes, classes)


def scores_with_intervals(
    true: "NDArray[np.int64]",
    predicted: "NDArray[np.int64]",
    groups: "NDArray[np.int64]",
    classes: int,
    scores: Mapping[str, Score],
    config: BootstrapConfig,
) -> dict[str, Any]:
    """Each score by its name, and its 95 % interval over groups as `<name>_interval`, a list of two or None.

    Args:
        true: class ids, (N,).
        predicted: class ids, (N,).
        groups: the group of each row as ids 0 to G - 1, (N,).
        classes: number of classes.
        scores: score functions by name.
        config: number of bootstrap samples and seed.
    """
    matrix = confusion_matrix(true, predicted, classes)
    samples = resampled_matrices(true, predicted, groups, classes, config)
    return scores_of_matrices(matrix, samples, scores)


def scores_of_matrices(
    matrix: "NDArray[np.int64]", samples: "NDArray[np.int64]", scores: Mapping[str, Score]
) -> dict[str, Any]:
    """The scores of a matrix, (K, K), with intervals from its bootstrap samples, (R, K, K).

    Returns:
        See `scores_with_intervals`.
    """
    result: dict[str, Any] = {}
    for name, score in scores.items():
        result |= with_interval(name, score(matrix), [score(sample) for sample in samples])
    return result


def paired_differences(
    true: "NDArray[np.int64]",
    predicted: "NDArray[np.int64]",
    other: "NDArray[np.int64]",
    classes: int,
    scores: Mapping[str, Score],
    config: BootstrapConfig,
) -> dict[str, Any]:
    """Each score minus that of other predictions for the same groups, with intervals of the difference.

    Both have the same groups in every bootstrap sample, so what is hard for both cancels out.

    Args:
        true: the class id of each group, (G,).
        predicted: class ids, (G,).
        other: class ids of the predictions to compare with, (G,).
        classes: number of classes.
        scores: score functions by name.
        config: number of bootstrap samples and seed.

    Returns:
        See `scores_with_intervals`. A difference is None if one of both scores is.
    """
    result: dict[str, Any] = {}
    groups = np.arange(len(true))
    matrices = [confusion_matrix(true, classified, classes) for classified in (predicted, other)]
    samples = [resampled_matrices(true, classified, groups, classes, config) for classified in (predicted, other)]
    for name, score in scores.items():
        sampled = [_difference(score, *pair) for pair in zip(*samples, strict=True)]
        result |= with_interval(name, _difference(score, *matrices), sampled)
    return result


def _difference(score: Score, one: "NDArray[np.int64]", other: "NDArray[np.int64]") -> float | None:
    first, second = score(one), score(other)
    return None if first is None or second is None else first - second


def with_interval(name: str, score: float | None, samples: Sequence[float | None]) -> dict[str, Any]:
    """A score by its name, and its 95 % interval from its bootstrap samples as `<name>_interval`."""
    interval = percentile_interval(samples)
    return {name: score, f"{name}_interval": list(interval) if interval else None}
