"""Scores computed from confusion matrices, so that training, evaluation and bootstrap cannot disagree.

A matrix counts true classes in rows and predicted ones in columns. Reading and writing is `evaluation`'s.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from urgency_dagster.tables import HIGH, LOW
from urgency_dagster.urgency.data.dataset import Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

Score = Callable[["NDArray[np.int64]"], float | None]
"""A figure of a confusion matrix; None where it has no meaning."""

INTERVAL = (2.5, 97.5)
"""Percentiles of a 95 % interval."""

WITHOUT_SCORE_MAX = 0.01
"""Share of the samples that may lack a score: one in a hundred misses a class that less than five calls have."""


class Draws(TypedDict):
    """How the samples of an interval are drawn.

    Attributes:
        resamples: bootstrap samples of the calls.
        seed: seed of the bootstrap.
    """

    resamples: int
    seed: int


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


SCORES: Mapping[str, Score] = {"accuracy": accuracy, "f1_macro": f1_macro}
"""What is told of every task."""


def share_read_as(matrix: "NDArray[np.int64]", true: int, predicted: int) -> float | None:
    """The share of one true class that was predicted as another; None when the class is absent."""
    present = matrix[true].sum()
    return float(matrix[true, predicted] / present) if present else None


def recall_of(which: int) -> Score:
    """The score that tells the recall of one class."""
    return lambda matrix: share_read_as(matrix, which, which)


def interval(values: Iterable[float | None]) -> tuple[float, float] | None:
    """The 95 % bootstrap interval of a score from its values on resampled calls; None when too few of them have one.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3 (percentile interval).
    """
    drawn = list(values)
    known = [value for value in drawn if value is not None]
    if len(known) <= (1 - WITHOUT_SCORE_MAX) * len(drawn):
        return None
    low, high = np.percentile(known, INTERVAL)
    return float(low), float(high)


def resampled_matrices(
    true: "NDArray[np.int64]",
    predicted: "NDArray[np.int64]",
    calls: "NDArray[np.int64]",
    classes: int,
    *,
    resamples: int,
    seed: int,
) -> "NDArray[np.int64]":
    """The confusion matrices of whole calls drawn with replacement, (R, K, K); equal seeds draw the same calls.

    Utterances of one call share voices, channel and label: drawing them singly would make intervals too narrow.

    Args:
        true: class ids, (N,).
        predicted: class ids, (N,).
        calls: the call of each row as ids 0 to C - 1, (N,).
        classes: number of classes.
        resamples: number of bootstrap samples.
        seed: seed of the draw.
    """
    count = int(calls.max()) + 1
    cells = classes * classes
    per_call = np.bincount(calls * cells + true * classes + predicted, minlength=count * cells).reshape(count, cells)
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, cells), np.int64)
    for i in range(resamples):
        drawn[i] = np.bincount(rng.integers(count, size=count), minlength=count) @ per_call
    return drawn.reshape(resamples, classes, classes)


def scores_with_intervals(
    true: "NDArray[np.int64]",
    predicted: "NDArray[np.int64]",
    calls: "NDArray[np.int64]",
    classes: int,
    scores: Mapping[str, Score],
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Each score by its name, and its 95 % interval over calls as `<name>_interval` (see `interval`).

    Args:
        true: class ids, (N,).
        predicted: class ids, (N,).
        calls: the call of each row as ids 0 to C - 1, (N,).
        classes: number of classes.
        scores: what is told, each from a confusion matrix.
        resamples: bootstrap samples of the calls.
        seed: seed of the bootstrap.
    """
    matrix = confusion_matrix(true, predicted, classes)
    drawn = resampled_matrices(true, predicted, calls, classes, resamples=resamples, seed=seed)
    found: dict[str, Any] = {}
    for name, score in scores.items():
        found |= _with_interval(name, score(matrix), [score(of_sample) for of_sample in drawn])
    return found


def judge(judged: Judged, labels: Labels, *, resamples: int, seed: int) -> dict[str, Any]:
    """The scores of one way to answer, each with its 95 % interval over calls as `<score>_interval`.

    Returns:
        By task `accuracy` and `f1_macro`, of urgency also `recall_high` and `high_read_as_low` (None when no call is
        of high urgency); `average_f1` of the two; `n`.
    """
    found: dict[str, Any] = {}
    of_tasks = {}
    for task, matrix in judged.matrices(labels).items():
        true, predicted = getattr(judged, task), getattr(judged, f"{task}_predicted")
        drawn = resampled_matrices(true, predicted, judged.calls, len(matrix), resamples=resamples, seed=seed)
        named = {**SCORES, **(_of_high(labels) if task == "urgency" else {})}
        found[task] = {}
        for name, score in named.items():
            found[task] |= _with_interval(name, score(matrix), [score(of_sample) for of_sample in drawn])
        of_tasks[task] = f1_macro(matrix), [f1_macro(of_sample) for of_sample in drawn]
    scores, samples = zip(*of_tasks.values(), strict=True)
    means = [sum(pair) / len(pair) for pair in zip(*samples, strict=True)]
    return found | _with_interval("average_f1", sum(scores) / len(scores), means) | {"n": len(judged.calls)}


def _of_high(labels: Labels) -> dict[str, Score]:
    high, low = labels.urgency.index(HIGH), labels.urgency.index(LOW)
    return {
        "recall_high": recall_of(high),
        "high_read_as_low": lambda matrix: share_read_as(matrix, high, low),
    }


def _with_interval(name: str, score: float | None, samples: Sequence[float | None]) -> dict[str, Any]:
    found = interval(samples)
    return {name: score, f"{name}_interval": list(found) if found else None}
