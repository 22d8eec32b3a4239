"""True and predicted classes of the validation side, and their scores with intervals over calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import (
    SCORES,
    Score,
    confusion_matrix,
    f1_macro,
    recall_of,
    resampled_matrices,
    scores_of_matrices,
    share_predicted_as,
    with_interval,
)
from urgency_dagster.tables import HIGH, LOW
from urgency_dagster.urgency.data.dataset import call_codes, first_rows
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.network.inference import TaskLogits, mean_by_call

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """True and predicted class ids of N utterances or calls.

    Attributes:
        urgency: true urgency ids, int64, (N,).
        urgency_predicted: predicted urgency ids, int64, (N,).
        sentiment: true sentiment ids, int64, (N,).
        sentiment_predicted: predicted sentiment ids, int64, (N,).
        calls: the call of each, ids 0 to C - 1, int64, (N,).
    """

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


@dataclass(frozen=True)
class Answers:
    """The logits of a model for some rows, and the predictions that follow from them.

    Attributes:
        rows: rows of the training set, N utterances of C calls.
        logits: logits of each utterance, (N, K).
        call_logits: mean logits of each call, (C, K).
        utterance: predictions by utterance.
        call: predictions by call.
    """

    rows: "pa.Table"
    logits: TaskLogits
    call_logits: TaskLogits
    utterance: Predictions
    call: Predictions

    @classmethod
    def of(cls, rows: "pa.Table", logits: TaskLogits) -> "Answers":
        """The answers for some rows from their logits, in the same order."""
        calls = call_codes(rows)
        call_logits, first = mean_by_call(logits, calls), first_rows(calls)
        urgency, sentiment = (rows[f"{task}_id"].to_numpy() for task in ("urgency", "sentiment"))
        utterance = _predictions(logits, urgency, sentiment, calls)
        call = _predictions(call_logits, urgency[first], sentiment[first], np.arange(len(first)))
        return cls(rows, logits, call_logits, utterance, call)


def _predictions(
    logits: TaskLogits,
    urgency: "NDArray[np.int64]",
    sentiment: "NDArray[np.int64]",
    calls: "NDArray[np.int64]",
) -> Predictions:
    return Predictions(
        urgency=urgency,
        urgency_predicted=logits.urgency.argmax(axis=1),
        sentiment=sentiment,
        sentiment_predicted=logits.sentiment.argmax(axis=1),
        calls=calls,
    )


def evaluate_predictions(predictions: Predictions, labels: Labels, bootstrap: BootstrapConfig) -> dict[str, Any]:
    """The scores of some predictions, each with its 95 % interval over calls as `<score>_interval`.

    Returns:
        By task `accuracy` and `f1_macro`; for urgency also `recall_high` and `high_read_as_low`, None if no call has
        high urgency. A task that is left out is None. `average_f1` is the mean macro-F1 of the others; `n` is the
        number of predictions.
    """
    result: dict[str, Any] = {}
    macro_f1, sampled_f1 = [], []
    matrices = predictions.matrices(labels)
    for task in labels.left_out:
        result[task] = None
    for task, matrix in ((task, matrices[task]) for task in labels.tasks):
        true, predicted = getattr(predictions, task), getattr(predictions, f"{task}_predicted")
        samples = resampled_matrices(true, predicted, predictions.calls, len(matrix), bootstrap)
        result[task] = scores_of_matrices(matrix, samples, _scores_of_task(task, labels))
        macro_f1.append(f1_macro(matrix))
        sampled_f1.append([f1_macro(sample) for sample in samples])
    means = [sum(pair) / len(pair) for pair in zip(*sampled_f1, strict=True)]
    average = with_interval("average_f1", sum(macro_f1) / len(macro_f1), means)
    return result | average | {"n": len(predictions.calls)}


def _scores_of_task(task: str, labels: Labels) -> Mapping[str, Score]:
    if task != "urgency":
        return SCORES
    high, low = labels.urgency.index(HIGH), labels.urgency.index(LOW)
    return {
        **SCORES,
        "recall_high": recall_of(high),
        "high_read_as_low": lambda matrix: share_predicted_as(matrix, high, low),
    }
